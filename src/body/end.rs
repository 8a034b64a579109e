//! How a stream ended, and who is told.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Extensions;
use tokio::time::Instant;

use super::{accepted::AcceptedStream, options::StreamOptions};
use crate::{
    catch_panic::catch_and_log,
    channel::{Control, EventReceiver, Segment},
    shutdown::{Registration, Shutdown},
    trace::{self, Span},
};

/// Why an event stream ended. Each has one reason, the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// The server dropped the body before its end: the client is gone, or the server has cut the
    /// connection.
    ClientGone,
    /// The handler has returned and the last sender is gone, or the application closed the stream.
    Finished,
    /// The handler returned an error or panicked, or the application failed the stream.
    Failed,
    /// The server is shutting down.
    ShutDown,
    /// The stream has reached its lifetime or its deadline.
    Expired,
    /// The client was too slow: it has taken nothing for longer than
    /// [`send_timeout`](super::EventBody::send_timeout) while a sender waited, or has fallen behind
    /// what its hub keeps.
    Evicted,
    /// The application has cut it, by [`EventSender::revoke`](crate::EventSender::revoke) or by the
    /// hub's `disconnect`: a token that was revoked, say.
    Revoked,
}

impl EndReason {
    /// Returns the reason in lower case with underscores, as metrics and logs name it:
    /// `client_gone`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::ShutDown => "shut_down",
            Self::Expired => "expired",
            Self::Evicted => "evicted",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of a stream that has ended: what
/// [`on_disconnect`](super::EventBody::on_disconnect) is told.
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

    /// Returns the request's extensions as `on_connect` left them: the session. Empty for a body
    /// that was not made by an event channel handler.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Returns the last id that was handed to the server: what the client will resume from, if all
    /// has reached it.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    /// Returns how many events were handed to the server: all that were sent, comments among them,
    /// and raw bytes as one. Greeting, keep-alives and farewell are not counted.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Returns how many bytes were handed to the server, of all that went out.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns how many events the buffer has dropped, by its policy.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns how long the stream has lasted, from when it was accepted.
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

/// The last event id that went out.
enum LastId {
    None,
    /// Since a slice of a segment would keep all of it.
    Copied(Vec<u8>),
    Kept(Bytes),
}

impl LastId {
    fn replace(&mut self, id: Bytes, can_stay: bool) {
        match self {
            _ if can_stay => *self = Self::Kept(id),
            Self::Copied(copy) => {
                copy.clear();
                copy.extend_from_slice(&id);
            }
            Self::None | Self::Kept(_) => *self = Self::Copied(id.to_vec()),
        }
    }

    fn take(&mut self) -> Option<String> {
        let id = match std::mem::replace(self, Self::None) {
            Self::None => return None,
            Self::Copied(id) => id,
            Self::Kept(id) => id.into(),
        };
        String::from_utf8(id).ok()
    }
}

/// The record of a stream, which is closed when it is dropped: the last thing a stream does,
/// whatever ends it. Until a reason is set, that is a client that is gone.
///
/// What each event touches is in front.
#[repr(C)]
pub(super) struct Record {
    pub(super) options: Arc<StreamOptions>,
    events: u64,
    bytes: u64,
    last_event_id: LastId,
    channel: Control,
    /// None while the stream lasts.
    pub(super) reason: Option<EndReason>,
    pub(super) error: Option<Arc<dyn Error + Send + Sync>>,
    pub(super) span: Span,
    extensions: Extensions,
    started: Instant,
    // What keeps the stream counted, dropped after all is told.
    registration: Option<Registration>,
    _permits: Option<Box<dyn Send + Sync>>,
}

impl Record {
    pub(super) fn new(
        options: Arc<StreamOptions>,
        accepted: AcceptedStream,
        receiver: &EventReceiver,
    ) -> Self {
        receiver.metrics().opened();
        let mut record = Self {
            options,
            reason: None,
            error: None,
            span: accepted.span,
            channel: receiver.control(),
            extensions: accepted.extensions,
            last_event_id: LastId::None,
            events: 0,
            bytes: 0,
            started: Instant::now(),
            registration: None,
            _permits: accepted.permits,
        };
        record.channel.set_send_timeout(record.options.send_timeout);
        record.register();
        record
    }

    /// Changes the settings.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut StreamOptions)) {
        let before = self.options.shutdown.clone();
        change(Arc::make_mut(&mut self.options));
        self.channel.set_send_timeout(self.options.send_timeout);
        if self.options.shutdown != before {
            self.registration = None;
            self.channel.take_ask_back();
            self.register();
        }
    }

    /// Is counted by this shutdown, and ended by it, in place of the settings' one.
    pub(super) fn register_with(&mut self, shutdown: &Shutdown) {
        if self.shutdown() != Some(shutdown) {
            self.registration = None;
            self.channel.take_ask_back();
            self.registration = Some(shutdown.register(&self.channel));
        }
    }

    /// Returns the shutdown that the stream is counted by.
    pub(super) fn shutdown(&self) -> Option<&Shutdown> {
        self.registration.as_ref().map(Registration::shutdown)
    }

    fn register(&mut self) {
        if let Some(shutdown) = self.options.shutdown.clone() {
            self.register_with(&shutdown);
        }
    }

    /// Counts bytes that were handed to the server, and the events of a segment whose last byte was
    /// among them.
    pub(super) fn count(&mut self, bytes: usize, ended: Option<&mut Segment>) {
        let events = ended.map_or(0, |segment| self.count_events(segment));
        self.bytes += bytes as u64;
        self.channel.metrics().handed_over(events, bytes);
    }

    fn count_events(&mut self, segment: &mut Segment) -> usize {
        let events = std::mem::take(&mut segment.events);
        self.events += events as u64;
        if let Some(id) = segment.last_id.take() {
            self.last_event_id.replace(id, segment.id_can_stay);
        }
        events
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let reason = self.reason.unwrap_or(EndReason::ClientGone);
        let duration = self.started.elapsed();
        let dropped = self.channel.dropped();
        let error = self.error.take();
        // What the application hooks into its metrics and logs is its code as well.
        catch_and_log("the recorder", || self.channel.metrics().ended(reason.as_str(), duration));
        catch_and_log("what shows the end", || {
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
        let disconnect = StreamEnd {
            reason,
            error,
            extensions: std::mem::take(&mut self.extensions),
            last_event_id: self.last_event_id.take(),
            events: self.events,
            bytes: self.bytes,
            dropped,
            duration,
        };
        catch_and_log("on_disconnect", || on_disconnect(disconnect));
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("events", &self.events).finish_non_exhaustive()
    }
}
