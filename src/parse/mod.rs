//! Bytes as events: the algorithm of the
//! [WHATWG standard, 9.2.5 and 9.2.6](https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation),
//! without I/O.
//!
//! An [`EventParser`] is given chunks and gives events; where the chunks are cut makes no
//! difference. It cannot fail on content, for the standard gives every sequence of bytes a meaning.
//! What it can do is to meet an event that is larger than it was allowed: that is an
//! [`EventTooLarge`], after which it goes on with the next event.
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
//! # By the letter
//!
//! - One byte order mark at the start is taken off, also when it comes in pieces.
//! - CR, LF and CRLF end a line, each at once: a CR at the end of a chunk does not wait for what
//!   follows, and a LF that follows in the next chunk is swallowed.
//! - What is not UTF-8 becomes U+FFFD, as the Encoding standard has it: one for each maximal part
//!   of a sequence, also over chunks.
//! - The last event ID is sticky: it is kept by the parser, over events without an id, until a
//!   block with another one has ended. An id that holds NUL is ignored.
//! - A reconnection time is ASCII digits alone; more than 64 bits saturate.
//! - An event whose empty line never came is discarded.
//!
//! # What is copied
//!
//! Data that is one line within one chunk is a slice of that chunk: nothing is allocated for it. If
//! it is cut by a chunk's edge, or has several lines, it is copied once. Types and ids are copied,
//! without an allocation up to 38 bytes. An event with sliced data keeps its whole chunk alive:
//! [`Event::detached`](crate::Event::detached) lets go of it.
//!
//! # Limits
//!
//! An event, and a line, is of at most 16 MiB unless
//! [`max_event_bytes`](EventParser::max_event_bytes) and
//! [`max_line_bytes`](EventParser::max_line_bytes) say otherwise. A parser holds at most one event
//! and the chunks that it was given and that are not read yet.

mod block;
mod cut;
mod decode;
mod error;
mod field;
mod input;
mod limits;
mod lines;
mod parsed;
mod parser;
mod plain;

pub use self::{error::EventTooLarge, parsed::Parsed, parser::EventParser};
