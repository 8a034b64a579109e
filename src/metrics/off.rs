//! Without the feature `metrics`: nothing.

use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Meters;

impl Meters {
    pub(crate) fn new() -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn opened(&self) {}

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn sent(&self, _: usize, _: u64) {}

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn waited(&self, _: &Stopwatch) {}

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn handed_over(&self, _: usize, _: usize) {}

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn ended(&self, _: &'static str, _: Duration) {}
}

#[derive(Debug, Default)]
pub(crate) struct Stopwatch;

impl Stopwatch {
    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn start(&mut self) {}
}

#[cfg(feature = "hub")]
pub(crate) struct HubMeters;

#[cfg(feature = "hub")]
impl HubMeters {
    pub(crate) fn new() -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn published(&self, _: usize) {}
}

#[cfg(feature = "hub")]
pub(crate) fn gap(_: &'static str) {}

pub(crate) fn refused(_: &'static str) {}
