//! Server-Sent Events for any [tower](https://docs.rs/tower) server, and a client for any tower
//! service.
//!
//! On the server, you write an async closure that gets the request and an event sender. The crate
//! makes a [tower service](https://docs.rs/tower-service) of it, whose responses are event streams.
//! hyper, axum, warp and any other server that supports tower can serve it. An on-connect hook
//! decides status, headers and authentication before anything is sent. Memory stays bounded with
//! slow clients, and user-supplied text cannot inject fields or events. Open streams do not block a
//! shutdown, and every stream reports exactly once why it ended.
//!
//! The client follows the WHATWG standard to the letter, reconnects by itself, and resumes from the
//! last event ID.
//!
//! # Quick start: server
//!
//! ```no_run
//! use std::time::Duration;
//! use axum::{Router, serve::ListenerExt as _};
//! use tower_sse::{Event, event_channel_handler};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), tower_sse::BoxError> {
//!     let ticks = event_channel_handler(|_request, events| async move {
//!         for n in 0.. {
//!             events.send(Event::new(format!("tick {n}")).with_id(n)).await?;
//!             tokio::time::sleep(Duration::from_secs(1)).await;
//!         }
//!         Ok(())
//!     });
//!     let app = Router::new().route_service("/ticks", ticks);
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//!     let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
//!     Ok(axum::serve(listener, app).await?)
//! }
//! ```
//!
//! # Quick start: client
//!
//! ```no_run
//! # #[cfg(feature = "hyper-client")]
//! #[tokio::main]
//! async fn main() -> Result<(), tower_sse::BoxError> {
//!     let mut source = tower_sse::EventSource::new("https://example.org/events");
//!     while let Some(event) = source.next_event().await {
//!         println!("{}", event?.data());
//!     }
//!     Ok(())
//! }
//! # #[cfg(not(feature = "hyper-client"))] fn main() {}
//! ```
//!
//! # Where to go from here
//!
//! | to | see |
//! |---|---|
//! | answer requests with an event stream | [`event_channel_handler`], and the guide in [`handler`] |
//! | decide who may connect | [`on_connect`](EventChannelHandler::on_connect), and the guide in [`connect`] |
//! | use axum's extractors | the feature `axum`; in `on_connect` by `Connect::extract`, or by [`Connect::parts_mut`] |
//! | return a stream from a handler of a web framework | [`EventBody::new`], and the guide in [`body`] |
//! | send the items of a `Stream` | [`EventBody::from_stream`] |
//! | send from tasks and threads | [`EventSender`], and the guide in [`channel`] |
//! | add a stream to an existing service | [`SseLayer`], and the guide in [`layer`] |
//! | let work outlive its readers: reload, second tab, stop | [`hub::runs`] |
//! | end, keep alive and limit the event streams of others | [`SseGovern`], and the guide in [`layer::govern`] |
//! | pass on the streams of another server, for example of a model | [`SseRelay`], and the guide in [`layer::relay`] |
//! | learn when and why a stream ended | [`on_disconnect`](EventChannelHandler::on_disconnect), [`EndReason`] |
//! | shut a server down while streams are open | [`Shutdown`], and the guide in [`shutdown`] |
//! | put a proxy or a load balancer in front, and restart without a loss | [`recipes::deploy`] |
//! | limit how long a stream lasts | [`max_lifetime`](EventChannelHandler::max_lifetime), [`Accept::deadline`] |
//! | limit the number of streams | [`max_streams`](EventChannelHandler::max_streams), [`max_streams_per`](EventChannelHandler::max_streams_per) |
//! | observe streams with spans, logs and metrics | [`telemetry`] |
//! | let a client resume | [`LastEventId`] |
//! | send events to many readers, with history and replay | [`hub`] |
//! | start a page with the last messages of a chat | [`Selection::last`](hub::Selection#method.last), [recipe](recipes#show-the-last-messages-to-a-page-that-joins) |
//! | show a job from its start, and end its streams with it | [`Selection::from_start`](hub::Selection#method.from_start), [`Hub::finish`](hub::Hub#method.finish), [recipe](recipes#show-a-job-from-its-start-to-its-end) |
//! | show that somebody is typing | [`Publication::ttl`](hub::Publication#method.ttl), [recipe](recipes#show-that-somebody-is-typing) |
//! | list the users who are present | [`Hub::sessions`](hub::Hub#method.sessions), [recipe](recipes#list-the-users-who-are-present) |
//! | render a page from a database, and stream the changes after it | [`Hub::position`](hub::Hub#method.position), [recipe](recipes#page-and-stream-meet-without-a-race) |
//! | run a hub on several machines | [`more_than_one_machine`](recipes#modules), [`HubBuilder::open`](hub::HubBuilder#method.open) |
//! | send one event to a few streams, encoded once | [`EncodedEvent`] |
//! | read a stream, and reconnect | [`EventSource`], and the guide in [`client`] |
//! | read one response, without reconnecting | [`EventStream`], and the guide in [`stream`] |
//! | parse bytes from any other origin | [`EventParser`], and the guide in [`parse`] |
//! | come from axum's `Sse`, or from another client | [`recipes::from_axum`], [`recipes::from_other_clients`] |
//! | put tower's layers around a stream | [`recipes::middleware`] |
//! | test a stream, or a client | [recipe](recipes#test-a-stream-without-a-server), [recipe](recipes#test-a-client-without-a-network) |
//! | know how many streams a node carries | [`sizing`](recipes#modules) |
//! | serve OpenAI's clients, `useChat`, htmx, MCP and others | [`cookbook`](recipes#modules) |
//! | solve a common problem | [`recipes`] |
//!
//! # Cargo features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `hub` | yes | [`hub`]: fan-out to many readers, with history, replay and reported gaps |
//! | `tracing` | yes | a span for each stream, in which its handler is polled, and logs: see [`telemetry`] |
//! | `metrics` | no | gauges, counters and histograms of streams and events: see [`telemetry`] |
//! | `json` | no | [`Event::json`](Event#method.json) and [`Event::parse_json`](Event#method.parse_json); typed streams: [`EventStreamExt::json`](EventStreamExt#method.json) |
//! | `hyper-client` | no | [`EventSource::new`](EventSource#method.new): a client on hyper-util with rustls and the system's root certificates, HTTP/1.1 and HTTP/2 |
//! | `full` | no | all features above |
//! | `axum` | no | [`EventBody`] and [`Refusal`] are responses of axum's handlers, and `Option<LastEventId>` is an argument |
//! | `redis` | no | [`hub::backend::redis`](hub::backend#modules): several nodes are one hub, whose log is in Redis 7; needs Rust 1.88 |
//! | `nats` | no | [`hub::backend::nats`](hub::backend#modules): the same over NATS JetStream; needs Rust 1.89 |
//! | `backend-testing` | no | for tests: the suite that an implementation of [`hub::backend::Backend`] has to pass |
//!
//! # Runtimes
//!
//! These need a tokio runtime: keep-alives, which are on by default;
//! [`batch_window`](EventBody::batch_window); [`spawn_handler`](HandlerOptions::spawn_handler);
//! every setting that ends a stream after some time; the time limits of a [`Shutdown`]; and the
//! delays and timeouts of an [`EventSource`]. Everything else runs on any executor.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod admission;
#[cfg(feature = "axum")]
mod axum_impls;
pub mod body;
mod catch_panic;
mod chain;
pub mod channel;
pub mod client;
pub mod connect;
mod delay_range;
pub mod encode;
pub mod event;
mod excerpt;
mod exclusive;
pub mod handler;
mod headers;
#[cfg(feature = "hub")]
pub mod hub;
#[cfg(feature = "hub")]
mod invalid_topic;
pub mod layer;
mod lifecycle;
mod metrics;
pub mod parse;
pub mod recipes;
pub mod shutdown;
pub mod stream;
pub mod telemetry;
mod timer;
mod trace;

#[cfg(feature = "json")]
#[doc(inline)]
pub use self::event::JsonError;
#[cfg(feature = "hub")]
#[doc(inline)]
pub use self::hub::Hub;
#[doc(inline)]
pub use self::{
    body::{BodyOptions, EndReason, EventBody, HandlerOptions, KeepAlive, StreamEnd},
    channel::{Buffer, EventReceiver, EventSender, SendError, event_channel},
    client::{EventSource, EventSourceError, Reconnection, Update},
    connect::{Accept, Connect, LastEventId, Refusal},
    delay_range::DelayRange,
    encode::EncodedEvent,
    event::{Event, EventData, EventId, EventType, FieldName},
    handler::{EventChannelHandler, event_channel_handler},
    layer::{SseLayer, govern::SseGovern, relay::SseRelay},
    parse::EventParser,
    shutdown::{Farewell, Shutdown},
    stream::{EventStream, EventStreamExt},
};

/// A boxed error: the same type as tower's, axum's and hyper's.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

// The snippets have no hidden lines, so they need their features.
#[cfg(all(doctest, feature = "hub", feature = "hyper-client"))]
#[doc = include_str!("../README.md")]
mod readme {}

#[cfg(all(doctest, feature = "hub"))]
#[doc = include_str!("../docs/tour.md")]
mod tour {}
