//! Events to bytes: the event stream format of the [WHATWG standard, 9.2.5][standard].
//!
//! [standard]: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
//!
//! An event is encoded when it is sent, directly into the buffer of its stream. To send one event
//! to many streams, encode it once with [`Event::encode`](crate::Event::encode) and clone the
//! [`EncodedEvent`]. A clone costs the same for a megabyte as for a byte.
//!
//! The output is UTF-8, with LF as line end and one space after each colon. The fields are written
//! in the order comments, `event`, `id`, `retry`, `data`, custom fields, followed by an empty line.

mod encoded;
pub(crate) mod id_line;
mod layout;
mod raw;
mod split;

use bytes::BytesMut;

pub(crate) use self::layout::{Layout, sealed};
pub use self::{encoded::EncodedEvent, raw::InvalidEncoding};
use crate::event::Event;

/// A value that can be sent on an event stream: an [`Event`], an [`EncodedEvent`] or an entry of a
/// hub.
///
/// This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "expected an `Event`, an `EncodedEvent`, or an `Entry` of a hub",
    note = "create an event with `Event::new(text)`, or `Event::display(value)` for other values; take it out of a `Result` with `?`"
)]
pub trait Encode: sealed::Encode {}

impl Encode for Event {}
impl Encode for EncodedEvent {}

impl Event {
    /// Encodes the event, with one allocation of the exact size.
    #[must_use]
    pub fn encode(&self) -> EncodedEvent {
        EncodedEvent::new(self)
    }

    /// Appends the encoded event to a buffer, without an allocation if the buffer has enough room.
    ///
    /// ```
    /// use tower_sse::Event;
    ///
    /// let mut buffer = bytes::BytesMut::with_capacity(1024);
    /// for n in 0..2 {
    ///     Event::new(n).encode_to(&mut buffer);
    /// }
    /// assert_eq!(buffer, "data: 0\n\ndata: 1\n\n");
    /// ```
    pub fn encode_to(&self, buffer: &mut BytesMut) {
        let layout = Layout::of(self);
        buffer.reserve(layout.len);
        layout.write(self, buffer);
    }
}
