//! The metrics of the crate, recorded through the crate `metrics` if the feature `metrics` is on.
//! They are listed in [`telemetry`](crate::telemetry).

#[cfg(not(feature = "metrics"))]
mod off;
#[cfg(feature = "metrics")]
mod on;

#[cfg(not(feature = "metrics"))]
pub(crate) use self::off::*;
#[cfg(feature = "metrics")]
pub(crate) use self::on::*;
