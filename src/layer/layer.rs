//! The layer, and what it is set up with.

use http::{Method, Request};
use tower_layer::Layer;

use super::{accept::Accepted, path::Route, service::SseService};
use crate::shutdown::Shutdown;

/// A layer that answers some requests with the event stream of a handler, and leaves the others to
/// the inner service.
///
/// The handler is any service that answers `Response<EventBody>` and cannot fail, such as an
/// [`EventChannelHandler`](crate::EventChannelHandler). See the [module docs](crate::layer) for
/// which requests.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless a service is wrapped with it"]
pub struct SseLayer<H> {
    handler: H,
    rule: Rule,
    shutdown: Option<Shutdown>,
}

/// Which requests become event streams.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) route: Route,
    /// Whether `Accept` has a say where there is a path.
    accept: bool,
}

/// What a rule says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) events: bool,
    /// Whether another `Accept` might have led to another answer.
    pub(super) varies: bool,
}

impl<H> SseLayer<H> {
    /// Creates a layer that takes the requests which ask for an event stream by their `Accept`.
    pub fn new(handler: H) -> Self {
        Self { handler, rule: Rule { route: Route::Any, accept: false }, shutdown: None }
    }

    /// Takes the requests of exactly this path, whatever they accept.
    ///
    /// The path is compared as it stands in the request, so percent-encoded. A slash at its start
    /// may be left out.
    pub fn path(mut self, path: impl AsRef<str>) -> Self {
        self.rule.route = Route::path(path.as_ref());
        self
    }

    /// Takes the requests of this path and below it, whatever they accept. Slashes at its ends make
    /// no difference.
    ///
    /// The handler is mounted there: `/events/7` below the prefix `/events` is `/7` to it, and the
    /// whole URI is in the request's extensions, as [`OriginalUri`](super::OriginalUri).
    pub fn path_prefix(mut self, path: impl AsRef<str>) -> Self {
        self.rule.route = Route::prefix(path.as_ref());
        self
    }

    /// Takes of the path only the requests whose `Accept` does not exclude an event stream. Without
    /// a path that is what the layer does anyway, and more strictly: it takes only those that
    /// ask for one.
    pub fn accept(mut self) -> Self {
        self.rule.accept = true;
        self
    }

    /// Ends the streams of the handler when this shutdown starts, and sends those away that come
    /// later. For handlers that have no such setting themselves, a service of one's own; one that
    /// has another shutdown is ended by this one alone. See [`shutdown`](crate::shutdown).
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

impl Rule {
    pub(super) fn judge<B>(&self, request: &Request<B>) -> Verdict {
        let about_resources = !matches!(*request.method(), Method::OPTIONS | Method::CONNECT);
        if !about_resources || !self.route.matches(request.uri().path()) {
            return Verdict { events: false, varies: false };
        }
        let accepted = || Accepted::of(request.headers());
        match self.route {
            Route::Any => Verdict { events: accepted().asks_for_events(), varies: true },
            _ if self.accept => Verdict { events: accepted().takes_events(), varies: true },
            Route::Path(_) | Route::Prefix(_) => Verdict { events: true, varies: false },
        }
    }
}
