//! The end of the channel that a body reads.

use std::{
    error::Error,
    fmt,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use super::{
    segment::Segment, sender::EventSender, shared::Shared, state::ChannelState, waiting::renew,
};
use crate::lifecycle::{AbortReason, StopRequest, StreamHandle, StreamStatus};

/// The receiving end of an event channel. `EventBody::from` makes an
/// [`EventBody`](crate::EventBody) of it.
///
/// After it is dropped, sending fails and returns the event.
#[must_use = "a channel without its receiver is closed"]
pub struct EventReceiver {
    /// The channel.
    shared: Arc<Shared>,
}

/// What a receiver found.
#[derive(Debug)]
pub(crate) enum Polled {
    Segment(Segment),
    /// A request to end the stream. It comes before everything that is queued.
    Stop(StopRequest),
    /// Nothing is queued, and the handler was woken: poll it, then look again.
    HandlerWoken,
    /// The handler has only yielded to its task: let the server write before it is polled again.
    HandlerYielded,
    /// Nothing. The waker is stored.
    Empty,
    End(ChannelEnd),
}

/// How a channel ended.
#[derive(Clone, Debug)]
pub(crate) enum ChannelEnd {
    /// The application closed it.
    Closed,
    /// The last sender was dropped.
    NoSenders,
    Failed(Arc<dyn Error + Send + Sync>),
    /// It was cut off, and its queue discarded.
    Aborted(AbortReason),
}

/// What a receiver looks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interest {
    /// The handler runs inside the body: the stream does not end with its last sender.
    pub(crate) handler: bool,
    /// Events are held back by a batch window. Only what must not wait is taken: stop requests, the
    /// end, and events that keep a sender waiting.
    pub(crate) hold: bool,
    /// The body was pending since it took something: the server has written.
    pub(crate) new_turn: bool,
}

impl EventReceiver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Sets how long a client may take nothing while a sender waits for room. After that it counts
    /// as too slow and its stream is evicted: the sender gets its event back in an error, the rest
    /// of the queue is discarded, and the body ends with an error. Defaults to no limit, and zero
    /// is no limit either.
    ///
    /// The timeout of an async sender needs a tokio runtime. See
    /// [`HandlerOptions::send_timeout`](crate::HandlerOptions::send_timeout).
    pub fn send_timeout(self, limit: Duration) -> Self {
        self.set_send_timeout(Some(limit).filter(|limit| !limit.is_zero()));
        self
    }

    pub(crate) fn set_send_timeout(&self, limit: Option<Duration>) {
        self.shared.lock().set_send_timeout(limit);
    }

    /// Ends the stream as if the application had, and returns whether this call ended it.
    pub(crate) fn close(&self) -> bool {
        self.shared.end(StreamStatus::Closed)
    }

    /// Ends the stream with an error. Returns the error if the stream had ended before.
    pub(crate) fn fail(
        &self,
        error: Arc<dyn Error + Send + Sync>,
    ) -> Option<Arc<dyn Error + Send + Sync>> {
        let ended = self.shared.end(StreamStatus::Failed(error.clone()));
        (!ended).then_some(error)
    }

    /// Tells the senders that a graceful end has begun.
    pub(crate) fn begin_ending(&self) {
        self.shared.begin_ending();
    }

    /// Takes a stop request that the body has not taken yet.
    pub(crate) fn take_stop_request(&self) -> Option<StopRequest> {
        self.shared.lock().stop.take().map(|request| *request)
    }

    /// Returns whether the stream has ended without an error, and everything was taken. A stop
    /// request must be answered first.
    pub(crate) fn is_finished(&self) -> bool {
        let state = self.shared.lock();
        let ended = matches!(end_of(&state), Some(ChannelEnd::Closed | ChannelEnd::NoSenders));
        ended && state.stop.is_none()
    }

    /// Returns how many events the buffer has dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.lock().dropped
    }

    /// Creates another sender.
    pub(crate) fn sender(&self) -> EventSender {
        EventSender::create(&self.shared)
    }

    /// Returns the handle with which a shutdown ends the stream.
    pub(crate) fn handle(&self) -> StreamHandle {
        StreamHandle::new(self.shared.clone())
    }

    /// Returns the waker for a handler that runs inside the body.
    pub(crate) fn handler_waker(&self) -> Waker {
        Waker::from(self.shared.clone())
    }

    /// Looks for something to take, and stores the waker if there is nothing. After
    /// [`Polled::HandlerWoken`] the caller polls the handler and calls
    /// [`poll_after_handler`](Self::poll_after_handler).
    #[inline]
    pub(crate) fn poll(&self, interest: Interest, cx: &Context<'_>) -> Polled {
        let mut state = self.shared.lock();
        // Events come before the handler: an event that is ready must not wait until the handler has
        // computed the next one. Only a handler that has waited for too long comes first.
        if !(interest.handler && state.is_handler_overdue(interest.new_turn)) {
            if let Some(found) = look(&mut state, interest) {
                return deliver(state, found);
            }
        }
        if interest.handler && state.handler_woken && state.is_open() {
            if state.handler_yielded {
                state.handler_yielded = false;
                return Polled::HandlerYielded;
            }
            let body = state.begin_poll();
            drop(state);
            drop(body);
            return Polled::HandlerWoken;
        }
        store_waker(state, cx)
    }

    /// Looks again after the handler was polled. It does not ask for another poll of the handler:
    /// if the handler was woken meanwhile, the body is woken, so that others run before.
    #[inline]
    pub(crate) fn poll_after_handler(&self, interest: Interest, cx: &Context<'_>) -> Polled {
        let mut state = self.shared.lock();
        state.end_poll();
        if let Some(found) = look(&mut state, interest) {
            return deliver(state, found);
        }
        // It was woken while it was polled, and the wake found no waker of the body.
        let woken = interest.handler && state.handler_woken;
        let empty = store_waker(state, cx);
        if woken {
            cx.waker().wake_by_ref();
        }
        empty
    }

    /// Tells the senders that the stream is not read any more. Returns how the stream had ended
    /// before.
    pub(crate) fn abandon(&self) -> Option<ChannelEnd> {
        let ended = {
            let state = self.shared.lock();
            match &state.status {
                // Also with events that are still queued.
                StreamStatus::Failed(error) => Some(ChannelEnd::Failed(error.clone())),
                StreamStatus::Open
                | StreamStatus::Closed
                | StreamStatus::Aborted(_)
                | StreamStatus::Gone => end_of(&state),
            }
        };
        self.shared.end(StreamStatus::Gone);
        ended
    }
}

/// What was found under the lock.
enum Found {
    Stop(StopRequest),
    /// And the sender that has room now.
    Segment(Segment, Option<Waker>),
    End(ChannelEnd),
}

#[inline]
fn look(state: &mut ChannelState, interest: Interest) -> Option<Found> {
    if let Some(request) = state.stop.take() {
        return Some(Found::Stop(*request));
    }
    let may_wait = state.is_open() && state.senders > 0 && state.waiting() == 0;
    if interest.hold && may_wait {
        return None;
    }
    if let Some((mut segment, next)) = state.take() {
        // Known here, under the lock, so that the body need not take it again after each segment.
        let end = if interest.handler { None } else { end_of(state) };
        segment.is_last = matches!(end, Some(ChannelEnd::Closed | ChannelEnd::NoSenders));
        return Some(Found::Segment(segment, next));
    }
    match end_of(state)? {
        // The handler has dropped its sender, and does something else before it returns.
        ChannelEnd::NoSenders if interest.handler => None,
        end => Some(Found::End(end)),
    }
}

#[inline]
fn deliver(state: std::sync::MutexGuard<'_, ChannelState>, found: Found) -> Polled {
    drop(state);
    match found {
        Found::Stop(request) => Polled::Stop(request),
        Found::Segment(segment, next) => {
            next.into_iter().for_each(Waker::wake);
            Polled::Segment(segment)
        }
        Found::End(end) => Polled::End(end),
    }
}

/// Stores the body's waker. The lock has been held since nothing was found, so no wake-up is lost.
#[inline]
fn store_waker(mut state: std::sync::MutexGuard<'_, ChannelState>, cx: &Context<'_>) -> Polled {
    let _previous = match &mut state.body_waker {
        Some(waker) => renew(waker, cx),
        none => none.replace(cx.waker().clone()),
    };
    drop(state);
    Polled::Empty
}

#[inline]
fn end_of(state: &ChannelState) -> Option<ChannelEnd> {
    if !state.queue.is_empty() {
        return None;
    }
    match &state.status {
        StreamStatus::Open if state.senders > 0 => None,
        StreamStatus::Open => Some(ChannelEnd::NoSenders),
        StreamStatus::Closed | StreamStatus::Gone => Some(ChannelEnd::Closed),
        StreamStatus::Failed(error) => Some(ChannelEnd::Failed(error.clone())),
        StreamStatus::Aborted(reason) => Some(ChannelEnd::Aborted(*reason)),
    }
}

impl Drop for EventReceiver {
    fn drop(&mut self) {
        self.shared.end(StreamStatus::Gone);
        // A sender may outlive the receiver. It must not keep the connection's task, which the
        // waker holds, or the queued bytes.
        let (_waker, _queue) = {
            let mut state = self.shared.lock();
            (state.body_waker.take(), std::mem::take(&mut state.queue))
        };
    }
}

impl fmt::Debug for EventReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventReceiver").field("channel", &self.shared).finish()
    }
}
