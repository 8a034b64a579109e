//! Event streams of other services, with the settings of ours.
//!
//! [`SseGovern`] is a layer around any service, for example an axum router. Responses that are event streams get
//! what our own streams have; all others pass unchanged.
//!
//! Do not put it around streams of this crate. They would be counted twice, and their handlers would get no grace
//! period at a shutdown. In axum, apply it to the routes that need it.
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, service_fn};
//! use tower_sse::{Farewell, KeepAlive, Shutdown, SseGovern};
//!
//! let shutdown = Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));
//! # type Body = Full<Bytes>;
//! # async fn app(_: Request<Body>) -> Result<Response<Body>, std::convert::Infallible> {
//! #     Ok(Response::default())
//! # }
//! let service = ServiceBuilder::new()
//!     .layer(
//!         SseGovern::new()
//!             .shutdown(&shutdown)
//!             .keep_alive(KeepAlive::every(Duration::from_secs(10)))
//!             .max_streams(10_000),
//!     )
//!     .service(service_fn(app));
//! # fn check<S: tower::Service<Request<Body>>>(_: S) {}
//! # check(service);
//! ```
//!
//! With axum it is `router.layer(SseGovern::new().shutdown(&shutdown))`, and
//! `axum::serve(…).with_graceful_shutdown(shutdown.start_when(…))`: the example `govern` is complete. The body of
//! the inner service has `Bytes` as its data, and an error that can be boxed.
//!
//! # What a stream gets
//!
//! A response is an event stream if its `Content-Type` is `text/event-stream`, with any status and parameters.
//!
//! | setting | what it does |
//! |---|---|
//! | [`shutdown`](SseGovern::shutdown) | the stream ends with the farewell when the shutdown starts, without its grace period, since the inner service cannot be asked to end. New streams are refused, after the inner service has answered |
//! | [`keep_alive`](SseGovern::keep_alive) | sent when the stream has sent nothing for a while; a comment after 15 seconds by default |
//! | [`max_lifetime`](SseGovern::max_lifetime), [`farewell`](SseGovern::farewell) | how long a stream may last, and how it ends then |
//! | [`max_streams`](SseGovern::max_streams), [`max_streams_per`](SseGovern::max_streams_per) | how many may be open. If there are too many, the response of the inner service is dropped |
//! | [`on_disconnect`](SseGovern::on_disconnect) | receives how each stream ended |
//! | – | `X-Accel-Buffering: no` and `Cache-Control: no-store, no-transform`, each unless the response has the header (axum sets `no-cache`); the [metrics and spans](crate::telemetry) of our streams |
//!
//! The bytes of the stream go out as they are, and blocks are inserted between events only. If the stream has to
//! end while an event is incomplete, the event may go on for a second ([`event_timeout`](SseGovern::event_timeout)),
//! and then the stream ends with an error, which is logged. A `Content-Length` is removed, except from an encoded body. If a block goes out before the first byte, a byte
//! order mark that follows is left out. Trailers are left out.
//!
//! A body with a `Content-Encoding` cannot be looked into. It gets no keep-alives and no farewell, and is cut
//! when it has to end. So put a layer that compresses around this one.
//!
//! If the inner service sends keep-alives of its own, they restart the time. So this layer sends its own only if
//! its time is the shorter one.
//!
//! The layer has no buffer: it does not evict slow clients. A client that does not read keeps its connection open
//! at a shutdown, unless [`Shutdown::cut_io`](crate::Shutdown::cut_io) closes it.

mod config;
mod service;
mod settings;
mod source;

pub use self::{
    config::SseGovern,
    service::{SseGovernFuture, SseGovernService},
};
