//! Events as bytes: the event stream format of the
//! [WHATWG standard, 9.2.5](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream),
//! written.
//!
//! An event is encoded when it is sent, straight into the buffer of its stream. To send one event
//! to many streams, encode it once, with [`Event::encode`](crate::Event::encode), and clone the
//! [`EncodedEvent`], which costs the same for a megabyte as for a byte.
//!
//! What is written is always: UTF-8, LF as line end, one space after each colon, fields in the
//! order comments, `event`, `id`, `retry`, `data`, custom fields, and an empty line.

mod encoded;
pub(crate) mod id_line;
mod layout;
mod raw;

use bytes::{Bytes, BytesMut};

pub(crate) use self::layout::Layout;
pub use self::{encoded::EncodedEvent, raw::InvalidEncoding};
use crate::event::Event;

/// What can be sent on an event stream: an [`Event`], or an [`EncodedEvent`]. This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "expected an `Event` or an `EncodedEvent`",
    note = "text becomes an event with `Event::new(text)`, other values with `Event::display(value)`"
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

    /// Encodes the event at the end of a buffer, without an allocation if the buffer has the room.
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

pub(crate) mod sealed {
    use super::{Bytes, BytesMut, Layout};

    /// How the channel takes an event into its buffer.
    pub trait Encode: Send + Sync + 'static {
        /// Measures: what is known before a byte is written.
        fn layout(&self) -> Layout;

        /// Writes what was measured, into a buffer that has the room.
        fn write(&self, layout: &Layout, buffer: &mut BytesMut);

        /// Returns the bytes if they exist already and need no other in front.
        fn shared(&self) -> Option<&Bytes>;
    }
}
