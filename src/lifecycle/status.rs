//! Whether a stream is open, or how it was ended.

use std::{error::Error, fmt, sync::Arc};

use super::reason::EndReason;

/// Whether a stream is open, or how it was ended.
///
/// A stream leaves `Open` once. One later change is possible: a closed stream, whose queued events
/// still go out, can be aborted by [`revoke`](crate::EventSender::revoke).
#[derive(Debug)]
pub(crate) enum StreamStatus {
    Open,
    /// The application closed the stream, or its end was due. Queued events still go out.
    Closed,
    /// The handler or the application failed the stream. Queued events still go out.
    Failed(Arc<dyn Error + Send + Sync>),
    /// The stream was cut off. Queued events are discarded.
    Aborted(AbortReason),
    /// The body was dropped.
    Gone,
}

impl StreamStatus {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Returns whether a stream in this state may take the `next` one.
    pub(crate) fn allows(&self, next: &Self) -> bool {
        let revokes = matches!(next, Self::Aborted(AbortReason::Revoked));
        self.is_open() || (revokes && matches!(self, Self::Closed))
    }
}

/// Why a stream was cut off before its queued events went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AbortReason {
    /// The client was too slow.
    Evicted,
    /// The application revoked the client's right to the stream.
    Revoked,
}

impl From<AbortReason> for EndReason {
    fn from(reason: AbortReason) -> Self {
        match reason {
            AbortReason::Evicted => Self::Evicted,
            AbortReason::Revoked => Self::Revoked,
        }
    }
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Evicted => "evicted: the client was too slow",
            Self::Revoked => "revoked by the application",
        })
    }
}

impl Error for AbortReason {}
