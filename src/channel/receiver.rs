//! The end of the channel that a body reads.

use std::{
    error::Error,
    fmt,
    sync::{Arc, atomic::Ordering::Acquire},
    task::{Context, Waker},
    thread,
};

use super::{
    buffer::Buffer,
    ending::{Ask, Cut, Status, TOLD},
    queue::Segment,
    sender::{Control, EventSender},
    state::{Shared, State, renew},
};
use crate::metrics::StreamMetrics;

/// The receiving end of an event channel: what an [`EventBody`](crate::EventBody) is made from,
/// with `EventBody::from`.
///
/// When it is dropped, sending fails and gives the event back.
#[must_use = "without its receiver a channel is closed"]
pub struct EventReceiver {
    shared: Arc<Shared>,
}

/// What there was to take.
#[derive(Debug)]
pub(crate) enum Taken {
    Segment(Segment),
    /// Nothing, and the waker is told when that changes.
    Nothing,
    /// Nothing any more.
    Ended(Ending),
    /// To end, which comes before all that is queued.
    Asked(Ask),
}

#[derive(Debug)]
pub(crate) enum Ending {
    /// By the application.
    Closed,
    NoSenders,
    Failed(Arc<dyn Error + Send + Sync>),
    /// With what was queued gone.
    Cut(Cut),
}

impl EventReceiver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Changes the buffer, before anything was sent.
    pub(crate) fn set_buffer(&self, buffer: Buffer) {
        self.shared.lock().set_buffer(buffer);
    }

    /// Ends the stream as if the application had, and returns whether it had not ended before.
    pub(crate) fn close(&self) -> bool {
        self.shared.end(Status::Closed)
    }

    /// Cuts the stream because its client is too slow.
    pub(crate) fn evict(&self) {
        self.shared.end(Status::Cut(Cut::Evicted));
    }

    /// Tells the senders that a graceful end has begun.
    pub(crate) fn begin_ending(&self) {
        self.shared.begin_ending();
    }

    /// Takes what the body was asked, if it has not heard of it.
    pub(crate) fn take_ask(&self) -> Option<Ask> {
        self.shared.lock().ask.take().map(|ask| *ask)
    }

    pub(crate) fn metrics(&self) -> &StreamMetrics {
        &self.shared.metrics
    }

    /// Creates another sender.
    pub(crate) fn sender(&self) -> EventSender {
        self.shared.lock().senders += 1;
        EventSender::new(self.shared.clone())
    }

    pub(crate) fn control(&self) -> Control {
        Control(self.shared.clone())
    }

    /// Runs the handler's poll, unless the application has ended the stream. While it runs, sending
    /// wakes nobody, for what is sent is taken right after; and a sender that would block this
    /// thread is told so.
    pub(crate) fn while_polling<T>(&self, poll: impl FnOnce() -> T) -> Option<T> {
        let _waker = {
            let mut state = self.shared.lock();
            if !state.is_open() {
                return None;
            }
            state.polling = Some(thread::current().id());
            state.receiver.take()
        };
        let polled = poll();
        self.shared.lock().polling = None;
        Some(polled)
    }

    /// Returns how often streams without senders were told something, any of them. A stream that found
    /// nothing in its channel, and left its waker, has nothing there as long as this stays the same.
    pub(crate) fn told() -> u64 {
        TOLD.load(Acquire)
    }

    /// Takes the first piece of what is there, or leaves the waker.
    pub(crate) fn take(&self, cx: &Context<'_>) -> Taken {
        let mut state = self.shared.lock();
        if let Some(ask) = state.ask.take() {
            return Taken::Asked(*ask);
        }
        if let Some((segment, next)) = state.take() {
            drop(state);
            next.into_iter().for_each(Waker::wake);
            return Taken::Segment(segment);
        }
        let ending = ending(&state);
        let old = match (&ending, &mut state.receiver) {
            // Without senders a handler may still run, and the stream be asked to end.
            (None | Some(Ending::NoSenders), Some(waker)) => renew(waker, cx),
            (None | Some(Ending::NoSenders), none) => none.replace(cx.waker().clone()),
            (Some(_), _) => None,
        };
        drop(state);
        drop(old);
        ending.map_or(Taken::Nothing, Taken::Ended)
    }

    /// As [`take`](Self::take), but leaves events where they are that nobody waits with: a sender for
    /// room, or the end.
    pub(crate) fn take_pressing(&self, cx: &Context<'_>) -> Taken {
        let old = {
            let mut state = self.shared.lock();
            let can_wait = state.is_open() && state.senders > 0 && state.waiting.is_empty();
            if can_wait && state.ask.is_none() && !state.queue.is_empty() {
                Some(match &mut state.receiver {
                    Some(waker) => renew(waker, cx),
                    none => none.replace(cx.waker().clone()),
                })
            } else {
                None
            }
        };
        match old {
            Some(_old) => Taken::Nothing,
            None => self.take(cx),
        }
    }

    /// Ends the stream because nobody takes anything any more, and returns how it had ended before
    /// that, if it had.
    pub(crate) fn leave(&self) -> Option<Ending> {
        let ended = {
            let state = self.shared.lock();
            match &state.status {
                // Whatever is left in the queue.
                Status::Failed(error) => Some(Ending::Failed(error.clone())),
                Status::Open | Status::Closed | Status::Cut(_) | Status::Gone => ending(&state),
            }
        };
        self.shared.end(Status::Gone);
        ended
    }

    /// Returns whether there is nothing to take, and never will be, and no error to tell.
    pub(crate) fn is_finished(&self) -> bool {
        let state = self.shared.lock();
        // What a shutdown asks is to be answered first.
        state.ask.is_none() && matches!(ending(&state), Some(Ending::Closed | Ending::NoSenders))
    }
}

fn ending(state: &State) -> Option<Ending> {
    if !state.queue.is_empty() {
        return None;
    }
    match &state.status {
        Status::Open if state.senders > 0 => None,
        Status::Open => Some(Ending::NoSenders),
        Status::Closed | Status::Gone => Some(Ending::Closed),
        Status::Failed(error) => Some(Ending::Failed(error.clone())),
        Status::Cut(cut) => Some(Ending::Cut(*cut)),
    }
}

impl Drop for EventReceiver {
    fn drop(&mut self) {
        self.shared.end(Status::Gone);
        // A sender that is kept must keep neither the connection's task, which the waker holds, nor
        // the bytes.
        let (_waker, _queue) = {
            let mut state = self.shared.lock();
            (state.receiver.take(), std::mem::take(&mut state.queue))
        };
    }
}

impl fmt::Debug for EventReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventReceiver").field("channel", &self.shared).finish()
    }
}
