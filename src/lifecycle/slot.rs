//! Where a stream without a channel receives the request to end.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

use super::{handle::StopTarget, stop::StopRequest};

/// Where a stream without a channel receives a [`StopRequest`].
#[derive(Debug, Default)]
pub(crate) struct StopSlot {
    /// The request, or the waker for it.
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
        // Cloned before the lock is taken and dropped after it is released: a waker is foreign
        // code.
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
        // No foreign code runs under the lock, so a poisoned lock guards a consistent state.
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
