//! Passes on the event streams of another server, for example of a language model.
//!
//! [`SseRelay`] sends a request to the upstream through a client, which is any tower service, and passes on the
//! answer. Call [`send`](SseRelay::send) in a handler of a framework, or use the relay as a layer around the client.
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
//! A client such as hyper-util's `legacy::Client` can be used as it is. The examples `relay` and `llm` have the six lines
//! that make a service of reqwest; its `timeout` must not be set, since it ends streams.
//!
//! # What is passed on
//!
//! If the upstream answers in time, the client gets its status and its headers, without those that are for one
//! connection only. Any response other than an event stream with a status of 2xx keeps its body as it is. An event stream loses
//! `Content-Length`, and gets `Cache-Control: no-store, no-transform` and `X-Accel-Buffering: no`, each unless it has
//! the header.
//!
//! Each event of the stream goes out once it is complete, with its bytes as they are, and so do comments. A byte order mark
//! at the start is left out, and so are trailers. Keep-alives are inserted between events. A client that does not read
//! slows the upstream down; it is not evicted.
//!
//! If the upstream does not answer within [`commit_within`](SseRelay::commit_within), the response begins as an event
//! stream with the status 200, a comment at once, and keep-alives while the upstream is silent. So a proxy in front
//! does not cut the request while a model thinks. `without_keep_alive` removes the comment too. The headers of an answer
//! that comes later are lost.
//!
//! If the client leaves, the request to the upstream is dropped. To let it go on, relay it into a run: see
//! [`events`](SseRelay::events).
//!
//! # Failures
//!
//! | | before the response has begun | after that |
//! |---|---|---|
//! | the service returns an error or panics | 502 | cut short |
//! | nothing within [`first_byte_timeout`](SseRelay::first_byte_timeout) | 504 | cut short |
//! | the answer has a status other than 2xx, is not an event stream, or is encoded | passed on | cut short |
//! | the body fails, or ends inside an event or before its [last event](SseRelay::until) | – | cut short |
//! | no byte for the [`idle_timeout`](SseRelay::idle_timeout) | – | cut short |
//! | an event is too large | – | cut short |
//!
//! Whole events that came before a failure go out. "Cut short" is the [`error_event`](SseRelay::error_event), if
//! there is one, and then an error of the body: over HTTP, the client sees that the response is incomplete. The end
//! reason is [`Failed`](crate::EndReason::Failed). A failure after the last event does not count. All failures are logged.
//!
//! A browser's `EventSource` reconnects after a 502 or 504, since it gets a stream with `retry` in their place, and
//! after a stream that was cut. It does not reconnect after a status of the upstream other than 200. It reconnects after
//! the last event of a stream too, and then sends the request again: close it at that event.
//!
//! # What it is not
//!
//! It is no reverse proxy. It removes the headers that are for one connection only, and `Accept-Encoding` from
//! requests that may be committed. Everything else is for the application: the URI of the upstream; `Host`, which
//! a client sets by the URI if it is missing; cookies, and tokens. `Last-Event-ID` is passed on as it is, also one that
//! is invalid.
//!
//! Remove `Accept-Encoding` yourself from other requests: in a stream that is encoded, no setting of the relay has an
//! effect.
//!
//! It sends each request once. For a relay that reconnects to the upstream, send the events of an
//! [`EventSource`](crate::EventSource) in a [handler](crate::event_channel_handler).

mod config;
mod error;
mod events;
mod headers;
mod service;
mod settings;
mod source;
mod upstream;

pub use self::{
    config::SseRelay,
    error::RelayError,
    events::RelayEvents,
    service::{SseRelayFuture, SseRelayService},
};
