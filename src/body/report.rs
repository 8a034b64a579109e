//! The report of a stream's end: to metrics, to the log and span, and to the hook.

use super::{account::StreamAccount, stream_end::StreamEnd};
use crate::{catch_panic::catch_and_log, lifecycle::EndReason, trace};

/// Reports the end. Recorder, subscriber and hook are code of the application, so a panic in one of
/// them must not keep the others from running.
///
/// The hook is called nowhere else, so it runs once. The fields are dropped afterwards, and with
/// them the registration and the permits: a shutdown counts the stream until its hook has returned.
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
