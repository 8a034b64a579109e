//! A response body as a stream of events: one connection, read to its end.
//!
//! An [`EventStream`] does not reconnect; [`EventSource`](crate::EventSource) does. It is made from
//! a response, whose status and content type it checks, from any body, or from any stream of bytes:
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
//! [`EventStreamExt::until_data`] ends any stream of events where one has certain data, as the
//! streams of language models do with `[DONE]`; `EventStreamExt::json`, with the feature `json`,
//! makes of each event the value that its data is.

mod body;
mod error;
mod ext;
#[cfg(feature = "json")]
mod json;
mod response;
#[expect(clippy::module_inception, reason = "`stream::EventStream` is what the module is about")]
mod stream;
mod until;

#[cfg(feature = "json")]
pub use self::json::{Json, JsonItemError};
pub use self::{
    body::ByteStream, error::EventStreamError, ext::EventStreamExt, response::UnexpectedResponse,
    stream::EventStream, until::UntilData,
};
pub(crate) use self::{
    body::{BoxChunks, box_chunks},
    response::{Unexpected, check},
};
