//! A bounded channel of encoded events: the application sends to it, and a body takes from it.
//!
//! The channel holds encoded bytes. Sending encodes an event straight into the bytes that wait for
//! the client, and the body takes everything that is there, as one frame of up to 64 KiB. So ten
//! events that are ready cost one write. An event has no allocation of its own. Without a
//! [`batch_window`](crate::EventBody::batch_window), an event that is ready is not held back.
//!
//! # Bounds
//!
//! A [`Buffer`] limits the events and the bytes that wait, and says what happens when it is full:
//! the sender waits ([`Buffer::fixed`], the default), the newest event is dropped
//! ([`Buffer::dropping`]), or the oldest events are dropped ([`Buffer::sliding`]). An event that is
//! larger than the buffer is accepted when the buffer is empty. An event that is larger than
//! [`Buffer::max_event_bytes`] is refused, and the error returns it.
//!
//! # Order
//!
//! Events go out in the order in which they were accepted. Senders that wait are served in the
//! order in which they began to wait. Neither [`EventSender::try_send`] nor a later sender
//! overtakes them.
//!
//! # The end
//!
//! The stream ends when the last [`EventSender`] is dropped and the handler, if there is one, has
//! returned, or when a sender calls [`EventSender::close`]. Events that were accepted before still
//! go out. When the client has left, sending fails and returns the event, and
//! [`EventSender::closed`] completes. [`EventSender::ending`] completes earlier, when the server
//! begins to end a stream that could go on: at a [shutdown](crate::shutdown), or before its
//! lifetime ends.
//!
//! # In a handler
//!
//! A handler runs inside the body that takes its events. A handler that never waits, for example
//! because its buffer drops events, would never let its body write. So [`EventSender::send`] yields
//! once after as many events as the buffer holds, and earlier if they are large or very many.

mod buffer;
mod error;
mod queue;
mod receiver;
mod segment;
mod send;
mod send_timeout;
mod sender;
mod shared;
mod sink;
mod state;
mod waiting;

use std::sync::Arc;

use self::shared::Shared;
pub use self::{
    buffer::Buffer, error::SendError, receiver::EventReceiver, sender::EventSender, sink::EventSink,
};
pub(crate) use self::{
    error::is_closed_send,
    queue::MAX_SEGMENT,
    receiver::{ChannelEnd, Interest, Polled},
    segment::{LastId, Segment},
};

/// Creates an event channel: a sender, and a receiver that an [`EventBody`](crate::EventBody) is
/// made of.
///
/// A handler is given its sender. Use this function for a stream that is created elsewhere.
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
    let shared = Arc::new(Shared::new(buffer));
    (EventSender::first(shared.clone()), EventReceiver::new(shared))
}
