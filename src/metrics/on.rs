//! With the feature `metrics`: the recorder's handles.

use std::{borrow::Cow, fmt, panic::AssertUnwindSafe, time::Duration};

use metrics::{
    Counter, Gauge, Histogram, Label, Unit, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram,
};
use tokio::time::Instant;

const OPEN: &str = "tower_sse_streams_open";
const ENDED: &str = "tower_sse_streams_ended_total";
const DURATION: &str = "tower_sse_stream_duration_seconds";
const HEAD: &str = "tower_sse_open_seconds";
const FIRST_EVENT: &str = "tower_sse_first_event_seconds";
const STALLS: &str = "tower_sse_stalls_total";
const REFUSED: &str = "tower_sse_refusals_total";
const EVENTS: &str = "tower_sse_events_total";
const BYTES: &str = "tower_sse_bytes_total";
const EVENT_BYTES: &str = "tower_sse_event_bytes";
const DROPPED: &str = "tower_sse_events_dropped_total";
const SEND_WAIT: &str = "tower_sse_send_wait_seconds";
const CLIENT_CONNECTED: &str = "tower_sse_client_connected";
const CLIENT_EVENTS: &str = "tower_sse_client_events_total";
const CLIENT_RECONNECTS: &str = "tower_sse_client_reconnects_total";
const CLIENT_OPEN: &str = "tower_sse_client_open_seconds";
#[cfg(feature = "hub")]
const PUBLISHED: &str = "tower_sse_hub_published_total";
#[cfg(feature = "hub")]
const REPLAYED: &str = "tower_sse_hub_events_replayed_total";
#[cfg(feature = "hub")]
const BACKEND_UP: &str = "tower_sse_hub_backend_up";
#[cfg(feature = "hub")]
const BACKEND_ERRORS: &str = "tower_sse_hub_backend_errors_total";
#[cfg(feature = "hub")]
const BACKEND_LAG: &str = "tower_sse_hub_backend_lag_seconds";
#[cfg(feature = "hub")]
const BACKEND_REPLAYS: &str = "tower_sse_hub_backend_replays_total";
#[cfg(feature = "hub")]
const BACKEND_JUNK: &str = "tower_sse_hub_backend_junk_total";
#[cfg(feature = "hub")]
const GAPS: &str = "tower_sse_hub_gaps_total";

/// The metrics of one stream. They are looked up once, so that an event does not search the
/// recorder's tables.
pub(crate) struct StreamMetrics {
    events: Counter,
    bytes: Counter,
    /// Whether an event was passed to the server.
    has_events: bool,
    /// `None` if stalls are not counted.
    stalls: Option<Box<StallWatch>>,
    open: Gauge,
    /// The label of all of them.
    route: Option<Cow<'static, str>>,
    /// When the request has come.
    begun: Instant,
}

/// Watches for times without an event.
struct StallWatch {
    after: Duration,
    /// When the last event was passed to the server.
    since: Instant,
    /// Whether the present time without an event was counted.
    is_counted: bool,
    stalls: Counter,
}

impl StallWatch {
    fn new(after: Duration, route: Option<&Cow<'static, str>>) -> Box<Self> {
        let stalls = counter!(STALLS, labels(route, None));
        Box::new(Self { after, since: Instant::now(), is_counted: false, stalls })
    }

    fn look(&mut self, has_event: bool) {
        let now = Instant::now();
        if !self.is_counted && now.saturating_duration_since(self.since) >= self.after {
            self.is_counted = true;
            self.stalls.increment(1);
        }
        if has_event {
            (self.since, self.is_counted) = (now, false);
        }
    }
}

/// Returns the labels of a stream's metrics.
fn labels(route: Option<&Cow<'static, str>>, reason: Option<&'static str>) -> Vec<Label> {
    let route = route.map(|route| Label::new("route", route.clone()));
    let reason = reason.map(|reason| Label::from_static_parts("reason", reason));
    reason.into_iter().chain(route).collect()
}

impl StreamMetrics {
    /// Records that a stream was accepted.
    pub(crate) fn open(
        route: Option<Cow<'static, str>>,
        stall_after: Option<Duration>,
        begun: Instant,
    ) -> Self {
        let open = gauge!(OPEN, labels(route.as_ref(), None));
        open.increment(1);
        Self {
            events: counter!(EVENTS, labels(route.as_ref(), None)),
            bytes: counter!(BYTES, labels(route.as_ref(), None)),
            has_events: false,
            stalls: stall_after.map(|after| StallWatch::new(after, route.as_ref())),
            open,
            route,
            begun,
        }
    }

    /// Applies other settings, before anything was passed to the server. `None` keeps the route.
    pub(crate) fn renew(
        &mut self,
        route: Option<&Option<Cow<'static, str>>>,
        stall_after: Option<Duration>,
    ) {
        let route = route.cloned().unwrap_or_else(|| self.route.clone());
        self.open.decrement(1);
        *self = Self::open(route, stall_after, self.begun);
    }

    /// Records how much the server took from the body.
    pub(crate) fn handed_over(&mut self, events: usize, bytes: usize) {
        if let Some(stalls) = &mut self.stalls {
            stalls.look(events > 0);
        }
        if events > 0 {
            if !self.has_events {
                self.has_events = true;
                histogram!(FIRST_EVENT, labels(self.route.as_ref(), None))
                    .record(self.begun.elapsed());
            }
            self.events.increment(events as u64);
        }
        self.bytes.increment(bytes as u64);
    }

    /// Records that an accepted stream has ended.
    pub(crate) fn ended(&mut self, reason: &'static str, duration: Duration) {
        if let Some(stalls) = &mut self.stalls {
            stalls.look(false);
        }
        self.open.decrement(1);
        let labels = labels(self.route.as_ref(), Some(reason));
        counter!(ENDED, labels.clone()).increment(1);
        histogram!(DURATION, labels).record(duration);
    }
}

/// Records that the head of a response that is an event stream goes out.
pub(crate) fn head_done(route: Option<&Cow<'static, str>>, begun: Instant) {
    histogram!(HEAD, labels(route, None)).record(begun.elapsed());
}

/// The metrics of one channel, looked up once.
///
/// The handles are asserted to be unwind safe, because a panic cannot leave a channel's own state
/// half changed through them. So senders are unwind safe as without this feature.
pub(crate) struct SendMetrics(AssertUnwindSafe<SendHandles>);

struct SendHandles {
    event_bytes: Histogram,
    dropped: Counter,
    send_wait: Histogram,
}

impl SendMetrics {
    pub(crate) fn new() -> Self {
        Self(AssertUnwindSafe(SendHandles {
            event_bytes: histogram!(EVENT_BYTES),
            dropped: counter!(DROPPED),
            send_wait: histogram!(SEND_WAIT),
        }))
    }

    /// Records that an event was sent, with its encoded length, and how many events the buffer
    /// dropped for it. That can be the event itself.
    pub(crate) fn sent(&self, len: usize, dropped: u64) {
        self.0.event_bytes.record(len as f64);
        if dropped > 0 {
            self.0.dropped.increment(dropped);
        }
    }

    /// Records that a waiting send has completed or was cancelled.
    pub(crate) fn waited(&self, wait_timer: &WaitTimer) {
        if let Some(since) = wait_timer.0 {
            self.0.send_wait.record(since.elapsed());
        }
    }
}

impl fmt::Debug for SendMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendMetrics")
    }
}

/// Measures how long a send waits. It holds no time until the send has to wait.
#[derive(Debug, Default)]
pub(crate) struct WaitTimer(Option<Instant>);

impl WaitTimer {
    pub(crate) fn start(&mut self) {
        self.0.get_or_insert_with(Instant::now);
    }
}

/// Records that a request did not become a stream.
pub(crate) fn refused(by: &'static str) {
    counter!(REFUSED, "by" => by).increment(1);
}

/// The metrics of a hub, looked up once.
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

/// Records whether the backend of a hub answers.
#[cfg(feature = "hub")]
pub(crate) fn backend_up(is_up: bool) {
    gauge!(BACKEND_UP).set(if is_up { 1.0 } else { 0.0 });
}

/// Records that a call of a backend has failed.
#[cfg(feature = "hub")]
pub(crate) fn backend_failed() {
    counter!(BACKEND_ERRORS).increment(1);
}

/// Records how long a publication took from its acknowledgement until its node had it.
#[cfg(feature = "hub")]
pub(crate) fn backend_lag(lag: Duration) {
    histogram!(BACKEND_LAG).record(lag);
}

/// Records that a page of older events was read from a backend.
#[cfg(feature = "hub")]
pub(crate) fn backend_replayed() {
    counter!(BACKEND_REPLAYS).increment(1);
}

/// Records entries of a log that were skipped.
#[cfg(feature = "hub")]
pub(crate) fn backend_junk(entries: u64) {
    counter!(BACKEND_JUNK).increment(entries);
}

/// Records events of the history that a reader was given.
#[cfg(feature = "hub")]
pub(crate) fn replayed(events: usize) {
    counter!(REPLAYED).increment(events as u64);
}

/// Records that a reader of a hub may have missed events.
#[cfg(feature = "hub")]
pub(crate) fn gap(reason: &'static str) {
    counter!(GAPS, "reason" => reason).increment(1);
}

/// The metrics of one event source, looked up once.
pub(crate) struct ClientMetrics {
    connected: Gauge,
    events: Counter,
    reconnects: Counter,
    open: Histogram,
}

impl ClientMetrics {
    pub(crate) fn new() -> Self {
        Self {
            connected: gauge!(CLIENT_CONNECTED),
            events: counter!(CLIENT_EVENTS),
            reconnects: counter!(CLIENT_RECONNECTS),
            open: histogram!(CLIENT_OPEN),
        }
    }

    /// Records that a connection was opened, and that it has ended when the returned value is
    /// dropped.
    pub(crate) fn opened(&self) -> ConnectionMetrics {
        self.connected.increment(1);
        let (connected, open) = (self.connected.clone(), self.open.clone());
        ConnectionMetrics { connected, open, since: Instant::now() }
    }

    #[inline]
    pub(crate) fn received(&self, is_event: bool) {
        if is_event {
            self.events.increment(1);
        }
    }

    pub(crate) fn reconnects(&self) {
        self.reconnects.increment(1);
    }
}

/// The metrics of an open connection of an event source.
pub(crate) struct ConnectionMetrics {
    connected: Gauge,
    open: Histogram,
    since: Instant,
}

impl Drop for ConnectionMetrics {
    fn drop(&mut self) {
        self.connected.decrement(1);
        self.open.record(self.since.elapsed());
    }
}

/// Registers the unit and the description of each metric.
pub(crate) fn describe() {
    describe_gauge!(OPEN, Unit::Count, "Number of open event streams");
    describe_counter!(ENDED, Unit::Count, "Event streams that have ended, by reason");
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "Duration of event streams that have ended, by reason"
    );
    describe_histogram!(HEAD, Unit::Seconds, "Time from a request to the head of its response");
    describe_histogram!(
        FIRST_EVENT,
        Unit::Seconds,
        "Time from a request to the first event of its stream"
    );
    describe_counter!(STALLS, Unit::Count, "Times without an event that were too long");
    describe_counter!(REFUSED, Unit::Count, "Requests that were refused an event stream, by cause");
    describe_counter!(EVENTS, Unit::Count, "Events passed to the server");
    describe_counter!(BYTES, Unit::Bytes, "Bytes passed to the server");
    describe_histogram!(EVENT_BYTES, Unit::Bytes, "Encoded length of sent events");
    describe_counter!(DROPPED, Unit::Count, "Events dropped by dropping and sliding buffers");
    describe_histogram!(SEND_WAIT, Unit::Seconds, "Waiting time of sends that had to wait");
    describe_gauge!(CLIENT_CONNECTED, Unit::Count, "Open connections of event sources");
    describe_counter!(CLIENT_EVENTS, Unit::Count, "Events returned by event sources");
    describe_counter!(
        CLIENT_RECONNECTS,
        Unit::Count,
        "Losses and failures after which an event source connects again"
    );
    describe_histogram!(CLIENT_OPEN, Unit::Seconds, "Duration of the connections of event sources");
    #[cfg(feature = "hub")]
    {
        describe_counter!(PUBLISHED, Unit::Count, "Events published in hubs");
        describe_counter!(REPLAYED, Unit::Count, "Events of the history that readers were given");
        describe_counter!(GAPS, Unit::Count, "Gaps of hub readers, by reason");
        describe_gauge!(BACKEND_UP, Unit::Count, "Whether the hub's backend answers");
        describe_counter!(BACKEND_ERRORS, Unit::Count, "Calls of the hub's backend that failed");
        describe_histogram!(
            BACKEND_LAG,
            Unit::Seconds,
            "Time from the acknowledgement of a publication until its node had it"
        );
        describe_counter!(BACKEND_REPLAYS, Unit::Count, "Pages of older events that were read");
        describe_counter!(BACKEND_JUNK, Unit::Count, "Entries of the log that were skipped");
    }
}
