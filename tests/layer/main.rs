//! `SseLayer`: event streams next to any service.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod axum_sse;
mod foreign;
mod govern;
mod inner;
mod middleware;
mod relay;
mod routes;
#[path = "../support/mod.rs"]
mod support;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer as _, Service, service_fn};
use tower_sse::{Event, EventChannelHandler, SseLayer, event_channel_handler, layer::OriginalUri};

type Page = Full<Bytes>;

/// Returns a layer over a service whose pages show the method and the path of the request.
fn over_pages(
    layer: &SseLayer<EventChannelHandler<()>>,
) -> impl Service<
    Request<()>,
    Response = Response<tower_sse::layer::SseBody<Page>>,
    Error = Mine,
    Future: Send,
> + Clone
+ use<> {
    layer.layer(service_fn(|request: Request<()>| async move {
        if request.uri().path() == "/fails" {
            return Err(Mine);
        }
        let page = format!("{} {}", request.method(), request.uri());
        Ok(Response::new(Page::from(page)))
    }))
}

/// An error that does not implement `std::error::Error`: the layer has no bounds on it.
#[derive(Debug, PartialEq)]
struct Mine;

/// A handler that sends the path of its request, and the original path.
fn says_path() -> EventChannelHandler<()> {
    event_channel_handler(|request: Request<()>, events| async move {
        let original = request.extensions().get::<OriginalUri>();
        let original = original.map(|OriginalUri(uri)| format!(" of {uri}")).unwrap_or_default();
        events.send(Event::new(format!("{}{original}", request.uri()))).await?;
        Ok(())
    })
    .without_greeting()
}
