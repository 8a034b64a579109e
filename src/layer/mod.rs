//! A layer that adds an event stream to any service. It routes by path, by the request's `Accept`,
//! or by both.
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
//! | layer | requests that become event streams |
//! |---|---|
//! | `SseLayer::new(handler)` | `GET` and `HEAD` requests that ask for one: their `Accept` names `text/event-stream` with a quality above 0, and no other type with a higher quality |
//! | `.path("/ticks")` | all with exactly this path, with any `Accept` |
//! | `.path_prefix("/ticks")` | all with this path or one below it; the handler is mounted there: it sees the rest of the path, and the whole URI as [`OriginalUri`] |
//! | `.path(…).accept()`, `.path_prefix(…).accept()` | those with the path whose `Accept` does not exclude an event stream; a request without the header accepts everything |
//!
//! A layer without a path belongs around single routes that have both a page and a stream, not
//! around a whole application: every `EventSource` sends `Accept: text/event-stream`, so the layer
//! would also take the requests for other streams. A path with `.accept()` is not for a route that
//! is also a page, because browsers accept `*/*` when they load a page.
//!
//! `OPTIONS` and `CONNECT` requests always go to the inner service. So its CORS answers apply to
//! the stream too. The inner service gets its requests unchanged, and its errors are the errors of
//! the whole service.
//!
//! Inside of a nested router of axum the path is that after the prefix: for `/api/ticks` in a router that is nested
//! at `/api`, it is `/ticks`. A layer with another path never matches, and nothing says so.
//!
//! If `Accept` decides, both responses have `Vary: Accept`, so that caches keep them apart.

mod body;
mod foreign;
mod future;
pub mod govern;
pub mod relay;
mod route;
mod service;
mod sse_layer;

pub use self::{
    body::SseBody, future::ResponseFuture, route::OriginalUri, service::SseService,
    sse_layer::SseLayer,
};
