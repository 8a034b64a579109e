//! The spans and logs of the crate, emitted through the crate `tracing` if the feature `tracing` is
//! on. They are listed in [`telemetry`](crate::telemetry).

#[cfg(not(feature = "tracing"))]
mod off;
#[cfg(feature = "tracing")]
mod on;

use std::{error::Error, time::Duration};

#[cfg(not(feature = "tracing"))]
pub(crate) use self::off::*;
#[cfg(feature = "tracing")]
pub(crate) use self::on::*;

/// The fields that are logged when a stream ends.
#[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "nothing is logged"))]
pub(crate) struct Summary<'a> {
    pub(crate) reason: &'static str,
    /// Whether the client was too slow, which is logged as a warning.
    pub(crate) evicted: bool,
    /// The error of a stream that failed.
    pub(crate) error: Option<&'a (dyn Error + Send + Sync + 'static)>,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) dropped: u64,
    pub(crate) duration: Duration,
}
