//! A layer that puts an event stream beside any service: by path, by what the client accepts, or
//! both.
//!
//! ```
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, service_fn};
//! use tower_sse::{Event, SseLayer, event_channel_handler};
//! # use std::convert::Infallible;
//! # type Body = http_body_util::Full<bytes::Bytes>;
//!
//! # async fn pages(_: Request<Body>) -> Result<Response<Body>, Infallible> { Ok(Response::default()) }
//! let ticks = event_channel_handler(|_, events| async move {
//!     events.send(Event::new("tick")).await?;
//!     Ok(())
//! });
//! let service = ServiceBuilder::new()
//!     .layer(SseLayer::new(ticks).path("/ticks"))
//!     .service(service_fn(pages));
//! # fn check<S: tower::Service<Request<Body>>>(_: S) {}
//! # check(service);
//! ```
//!
//! # Which requests
//!
//! | | becomes an event stream |
//! |---|---|
//! | `SseLayer::new(handler)` | a request that asks for one: its `Accept` names `text/event-stream`, with a quality above 0 and none of the other types that it names above that |
//! | `.path("/ticks")` | every request of exactly this path, whatever it accepts |
//! | `.path_prefix("/ticks")` | every request of this path and below it; the handler sees the rest of the path, as mounted services do, and the whole as [`OriginalUri`] |
//! | `.path(…).accept()`, `.path_prefix(…).accept()` | those whose `Accept` does not exclude an event stream; one without the header accepts everything |
//!
//! By `Accept` alone, put the layer around the routes that have two answers, not around a whole
//! application: every `EventSource` sends `Accept: text/event-stream`, so the layer would take the
//! requests for other streams as well. And a path with `.accept()` does not suit a page that is
//! also a stream, for browsers accept `*/*` of a page.
//!
//! `OPTIONS` always goes to the inner service, so that its CORS answers serve both, and so does
//! `CONNECT`. Every other request reaches the inner service untouched, and its error is the
//! service's.
//!
//! Where `Accept` decides, both answers vary by it, and say so to caches: `Vary: Accept`.

mod accept;
mod body;
mod future;
#[expect(clippy::module_inception, reason = "`SseLayer` is what the module is about")]
mod layer;
mod path;
mod service;

pub use self::{
    body::SseBody, future::ResponseFuture, layer::SseLayer, path::OriginalUri, service::SseService,
};
