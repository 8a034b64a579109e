//! A source that produces segments itself and has no channel.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Waker},
};

use crate::{
    channel::{ChannelEnd, Polled, Segment},
    lifecycle::{AbortReason, StopRequest, StopSlot, StreamHandle},
    shutdown::Shutdown,
};

/// A source that produces segments itself instead of receiving them through a channel.
pub(crate) trait ExternalSource: Send + Sync {
    /// Returns the next item: a segment of at most about 64 KiB or one event, the end, or
    /// [`Polled::Empty`] after it has stored the waker.
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Polled;

    /// Like [`poll_item`](Self::poll_item), while a batch window holds events back: returns only what
    /// must not wait, and stores the waker for that alone.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Polled;

    /// Returns an event that updates the client's last event ID, if it needs an update. Called when
    /// nothing else is ready.
    fn refresh(&mut self) -> Option<Segment>;

    /// Returns whether a block may be inserted here. A source of whole events is always between two of them.
    fn is_between_events(&self) -> bool {
        true
    }

    /// Returns whether the source may end by itself in a grace period.
    fn has_grace(&self) -> bool {
        false
    }

    /// Tells the source that the stream has to end. Returns true if it ends at once. Otherwise the source
    /// ends by itself, as soon as it can.
    fn close(&mut self) -> bool {
        true
    }

    /// Returns how the source has ended, although the body has not taken its end. Called when the body is dropped.
    fn outcome(&mut self) -> Option<ChannelEnd> {
        None
    }

    /// Returns why the stream was cut off, or would have been at the next poll. Called when the
    /// body is dropped.
    fn abort_reason(&mut self) -> Option<AbortReason>;
}

/// An external source and the way in which a shutdown reaches its stream.
pub(in crate::body) struct External {
    /// The source itself.
    source: Box<dyn ExternalSource>,
    /// How the source has ended. Later polls return it again, since the body may send its prelude
    /// first.
    ended: Option<ChannelEnd>,
    /// `Some` once a shutdown counts the stream.
    stop: Option<StopWatch>,
}

/// The slot for stop requests, and what is known of it.
///
/// The slot is not in the cache when an event comes, so it is read only if it may have changed: the
/// shutdown counts its requests in one number for all streams, which is in the cache.
struct StopWatch {
    /// Where the shutdown stores its request.
    slot: Arc<StopSlot>,
    /// The shutdown's generation, read before the slot was found empty, and the waker that was left
    /// there.
    seen: Option<(u64, Waker)>,
}

impl External {
    pub(super) fn new(source: Box<dyn ExternalSource>) -> Self {
        Self { source, ended: None, stop: None }
    }

    #[inline]
    pub(super) fn poll(
        &mut self,
        hold: bool,
        shutdown: Option<&Shutdown>,
        cx: &mut Context<'_>,
    ) -> Polled {
        // Before the end: the farewell of a shutdown goes out although the source has ended.
        if let (Some(stop), Some(shutdown)) = (&mut self.stop, shutdown) {
            if let Some(request) = stop.poll(shutdown, cx) {
                return Polled::Stop(request);
            }
        }
        if let Some(end) = &self.ended {
            return Polled::End(end.clone());
        }
        let polled = if hold { self.source.poll_held(cx) } else { self.source.poll_item(cx) };
        if let Polled::End(end) = &polled {
            self.set_ended(end);
        }
        polled
    }

    // Apart, since it is rare.
    #[cold]
    fn set_ended(&mut self, end: &ChannelEnd) {
        self.ended = Some(end.clone());
    }

    pub(super) fn is_between_events(&self) -> bool {
        self.source.is_between_events()
    }

    pub(super) fn has_grace(&self) -> bool {
        self.source.has_grace()
    }

    pub(super) fn refresh(&mut self) -> Option<Segment> {
        self.source.refresh()
    }

    pub(super) fn close(&mut self) -> bool {
        let is_open = self.ended.is_none();
        if is_open && self.source.close() {
            self.ended = Some(ChannelEnd::Closed);
        }
        is_open
    }

    pub(super) fn take_stop_request(&self) -> Option<StopRequest> {
        self.stop.as_ref()?.slot.take_request()
    }

    pub(super) fn handle(&mut self) -> StreamHandle {
        let new = || StopWatch { slot: Arc::default(), seen: None };
        let stop = self.stop.get_or_insert_with(new);
        // The handle may be for another shutdown, which counts its own requests.
        stop.seen = None;
        StreamHandle::new(stop.slot.clone())
    }

    pub(super) fn abandon(&mut self) -> Option<ChannelEnd> {
        let outcome = self.ended.clone().or_else(|| self.source.outcome());
        outcome.or_else(|| self.source.abort_reason().map(ChannelEnd::Aborted))
    }
}

impl StopWatch {
    /// Takes the stop request, or leaves the waker.
    fn poll(&mut self, shutdown: &Shutdown, cx: &Context<'_>) -> Option<StopRequest> {
        // Read before the slot: a request that is stored afterwards changes it.
        let generation = shutdown.generation();
        let is_current = self
            .seen
            .as_ref()
            .is_some_and(|(seen, waker)| *seen == generation && waker.will_wake(cx.waker()));
        if is_current {
            return None;
        }
        let request = self.slot.take(cx);
        // After a request the slot holds no waker, so the next poll must look again.
        self.seen = request.is_none().then(|| (generation, cx.waker().clone()));
        request
    }
}

impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("External").field("ended", &self.ended).finish_non_exhaustive()
    }
}
