//! A send that may have to wait.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::{
    error::{Kind, SendError},
    sender::{EventSender, SinkState},
    state::{Offered, State, Ticket},
};
use crate::encode::{Encode, Layout};

/// The future of a send.
///
/// | state | `event` | `ticket` |
/// |---|---|---|
/// | not polled, or has yielded | some | none |
/// | in line | some | some |
/// | done | none | none |
#[must_use = "futures do nothing unless awaited"]
pub(super) struct Sending<'a, E: Encode> {
    sender: &'a EventSender,
    event: Option<E>,
    /// Some from the first poll on.
    layout: Option<Layout>,
    ticket: Option<Ticket>,
    blocking: bool,
    /// It has let others run.
    yielded: bool,
}

impl<'a, E: Encode> Sending<'a, E> {
    pub(super) fn new(sender: &'a EventSender, event: E) -> Self {
        Self {
            sender,
            event: Some(event),
            layout: None,
            ticket: None,
            blocking: false,
            yielded: false,
        }
    }

    /// A send that is polled by a thread which blocks, and so has nobody to let run.
    pub(super) fn blocking(sender: &'a EventSender, event: E) -> Self {
        let mut sending = Self::new(sender, event);
        (sending.blocking, sending.yielded) = (true, true);
        sending
    }
}

impl<E: Encode> Future for Sending<'_, E> {
    type Output = Result<(), SendError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let event = this.event.as_ref().expect("a send is not polled after it is done");
        let layout = this.layout.get_or_insert_with(|| event.layout());
        let mut state = this.sender.shared().lock();
        let closed = this.sender.sink == SinkState::Closed;
        let would_wait = |state: &State| !closed && state.would_wait(layout.len, this.ticket);
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
            state.offer(event, layout, this.ticket)
        };
        let failed = match &offered {
            Offered::Taken { .. } => None,
            Offered::Refused(kind) => Some(*kind),
            Offered::NoRoom if this.blocking && state.is_polled_here() => Some(Kind::Deadlock),
            Offered::NoRoom => {
                let (ticket, old) = state.wait(this.ticket, cx);
                drop(state);
                drop(old);
                this.ticket = Some(ticket);
                return Poll::Pending;
            }
        };
        let left = this.ticket.take().map(|ticket| state.leave(ticket)).unwrap_or_default();
        let receiver = if failed.is_none() { state.receiver.take() } else { None };
        drop(state);
        drop(offered);
        left.next.into_iter().chain(receiver).for_each(Waker::wake);
        let event = this.event.take();
        Poll::Ready(match (failed, event) {
            (Some(kind), Some(event)) => Err(SendError::new(kind, event)),
            _ => Ok(()),
        })
    }
}

/// Nothing in it is pinned: the event is only ever looked at, and moved out.
impl<E: Encode> Unpin for Sending<'_, E> {}

impl<E: Encode> Drop for Sending<'_, E> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let left = self.sender.shared().lock().leave(ticket);
        left.next.into_iter().for_each(Waker::wake);
    }
}
