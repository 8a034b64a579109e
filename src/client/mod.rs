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
//!   are several content types, the last valid one counts. Any other content type is fatal, unless
//!   [`accept_content_type`](EventSource::accept_content_type) accepts it, and so is a content
//!   encoding that no layer has decoded.
//! - A status of 204 ends the source without an error, unless an event is
//!   [`required`](EventSource::required): the server wants no further request.
//! - It follows redirects (301, 302, 303, 307, 308) as browsers do, at most 20 in a row. After 301
//!   and 302, a POST becomes a GET; after 303, every method but GET and HEAD does.
//! - If a redirect leads to another origin (another scheme, host or port), the source sends none
//!   of these there: `Authorization`, `Proxy-Authorization`, `Host`, cookies, and the headers of the
//!   [header provider](EventSource::headers). It sends all other headers.
//!   A redirect from `https` to `http` is followed too. [`ReconnectTo`] decides where the next
//!   attempt begins.
//! - A `Location` may be relative, as in RFC 3986. Spaces, tabs, bytes that are not ASCII, and too
//!   few or too many slashes are accepted, as in browsers. Unlike in browsers, backslashes and `%2e`
//!   have no special meaning, and a host name that is not ASCII is invalid. A `Location` that is
//!   missing or not an http or https URL is fatal, and so are several different ones.
//! - [`Reconnection`] decides about all other failures. The default is
//!   [`resilient`](Reconnection::resilient) for methods that are safe, for example GET, and
//!   [`until_opened`](Reconnection::until_opened) for all others: see the
//!   [table of failures](#failures).
//! - A response head must arrive within [30 s](EventSource::header_timeout). An open connection may
//!   be silent [without a limit](EventSource::idle_timeout).
//! - Each failure that is followed by another attempt is logged, with the feature `tracing`: see
//!   [`telemetry`](crate::telemetry).
//!
//! The last event ID and the reconnection time survive each reconnect. An incomplete block sets no
//! ID and is not an event. An event without an ID does not clear the ID before it.
//!
//! # Refused responses
//!
//! If a response is not an event stream, the error has its status, its headers, its URL after
//! redirects, and the first 64 KiB of its body: see [`EventSourceError::refused`]. The message
//! `{error}` shows the start of the body. `{error:#}` also shows the sources of the error, which is
//! best for logs.
//!
//! ```
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower_sse::EventSource;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
//! let service = tower::service_fn(|_: Request<Full<bytes::Bytes>>| async {
//!     Response::builder().status(400).body(Full::<bytes::Bytes>::from("max_tokens is too large"))
//! });
//! let mut source = EventSource::get(service, "/chat");
//! let error = source.next_event().await.unwrap().unwrap_err();
//! assert_eq!(error.status().unwrap(), 400);
//! assert_eq!(error.body().unwrap(), "max_tokens is too large");
//! assert_eq!(
//!     error.to_string(),
//!     "not an event stream: the status is 400 Bad Request, not 200 (/chat): max_tokens is too large"
//! );
//! # Ok(()) }
//! ```
//!
//! # Answers that are not resumed
//!
//! The answer of a language model, or of a tool, is read once. It ends with a final event, and its
//! request must not be sent twice without need:
//!
//! ```no_run
//! # #[cfg(all(feature = "hyper-client", feature = "json"))]
//! # mod example {
//! use std::time::Duration;
//! use futures_util::StreamExt;
//! use http::Request;
//! use tower_sse::{EventSource, EventStreamExt, Reconnection};
//!
//! #[derive(serde::Deserialize)]
//! struct Token {
//!     text: String,
//! }
//!
//! async fn ask() -> Result<(), tower_sse::BoxError> {
//!     let request = Request::post("https://models.example/chat")
//!         .header("content-type", "application/json")
//!         .body(r#"{"stream": true}"#)?;
//!     let mut tokens = EventSource::send(request)
//!         .reconnection(Reconnection::until_event().attempts(4)) // never after the first event
//!         .header_timeout(Duration::from_secs(300)) // for a model that thinks first
//!         .until_data("[DONE]")
//!         .required() // an earlier end is an error
//!         .json::<Token>()
//!         .fail_on("error"); // an event of this type is an error
//!     while let Some(token) = tokens.next().await {
//!         print!("{}", token?.text);
//!     }
//!     Ok(())
//! }
//! # }
//! ```
//!
//! # Errors that are not the end
//!
//! An event that is too large is an error, and the source continues after it. A loop that reads for
//! a long time should end only at an error that is [fatal](EventSourceError::is_fatal):
//!
//! ```
//! # async fn read(mut source: tower_sse::EventSource) -> Result<(), tower_sse::BoxError> {
//! while let Some(event) = source.next_event().await {
//!     match event {
//!         Ok(event) => println!("{}", event.data()),
//!         Err(error) if error.is_fatal() => return Err(error.into()),
//!         Err(error) => eprintln!("{error:#}"),
//!     }
//! }
//! # Ok(()) }
//! ```
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
//! Delays and timeouts need a tokio runtime whose timer is enabled. Without one, the first response
//! that is not there at once is a fatal error, unless the
//! [header timeout](EventSource::header_timeout) is disabled, and so is the first delay.
//!
//! A source holds at most one event and one chunk in memory: a slow reader slows the server down. An
//! event may be up to 16 MiB by default;
//! [`max_event_bytes`](EventSource::max_event_bytes) and
//! [`max_line_bytes`](EventSource::max_line_bytes) change this.
//!
//! # Over reqwest
//!
//! A reqwest client becomes a service in a few lines. The source follows redirects itself, and the
//! URL is left out of reqwest's errors, because it may contain tokens:
//!
//! ```no_run
//! use http::{Request, Response};
//! use reqwest::{Body, Client, Error, redirect::Policy};
//! use tower::service_fn;
//! use tower_sse::{BoxError, EventSource};
//!
//! fn over_reqwest(url: &str) -> Result<EventSource, BoxError> {
//!     let client = Client::builder().redirect(Policy::none()).build()?;
//!     let service = service_fn(move |request: Request<Body>| {
//!         let client = client.clone();
//!         async move {
//!             let response = client.execute(request.try_into()?).await;
//!             Ok::<_, Error>(Response::from(response.map_err(Error::without_url)?))
//!         }
//!     });
//!     Ok(EventSource::get(service, url))
//! }
//! ```
//!
#![doc = include_str!("../../docs/failures.md")]

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
