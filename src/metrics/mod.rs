//! What the crate counts: through the facade `metrics` with the feature of that name, and nowhere
//! without it. What there is stands in the table of [`telemetry`](crate::telemetry).

#[cfg(not(feature = "metrics"))]
mod off;
#[cfg(feature = "metrics")]
mod on;

#[cfg(not(feature = "metrics"))]
pub(crate) use self::off::*;
#[cfg(feature = "metrics")]
pub(crate) use self::on::*;
