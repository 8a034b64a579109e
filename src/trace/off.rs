//! Without the feature `tracing`: the same items, which do nothing.

use std::{error::Error, fmt::Display, time::Duration};

use http::request;

use super::Summary;

#[derive(Clone, Debug)]
pub(crate) struct Span;

impl Span {
    pub(crate) fn of_request(
        _: &request::Parts,
        _: Option<&str>,
        _: Option<&str>,
        _: Option<&HeadSpan>,
    ) -> Self {
        Self
    }

    pub(crate) fn without_request() -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn ended(&self, _: &Summary<'_>) {}
}

#[derive(Clone, Debug)]
pub(crate) struct HeadSpan;

impl HeadSpan {
    pub(crate) fn new(_: &request::Parts) -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn record(&self, _: Option<&str>, _: Option<&str>) {}

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn end(&mut self, _: u16) {}
}

pub(crate) fn failed_after_the_end(_: &(dyn Error + Send + Sync + 'static)) {}

pub(crate) fn on_connect_failed(_: &(dyn Error + Send + Sync + 'static)) {}

pub(crate) fn refused(_: &'static str) {}

pub(crate) fn leaving(_: Duration, _: Duration, _: usize) {}

pub(crate) fn have_ended(_: usize, _: usize, _: Duration) {}

pub(crate) fn relay_failed(_: &dyn Error) {}

#[cfg(feature = "hub")]
pub(crate) fn gap(_: &'static str, _: Option<u64>) {}

#[cfg(feature = "hub")]
pub(crate) fn run_failed(_: &str) {}

#[cfg(feature = "hub")]
pub(crate) fn not_published(_: &str, _: usize) {}

#[cfg(feature = "hub")]
pub(crate) fn backend_failed(_: bool, _: &str) {}

#[cfg(feature = "hub")]
pub(crate) fn backend_is_up() {}

#[cfg(feature = "hub")]
pub(crate) fn backend_junk() {}

#[cfg(feature = "redis")]
pub(crate) fn engine_warning(_: &str) {}

pub(crate) fn panicked(_: &'static str, _: &str) {}

pub(crate) fn no_runtime(_: &'static str) {}

#[derive(Clone, Debug)]
pub(crate) struct AttemptSpan;

impl AttemptSpan {
    pub(crate) fn new(_: u64, _: &str, _: &dyn Display, _: Option<&str>) -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn responded(&self, _: u16) {}

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn opened(&self) {}

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn failed(&self) {}
}

pub(crate) fn reconnecting(_: bool, _: u64, _: Duration, _: &dyn Display, _: &dyn Display) {}
