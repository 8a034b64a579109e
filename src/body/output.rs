//! The bytes that go out: the prelude first, then segments, as many bytes as the budget allows.

use bytes::Bytes;

use super::{active::ActiveStream, prelude::MAX_JOINED};
use crate::channel::Segment;

impl ActiveStream {
    /// Takes bytes out of the outgoing segment, as many as the budget allows. The prelude goes out
    /// with it, or before it.
    pub(super) fn give(&mut self) -> Bytes {
        let Some(mut segment) = self.outgoing.take() else { return Bytes::new() };
        if let Some(prelude) = self.prelude.take(&self.account.options) {
            if segment.bytes.len() > MAX_JOINED {
                self.outgoing = Some(segment);
                self.record(prelude.len(), None);
                return prelude;
            }
            segment.bytes = [&prelude[..], &segment.bytes].concat().into();
        }
        let remaining = self.pacing.remaining();
        if segment.bytes.len() > remaining {
            let bytes = segment.bytes.split_to(remaining);
            self.outgoing = Some(segment);
            self.record(bytes.len(), None);
            return bytes;
        }
        let bytes = std::mem::take(&mut segment.bytes);
        self.record(bytes.len(), Some(*segment));
        bytes
    }

    /// Records bytes that go out now, and the segment that they complete.
    #[inline]
    pub(super) fn record(&mut self, len: usize, completed: Option<Segment>) {
        let window = self.account.options.batch_window;
        let has_events = completed.as_ref().is_some_and(|segment| segment.events > 0);
        let now = self.timers.yielded();
        self.pacing.yielded(len, window.filter(|_| has_events).zip(now));
        self.account.count(len, completed);
    }
}
