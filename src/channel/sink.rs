//! The sender as a `Sink`: a place is reserved before the event is there.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use futures_sink::Sink;

use super::{
    error::{Kind, SendError},
    sender::{EventSender, SinkState},
    state::Offered,
};
use crate::encode::Encode;

impl EventSender {
    /// Gets a place, unless the buffer is of the kind in which nobody has to wait for one.
    fn poll_reserve(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Kind>> {
        let ticket = match self.sink {
            SinkState::Waiting(ticket) => Some(ticket),
            SinkState::Idle | SinkState::Reserved | SinkState::Closed => None,
        };
        let mut state = self.shared().lock();
        let over = self.sink == SinkState::Closed || !state.is_open();
        if self.sink == SinkState::Reserved && !over {
            return Poll::Ready(Ok(()));
        }
        if state.must_yield(|state| !over && state.would_wait(1, ticket)) {
            drop(state);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if over {
            state.count_refused();
            return Poll::Ready(Err(Kind::Closed));
        }
        if !state.senders_wait() {
            return Poll::Ready(Ok(()));
        }
        if !state.reserve(ticket) {
            let limit = state.patience();
            let (ticket, old) = state.wait(ticket, cx);
            drop(state);
            drop(old);
            self.sink = SinkState::Waiting(ticket);
            let shared = self.shared_handle();
            let evicted = ready!(self.patience.poll(limit, &shared, cx));
            self.end_waiting();
            return Poll::Ready(Err(if evicted { Kind::TimedOut } else { Kind::Closed }));
        }
        let left = ticket.map(|ticket| state.leave(ticket)).unwrap_or_default();
        drop(state);
        self.sink = SinkState::Reserved;
        self.end_waiting();
        left.next.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    /// Tells how long this clone has waited, now that it does not any more.
    pub(super) fn end_waiting(&mut self) {
        let waited = self.patience.take_wait_timer();
        self.shared().metrics.waited(&waited);
    }
}

impl<E: Encode> Sink<E> for EventSender {
    type Error = SendError<E>;

    /// Reserves a place for one event, which is this clone's until it sends, or is dropped.
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<E>>> {
        let this = self.get_mut();
        let reserved = ready!(this.poll_reserve(cx));
        Poll::Ready(reserved.map_err(SendError::without_event))
    }

    fn start_send(self: Pin<&mut Self>, event: E) -> Result<(), SendError<E>> {
        let this = self.get_mut();
        if this.sink != SinkState::Reserved {
            return this.try_send(event);
        }
        let layout = event.layout();
        let (offered, wake) = {
            let mut state = this.shared().lock();
            let offered = state.offer_reserved(&event, &layout);
            let wake = match offered {
                Offered::Taken(_) => state.receiver.take(),
                // The place is free again.
                Offered::NoRoom | Offered::Refused(_) => state.next_turn(),
            };
            (offered, wake)
        };
        this.sink = SinkState::Idle;
        wake.into_iter().for_each(Waker::wake);
        match offered {
            Offered::Refused(kind) => Err(SendError::new(kind, event)),
            Offered::Taken(dropped) => {
                this.shared().metrics.sent(layout.len, dropped.events);
                Ok(())
            }
            Offered::NoRoom => Ok(()),
        }
    }

    /// Is done at once: what was accepted is on its way.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SendError<E>>> {
        Poll::Ready(Ok(()))
    }

    /// Ends this clone; the stream goes on while there are others.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SendError<E>>> {
        let this = self.get_mut();
        if this.sink != SinkState::Closed {
            this.leave_sink(SinkState::Closed);
            this.count_out();
        }
        Poll::Ready(Ok(()))
    }
}
