//! The state that senders, receiver and handler of one stream share, behind one lock.
//!
//! No foreign code runs under the lock, with the exception of `Waker::clone`. Wakers that must be
//! woken or dropped, and bytes that must be freed (their owner may be anything), are returned from
//! under the lock and handled after it is released.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

use tokio::{sync::Notify, time::Instant};

use super::{Buffer, state::ChannelState};
use crate::{
    lifecycle::{StopRequest, StopTarget, StreamStatus},
    metrics::SendMetrics,
};

/// The shared part of an event channel.
///
/// It is also the waker of a handler that runs inside its body: waking it marks the handler as
/// woken and wakes the body. So the body knows whether its own poll is due to the handler.
#[repr(C)]
pub(super) struct Shared {
    /// The queue, the waiting senders, and how the stream ended.
    state: Mutex<ChannelState>,
    /// Notified when a graceful end begins, and when the stream ends.
    pub(super) changed: Notify,
    /// Used without the lock only: the recorder is foreign code.
    pub(super) metrics: SendMetrics,
}

impl Shared {
    pub(super) fn new(buffer: Buffer) -> Self {
        Self {
            state: Mutex::new(ChannelState::new(buffer)),
            changed: Notify::new(),
            metrics: SendMetrics::new(),
        }
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, ChannelState> {
        // Only `Waker::clone` can panic under the lock, and it is called before anything changes
        // that depends on it. So a poisoned lock guards a consistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the stream, and returns whether this call did. An aborted stream loses its queue at
    /// once: the body may never be polled again.
    pub(super) fn end(&self, status: StreamStatus) -> bool {
        let (waiting, body, _queue) = {
            let mut state = self.lock();
            if !state.status.allows(&status) {
                return false;
            }
            let is_aborted = matches!(status, StreamStatus::Aborted(_));
            state.status = status;
            let queue = is_aborted.then(|| mem::take(&mut state.queue));
            (state.take_waiting(), state.body_waker.take(), queue)
        };
        self.changed.notify_waiters();
        waiting.chain(body).for_each(Waker::wake);
        true
    }

    /// Tells the senders that a graceful end has begun.
    pub(super) fn begin_ending(&self) {
        self.lock().ending = true;
        self.changed.notify_waiters();
    }

    /// Marks the handler as woken, and wakes its body.
    fn wake_handler(&self) {
        let body = self.lock().wake_handler();
        body.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_handler();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_handler();
    }
}

impl StopTarget for Shared {
    fn request_stop(&self, request: StopRequest) -> Option<Waker> {
        let (body, has_begun) = {
            let mut state = self.lock();
            // Senders elsewhere learn it here: the body of a client that does not read is not
            // polled.
            let has_begun = request.begin <= Instant::now();
            state.ending |= has_begun;
            request.merge_into(&mut state.stop);
            (state.body_waker.take(), has_begun)
        };
        if has_begun {
            self.changed.notify_waiters();
        }
        body
    }

    fn cancel_stop(&self) {
        let _request = mem::take(&mut self.lock().stop);
    }
}

/// Shows only facts that are available without waiting for the lock.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Channel");
        if let Ok(state) = self.state.try_lock() {
            shown.field("open", &state.status.is_open());
            shown.field("queued", &state.queue.events()).field("waiting", &state.waiting());
        }
        shown.finish_non_exhaustive()
    }
}
