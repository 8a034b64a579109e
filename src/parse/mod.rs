//! Bytes to events: the algorithm of the [WHATWG standard, 9.2.5 and 9.2.6][standard], without I/O.
//!
//! [standard]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
//!
//! An [`EventParser`] takes chunks and returns events. The result does not depend on where the
//! stream is split into chunks. No content is an error, because the standard defines a meaning for
//! every sequence of bytes. The only error is [`EventTooLarge`], for an event that exceeds a limit.
//! The parser then continues with the next event.
//!
//! ```
//! use tower_sse::EventParser;
//!
//! let mut parser = EventParser::new();
//! let mut all = Vec::new();
//! for chunk in ["id: 7\ndata: hel", "lo\n\ndata: again\n", "\n"] {
//!     parser.push(chunk);
//!     while let Some(event) = parser.next_event() {
//!         all.push(event?);
//!     }
//! }
//! assert_eq!(all[0].data(), "hello");
//! assert_eq!(all[1].data(), "again");
//! assert_eq!(all[1].id(), None);
//! assert_eq!(parser.last_event_id().unwrap(), &"7");
//! # Ok::<(), tower_sse::BoxError>(())
//! ```
//!
//! # The standard in detail
//!
//! - One byte order mark at the start of the stream is removed, also if it is split over chunks.
//! - CR, LF and CRLF end a line. A CR at the end of a chunk ends its line at once; a LF at the
//!   start of the next chunk is then ignored.
//! - Invalid UTF-8 is replaced by U+FFFD as in the Encoding standard: one for each longest valid
//!   start of a character, also if the end of a chunk splits it.
//! - The last event ID is kept over events without an ID, until a block with another ID ends. An ID
//!   that contains NUL is ignored.
//! - A reconnection time consists of ASCII digits only. A value that does not fit 64 bits becomes
//!   the largest that does.
//! - An unfinished event at the end of the stream is not dispatched.
//!   [`unfinished`](EventParser::unfinished) returns it.
//!
//! # Copies
//!
//! Data of one line within one chunk is a slice of the chunk, without an allocation. Data that has
//! several lines, or is split over chunks, is copied once. Types and IDs are copied; up to 38 bytes
//! need no allocation. An event with sliced data keeps its whole chunk in memory:
//! [`Event::detached`](crate::Event::detached) copies the data out.
//!
//! # Limits
//!
//! The maximum sizes of an event and of a line are 16 MiB each. Change them with
//! [`max_event_bytes`](EventParser::max_event_bytes) and
//! [`max_line_bytes`](EventParser::max_line_bytes). A parser stores at most one event and the
//! chunks that have not been read yet.

mod block;
mod buffer;
mod decode;
mod error;
mod field;
mod input;
mod item;
mod lines;
mod parser;
mod partial_line;
mod plain;

pub use self::{error::EventTooLarge, item::Parsed, parser::EventParser};
