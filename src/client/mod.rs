//! A client of event streams that follows the standard, reconnects, and resumes from the last event
//! ID.
//!
//! An [`EventSource`] is a stream of events over any tower [service](HttpService) that answers HTTP
//! requests: hyper-util's client, reqwest with a small adapter, a stack of layers, or a router in
//! the same process. With the feature `hyper-client`, `EventSource::new(uri)` needs no service.
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
//! # Defaults
//!
//! - A source sends `Accept: text/event-stream`, `Cache-Control: no-cache` and, once it has one,
//!   `Last-Event-ID`, [if a header can carry it](Update::LastEventIdOmitted).
//! - It reads a response if the status is 200 and the content type is `text/event-stream`. If there
//!   are several content types, the last valid one counts. Any other content type is fatal, and so
//!   is a content encoding that no layer has decoded.
//! - A status of 204 ends the source without an error: the server wants no further request.
//! - It follows redirects (301, 302, 303, 307, 308) as browsers do, at most 20 in a row. After 301
//!   and 302, a POST becomes a GET; after 303, every method but GET and HEAD does.
//! - If a redirect leads to another origin (another scheme, host or port), the source does not send
//!   `Authorization`, `Proxy-Authorization`, `Host` and cookies there. It sends all other headers.
//!   A redirect from `https` to `http` is followed too. [`ReconnectTo`] decides where the next
//!   attempt begins.
//! - A `Location` may be relative, as in RFC 3986. Spaces, tabs, bytes that are not ASCII, and too
//!   few or too many slashes are accepted, as in browsers. Unlike in browsers, backslashes, `%2e`
//!   and host names that are not ASCII have no special meaning. A `Location` that is missing or not
//!   a URL is fatal, and so are several different ones.
//! - [`Reconnection`] decides about all other failures. It is
//!   [`resilient`](Reconnection::resilient) by default.
//!
//! The last event ID and the reconnection time survive each reconnect. An incomplete block sets no
//! ID and is not an event. An event without an ID does not clear the ID before it.
//!
//! # Changes of the connection
//!
//! The source itself only returns events. Its updates also report what happens to the connection:
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
//! # Time and memory
//!
//! Delays and timeouts need a tokio runtime whose timer is enabled. Without one, the first delay or
//! timeout is a fatal error.
//!
//! A source holds at most one event and one chunk in memory. An event may have 16 MiB by default;
//! [`max_event_bytes`](EventSource::max_event_bytes) and
//! [`max_line_bytes`](EventSource::max_line_bytes) change this.

mod attempt;
mod cause;
mod core;
mod driver;
mod error;
#[cfg(feature = "hyper-client")]
mod hyper_client;
mod policy;
mod redirect;
mod refused;
mod request;
mod retry_after;
mod source;
mod transport;
mod update;

pub use self::{
    error::EventSourceError,
    policy::Reconnection,
    redirect::ReconnectTo,
    refused::RefusedResponse,
    retry_after::retry_after,
    source::{EventSource, Updates},
    transport::HttpService,
    update::{Attempt, Opened, ReadyState, Reconnecting, Update},
};
