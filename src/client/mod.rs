//! A client that conforms, and survives: it reconnects, and goes on where it was.
//!
//! An [`EventSource`] is a stream of events over any [tower service](tower_service::Service) that
//! answers HTTP requests: hyper-util's client, reqwest behind a small adapter, a stack of layers, or
//! a router in the same process. With the feature `hyper-client`, `EventSource::new(uri)` needs none.
//!
//! ```
//! use http::Request;
//! use http_body_util::Full;
//! use tower_sse::{Event, EventSource, event_channel_handler};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
//! // A server in this process: no sockets in tests.
//! let server = event_channel_handler(|_: Request<Full<bytes::Bytes>>, events| async move {
//!     events.send(Event::new("hello").with_id(7)).await?;
//!     Ok(())
//! });
//! let mut source = EventSource::get(server, "/events");
//! let event = source.next_event().await.unwrap()?;
//! assert_eq!(event.data(), "hello");
//! assert_eq!(source.last_event_id().unwrap(), &"7");
//! # Ok(()) }
//! ```
//!
//! # What it does by default
//!
//! - It sends `Accept: text/event-stream`, `Cache-Control: no-cache`, and, once there is one,
//!   `Last-Event-ID`, [if a header can carry it](Update::LastEventIdOmitted).
//! - It reads a response whose status is 200 and whose content type is `text/event-stream` (of
//!   several the last that is one). Another content type is fatal, and so is a content encoding that
//!   no layer has undone.
//! - 204 ends it, without an error: the server wants no further request.
//! - Redirects (301, 302, 303, 307, 308) are followed, at most 20 in a row, as browsers follow them:
//!   a POST becomes a GET at 301 and 302, any method but GET and HEAD does at 303. To another origin
//!   (scheme, host or port, so from `https` to `http` too, which is followed) go neither
//!   `Authorization`, `Proxy-Authorization` and `Host` nor cookies; all other headers do. Where the
//!   next attempt begins is a [choice](ReconnectTo).
//! - A `Location` may be relative, as RFC 3986 has it, and sloppy, as browsers have it: with spaces,
//!   tabs, bytes that are not ASCII, or too few or many slashes. What they make of backslashes, of
//!   `%2e` and of host names that are not ASCII is not done. A `Location` that is missing or no URL
//!   is fatal, and so are several that differ.
//! - Everything else is as [`Reconnection`] says: [`resilient`](Reconnection::resilient) by default.
//!
//! The last event ID and the reconnection time survive every reconnect. A block that never ended
//! sets no id and gives no event; an event without an id does not clear the one before.
//!
//! # What happens to the connection
//!
//! The stream is of events. Whoever wants to show more asks for updates:
//!
//! ```
//! use futures_util::StreamExt;
//! use tower_sse::{EventSource, Update};
//!
//! # async fn watch(source: EventSource) -> Result<(), tower_sse::BoxError> {
//! let mut updates = source.updates();
//! while let Some(update) = updates.next().await {
//!     match update? {
//!         Update::Opened(opened) => println!("open: {}", opened.status),
//!         Update::Event(event) => println!("{}: {}", event.event_type(), event.data()),
//!         Update::Reconnecting(again) => println!("{}; again in {:?}", again.cause, again.delay),
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # Time, and memory
//!
//! Delays and timeouts need a tokio runtime with its timer enabled; where there is none, the first
//! of them is a fatal error. A source holds one event at most, of 16 MiB unless
//! [`max_event_bytes`](EventSource::max_event_bytes) and
//! [`max_line_bytes`](EventSource::max_line_bytes) say otherwise, and a chunk.

mod attempt;
mod core;
mod driver;
mod error;
#[cfg(feature = "hyper-client")]
mod hyper_client;
mod policy;
mod redirect;
mod request;
mod retry_after;
mod source;
mod transport;
mod update;
mod updates;
mod url;

pub use self::{
    error::EventSourceError,
    policy::Reconnection,
    source::{EventSource, ReconnectTo},
    update::{Attempt, Opened, ReadyState, Reconnecting, Update},
    updates::Updates,
};
