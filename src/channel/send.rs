//! A send that may have to wait.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use super::{
    error::{Kind, SendError},
    patience::Patience,
    sender::{EventSender, SinkState},
    state::{Offered, State, Ticket},
};
use crate::encode::{Encode, Layout};

/// The future of a send.
///
/// | state | `event` | `waiting` |
/// |---|---|---|
/// | not polled, or has yielded | some | none |
/// | in line | some | some |
/// | done | none | none |
///
/// It is small, for it is moved to where it is polled: what only a send needs that waits is apart.
#[must_use = "futures do nothing unless awaited"]
pub(super) struct Sending<'a, E: Encode> {
    sender: &'a EventSender,
    event: Option<E>,
    waiting: Option<Box<Waiting>>,
    blocking: bool,
    /// It has let others run.
    yielded: bool,
}

/// A place in line.
struct Waiting {
    layout: Layout,
    ticket: Ticket,
    patience: Patience,
}

impl<'a, E: Encode> Sending<'a, E> {
    pub(super) fn new(sender: &'a EventSender, event: E) -> Self {
        Self { sender, event: Some(event), waiting: None, blocking: false, yielded: false }
    }

    /// A send that is polled by a thread which blocks, and so has nobody to let run.
    pub(super) fn blocking(sender: &'a EventSender, event: E) -> Self {
        let mut sending = Self::new(sender, event);
        (sending.blocking, sending.yielded) = (true, true);
        sending
    }

    /// Returns how much longer a thread waits at the most.
    pub(super) fn left(&self) -> Option<Duration> {
        self.waiting.as_ref()?.patience.left()
    }
}

impl<E: Encode> Future for Sending<'_, E> {
    type Output = Result<(), SendError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let event = this.event.as_ref().expect("a send is not polled after it is done");
        let (layout, ticket) = match &this.waiting {
            Some(waiting) => (waiting.layout.clone(), Some(waiting.ticket)),
            None => (event.layout(), None),
        };
        let mut state = this.sender.shared().lock();
        let closed = this.sender.sink == SinkState::Closed;
        let would_wait = |state: &State| !closed && state.would_wait(layout.len, ticket);
        if !this.yielded && state.must_yield(would_wait) {
            this.yielded = true;
            drop(state);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let offered = if closed {
            state.count_refused();
            Offered::Refused(Kind::Closed)
        } else {
            state.offer(event, &layout, ticket)
        };
        let failed = match &offered {
            Offered::Taken(_) => None,
            Offered::Refused(kind) => Some(*kind),
            Offered::NoRoom if this.blocking && state.is_polled_here() => Some(Kind::Deadlock),
            Offered::NoRoom => {
                let limit = state.patience();
                let (ticket, old) = state.wait(ticket, cx);
                drop(state);
                drop(old);
                match &mut this.waiting {
                    Some(waiting) => waiting.ticket = ticket,
                    none => {
                        let patience = Patience::default();
                        *none = Some(Box::new(Waiting { layout, ticket, patience }));
                    }
                }
                return this.poll_waiting(limit, cx);
            }
        };
        let left = ticket.map(|ticket| state.leave(ticket)).unwrap_or_default();
        let receiver = if failed.is_none() { state.receiver.take() } else { None };
        let len = layout.len;
        drop(state);
        left.next.into_iter().chain(receiver).for_each(Waker::wake);
        let metrics = &this.sender.shared().metrics;
        if let Some(mut waiting) = this.waiting.take() {
            metrics.waited(&waiting.patience.take_wait_timer());
        }
        if let Offered::Taken(dropped) = offered {
            metrics.sent(len, dropped.events);
        }
        if let Some(kind) = failed {
            let event = this.event.take();
            return Poll::Ready(event.map_or(Ok(()), |event| Err(SendError::new(kind, event))));
        }
        // Dropped where it is.
        this.event = None;
        Poll::Ready(Ok(()))
    }
}

impl<E: Encode> Sending<'_, E> {
    /// Waits, and evicts the stream if that lasts for too long.
    fn poll_waiting(
        &mut self,
        limit: Option<Duration>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<E>>> {
        let shared = self.sender.shared();
        let Some(waiting) = &mut self.waiting else { return Poll::Pending };
        let evicted = ready!(if self.blocking {
            waiting.patience.check(limit, shared)
        } else {
            waiting.patience.poll(limit, shared, cx)
        });
        let kind = if evicted { Kind::TimedOut } else { Kind::Closed };
        shared.metrics.waited(&waiting.patience.take_wait_timer());
        // The line was given up with the stream.
        self.waiting = None;
        let event = self.event.take();
        Poll::Ready(event.map_or(Ok(()), |event| Err(SendError::new(kind, event))))
    }
}

/// Nothing in it is pinned: the event is only ever looked at, and moved out.
impl<E: Encode> Unpin for Sending<'_, E> {}

impl<E: Encode> Drop for Sending<'_, E> {
    fn drop(&mut self) {
        let Some(mut waiting) = self.waiting.take() else { return };
        let shared = self.sender.shared();
        shared.metrics.waited(&waiting.patience.take_wait_timer());
        let left = shared.lock().leave(waiting.ticket);
        left.next.into_iter().for_each(Waker::wake);
    }
}
