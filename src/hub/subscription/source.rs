//! A subscription as the source of a body.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;

use super::reader::{Delivery, ReaderHandle};
use crate::{
    body::ExternalSource,
    channel::{ChannelEnd, LastId, Polled, Segment},
    event::Event,
    exclusive::Exclusive,
    headers::is_browser,
    hub::{
        gap::{Gap, Resumption},
        node::Node,
        subscribe_error::SubscribeError,
        window::{JoinedChunk, Seq},
    },
    lifecycle::AbortReason,
    metrics,
};

/// A subscription as the source of a body.
///
/// `repr(C)` keeps the opening next to the reader's first fields, which every event needs as well.
#[repr(C)]
pub(super) struct SubscriptionSource {
    /// What is still to be sent before the first event.
    opening: OpeningBlock,
    /// How the body tells its client a position.
    positions: Positions,
    /// The reader whose events are sent.
    reader: ReaderHandle,
    /// The newest record when the body was made. Those up to it are history.
    history_end: Seq,
}

/// How a body tells its client a position.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) enum Positions {
    /// As a block without data.
    Blocks,
    /// As an event of the type `position`. Firefox and WebKit keep the ID of an event only, not that of a block.
    Events,
}

impl Positions {
    /// Returns the form for the client of a request.
    pub(in crate::hub) fn of(headers: &HeaderMap) -> Self {
        match is_browser(headers) {
            true => Self::Events,
            false => Self::Blocks,
        }
    }

    fn event(self) -> Event {
        match self {
            Self::Blocks => Event::default(),
            Self::Events => Event::new("").with_type("position"),
        }
    }
}

/// What the body sends before the first event.
#[derive(Clone, Copy)]
enum OpeningBlock {
    /// The ID of the reader's position.
    Position,
    /// The gap with which the subscription was resumed.
    Gap,
    /// Nothing more. Events from the history are still to be sent, and are counted.
    History,
    /// Nothing, or it was sent already.
    None,
}

impl SubscriptionSource {
    pub(super) fn new(reader: ReaderHandle, positions: Positions) -> Self {
        let opening = match reader.resumption() {
            // A handler that has read entries has seen the gap before them.
            Resumption::Gap(_) if !reader.cursor().has_read => OpeningBlock::Gap,
            // The state is followed by an ID when all of it was sent, and so are the newest events:
            // a client that is disconnected before starts with them again.
            Resumption::New if reader.cursor().is_live() => OpeningBlock::Position,
            _ => OpeningBlock::History,
        };
        let history_end = reader.node().counters.head().seq;
        Self { opening, positions, reader, history_end }
    }

    fn opening_segment(&mut self) -> Segment {
        self.opening = OpeningBlock::History;
        match self.reader.resumption() {
            Resumption::Gap(gap) => {
                let gap = gap.clone();
                self.gap_segment(&gap)
            }
            Resumption::New | Resumption::Complete => self.position_segment(),
        }
    }

    /// Returns a block or an event with the ID of the reader's position.
    fn position_segment(&mut self) -> Segment {
        self.segment_with_position(self.positions.event())
    }

    /// Returns the event that reports a gap, or only the position if the hook omits it.
    fn gap_segment(&mut self, gap: &Gap) -> Segment {
        let event = self.reader.gap_event(gap);
        self.segment_with_position(event.unwrap_or_else(|| self.positions.event()))
    }

    /// Records that the reader has lagged, and returns what the stream does about it.
    fn lagged(&mut self, gap: &Gap) -> Polled {
        Node::record_gap("lagged", gap);
        if self.reader.is_over() {
            Polled::End(ChannelEnd::Aborted(AbortReason::Evicted))
        } else {
            Polled::Segment(self.gap_segment(gap))
        }
    }

    /// Returns the next delivery of the reader while it may be from the history.
    fn poll_history(&mut self, cx: &mut Context<'_>) -> Polled {
        let is_history = self.reader.is_replaying()
            || !self.reader.cursor().is_live()
            || self.reader.cursor().at() < self.history_end;
        if !is_history {
            self.opening = OpeningBlock::None;
        }
        if self.reader.waits_at_head(cx) {
            return Polled::Empty;
        }
        let polled = self.poll_reader(cx);
        if let (Polled::Segment(segment), true) = (&polled, is_history) {
            metrics::replayed(segment.events);
        }
        polled
    }

    /// Returns the next delivery of the reader.
    // Not inlined, so that a poll of a reader that waits is short.
    #[inline(never)]
    fn poll_reader(&mut self, cx: &mut Context<'_>) -> Polled {
        let Poll::Ready(delivery) = self.reader.poll_delivery(cx) else { return Polled::Empty };
        let chunk = match delivery {
            Delivery::Chunk(chunk) => chunk,
            Delivery::Gap(gap) => return self.lagged(&gap),
            Delivery::StartDone => return Polled::Segment(self.position_segment()),
            Delivery::End => return Polled::End(ChannelEnd::Closed),
            Delivery::Revoked => {
                return Polled::End(ChannelEnd::Aborted(AbortReason::Revoked));
            }
            Delivery::Failed(panicked) => {
                return Polled::End(ChannelEnd::Failed(Arc::new(panicked)));
            }
        };
        self.chunk_segment(chunk)
    }

    #[inline]
    fn chunk_segment(&mut self, chunk: JoinedChunk) -> Polled {
        let JoinedChunk { bytes, events, last_id, is_past_id, .. } = chunk;
        if last_id.is_some() && !is_past_id {
            self.reader.set_id_sent();
        }
        let last_id = last_id.map(LastId::Own);
        Polled::Segment(Segment { bytes, events, last_id, is_last: false })
    }

    fn segment_with_position(&mut self, event: Event) -> Segment {
        self.reader.set_id_sent();
        let id = self.reader.position();
        let last_id = Some(Bytes::copy_from_slice(id.as_bytes()));
        let bytes = event.with_id(id).encode().to_bytes();
        Segment::uncounted(bytes, last_id)
    }
}

impl ExternalSource for SubscriptionSource {
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Polled {
        if !matches!(self.opening, OpeningBlock::None) {
            if matches!(self.opening, OpeningBlock::History) {
                return self.poll_history(cx);
            }
            // `Hub::disconnect` may have run before there was a body.
            if self.reader.poll_revoked(cx) {
                return Polled::End(ChannelEnd::Aborted(AbortReason::Revoked));
            }
            return Polled::Segment(self.opening_segment());
        }
        if self.reader.waits_at_head(cx) {
            return Polled::Empty;
        }
        match self.reader.take_only_one() {
            Some(chunk) => self.chunk_segment(chunk),
            None => self.poll_reader(cx),
        }
    }

    fn poll_held(&mut self, cx: &mut Context<'_>) -> Polled {
        if self.reader.poll_revoked(cx) {
            return Polled::End(ChannelEnd::Aborted(AbortReason::Revoked));
        }
        // Asked after the waker was stored, so that no end is missed. After it nothing comes that
        // could go out together with the held events.
        if self.reader.is_closed() { self.poll_item(cx) } else { Polled::Empty }
    }

    fn refresh(&mut self) -> Option<Segment> {
        (self.reader.cursor().is_id_outdated() && !self.reader.cursor().is_state())
            .then(|| self.position_segment())
    }

    fn abort_reason(&mut self) -> Option<AbortReason> {
        self.reader.abort_reason()
    }
}

/// A subscription that is being opened, as the source of a body: its response does not wait for that.
pub(super) enum OpeningSource<F> {
    /// It is being opened.
    Opening(Exclusive<Pin<Box<F>>>, Positions),
    /// It is open.
    Open(Box<SubscriptionSource>),
}

impl<F> OpeningSource<F>
where
    F: Future<Output = Result<ReaderHandle, SubscribeError>> + Send,
{
    pub(super) fn new(opening: Pin<Box<F>>, positions: Positions) -> Self {
        Self::Opening(Exclusive::new(opening), positions)
    }

    /// Returns the open source, or the answer to the body until then.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Result<&mut SubscriptionSource, Polled> {
        if let Self::Opening(opening, positions) = self {
            match opening.get_mut().as_mut().poll(cx) {
                Poll::Pending => return Err(Polled::Empty),
                Poll::Ready(Err(error)) => {
                    return Err(Polled::End(ChannelEnd::Failed(Arc::new(error))));
                }
                Poll::Ready(Ok(reader)) => {
                    *self = Self::Open(Box::new(SubscriptionSource::new(reader, *positions)));
                }
            }
        }
        match self {
            Self::Open(source) => Ok(source),
            Self::Opening(..) => Err(Polled::Empty),
        }
    }
}

impl<F> ExternalSource for OpeningSource<F>
where
    F: Future<Output = Result<ReaderHandle, SubscribeError>> + Send,
{
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Polled {
        match self.poll_open(cx) {
            Ok(source) => source.poll_item(cx),
            Err(polled) => polled,
        }
    }

    fn poll_held(&mut self, cx: &mut Context<'_>) -> Polled {
        match self.poll_open(cx) {
            Ok(source) => source.poll_held(cx),
            Err(polled) => polled,
        }
    }

    fn refresh(&mut self) -> Option<Segment> {
        match self {
            Self::Opening(..) => None,
            Self::Open(source) => source.refresh(),
        }
    }

    fn abort_reason(&mut self) -> Option<AbortReason> {
        match self {
            Self::Opening(..) => None,
            Self::Open(source) => source.abort_reason(),
        }
    }
}
