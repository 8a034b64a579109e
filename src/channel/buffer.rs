//! How much may wait for a client, and what happens to more.

/// How many events and bytes may wait for a client, and what happens when it is full.
///
/// | | when it is full | for |
/// |---|---|---|
/// | [`fixed`](Self::fixed) | the sender waits | most streams: the client sets the pace |
/// | [`dropping`](Self::dropping) | the newest event is dropped | events that lose their worth |
/// | [`sliding`](Self::sliding) | the oldest events are dropped | "the latest 64" |
///
/// The default is `Buffer::fixed(64)` with 256 KiB.
///
/// A handler is paused while its client is slow, for it runs inside the body; whoever wants the
/// dropping and the sliding buffer to go on filling meanwhile sends from a task, as a handler does
/// with the setting `spawn_handler`.
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
    /// Creates a buffer of so many events whose senders wait while it is full. Zero counts as one.
    pub const fn fixed(events: usize) -> Self {
        Self::new(WhenFull::Wait, events)
    }

    /// Creates a buffer of so many events that drops the newest while it is full. Zero counts as
    /// one.
    pub const fn dropping(events: usize) -> Self {
        Self::new(WhenFull::DropNewest, events)
    }

    /// Creates a buffer of so many events that drops the oldest to make room. Zero counts as one.
    pub const fn sliding(events: usize) -> Self {
        Self::new(WhenFull::DropOldest, events)
    }

    /// Sets how many encoded bytes may wait. Default is 256 KiB.
    ///
    /// An event that is larger goes alone into an empty buffer. Each `Sink` that was told it is
    /// ready may put one event in beyond the bound, since it is known how large it is only when
    /// it comes.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how large one encoded event may be, in bytes. Default is 16 MiB. Sending a larger one
    /// is an error that gives it back.
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
