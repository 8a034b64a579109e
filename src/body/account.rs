//! The account of one stream: its extensions, its counts, and its outcome.

use std::{error::Error, fmt, mem, sync::Arc};

use bytes::Bytes;
use http::Extensions;
use tokio::time::Instant;

use super::options::{BodyOptions, Route};
use crate::{
    channel::{LastId, Segment},
    lifecycle::EndReason,
    metrics::StreamMetrics,
    shutdown::{Registration, Shutdown},
    trace::Span,
};

/// The facts about an accepted stream, besides its settings and its source.
pub(crate) struct AcceptedStream {
    /// The request's extensions as `on_connect` left them. Empty without a hook that could see
    /// them.
    pub(crate) extensions: Extensions,
    /// When the stream must have ended.
    pub(crate) deadline: Option<Instant>,
    /// The permits of the limits that the stream counts for.
    pub(crate) permits: Option<Box<dyn Send + Sync>>,
    pub(crate) span: Span,
    /// The label of the metrics, in place of that of the settings.
    pub(crate) route: Option<Route>,
    /// When the request has come.
    pub(crate) begun: Instant,
}

impl AcceptedStream {
    pub(crate) fn without_request() -> Self {
        Self {
            extensions: Extensions::new(),
            deadline: None,
            permits: None,
            span: Span::without_request(),
            route: None,
            begun: Instant::now(),
        }
    }
}

/// How a stream ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Clean(EndReason),
    Failed(EndReason, Arc<dyn Error + Send + Sync>),
}

/// Accounts for one stream, and reports its end when it is dropped (`report.rs`). Without an
/// outcome, the client is gone.
///
/// `repr(C)` keeps the fields that every event touches together, first.
#[repr(C)]
pub(super) struct StreamAccount {
    /// The settings, which other streams may share.
    pub(super) options: Arc<BodyOptions>,
    /// The events that were passed to the server.
    pub(super) events: u64,
    /// The bytes that were passed to the server.
    pub(super) bytes: u64,
    /// The span that the handler is polled in.
    pub(super) span: Span,
    /// The metrics of this stream.
    pub(super) metrics: StreamMetrics,
    /// `Some` while a shutdown counts the stream.
    pub(super) registration: Option<Registration>,
    /// The last event ID that was passed to the server. Kept only for the hook.
    pub(super) last_sent_id: LastSentId,
    /// The events that the buffer dropped. Set when the stream has ended.
    pub(super) dropped: u64,
    /// `None` while the stream lasts.
    pub(super) reason: Option<EndReason>,
    /// The error of a stream that failed.
    pub(super) error: Option<Arc<dyn Error + Send + Sync>>,
    /// The extensions that the hook gets.
    pub(super) extensions: Extensions,
    /// When the stream was accepted.
    pub(super) started: Instant,
    /// Held until the end was reported.
    _permits: Option<Box<dyn Send + Sync>>,
}

impl StreamAccount {
    pub(super) fn new(options: Arc<BodyOptions>, accepted: AcceptedStream) -> Self {
        let route = accepted.route.or_else(|| options.route.clone());
        let metrics = StreamMetrics::open(route, options.stall_after, accepted.begun);
        Self {
            options,
            events: 0,
            bytes: 0,
            span: accepted.span,
            metrics,
            registration: None,
            last_sent_id: LastSentId::None,
            dropped: 0,
            reason: None,
            error: None,
            extensions: accepted.extensions,
            started: Instant::now(),
            _permits: accepted.permits,
        }
    }

    /// Returns the shutdown that counts the stream.
    pub(super) fn shutdown(&self) -> Option<&Shutdown> {
        self.registration.as_ref().map(Registration::shutdown)
    }

    /// Applies settings of the metrics that have changed.
    pub(super) fn renew_metrics(&mut self, before: &BodyOptions) {
        let BodyOptions { route, stall_after, .. } = &*self.options;
        // Otherwise that of the request stays.
        let new_route = (*route != before.route).then_some(route);
        if new_route.is_some() || *stall_after != before.stall_after {
            self.metrics.renew(new_route, *stall_after);
        }
    }

    /// Counts bytes that are passed to the server, and the events of a segment whose last byte is
    /// among them.
    #[inline]
    pub(super) fn count(&mut self, bytes: usize, completed: Option<Segment>) {
        let mut events = 0;
        if let Some(segment) = completed {
            events = segment.events;
            // Only the hook gets the last ID.
            if let Some(id) = segment.last_id.filter(|_| self.options.on_disconnect.is_some()) {
                self.last_sent_id.set(id);
            }
        }
        self.events += events as u64;
        self.bytes += bytes as u64;
        self.metrics.handed_over(events, bytes);
    }

    pub(super) fn has_outcome(&self) -> bool {
        self.reason.is_some()
    }

    pub(super) fn set_outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Clean(reason) => self.reason = Some(*reason),
            Outcome::Failed(reason, error) => {
                self.reason = Some(*reason);
                self.error = (*reason == EndReason::Failed).then(|| error.clone());
            }
        }
    }
}

impl fmt::Debug for StreamAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamAccount").field("events", &self.events).finish_non_exhaustive()
    }
}

/// The last event ID that was passed to the server.
pub(super) enum LastSentId {
    None,
    /// A copy, since a slice would keep the whole segment.
    Copy(Vec<u8>),
    Own(Bytes),
}

impl LastSentId {
    fn set(&mut self, id: LastId) {
        match (id, &mut *self) {
            (LastId::Own(id), this) => *this = Self::Own(id),
            (LastId::Slice(id), Self::Copy(copy)) => {
                copy.clear();
                copy.extend_from_slice(&id);
            }
            (LastId::Slice(id), this) => *this = Self::Copy(id.to_vec()),
        }
    }

    pub(super) fn take(&mut self) -> Option<String> {
        let id = match mem::replace(self, Self::None) {
            Self::None => return None,
            Self::Copy(id) => id,
            Self::Own(id) => id.into(),
        };
        String::from_utf8(id).ok()
    }
}
