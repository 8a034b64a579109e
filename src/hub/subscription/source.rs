//! A subscription as the source of a body.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::reader::{Delivery, ReaderHandle};
use crate::{
    body::{Fed, Feed},
    channel::Segment,
    event::Event,
    hub::{
        gap::{Gap, Resumption},
        log::JoinedChunk,
        node::Node,
    },
};

/// A subscription as the source of a body.
///
/// `repr(C)` keeps the opening next to the reader's first fields, which every event needs as well.
#[repr(C)]
pub(super) struct SubscriptionSource {
    /// What is still to be sent before the first event.
    opening: OpeningBlock,
    /// The reader whose events are sent.
    reader: ReaderHandle,
}

/// What the body sends before the first event.
#[derive(Clone, Copy)]
enum OpeningBlock {
    /// A block without data, with the ID of the reader's position.
    Position,
    /// The gap with which the subscription was resumed.
    Gap,
    /// Nothing, or it was sent already.
    None,
}

impl SubscriptionSource {
    pub(super) fn new(reader: ReaderHandle) -> Self {
        let opening = match reader.resumption() {
            // A handler that has read entries has seen the gap before them.
            Resumption::Gap(_) if !reader.cursor().has_read => OpeningBlock::Gap,
            // The state is followed by an ID when all of it was sent.
            Resumption::New if reader.cursor().is_live() => OpeningBlock::Position,
            _ => OpeningBlock::None,
        };
        Self { opening, reader }
    }

    fn opening_segment(&mut self) -> Segment {
        self.opening = OpeningBlock::None;
        match self.reader.resumption() {
            Resumption::Gap(gap) => {
                let gap = gap.clone();
                self.gap_segment(&gap)
            }
            Resumption::New | Resumption::Complete => self.position_segment(),
        }
    }

    /// Returns a block without data, with the ID of the reader's position.
    fn position_segment(&mut self) -> Segment {
        self.segment_with_position(Event::default())
    }

    /// Returns the event that reports a gap, or a block without data if the hook omits it.
    fn gap_segment(&mut self, gap: &Gap) -> Segment {
        let event = self.reader.gap_event(gap);
        self.segment_with_position(event.unwrap_or_default())
    }

    /// Records that the reader has lagged, and returns what the stream does about it.
    fn lagged(&mut self, gap: &Gap) -> Fed {
        Node::record_gap("lagged", gap);
        if self.reader.is_over() { Fed::Lagged } else { Fed::Segment(self.gap_segment(gap)) }
    }

    fn segment_with_position(&mut self, event: Event) -> Segment {
        self.reader.set_id_sent();
        let id = self.reader.position();
        let last_id = Some(Bytes::copy_from_slice(id.as_bytes()));
        let bytes = event.with_id(id).encode().to_bytes();
        Segment { bytes, last_id, id_can_stay: true, ..Segment::default() }
    }
}

impl Feed for SubscriptionSource {
    fn poll_feed(&mut self, cx: &mut Context<'_>) -> Poll<Fed> {
        if !matches!(self.opening, OpeningBlock::None) {
            return Poll::Ready(Fed::Segment(self.opening_segment()));
        }
        let chunk = match ready!(self.reader.poll_delivery(cx)) {
            Delivery::Chunk(chunk) => chunk,
            Delivery::Gap(gap) => return Poll::Ready(self.lagged(&gap)),
            Delivery::StateDone => return Poll::Ready(Fed::Segment(self.position_segment())),
            Delivery::End => return Poll::Ready(Fed::Ended),
        };
        let JoinedChunk { bytes, events, last_id, .. } = chunk;
        if last_id.is_some() {
            self.reader.set_id_sent();
        }
        let (id_can_stay, id_at) = (true, 0);
        Poll::Ready(Fed::Segment(Segment { bytes, events, last_id, id_can_stay, id_at }))
    }

    fn refresh(&mut self) -> Option<Segment> {
        (self.reader.cursor().is_id_outdated() && self.reader.cursor().is_live())
            .then(|| self.position_segment())
    }

    fn has_lagged(&mut self) -> bool {
        self.reader.has_lagged()
    }
}
