//! The value that `on_disconnect` receives.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use http::Extensions;

use crate::lifecycle::EndReason;

/// How a stream ended. [`on_disconnect`](super::EventBody::on_disconnect) receives it.
#[doc(alias = "Disconnect")]
pub struct StreamEnd {
    pub(super) reason: EndReason,
    pub(super) error: Option<Arc<dyn Error + Send + Sync>>,
    pub(super) extensions: Extensions,
    pub(super) last_event_id: Option<String>,
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) dropped: u64,
    pub(super) duration: Duration,
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

    /// Returns the request's extensions as `on_connect` left them. They are empty for a body that
    /// was created without an event channel handler or a hub's handler.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Returns the last event ID that was passed to the server. If all bytes reached the client,
    /// the client resumes from it.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    /// Returns the number of events that were passed to the server. Comments that the application
    /// sent count, and raw bytes count as one event. The greeting, keep-alives and the farewell do
    /// not count.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Returns the number of bytes that were passed to the server.
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
