//! Why an event was not sent.

use std::{error::Error, fmt};

use crate::{encode::EncodedEvent, event::Event};

/// The error of an event that was not sent. It holds the event.
///
/// It is 16 bytes with the event boxed, so that the result of a send that succeeds is cheap.
pub struct SendError<E = Event> {
    kind: Kind,
    event: Option<Box<E>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Closed,
    Full,
    TooLarge,
    Deadlock,
    TimedOut,
}

impl<E> SendError<E> {
    pub(super) fn new(kind: Kind, event: E) -> Self {
        Self { kind, event: Some(Box::new(event)) }
    }

    pub(super) fn without_event(kind: Kind) -> Self {
        Self { kind, event: None }
    }

    /// Returns the event that was not sent. There is none if a `Sink` found, before it was given
    /// one, that the stream is over.
    #[must_use]
    pub fn into_event(self) -> Option<E> {
        self.event.map(|event| *event)
    }

    /// Returns whether the stream is over: closed, failed, or its client is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.kind == Kind::Closed
    }

    /// Returns whether the event did not fit now:
    /// [`EventSender::try_send`](crate::EventSender::try_send) would have had to wait.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.kind == Kind::Full
    }

    /// Returns whether the event is larger than
    /// [`Buffer::max_event_bytes`](crate::Buffer::max_event_bytes).
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.kind == Kind::TooLarge
    }

    /// Returns whether the send has waited for longer than
    /// [`send_timeout`](crate::EventBody::send_timeout), so that the stream is over for its client,
    /// which was too slow.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.kind == Kind::TimedOut
    }

    /// Returns whether [`EventSender::blocking_send`](crate::EventSender::blocking_send) would have
    /// waited for ever, because the thread that it was to block is the one that makes room: the
    /// handler called it inside its body.
    #[must_use]
    pub fn is_deadlock(&self) -> bool {
        self.kind == Kind::Deadlock
    }
}

impl<E> fmt::Display for SendError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Closed => "event not sent: the stream is over",
            Kind::TimedOut => {
                "event not sent: it has waited for longer than `send_timeout`, and its stream was evicted"
            }
            Kind::Full => "event not sent: the buffer is full",
            Kind::TooLarge => "event not sent: it is larger than the buffer's `max_event_bytes`",
            Kind::Deadlock => {
                "event not sent: the buffer is full, and blocking here would block the body that empties it; \
                 use `send().await`, or a thread of its own"
            }
        })
    }
}

/// Shows why, not the event.
impl<E> fmt::Debug for SendError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SendError").field(&self.kind).finish()
    }
}

impl<E> Error for SendError<E> {}

/// Returns whether this is the error of a send after the end: what a handler returns, by `?`, that
/// has not failed.
pub(crate) fn is_closed_send(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    let of_event = error.downcast_ref::<SendError<Event>>().map(|error| error.kind);
    let of_encoded = error.downcast_ref::<SendError<EncodedEvent>>().map(|error| error.kind);
    matches!(of_event.or(of_encoded), Some(Kind::Closed | Kind::TimedOut))
}
