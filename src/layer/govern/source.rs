//! The body of another service as the source of a stream.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use tokio::time::Instant;

use super::boundary::{BYTE_ORDER_MARK, Boundary};
use crate::{
    BoxError,
    body::ExternalSource,
    channel::{ChannelEnd, Polled, Segment},
    exclusive::Exclusive,
    lifecycle::AbortReason,
    timer::{LazyTimer, saturating_add},
};

/// How many frames without data are taken in one poll.
const MAX_EMPTY_FRAMES: usize = 32;

/// The body of another service, which is an event stream.
pub(super) struct ForeignSource<B> {
    body: Exclusive<Pin<Box<B>>>,
    /// `None` for an encoded body, whose events are not known.
    boundary: Option<Boundary>,
    start: Start,
    /// How long an event may take to end once the stream has to.
    event_timeout: Duration,
    /// Until when the last event has to end. `Some` once the stream has to end.
    cut_at: Option<Instant>,
    timer: LazyTimer,
}

/// Whether the first bytes have come.
enum Start {
    /// No.
    Waiting,
    /// No, and a block has gone out before them. A byte order mark may not follow, since it would not be at the
    /// start any more. These are its bytes that have come.
    Preceded(BytesMut),
    Begun,
}

impl<B> ForeignSource<B> {
    pub(super) fn new(body: B, is_encoded: bool, event_timeout: Duration) -> Self {
        Self {
            body: Exclusive::new(Box::pin(body)),
            boundary: (!is_encoded).then(Boundary::default),
            start: Start::Waiting,
            event_timeout,
            cut_at: None,
            timer: LazyTimer::default(),
        }
    }

    /// Leaves out the byte order mark of a stream that does not start with it any more. `None` if more bytes
    /// are needed.
    fn without_mark(&mut self, bytes: Bytes) -> Option<Bytes> {
        let Start::Preceded(held) = &mut self.start else {
            self.start = Start::Begun;
            return Some(bytes);
        };
        held.extend_from_slice(&bytes);
        if held.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(held) {
            return None;
        }
        let held = std::mem::take(held).freeze();
        self.start = Start::Begun;
        Some(if held.starts_with(BYTE_ORDER_MARK) {
            held.slice(BYTE_ORDER_MARK.len()..)
        } else {
            held
        })
    }

    /// Makes a segment of bytes. A stream that has to end goes on to the end of its event only.
    fn segment(&mut self, mut bytes: Bytes) -> Segment {
        let Some(boundary) = &mut self.boundary else {
            return Segment { bytes, ..Segment::default() };
        };
        let mut scanned = boundary.scan(&bytes);
        if let (Some(_), Some(end)) = (self.cut_at, scanned.first_end) {
            bytes.truncate(end);
            scanned.events = 1;
            *boundary = Boundary::default();
        }
        Segment { bytes, events: scanned.events, ..Segment::default() }
    }

    /// Returns how a stream ends that has to, as soon as it may.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Option<ChannelEnd> {
        let until = self.cut_at?;
        if self.boundary.as_ref().is_some_and(Boundary::is_between_events) {
            return Some(ChannelEnd::Closed);
        }
        // Without a runtime, there is no time to wait for.
        let is_over = self.timer.poll_at(until, cx).is_none_or(|polled| polled.is_ready());
        is_over.then(|| ChannelEnd::Failed(Arc::new(EventCut)))
    }
}

impl<B> ForeignSource<B>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ChannelEnd>> {
        for _ in 0..MAX_EMPTY_FRAMES {
            let frame = match self.body.get_mut().as_mut().poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Err(ChannelEnd::Closed)),
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(ChannelEnd::Failed(error.into().into())));
                }
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            // An event stream has no trailers that a client could read.
            let Ok(bytes) = frame.into_data() else { continue };
            match self.without_mark(bytes) {
                Some(bytes) if !bytes.is_empty() => return Poll::Ready(Ok(bytes)),
                _ => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<B> ExternalSource for ForeignSource<B>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Polled {
        if let Some(end) = self.poll_cut(cx) {
            return Polled::End(end);
        }
        match self.poll_bytes(cx) {
            Poll::Pending => Polled::Empty,
            Poll::Ready(Ok(bytes)) => Polled::Segment(self.segment(bytes)),
            Poll::Ready(Err(end)) => Polled::End(end),
        }
    }

    /// There is no batch window.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Polled {
        self.poll_item(cx)
    }

    /// A block goes out now.
    fn refresh(&mut self) -> Option<Segment> {
        if matches!(self.start, Start::Waiting) {
            self.start = Start::Preceded(BytesMut::new());
        }
        None
    }

    fn abort_reason(&mut self) -> Option<AbortReason> {
        None
    }

    fn is_between_events(&self) -> bool {
        self.boundary.as_ref().is_some_and(Boundary::is_between_events)
    }

    fn close(&mut self) -> bool {
        if self.is_between_events() {
            return true;
        }
        // An encoded body cannot be continued or ended by anybody else.
        let timeout = if self.boundary.is_some() { self.event_timeout } else { Duration::ZERO };
        self.cut_at = Some(saturating_add(Instant::now(), timeout));
        false
    }
}

/// An event of another service did not end in time.
#[derive(Debug)]
struct EventCut;

impl fmt::Display for EventCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream had to end, and its last event did not end in time")
    }
}

impl Error for EventCut {}
