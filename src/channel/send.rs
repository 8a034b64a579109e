//! A send that may have to wait.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use super::{
    error::{SendError, SendErrorKind},
    send_timeout::SendTimeout,
    shared::Shared,
    state::Offered,
    waiting::Ticket,
};
use crate::encode::{Encode, Layout};

/// The future of a send.
///
/// | state | `event` | `waiting` |
/// |---|---|---|
/// | not polled, or has yielded | `Some` | `None` |
/// | in line | `Some` | `Some` |
/// | done | `None` | `None` |
///
/// It is kept small because it is moved before its first poll. The state of a send that waits is
/// boxed.
#[must_use = "futures do nothing unless awaited"]
pub(super) struct SendFuture<'a, E: Encode> {
    shared: &'a Shared,
    event: Option<E>,
    waiting: Option<Box<Waiting>>,
    /// A blocked thread polls it.
    blocking: bool,
    /// It has yielded once, or must not yield.
    yielded: bool,
}

/// A place in the line of senders.
struct Waiting {
    /// The layout of the event, measured once.
    layout: Layout,
    /// The place in the line.
    ticket: Ticket,
    /// How long the send has waited, and may wait.
    timeout: SendTimeout,
}

impl<'a, E: Encode> SendFuture<'a, E> {
    pub(super) fn new(shared: &'a Shared, event: E) -> Self {
        Self { shared, event: Some(event), waiting: None, blocking: false, yielded: false }
    }

    /// Creates a send for a thread that blocks. It never yields, because there is nothing on this
    /// thread to yield to.
    pub(super) fn blocking(shared: &'a Shared, event: E) -> Self {
        Self { shared, event: Some(event), waiting: None, blocking: true, yielded: true }
    }

    /// Returns how much longer a thread may wait, or `None` if there is no limit.
    pub(super) fn remaining(&self) -> Option<Duration> {
        self.waiting.as_ref()?.timeout.remaining()
    }

    /// Ends the future with the event in an error.
    fn fail(&mut self, kind: SendErrorKind) -> Poll<Result<(), SendError<E>>> {
        let event = self.event.take();
        Poll::Ready(event.map_or(Ok(()), |event| Err(SendError::new(kind, event))))
    }

    /// Waits in line, and evicts the stream if that takes too long.
    fn poll_waiting(
        &mut self,
        limit: Option<Duration>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<E>>> {
        let Some(waiting) = &mut self.waiting else { return Poll::Pending };
        let evicted = ready!(if self.blocking {
            waiting.timeout.check(limit, self.shared)
        } else {
            waiting.timeout.poll(limit, self.shared, cx)
        });
        let kind = if evicted { SendErrorKind::TimedOut } else { SendErrorKind::Closed };
        self.shared.metrics.waited(&waiting.timeout.take_wait_timer());
        // The line was cleared when the stream ended.
        self.waiting = None;
        self.fail(kind)
    }
}

impl<E: Encode> Future for SendFuture<'_, E> {
    type Output = Result<(), SendError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let event = this.event.as_ref().expect("a send is not polled after it is done");
        let (layout, ticket) = match &this.waiting {
            Some(waiting) => (waiting.layout.clone(), Some(waiting.ticket)),
            None => (event.layout(), None),
        };
        let mut state = this.shared.lock();
        if !this.yielded && state.must_yield(|state| state.would_wait(layout.len, ticket)) {
            this.yielded = true;
            drop(state);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let offered = state.offer(event, &layout, ticket);
        let refused = match &offered {
            Offered::Accepted(_) => None,
            Offered::Refused(kind) => Some(*kind),
            Offered::NoRoom if this.blocking && state.is_polled_here() => {
                Some(SendErrorKind::Deadlock)
            }
            Offered::NoRoom => {
                let limit = state.wait_limit();
                let (ticket, previous) = state.wait(ticket, cx);
                // The body waits although the queue is full if a batch window holds it back.
                let body = state.body_waker.take();
                drop(state);
                drop(previous);
                body.into_iter().for_each(Waker::wake);
                match &mut this.waiting {
                    Some(waiting) => waiting.ticket = ticket,
                    none => {
                        let timeout = SendTimeout::default();
                        *none = Some(Box::new(Waiting { layout, ticket, timeout }));
                    }
                }
                return this.poll_waiting(limit, cx);
            }
        };
        let release = ticket.map(|ticket| state.leave(ticket)).unwrap_or_default();
        let body = if refused.is_none() { state.body_waker.take() } else { None };
        drop(state);
        release.next.into_iter().chain(body).for_each(Waker::wake);
        let metrics = &this.shared.metrics;
        if let Some(mut waiting) = this.waiting.take() {
            metrics.waited(&waiting.timeout.take_wait_timer());
        }
        if let Offered::Accepted(dropped) = offered {
            metrics.sent(layout.len, dropped.events);
        }
        if let Some(kind) = refused {
            return this.fail(kind);
        }
        // Dropped in place: a move of the event would cost more.
        this.event = None;
        Poll::Ready(Ok(()))
    }
}

/// Nothing in the future is pinned: the event is only looked at, and moved out.
impl<E: Encode> Unpin for SendFuture<'_, E> {}

impl<E: Encode> Drop for SendFuture<'_, E> {
    fn drop(&mut self) {
        let Some(mut waiting) = self.waiting.take() else { return };
        self.shared.metrics.waited(&waiting.timeout.take_wait_timer());
        let release = self.shared.lock().leave(waiting.ticket);
        release.next.into_iter().for_each(Waker::wake);
    }
}
