//! The head of a response that has not gone out: its time, its route, and its span.

use http::{Response, StatusCode, request};
use tokio::time::Instant;

use crate::{
    body::{EventBody, EventStreamResponse, Route},
    connect::LastEventId,
    metrics,
    trace::HeadSpan,
};

/// The head of a response that has not gone out.
pub(crate) struct PendingHead {
    /// When the request has come.
    begun: Instant,
    /// The label of the metrics.
    route: Option<Route>,
    span: HeadSpan,
}

impl PendingHead {
    /// Begins with a request that has just come.
    pub(crate) fn new(request: &request::Parts) -> Self {
        Self { begun: Instant::now(), route: None, span: HeadSpan::new(request) }
    }

    pub(super) fn set_route(&mut self, route: Option<Route>, last_event_id: Option<&LastEventId>) {
        self.span.record(last_event_id.map(LastEventId::as_str), route.as_deref());
        self.route = route;
    }

    pub(super) fn route(&self) -> Option<&Route> {
        self.route.as_ref()
    }

    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    pub(crate) fn span(&self) -> &HeadSpan {
        &self.span
    }

    /// Records that the head goes out.
    pub(super) fn done(&mut self, response: &Response<EventBody>) {
        self.end(response.status());
        if EventStreamResponse::is_in(response.extensions()) {
            metrics::head_done(self.route.as_ref(), self.begun);
        }
    }

    /// Ends the span.
    pub(crate) fn end(&mut self, status: StatusCode) {
        self.span.end(status.as_u16());
    }
}
