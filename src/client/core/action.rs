//! The messages between core and driver: losses, and actions.

use std::time::Duration;

use crate::client::{
    error::{EventSourceError, SourceErrorKind},
    update::Reconnecting,
};
use crate::stream::Unexpected;

/// The next action of the driver.
#[derive(Debug)]
pub(in crate::client) enum Action {
    /// Begin an attempt.
    Connect,
    /// Wait for [`Core::poll_timeout`](super::Core::poll_timeout).
    Wait,
    /// Poll the attempt that was begun.
    PollAttempt,
    /// Read the body of a response that is not an event stream.
    PollRefusal,
    /// Take the next update from the core. If it has none, read the body.
    Read,
    /// Read the rest of the body after the last event.
    Drain,
    /// Return this error. It is the last item.
    Fail(EventSourceError),
    /// Return the end.
    End,
}

/// The action for a response.
#[derive(Debug)]
pub(in crate::client) enum ResponseAction {
    /// Read the body: it is an event stream.
    Open,
    /// Follow the redirect.
    Redirect,
    /// Read the start of the body: it is not an event stream.
    Refuse(Unexpected),
    /// Drop the response.
    Drop(Next),
}

/// The consequence of a connection that was lost or could not be opened.
#[derive(Debug)]
pub(in crate::client) enum Next {
    /// Report this, and wait for the next attempt.
    Reconnect(Reconnecting),
    /// Close the source, and return this error as the last item.
    Fail(EventSourceError),
    /// Close the source, and return the end.
    End,
}

/// Why a connection was lost or could not be opened.
#[derive(Debug)]
pub(in crate::client) struct Loss {
    /// The error that the application gets to see.
    pub(super) cause: EventSourceError,
    /// The delay of the response's `Retry-After`.
    pub(super) retry_after: Option<Duration>,
    /// Whether another attempt is useless.
    pub(super) is_fatal: bool,
}

impl Loss {
    /// A loss after which another attempt may succeed.
    pub(in crate::client) fn retryable(kind: SourceErrorKind) -> Self {
        Self { cause: kind.into(), retry_after: None, is_fatal: false }
    }

    /// A loss after which no other attempt is made.
    pub(in crate::client) fn fatal(kind: SourceErrorKind) -> Self {
        Self { is_fatal: true, ..Self::retryable(kind) }
    }
}
