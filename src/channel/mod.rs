//! The event channel: where the application puts events, and from which a body takes them.
//!
//! The channel *is* the encoded buffer. Sending encodes the event straight into the bytes that wait
//! for the client, and the body takes all that is there as one frame, so ten events that are ready
//! cost one write. Nothing is allocated for an event, and nothing that is ready is held back.
//!
//! # Bounds
//!
//! A [`Buffer`] bounds what waits, in events and in bytes, and says what happens when it is full:
//! the sender waits ([`Buffer::fixed`], the default), the newest is dropped ([`Buffer::dropping`]),
//! or the oldest ([`Buffer::sliding`]). An event larger than the buffer's bytes goes alone into an
//! empty buffer; one larger than [`Buffer::max_event_bytes`] is refused, and comes back in the
//! error.
//!
//! # Order
//!
//! Events go out in the order in which they were accepted. Senders that wait are served in the
//! order in which they began to: neither [`EventSender::try_send`] nor a sender that comes later
//! gets ahead of them.
//!
//! # The end
//!
//! The stream ends when the last [`EventSender`] is gone (and the handler, if it has one, has
//! returned), or when anyone calls [`EventSender::close`]. What was accepted until then still goes
//! out. When the client is gone, sending fails and gives the event back, and
//! [`EventSender::closed`] tells. [`EventSender::ending`] tells earlier, when the server begins to
//! end a stream that could go on: at a [shutdown](crate::shutdown), or before its lifetime is over.
//!
//! # In a handler
//!
//! A handler runs inside the body that takes its events. So that one which never has to wait,
//! because its buffer drops what does not fit, leaves the body a chance to,
//! [`EventSender::send`] yields once after as many events as the buffer holds, and earlier if they
//! are large or very many.

mod buffer;
mod ending;
mod error;
mod patience;
mod queue;
mod receiver;
mod send;
mod sender;
mod sink;
mod state;

use std::sync::Arc;

pub use self::{buffer::Buffer, error::SendError, receiver::EventReceiver, sender::EventSender};
pub(crate) use self::{
    ending::{Ask, Cut},
    error::is_closed_send,
    queue::Segment,
    receiver::{Ending, Taken},
    sender::Control,
};

/// Creates an event channel: the sender, and the end that an [`EventBody`](crate::EventBody) is
/// made from.
///
/// A handler is given its sender; this is for a stream that is made elsewhere.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
/// use tower_sse::{Buffer, Event, EventBody, event_channel};
///
/// let (events, receiver) = event_channel(Buffer::fixed(16));
/// let mut body = EventBody::from(receiver).without_greeting();
///
/// events.send(Event::new("hello")).await?;
/// drop(events);
/// assert_eq!(body.next_chunk().await.unwrap()?, "data: hello\n\n");
/// assert!(body.next_chunk().await.is_none());
/// # Ok(()) }
/// ```
pub fn event_channel(buffer: Buffer) -> (EventSender, EventReceiver) {
    let shared = Arc::new(state::Shared::new(buffer));
    (EventSender::new(shared.clone()), EventReceiver::new(shared))
}
