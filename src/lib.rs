//! Server-Sent Events for any [tower](https://docs.rs/tower) server, and a client for any tower
//! service.
//!
//! A closure that is given the request and a sender becomes a
//! [tower service](https://docs.rs/tower-service) whose responses are event streams; hyper, axum,
//! warp and whatever else speaks tower can serve it. An on-connect hook decides status, headers and
//! authentication before anything is sent. Memory stays bounded with slow clients, nothing a user
//! typed can be injected, and every stream that ends tells why, once. The client reads by the letter
//! of the standard, reconnects, and goes on where it was.
//!
//! # The smallest server
//!
//! ```no_run
//! use std::time::Duration;
//! use axum::Router;
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
//!     Ok(axum::serve(listener, app).await?)
//! }
//! ```
//!
//! # The smallest client
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
//! | I want to | look at |
//! |---|---|
//! | answer requests with a stream | [`event_channel_handler`], and the guide in [`handler`] |
//! | decide who may connect | [`on_connect`](EventChannelHandler::on_connect), and the guide in [`connect`] |
//! | stream from inside a handler of my framework | [`EventBody::new`], and the guide in [`body`] |
//! | stream what I have as a `Stream` | [`EventBody::from_stream`] |
//! | send from tasks and threads | [`EventSender`], and the guide in [`channel`] |
//! | put a stream beside a service that I have | [`SseLayer`], and the guide in [`layer`] |
//! | know when and why a client left | [`on_disconnect`](EventChannelHandler::on_disconnect), [`EndReason`] |
//! | shut a server down that has streams open | [`Shutdown`], and the guide in [`shutdown`] |
//! | limit how long a stream lasts | [`max_lifetime`](EventChannelHandler::max_lifetime), [`Accept::deadline`] |
//! | limit how many there are | [`max_streams`](EventChannelHandler::max_streams), [`max_streams_per`](EventChannelHandler::max_streams_per) |
//! | see what is going on | [`telemetry`] |
//! | let a client go on where it was | [`LastEventId`] |
//! | fan out to many, with history and replay | [`hub`] |
//! | send one event to a few streams of my own | [`EncodedEvent`] |
//! | read a stream, and survive | [`EventSource`], and the guide in [`client`] |
//! | read one response | [`EventStream`], and the guide in [`stream`] |
//! | parse bytes that come from elsewhere | [`EventParser`], and the guide in [`parse`] |
//! | solve what everybody meets sooner or later | [`recipes`] |
//!
//! # Cargo features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `hub` | yes | [`hub`]: fan-out to many readers, with history, replay and gaps |
//! | `tracing` | yes | a span for each stream, in which its handler is polled, and logs: see [`telemetry`] |
//! | `metrics` | no | gauges, counters and histograms of streams and events: see [`telemetry`] |
//! | `json` | no | [`Event::json`](Event#method.json) and [`Event::parse_json`](Event#method.parse_json); typed streams: [`EventStreamExt::json`](EventStreamExt#method.json) |
//! | `hyper-client` | no | [`EventSource::new`](EventSource#method.new): a client on hyper-util with rustls and the system's roots, HTTP/1.1 and HTTP/2 |
//! | `full` | no | all of them |
//!
//! # Runtimes
//!
//! Keep-alives, which are on by default, [`spawn_handler`](EventBody::spawn_handler), whatever ends or cuts a
//! stream after some time, and the delays and timeouts of an [`EventSource`] need a tokio runtime.
//! The rest runs on any executor.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod admission;
pub mod body;
mod catch_panic;
pub mod channel;
pub mod client;
pub mod connect;
mod delay_range;
pub mod encode;
pub mod event;
mod exclusive;
pub mod handler;
mod headers;
#[cfg(feature = "hub")]
pub mod hub;
pub mod layer;
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
    body::{EndReason, EventBody, EventBodyError, KeepAlive, StreamEnd, StreamOptions},
    channel::{Buffer, EventReceiver, EventSender, SendError, event_channel},
    client::{EventSource, EventSourceError, ReconnectTo, Reconnection, Update, Updates},
    connect::{Accept, Connect, InvalidLastEventId, LastEventId, Refusal, ResponseHead},
    delay_range::DelayRange,
    encode::{Encode, EncodedEvent, InvalidEncoding},
    event::{
        Event, EventData, EventId, EventType, FieldName, InvalidEventId, InvalidEventType,
        InvalidFieldName,
    },
    handler::{EventChannelHandler, event_channel_handler},
    layer::{SseLayer, SseService},
    parse::{EventParser, EventTooLarge, Parsed},
    shutdown::{Farewell, Shutdown, ShutdownIo, ShutdownTimeout},
    stream::{EventStream, EventStreamError, EventStreamExt, UnexpectedResponse},
};

/// A boxed error: the same type as tower's, axum's and hyper's.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
