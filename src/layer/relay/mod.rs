//! The event streams of another server, passed on: a gateway in front of a language model, or of any other server
//! with event streams.
//!
//! [`SseRelay`] sends a request to the upstream through any service that is an HTTP client, and passes on the answer.
//! [`send`](SseRelay::send) is for the handler of a framework. As a layer around the client it is a service.
//!
//! ```
//! use std::time::Duration;
//! use http::{Request, Response};
//! use tower_sse::{BoxError, Event, KeepAlive, SseRelay, layer::SseBody};
//! # use http_body_util::Full;
//! # use bytes::Bytes;
//! # type Body = Full<Bytes>;
//! # type Client = tower::util::BoxCloneService<Request<Body>, Response<Body>, BoxError>;
//!
//! fn models() -> SseRelay {
//!     SseRelay::new()
//!         .commit_within(Duration::from_secs(5))
//!         .keep_alive(KeepAlive::every(Duration::from_secs(10)))
//!         .until_data("[DONE]")
//!         .inspect(|event| println!("{} bytes", event.data().len()))
//!         .error_event(|_| Some(Event::new(r#"{"error":{"message":"the model has failed"}}"#)))
//! }
//!
//! async fn chat(client: Client, request: Request<Body>) -> Response<SseBody<Body>> {
//!     models().send(client, request).await
//! }
//! # let _ = chat;
//! ```
//!
//! # What is passed on
//!
//! If the upstream answers in time, its status and its headers are passed on, and responses that are not event
//! streams unchanged. Of an event stream, each event goes out once it is complete, with its bytes as they are;
//! comments too. A byte order mark at the start is left out. Keep-alives are inserted between events.
//!
//! If the upstream does not answer within [`commit_within`](SseRelay::commit_within), the response begins as an event
//! stream, and gets a comment at once and keep-alives from then on. So a proxy in front does not cut the request
//! while a model thinks.
//!
//! If the client leaves, the request to the upstream is dropped. To let it go on, relay it into a run: see
//! [`events`](SseRelay::events).
//!
//! # Failures
//!
//! | | before the response has begun | after that |
//! |---|---|---|
//! | the service fails | 502 | cut short |
//! | no byte within [`first_byte_timeout`](SseRelay::first_byte_timeout) | 504 | cut short |
//! | the answer is not an event stream, or has another status | passed on | cut short |
//! | the body fails, or ends inside an event or before its [last event](SseRelay::until) | – | cut short |
//! | no byte for the [`idle_timeout`](SseRelay::idle_timeout) | – | cut short |
//! | an event is too large | – | cut short |
//!
//! Whole events that came before a failure go out. "Cut short" is the [`error_event`](SseRelay::error_event), if
//! there is one, and then an error of the body: over HTTP, the client sees that the response is incomplete. The error is
//! logged, and the end reason is [`Failed`](crate::EndReason::Failed). A failure after the last event does not count.
//!
//! # What it is not
//!
//! It is no reverse proxy. It removes the headers that are for one connection only, and `Accept-Encoding` from
//! requests that may be committed. Everything else is for the application: the URI of the upstream, `Host`, which
//! a client sets by the URI if it is missing, cookies, and tokens. Streams that the upstream has encoded all the same
//! are passed on like responses that are not event streams.
//!
//! It sends each request once. For a relay that reconnects to the upstream, send the events of an
//! [`EventSource`](crate::EventSource) in a [handler](crate::event_channel_handler).

mod config;
mod error;
mod events;
mod headers;
mod service;
mod source;
mod upstream;

pub use self::{
    config::SseRelay,
    error::RelayError,
    events::RelayEvents,
    service::{SseRelayFuture, SseRelayService},
};
