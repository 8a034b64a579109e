//! Without the feature `metrics`: the same items, which do nothing.

use std::{borrow::Cow, time::Duration};

use tokio::time::Instant;

pub(crate) struct StreamMetrics;

impl StreamMetrics {
    pub(crate) fn open(_: Option<Cow<'static, str>>, _: Option<Duration>, _: Instant) -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn renew(&mut self, _: Option<&Option<Cow<'static, str>>>, _: Option<Duration>) {}

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn handed_over(&mut self, _: usize, _: usize) {}

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn ended(&mut self, _: &'static str, _: Duration) {}
}

pub(crate) fn head_done(_: Option<&Cow<'static, str>>, _: Instant) {}

#[derive(Debug)]
pub(crate) struct SendMetrics;

impl SendMetrics {
    pub(crate) fn new() -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn sent(&self, _: usize, _: u64) {}

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn waited(&self, _: &WaitTimer) {}
}

#[derive(Debug, Default)]
pub(crate) struct WaitTimer;

impl WaitTimer {
    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn start(&mut self) {}
}

pub(crate) struct ClientMetrics;

impl ClientMetrics {
    pub(crate) fn new() -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn opened(&self) -> ConnectionMetrics {
        ConnectionMetrics
    }

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn received(&self, _: bool) {}

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn reconnects(&self) {}
}

pub(crate) struct ConnectionMetrics;

#[cfg(feature = "hub")]
pub(crate) struct HubMetrics;

#[cfg(feature = "hub")]
impl HubMetrics {
    pub(crate) fn new() -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn published(&self, _: usize) {}
}

#[cfg(feature = "hub")]
pub(crate) fn backend_up(_: bool) {}

#[cfg(feature = "hub")]
pub(crate) fn backend_failed() {}

#[cfg(feature = "hub")]
pub(crate) fn backend_lag(_: Duration) {}

#[cfg(feature = "hub")]
pub(crate) fn backend_replayed() {}

#[cfg(feature = "hub")]
pub(crate) fn backend_junk(_: u64) {}

#[cfg(feature = "hub")]
pub(crate) fn replayed(_: usize) {}

#[cfg(feature = "hub")]
pub(crate) fn gap(_: &'static str) {}

pub(crate) fn refused(_: &'static str) {}
