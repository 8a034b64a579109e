//! The layer and its settings.

use tower_layer::Layer;

use super::{
    route::{RoutePath, RouteRule},
    service::SseService,
};
use crate::shutdown::Shutdown;

/// A layer that answers some requests with the event stream of a handler, and passes the others to
/// the inner service.
///
/// The handler is any service whose response is a `Response<EventBody>` and whose error is
/// `Infallible`, for example an [`EventChannelHandler`](crate::EventChannelHandler). See the
/// [module docs](crate::layer) for the rules.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless a service is wrapped with it"]
pub struct SseLayer<H> {
    handler: H,
    rule: RouteRule,
    shutdown: Option<Shutdown>,
}

impl<H> SseLayer<H> {
    /// Creates a layer that takes the requests whose `Accept` asks for an event stream.
    pub fn new(handler: H) -> Self {
        let rule = RouteRule { path: RoutePath::Any, check_accept: false };
        Self { handler, rule, shutdown: None }
    }

    /// Takes all requests with exactly this path, with any `Accept`.
    ///
    /// The path is compared with the percent-encoded path of the request. The slash at its start
    /// can be omitted.
    pub fn path(mut self, path: impl AsRef<str>) -> Self {
        self.rule.path = RoutePath::exact(path.as_ref());
        self
    }

    /// Takes all requests with this path or one below it, with any `Accept`. Slashes at the ends of
    /// the prefix make no difference.
    ///
    /// The handler is mounted at the prefix: with the prefix `/events`, it sees the path
    /// `/events/7` as `/7`. The whole URI is in the request's extensions, as
    /// [`OriginalUri`](super::OriginalUri).
    pub fn path_prefix(mut self, path: impl AsRef<str>) -> Self {
        self.rule.path = RoutePath::prefix(path.as_ref());
        self
    }

    /// Takes only those requests with the path whose `Accept` does not exclude an event stream.
    ///
    /// Without a path this has no effect: the layer then takes only requests that ask for an event
    /// stream, which is stricter.
    pub fn accept(mut self) -> Self {
        self.rule.check_accept = true;
        self
    }

    /// Ends the handler's streams when this shutdown starts, and refuses new ones.
    ///
    /// It replaces the handler's own shutdown. It is meant for handlers that have no such setting,
    /// for example services of your own. See [`shutdown`](crate::shutdown).
    pub fn shutdown(mut self, shutdown: &Shutdown) -> Self {
        self.shutdown = Some(shutdown.clone());
        self
    }
}

impl<S, H: Clone> Layer<S> for SseLayer<H> {
    type Service = SseService<S, H>;

    fn layer(&self, inner: S) -> SseService<S, H> {
        SseService::new(inner, self.handler.clone(), self.rule.clone(), self.shutdown.clone())
    }
}
