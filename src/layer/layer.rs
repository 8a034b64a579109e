//! The layer, and what it is set up with.

use http::{Method, Request};
use tower_layer::Layer;

use super::{accept::Accepted, path::Route, service::SseService};

/// A layer that answers some requests with the event stream of a handler, and leaves the others to the inner service.
///
/// The handler is any service that answers `Response<EventBody>` and cannot fail, such as an
/// [`EventChannelHandler`](crate::EventChannelHandler). See the [module docs](crate::layer) for which requests.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless a service is wrapped with it"]
pub struct SseLayer<H> {
    handler: H,
    pub(super) rule: Rule,
}

/// Which requests become event streams.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) route: Route,
    /// Whether `Accept` has a say.
    negotiates: bool,
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
        Self { handler, rule: Rule { route: Route::Any, negotiates: true } }
    }

    /// Takes the requests of exactly this path, whatever they accept.
    pub fn path(mut self, path: impl AsRef<str>) -> Self {
        self.rule = Rule { route: Route::Path(path.as_ref().into()), negotiates: false };
        self
    }

    /// Takes the requests of this path and below it, whatever they accept. A slash at its end makes no difference.
    ///
    /// The handler is mounted there: `/events/7` below the prefix `/events` is `/7` to it, and the whole URI is in the
    /// request's extensions, as [`OriginalUri`](super::OriginalUri).
    pub fn path_prefix(mut self, path: impl AsRef<str>) -> Self {
        self.rule = Rule { route: Route::prefix(path.as_ref()), negotiates: false };
        self
    }

    /// Takes of the path only the requests whose `Accept` does not exclude an event stream. Without a path that is what
    /// the layer does anyway, and more strictly: it takes only those that ask for one.
    pub fn accept(mut self) -> Self {
        self.rule.negotiates = true;
        self
    }
}

impl<S, H: Clone> Layer<S> for SseLayer<H> {
    type Service = SseService<S, H>;

    fn layer(&self, inner: S) -> SseService<S, H> {
        SseService::new(inner, self.handler.clone(), self.rule.clone())
    }
}

impl Rule {
    pub(super) fn judge<B>(&self, request: &Request<B>) -> Verdict {
        if request.method() == Method::OPTIONS || !self.route.matches(request.uri().path()) {
            return Verdict { events: false, varies: false };
        }
        if !self.negotiates {
            return Verdict { events: true, varies: false };
        }
        let accepted = Accepted::of(request.headers());
        let events = match self.route {
            Route::Any => accepted.asks_for_events(),
            Route::Path(_) | Route::Prefix(_) => accepted.takes_events(),
        };
        Verdict { events, varies: true }
    }
}
