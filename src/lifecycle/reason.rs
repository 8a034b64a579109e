//! The reason that is reported for the end of a stream.

use std::fmt;

/// Why an event stream ended. Every stream reports exactly one reason.
///
/// The first cause decides. There is one exception: a stream that was closed and still sends its
/// queued events can be [revoked](crate::EventSender::revoke), and then reports
/// [`Revoked`](Self::Revoked).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// The server dropped the body before its end: the client has left, or the server cut the
    /// connection.
    ClientGone,
    /// The handler returned and the last sender was dropped, or the application closed the stream.
    Finished,
    /// The handler returned an error or panicked, or the application failed the stream.
    Failed,
    /// The server is shutting down.
    ShutDown,
    /// The stream reached its maximum lifetime or its deadline.
    Expired,
    /// The client was too slow. It took nothing for longer than
    /// [`send_timeout`](crate::HandlerOptions::send_timeout) while a sender waited, or its hub
    /// removed events that it had not read.
    Evicted,
    /// The application cut the stream off with [`EventSender::revoke`](crate::EventSender::revoke)
    /// or the hub's `disconnect`, for example because a token was revoked.
    Revoked,
}

impl EndReason {
    /// Returns the reason in lower case with underscores, for example `client_gone`. Metrics and
    /// logs use these names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::ShutDown => "shut_down",
            Self::Expired => "expired",
            Self::Evicted => "evicted",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
