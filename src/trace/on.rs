//! With the feature `tracing`: spans and events.

use std::error::Error;

use http::request;
use tracing::field::Empty;

use super::Summary;

type DynError = dyn Error + Send + Sync + 'static;

/// The span of a stream, a child of the request's span. The handler is polled in it.
///
/// `None` if nothing is recorded. It is boxed, because a body looks at it for every event.
#[derive(Clone, Debug)]
pub(crate) struct Span(Option<Box<OpenSpan>>);

#[derive(Clone, Debug)]
struct OpenSpan {
    span: tracing::Span,
    /// Whether `span` is the stream's own. It is the request's if the stream's is disabled by a
    /// filter.
    is_own: bool,
}

impl Span {
    /// Opens the span of a stream that answers a request. The query is omitted: it may contain
    /// tokens.
    pub(crate) fn of_request(request: &request::Parts, last_event_id: Option<&str>) -> Self {
        let span = tracing::info_span!(
            "event_stream",
            method = request.method.as_str(),
            path = request.uri.path(),
            last_event_id,
            reason = Empty,
            events = Empty,
            bytes = Empty,
            duration = Empty,
        );
        Self::opened(span)
    }

    /// Opens the span of a stream whose request is unknown.
    pub(crate) fn without_request() -> Self {
        Self::opened(tracing::info_span!(
            "event_stream",
            reason = Empty,
            events = Empty,
            bytes = Empty,
            duration = Empty,
        ))
    }

    fn opened(span: tracing::Span) -> Self {
        // If our span is disabled, the handler stays in the request's span.
        let is_own = !span.is_disabled();
        let span = if is_own { span } else { tracing::Span::current() };
        tracing::debug!(parent: &span, "event stream opened");
        let is_recorded = !span.is_disabled();
        Self(is_recorded.then(|| Box::new(OpenSpan { span, is_own })))
    }

    pub(crate) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(open) => open.span.in_scope(f),
            None => f(),
        }
    }

    /// Records the end of the stream: as an error if it failed, as a warning if its client was
    /// evicted, else at debug level.
    pub(crate) fn ended(&self, end: &Summary<'_>) {
        let Summary { reason, events, bytes, dropped, .. } = *end;
        let duration = end.duration.as_secs_f64();
        let none = tracing::Span::none();
        let (parent, is_own) = match &self.0 {
            Some(open) => (&open.span, open.is_own),
            None => (&none, false),
        };
        if is_own {
            parent.record("reason", reason);
            parent.record("events", events);
            parent.record("bytes", bytes);
            parent.record("duration", duration);
        }
        if let Some(error) = end.error {
            let error = error as &(dyn Error + 'static);
            tracing::error!(parent: parent, error, reason, events, bytes, dropped, duration, "event stream failed");
        } else if end.evicted {
            tracing::warn!(parent: parent, reason, events, bytes, dropped, duration, "event stream ended");
        } else {
            tracing::debug!(parent: parent, reason, events, bytes, dropped, duration, "event stream ended");
        }
    }
}

pub(crate) fn failed_after_the_end(error: &DynError) {
    let error = error as &(dyn Error + 'static);
    tracing::error!(error, "handler failed after its event stream had ended");
}

pub(crate) fn on_connect_failed(error: &DynError) {
    let error = error as &(dyn Error + 'static);
    tracing::error!(error, "on_connect failed: answered with 500");
}

pub(crate) fn refused(by: &'static str) {
    tracing::debug!(by, "event stream refused");
}

#[cfg(feature = "hub")]
pub(crate) fn gap(reason: &'static str, missed: Option<u64>) {
    tracing::debug!(reason, missed, "hub reader has a gap");
}

#[cfg(feature = "hub")]
pub(crate) fn not_published(error: &str, events: usize) {
    tracing::error!(error, events, "queued events were not published");
}

pub(crate) fn panicked(place: &'static str, message: &str) {
    tracing::error!(panic = message, "{place} panicked");
}

pub(crate) fn no_runtime(setting: &'static str) {
    tracing::warn!("{setting} is off: the event stream is polled outside of a tokio runtime");
}
