//! With the feature `metrics`.

use std::{fmt, panic::AssertUnwindSafe, time::Duration};

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use tokio::time::Instant;

const OPEN: &str = "tower_sse_streams_open";
const ENDED: &str = "tower_sse_streams_ended_total";
const DURATION: &str = "tower_sse_stream_duration_seconds";
const REFUSED: &str = "tower_sse_refusals_total";
const EVENTS: &str = "tower_sse_events_total";
const BYTES: &str = "tower_sse_bytes_total";
const EVENT_BYTES: &str = "tower_sse_event_bytes";
const DROPPED: &str = "tower_sse_events_dropped_total";
const SEND_WAIT: &str = "tower_sse_send_wait_seconds";
#[cfg(feature = "hub")]
const PUBLISHED: &str = "tower_sse_hub_published_total";
#[cfg(feature = "hub")]
const GAPS: &str = "tower_sse_hub_gaps_total";

/// What one stream counts with, looked up once: an event costs no look at the recorder's tables.
///
/// Whether a sender may be used after a panic does not depend on what is behind them.
pub(crate) struct StreamMetrics(AssertUnwindSafe<Handles>);

struct Handles {
    open: Gauge,
    events: Counter,
    bytes: Counter,
    event_bytes: Histogram,
    dropped: Counter,
    send_wait: Histogram,
}

impl StreamMetrics {
    pub(crate) fn new() -> Self {
        Self(AssertUnwindSafe(Handles {
            open: gauge!(OPEN),
            events: counter!(EVENTS),
            bytes: counter!(BYTES),
            event_bytes: histogram!(EVENT_BYTES),
            dropped: counter!(DROPPED),
            send_wait: histogram!(SEND_WAIT),
        }))
    }

    /// A stream was accepted.
    pub(crate) fn opened(&self) {
        self.0.open.increment(1);
    }

    /// An event was accepted, and the buffer's policy has dropped so many, this one perhaps.
    pub(crate) fn sent(&self, len: usize, dropped: u64) {
        self.0.event_bytes.record(len as f64);
        if dropped > 0 {
            self.0.dropped.increment(dropped);
        }
    }

    /// A send that had to wait does not any more.
    pub(crate) fn waited(&self, wait_timer: &WaitTimer) {
        if let Some(since) = wait_timer.0 {
            self.0.send_wait.record(since.elapsed());
        }
    }

    /// The server took so much.
    pub(crate) fn handed_over(&self, events: usize, bytes: usize) {
        if events > 0 {
            self.0.events.increment(events as u64);
        }
        self.0.bytes.increment(bytes as u64);
    }

    /// A stream is over that was opened.
    pub(crate) fn ended(&self, reason: &'static str, duration: Duration) {
        self.0.open.decrement(1);
        counter!(ENDED, "reason" => reason).increment(1);
        histogram!(DURATION, "reason" => reason).record(duration);
    }
}

impl fmt::Debug for StreamMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamMetrics")
    }
}

/// Since when a send waits, if it does.
#[derive(Debug, Default)]
pub(crate) struct WaitTimer(Option<Instant>);

impl WaitTimer {
    pub(crate) fn start(&mut self) {
        self.0.get_or_insert_with(Instant::now);
    }
}

/// A request did not become a stream.
pub(crate) fn refused(by: &'static str) {
    counter!(REFUSED, "by" => by).increment(1);
}

/// What a hub counts with.
#[cfg(feature = "hub")]
pub(crate) struct HubMetrics(AssertUnwindSafe<Counter>);

#[cfg(feature = "hub")]
impl HubMetrics {
    pub(crate) fn new() -> Self {
        Self(AssertUnwindSafe(counter!(PUBLISHED)))
    }

    pub(crate) fn published(&self, events: usize) {
        self.0.increment(events as u64);
    }
}

/// A reader of a hub does not get everything.
#[cfg(feature = "hub")]
pub(crate) fn gap(reason: &'static str) {
    counter!(GAPS, "reason" => reason).increment(1);
}

/// Tells the recorder what the metrics are, for those that show it.
pub(crate) fn describe() {
    describe_gauge!(OPEN, Unit::Count, "Event streams that are open");
    describe_counter!(ENDED, Unit::Count, "Event streams that have ended, by reason");
    describe_histogram!(DURATION, Unit::Seconds, "How long event streams lasted, by reason");
    describe_counter!(REFUSED, Unit::Count, "Requests that did not become event streams");
    describe_counter!(EVENTS, Unit::Count, "Events that were handed to the server");
    describe_counter!(BYTES, Unit::Bytes, "Bytes that were handed to the server");
    describe_histogram!(EVENT_BYTES, Unit::Bytes, "Encoded length of events that were sent");
    describe_counter!(DROPPED, Unit::Count, "Events that buffers have dropped by their policy");
    describe_histogram!(SEND_WAIT, Unit::Seconds, "How long sends waited that had to wait");
    #[cfg(feature = "hub")]
    {
        describe_counter!(PUBLISHED, Unit::Count, "Events that were published in hubs");
        describe_counter!(GAPS, Unit::Count, "Readers of hubs that missed something, by reason");
    }
}
