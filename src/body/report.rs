//! The report of a stream's end: to metrics, to the log and span, and to the hook.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use http::Extensions;

use super::account::StreamAccount;
use crate::{catch_panic::catch_and_log, lifecycle::EndReason, trace};

/// How a stream ended. [`on_disconnect`](super::EventBody::on_disconnect) receives it.
#[doc(alias = "Disconnect")]
pub struct StreamEnd {
    reason: EndReason,
    error: Option<Arc<dyn Error + Send + Sync>>,
    extensions: Extensions,
    last_event_id: Option<String>,
    events: u64,
    bytes: u64,
    dropped: u64,
    duration: Duration,
}

impl StreamEnd {
    /// Returns why the stream ended.
    #[must_use]
    pub fn reason(&self) -> EndReason {
        self.reason
    }

    /// Returns the error, if the reason is [`EndReason::Failed`].
    #[must_use]
    pub fn error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.error.as_deref()
    }

    /// Returns the session: the request's extensions as `on_connect` left them. They are empty for a
    /// body that no event channel handler created.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Returns the last event id that was handed to the server. If all bytes reached the client, the
    /// client resumes from it.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    /// Returns the number of events that were handed to the server. It includes comments that the
    /// application sent, and counts raw bytes as one. It does not include greeting, keep-alives and
    /// farewell.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Returns the number of bytes that were handed to the server.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the number of events that the buffer's policy has dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns how long the stream lasted, from the time it was accepted.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration
    }
}

impl fmt::Debug for StreamEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamEnd")
            .field("reason", &self.reason)
            .field("error", &self.error)
            .field("last_event_id", &self.last_event_id)
            .field("events", &self.events)
            .field("bytes", &self.bytes)
            .field("dropped", &self.dropped)
            .field("duration", &self.duration)
            .finish_non_exhaustive()
    }
}

/// Reports the end. Recorder, subscriber and hook are code of the application, so a panic in one of
/// them must not keep the others from being told.
///
/// The hook is called nowhere else, so it runs once. The fields are dropped afterwards, and with them
/// the registration and the permits: a shutdown counts the stream until its hook has returned.
impl Drop for StreamAccount {
    fn drop(&mut self) {
        let reason = self.reason.unwrap_or(EndReason::ClientGone);
        let duration = self.started.elapsed();
        let dropped = self.dropped;
        let error = self.error.take();
        catch_and_log("the metrics recorder", || self.metrics.ended(reason.as_str(), duration));
        catch_and_log("the tracing subscriber", || {
            self.span.ended(&trace::Summary {
                reason: reason.as_str(),
                evicted: reason == EndReason::Evicted,
                error: error.as_deref(),
                events: self.events,
                bytes: self.bytes,
                dropped,
                duration,
            });
        });
        let Some(on_disconnect) = &self.options.on_disconnect else { return };
        let end = StreamEnd {
            reason,
            error,
            extensions: std::mem::take(&mut self.extensions),
            last_event_id: self.last_sent_id.take(),
            events: self.events,
            bytes: self.bytes,
            dropped,
            duration,
        };
        catch_and_log("on_disconnect", || on_disconnect(end));
    }
}
