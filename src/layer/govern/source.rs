//! The body of another service as the source of a stream.

use std::{
    error::Error,
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    body::ExternalSource,
    channel::{ChannelEnd, Polled, Segment},
    layer::foreign::{Boundary, ForeignBody},
    lifecycle::AbortReason,
    stream::Chunks,
    timer::{LazyTimer, saturating_add},
};

/// The body of another service, which is an event stream.
pub(super) struct ForeignSource<C> {
    body: ForeignBody<C>,
    /// `None` for an encoded body, whose events are not known.
    boundary: Option<Boundary>,
    /// How long an event may take to end once the stream has to.
    event_timeout: Duration,
    /// Until when the last event has to end. `Some` once the stream has to end.
    cut_at: Option<Instant>,
    timer: LazyTimer,
}

impl<C: Chunks> ForeignSource<C> {
    pub(super) fn new(body: C, is_encoded: bool, event_timeout: Duration) -> Self {
        Self {
            body: ForeignBody::new(Box::pin(body)),
            boundary: (!is_encoded).then(Boundary::default),
            event_timeout,
            cut_at: None,
            timer: LazyTimer::default(),
        }
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

impl<C: Chunks + Send> ExternalSource for ForeignSource<C> {
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Polled {
        if let Some(end) = self.poll_cut(cx) {
            return Polled::End(end);
        }
        match self.body.poll_bytes(cx) {
            Poll::Pending => Polled::Empty,
            Poll::Ready(None) => Polled::End(ChannelEnd::Closed),
            Poll::Ready(Some(Ok(bytes))) => Polled::Segment(self.segment(bytes)),
            Poll::Ready(Some(Err(error))) => Polled::End(ChannelEnd::Failed(error.into())),
        }
    }

    /// There is no batch window.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Polled {
        self.poll_item(cx)
    }

    /// A block goes out now.
    fn refresh(&mut self) -> Option<Segment> {
        self.body.precede();
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
