//! What the crate logs: through `tracing` with the feature of that name, and nowhere without it.
//! What there is stands in [`telemetry`](crate::telemetry).

#[cfg(not(feature = "tracing"))]
mod off;
#[cfg(feature = "tracing")]
mod on;

use std::{error::Error, time::Duration};

#[cfg(not(feature = "tracing"))]
pub(crate) use self::off::*;
#[cfg(feature = "tracing")]
pub(crate) use self::on::*;

/// What is said of a stream that has ended.
#[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "nobody says it"))]
pub(crate) struct Summary<'a> {
    pub(crate) reason: &'static str,
    /// The client was too slow: worth a warning.
    pub(crate) evicted: bool,
    /// Why it failed.
    pub(crate) error: Option<&'a (dyn Error + Send + Sync + 'static)>,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) dropped: u64,
    pub(crate) duration: Duration,
}
