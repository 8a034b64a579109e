//! A response body as a stream of events: one connection, read to its end.
//!
//! An [`EventStream`] does not reconnect; an [`EventSource`](crate::EventSource) does. Create an
//! `EventStream` from a response, whose status and content type it checks, from any body, or from
//! any stream of bytes:
//!
//! ```
//! use http::Response;
//! use http_body_util::Full;
//! use tower_sse::EventStream;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
//! let response = Response::builder()
//!     .header("content-type", "text/event-stream")
//!     .body(Full::<bytes::Bytes>::from("id: 7\ndata: hello\n\n"))?;
//! let mut events = EventStream::from_response(response)?;
//! while let Some(event) = events.next().await {
//!     assert_eq!(event?.data(), "hello");
//! }
//! assert_eq!(events.last_event_id().unwrap(), &"7");
//! # Ok(()) }
//! ```
//!
//! # Streams that end with a sentinel
//!
//! Many streams end with a special event, for example those of language models, whose last event
//! has the data `[DONE]`. [`EventStream::until_data`], [`until_type`](EventStream::until_type) and
//! [`until`](EventStream::until) end a stream there, and [`required`](EventStream::required) makes
//! an earlier end an error. `EventStreamExt::json` (feature `json`) reads the data of each event as
//! JSON.

mod chunks;
mod drain;
mod end_rule;
mod error;
mod event_stream;
mod ext;
#[cfg(feature = "json")]
mod json;
mod response;

#[cfg(feature = "json")]
pub use self::json::{Json, JsonItemError};
pub use self::{
    chunks::ByteStream, error::EventStreamError, event_stream::EventStream, ext::EventStreamExt,
    response::UnexpectedResponse,
};
pub(crate) use self::{
    chunks::{BoxChunks, Chunks, StepLimit, body_chunks, box_chunks},
    drain::Drain,
    end_rule::{EndMatch, EndRule},
    response::{Unexpected, check, content_encoding},
};
