//! With the feature `tracing`: spans and events.

use std::{error::Error, fmt::Display, time::Duration};

use http::request;
use tracing::field::Empty;

use super::Summary;

/// The target of all spans and logs.
const TARGET: &str = "tower_sse";

type DynError = dyn Error + Send + Sync + 'static;

/// How many bytes of a last event ID are shown. Many formats repeat the fields of a span in each line.
const MAX_SHOWN_ID: usize = 256;

/// Returns the start of a last event ID.
fn shown(id: &str) -> &str {
    let mut end = id.len().min(MAX_SHOWN_ID);
    while !id.is_char_boundary(end) {
        end -= 1;
    }
    &id[..end]
}

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
    /// Opens the span of a stream that answers a request, linked to the span of its head. The query is
    /// omitted: it may contain tokens.
    pub(crate) fn of_request(
        request: &request::Parts,
        last_event_id: Option<&str>,
        route: Option<&str>,
        head: Option<&HeadSpan>,
    ) -> Self {
        let span = tracing::info_span!(
            target: TARGET,
            "event_stream",
            method = request.method.as_str(),
            path = request.uri.path(),
            route,
            last_event_id = last_event_id.map(shown),
            reason = Empty,
            events = Empty,
            bytes = Empty,
            duration = Empty,
        );
        if let Some(HeadSpan(head)) = head {
            span.follows_from(head);
        }
        Self::opened(span)
    }

    /// Opens the span of a stream whose request is unknown.
    pub(crate) fn without_request() -> Self {
        Self::opened(tracing::info_span!(
            target: TARGET,
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
        tracing::debug!(target: TARGET, parent: &span, "event stream opened");
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
            tracing::error!(target: TARGET, parent: parent, error, reason, events, bytes, dropped, duration, "event stream failed");
        } else if end.evicted {
            tracing::warn!(target: TARGET, parent: parent, reason, events, bytes, dropped, duration, "event stream ended");
        } else {
            tracing::debug!(target: TARGET, parent: parent, reason, events, bytes, dropped, duration, "event stream ended");
        }
    }
}

/// The span of a response until its head goes out. `on_connect` is polled in it.
#[derive(Clone, Debug)]
pub(crate) struct HeadSpan(tracing::Span);

impl HeadSpan {
    pub(crate) fn new(request: &request::Parts) -> Self {
        Self(tracing::info_span!(
            target: TARGET,
            "event_stream_head",
            method = request.method.as_str(),
            path = request.uri.path(),
            route = Empty,
            last_event_id = Empty,
            status = Empty,
        ))
    }

    pub(crate) fn record(&self, last_event_id: Option<&str>, route: Option<&str>) {
        if let Some(last_event_id) = last_event_id {
            self.0.record("last_event_id", shown(last_event_id));
        }
        if let Some(route) = route {
            self.0.record("route", route);
        }
    }

    pub(crate) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        self.0.in_scope(f)
    }

    /// Ends the span.
    pub(crate) fn end(&mut self, status: u16) {
        self.0.record("status", status);
        self.0 = tracing::Span::none();
    }
}

pub(crate) fn failed_after_the_end(error: &DynError) {
    let error = error as &(dyn Error + 'static);
    tracing::error!(target: TARGET, error, "handler failed after its event stream had ended");
}

pub(crate) fn on_connect_failed(error: &DynError) {
    let error = error as &(dyn Error + 'static);
    tracing::error!(target: TARGET, error, "on_connect failed: answered with 500");
}

/// Logs that a server is about to shut down.
pub(crate) fn leaving(drain: Duration, whole: Duration, streams: usize) {
    let (drain, whole) = (drain.as_secs_f64(), whole.as_secs_f64());
    tracing::info!(target: TARGET, drain, whole, streams, "the server is leaving");
}

/// Logs that a shutdown has ended its last stream.
pub(crate) fn have_ended(streams: usize, overdue: usize, duration: Duration) {
    let duration = duration.as_secs_f64();
    tracing::info!(target: TARGET, streams, overdue, duration, "the streams of the server have ended");
}

/// Logs that the upstream of a relay has failed before the response has begun.
pub(crate) fn relay_failed(error: &(dyn Error + 'static)) {
    tracing::warn!(target: TARGET, error, "the upstream of a relay has failed");
}

pub(crate) fn refused(by: &'static str) {
    tracing::debug!(target: TARGET, by, "event stream refused");
}

#[cfg(feature = "hub")]
pub(crate) fn gap(reason: &'static str, missed: Option<u64>) {
    tracing::debug!(target: TARGET, reason, missed, "hub reader has a gap");
}

/// Logs that the work of a run has failed.
#[cfg(feature = "hub")]
pub(crate) fn run_failed(error: &str) {
    tracing::error!(target: TARGET, error, "the work of a run has failed");
}

#[cfg(feature = "hub")]
pub(crate) fn not_published(error: &str, events: usize) {
    tracing::error!(target: TARGET, error, events, "queued events were not published");
}

/// Logs that a call of a hub's backend has failed: as a warning if the one before was answered.
#[cfg(feature = "hub")]
pub(crate) fn backend_failed(is_first: bool, error: &str) {
    if is_first {
        tracing::warn!(target: TARGET, error, "the hub's backend does not answer");
    } else {
        tracing::debug!(target: TARGET, error, "the hub's backend does not answer");
    }
}

#[cfg(feature = "hub")]
pub(crate) fn backend_is_up() {
    tracing::info!(target: TARGET, "the hub's backend answers again");
}

#[cfg(feature = "hub")]
pub(crate) fn backend_junk() {
    tracing::warn!(target: TARGET, "the hub's log has entries that are not events: they are skipped");
}

#[cfg(feature = "redis")]
pub(crate) fn engine_warning(warning: &str) {
    tracing::warn!(target: TARGET, "{warning}");
}

pub(crate) fn panicked(place: &'static str, message: &str) {
    tracing::error!(target: TARGET, panic = message, "{place} panicked");
}

pub(crate) fn no_runtime(setting: &'static str) {
    tracing::warn!(target: TARGET, "{setting} is off: the event stream is polled outside of a tokio runtime");
}

/// The span of an attempt of an event source. The service is polled in it.
#[derive(Clone, Debug)]
pub(crate) struct AttemptSpan(tracing::Span);

impl AttemptSpan {
    pub(crate) fn new(
        attempt: u64,
        method: &str,
        url: &dyn Display,
        last_event_id: Option<&str>,
    ) -> Self {
        Self(tracing::info_span!(
            target: TARGET,
            "event_source_attempt",
            attempt,
            method,
            url = %url,
            last_event_id,
            status = Empty,
            outcome = Empty,
        ))
    }

    pub(crate) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        self.0.in_scope(f)
    }

    /// Records the status of a response. A redirect is followed by another one.
    pub(crate) fn responded(&self, status: u16) {
        self.0.record("status", status);
    }

    pub(crate) fn opened(&self) {
        self.0.record("outcome", "opened");
        tracing::debug!(target: TARGET, parent: &self.0, "event source opened");
    }

    pub(crate) fn failed(&self) {
        self.0.record("outcome", "failed");
    }
}

/// Logs that an event source connects again after a delay: as a warning at the first failure since
/// it was open, then at debug level.
pub(crate) fn reconnecting(
    is_first: bool,
    attempt: u64,
    delay: Duration,
    cause: &dyn Display,
    url: &dyn Display,
) {
    let delay = delay.as_secs_f64();
    if is_first {
        tracing::warn!(target: TARGET, attempt, delay, cause = %format_args!("{cause:#}"), url = %url, "event source reconnects");
    } else {
        tracing::debug!(target: TARGET, attempt, delay, cause = %format_args!("{cause:#}"), url = %url, "event source reconnects");
    }
}
