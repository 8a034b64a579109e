//! The request to end a stream, and the place where a stream without a channel receives it.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

use tokio::time::Instant;

use super::handle::StopTarget;

/// A shutdown's request that a stream ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopRequest {
    /// When the handler is told.
    pub(crate) begin: Instant,
    /// When the stream ends, unless it has ended by itself before.
    pub(crate) end: Instant,
    /// Whether the stream ends without a farewell.
    pub(crate) silent: bool,
}

impl StopRequest {
    /// Merges a later request into the pending one: the earlier end applies, and a silent end stays
    /// silent.
    pub(crate) fn merge_into(self, pending: &mut Option<Box<Self>>) {
        let silent = self.silent || pending.as_ref().is_some_and(|before| before.silent);
        match pending {
            Some(before) if before.end < self.end => before.silent = silent,
            pending => *pending = Some(Box::new(Self { silent, ..self })),
        }
    }
}

/// Where a stream without a channel receives a [`StopRequest`].
#[derive(Debug, Default)]
pub(crate) struct StopSlot {
    state: Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    /// The request that the body has not taken yet. Boxed, since most streams never get one.
    request: Option<Box<StopRequest>>,
    /// Wakes the body. `Some` from the time the body found no request until one comes.
    waker: Option<Waker>,
}

impl StopSlot {
    /// Takes the request, or stores the waker that the next request wakes.
    pub(crate) fn take(&self, cx: &Context<'_>) -> Option<StopRequest> {
        // Cloned before the lock is taken and dropped after it is released: a waker is foreign code.
        let waker = cx.waker().clone();
        let (request, _previous) = {
            let mut state = self.lock();
            match state.request.take() {
                Some(request) => (Some(*request), None),
                None => (None, state.waker.replace(waker)),
            }
        };
        request
    }

    /// Takes the request of a stream that is not polled.
    pub(crate) fn take_request(&self) -> Option<StopRequest> {
        self.lock().request.take().map(|request| *request)
    }

    fn lock(&self) -> MutexGuard<'_, SlotState> {
        // No foreign code runs under the lock, so a poisoned lock guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StopTarget for StopSlot {
    fn request_stop(&self, request: StopRequest) -> Option<Waker> {
        let mut state = self.lock();
        request.merge_into(&mut state.request);
        state.waker.take()
    }

    fn cancel_stop(&self) {
        let _request = mem::take(&mut self.lock().request);
    }
}
