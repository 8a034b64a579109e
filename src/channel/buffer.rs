//! How much may wait for a client, and what happens when that is full.

/// How many events and bytes may wait for a client, and what happens when the buffer is full.
///
/// | | when the buffer is full | for |
/// |---|---|---|
/// | [`fixed`](Self::fixed) | the sender waits | most streams: the client sets the pace |
/// | [`dropping`](Self::dropping) | the newest event is dropped | events that soon lose their value |
/// | [`sliding`](Self::sliding) | the oldest events are dropped | streams of which only the latest events matter |
///
/// The default is `Buffer::fixed(64)` with 256 KiB.
///
/// A handler that runs inside its body is paused while its client is slow. So a dropping or sliding
/// buffer only fills up if events are sent from elsewhere: for example from a task, or by a handler
/// with the setting [`spawn_handler`](crate::HandlerOptions::spawn_handler).
///
/// ```
/// use tower_sse::Buffer;
///
/// const LATEST: Buffer = Buffer::sliding(64).max_bytes(1 << 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Buffer {
    pub(super) when_full: WhenFull,
    /// At least one.
    pub(super) max_events: usize,
    pub(super) max_bytes: usize,
    pub(super) max_event_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenFull {
    Wait,
    DropNewest,
    DropOldest,
}

impl Buffer {
    /// Creates a buffer for this many events. Senders wait while it is full. Zero counts as one.
    pub const fn fixed(events: usize) -> Self {
        Self::new(WhenFull::Wait, events)
    }

    /// Creates a buffer for this many events. It drops the newest event while it is full. Zero
    /// counts as one.
    pub const fn dropping(events: usize) -> Self {
        Self::new(WhenFull::DropNewest, events)
    }

    /// Creates a buffer for this many events. It drops the oldest events to make room. Zero counts
    /// as one.
    pub const fn sliding(events: usize) -> Self {
        Self::new(WhenFull::DropOldest, events)
    }

    /// Sets the maximum number of encoded bytes that wait. Defaults to 256 KiB.
    ///
    /// A larger event is accepted when the buffer is empty. Each [`EventSink`](crate::channel::EventSink)
    /// with reserved room may exceed the limit by one event, since room is reserved before the
    /// length of the event is known.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets the maximum length of one encoded event, in bytes. Defaults to 16 MiB. Sending a larger
    /// one is an error, which returns the event.
    pub const fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }

    const fn new(when_full: WhenFull, events: usize) -> Self {
        let max_events = if events == 0 { 1 } else { events };
        Self { when_full, max_events, max_bytes: 256 << 10, max_event_bytes: 16 << 20 }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::fixed(64)
    }
}
