//! Why an event was not sent.

use std::{error::Error, fmt};

use crate::{encode::EncodedEvent, event::Event};

/// The error of an event that was not sent. It holds the event.
///
/// The event is boxed, so that the result of a successful send stays small: 16 bytes.
pub struct SendError<E = Event> {
    reason: Reason,
    unsent: Option<Box<Unsent<E>>>,
}

struct Unsent<E> {
    event: E,
    /// The length of an event that is too large and the limit, in bytes.
    too_large: (usize, usize),
}

/// Why the channel refuses an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendErrorKind {
    Closed,
    Full,
    TooLarge { bytes: usize, max: usize },
    Deadlock,
    TimedOut,
}

/// A [`SendErrorKind`] without its values, which are boxed with the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Closed,
    Full,
    TooLarge,
    Deadlock,
    TimedOut,
}

impl<E> SendError<E> {
    pub(super) fn new(kind: SendErrorKind, event: E) -> Self {
        let too_large = match kind {
            SendErrorKind::TooLarge { bytes, max } => (bytes, max),
            _ => (0, 0),
        };
        Self { reason: kind.into(), unsent: Some(Box::new(Unsent { event, too_large })) }
    }

    pub(super) fn without_event(kind: SendErrorKind) -> Self {
        Self { reason: kind.into(), unsent: None }
    }

    /// Returns the event that was not sent. It is `None` if a sink found the stream ended before it
    /// was given an event.
    #[must_use]
    pub fn into_event(self) -> Option<E> {
        self.unsent.map(|unsent| unsent.event)
    }

    /// Returns whether the stream has ended: it was closed, failed or cut off, or its client has
    /// left.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.reason == Reason::Closed
    }

    /// Returns whether there was no room: [`EventSender::try_send`](crate::EventSender::try_send)
    /// would have had to wait.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.reason == Reason::Full
    }

    /// Returns whether the event is larger than
    /// [`Buffer::max_event_bytes`](crate::Buffer::max_event_bytes).
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.reason == Reason::TooLarge
    }

    /// Returns whether the send waited longer than
    /// [`send_timeout`](crate::HandlerOptions::send_timeout). The stream was evicted: its client
    /// was too slow.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.reason == Reason::TimedOut
    }

    /// Returns whether [`EventSender::blocking_send`](crate::EventSender::blocking_send) would have
    /// blocked forever: the handler called it inside its body, and so would block the thread that
    /// makes room.
    #[must_use]
    pub fn is_deadlock(&self) -> bool {
        self.reason == Reason::Deadlock
    }
}

impl From<SendErrorKind> for Reason {
    fn from(kind: SendErrorKind) -> Self {
        match kind {
            SendErrorKind::Closed => Self::Closed,
            SendErrorKind::Full => Self::Full,
            SendErrorKind::TooLarge { .. } => Self::TooLarge,
            SendErrorKind::Deadlock => Self::Deadlock,
            SendErrorKind::TimedOut => Self::TimedOut,
        }
    }
}

impl<E> fmt::Display for SendError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.reason, &self.unsent) {
            (Reason::TooLarge, Some(unsent)) => {
                let (bytes, max) = unsent.too_large;
                write!(
                    f,
                    "event not sent: it has {bytes} encoded bytes, and the buffer's `max_event_bytes` is {max}"
                )
            }
            (reason, _) => f.write_str(match reason {
                Reason::Closed => "event not sent: the stream has ended",
                Reason::TimedOut => {
                    "event not sent: it waited longer than `send_timeout`, and its stream was evicted"
                }
                Reason::Full => "event not sent: the buffer is full",
                Reason::TooLarge => {
                    "event not sent: it is larger than the buffer's `max_event_bytes`"
                }
                Reason::Deadlock => {
                    "event not sent: the buffer is full, and blocking here would block the body that \
                     empties it; use `send().await`, or a thread of its own"
                }
            }),
        }
    }
}

/// Shows the reason, not the event.
impl<E> fmt::Debug for SendError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SendError").field(&self.reason).finish()
    }
}

impl<E> Error for SendError<E> {}

/// Returns whether this is the error of a send after the end of the stream. A handler that returns
/// it with `?` has not failed.
pub(crate) fn is_closed_send(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    let of_event = error.downcast_ref::<SendError<Event>>().map(|error| error.reason);
    let of_encoded = error.downcast_ref::<SendError<EncodedEvent>>().map(|error| error.reason);
    matches!(of_event.or(of_encoded), Some(Reason::Closed | Reason::TimedOut))
}
