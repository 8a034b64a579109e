//! Without the feature `tracing`: nothing.

use std::error::Error;

#[derive(Debug)]
pub(crate) struct Span;

impl Span {
    pub(crate) fn current() -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }
}

pub(crate) fn stream_failed(_: &(dyn Error + Send + Sync + 'static)) {}

pub(crate) fn failed_after_the_end(_: &(dyn Error + Send + Sync + 'static)) {}

pub(crate) fn on_connect_failed(_: &(dyn Error + Send + Sync + 'static)) {}

pub(crate) fn panicked(_: &'static str, _: &str) {}

pub(crate) fn no_runtime(_: &'static str) {}
