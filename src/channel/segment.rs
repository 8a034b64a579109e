//! A run of encoded events that goes out as one frame.

use bytes::Bytes;

/// A run of encoded events that goes out as one frame, and what is counted once it is out.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    pub(crate) bytes: Bytes,
    /// The number of events in `bytes`. Comments count, greetings and keep-alives do not.
    pub(crate) events: usize,
    /// The ID of the last event in `bytes` that has one.
    pub(crate) last_id: Option<LastId>,
    /// The source has ended without an error, and nothing follows.
    pub(crate) is_last: bool,
}

/// The last event ID of a segment.
#[derive(Debug)]
pub(crate) enum LastId {
    /// A slice of the segment. Keeping it would keep the whole segment in memory, so it is copied.
    Slice(Bytes),
    /// Bytes that may be kept: they hold nothing but the ID, or are in memory anyway.
    Own(Bytes),
}

impl Segment {
    /// Creates a segment that counts as no event: a greeting, a keep-alive, a farewell.
    pub(crate) fn uncounted(bytes: Bytes, last_id: Option<Bytes>) -> Self {
        Self { bytes, events: 0, last_id: last_id.map(LastId::Own), is_last: false }
    }
}
