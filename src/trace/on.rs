//! With the feature `tracing`.

use std::error::Error;

/// The span of the request, which a handler is polled in.
#[derive(Debug)]
pub(crate) struct Span(tracing::Span);

impl Span {
    pub(crate) fn current() -> Self {
        Self(tracing::Span::current())
    }

    pub(crate) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        self.0.in_scope(f)
    }
}

pub(crate) fn stream_failed(error: &(dyn Error + Send + Sync + 'static)) {
    tracing::error!(error = error as &(dyn Error + 'static), "event stream failed");
}

pub(crate) fn failed_after_the_end(error: &(dyn Error + Send + Sync + 'static)) {
    let error = error as &(dyn Error + 'static);
    tracing::error!(error, "handler failed after its event stream had ended");
}

pub(crate) fn on_connect_failed(error: &(dyn Error + Send + Sync + 'static)) {
    tracing::error!(
        error = error as &(dyn Error + 'static),
        "on_connect failed: answered with 500"
    );
}

pub(crate) fn panicked(place: &'static str, message: &str) {
    tracing::error!(panic = message, "{place} panicked");
}

pub(crate) fn no_runtime(setting: &'static str) {
    tracing::warn!("{setting} is off: the event stream is polled outside of a tokio runtime");
}
