//! A sender as a `Sink`: room is reserved before the event is there.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use futures_sink::Sink;

use super::{
    error::{SendError, SendErrorKind},
    send_timeout::SendTimeout,
    sender::EventSender,
    shared::Shared,
    state::Offered,
    waiting::Ticket,
};
use crate::{encode::Encode, event::Event};

/// A sender as a [`Sink`] of events, made by [`EventSender::into_sink`].
///
/// `poll_ready` reserves room for one event. `poll_flush` completes at once, since accepted events
/// need no flush. `poll_close` drops the sender; the stream stays open while there are others.
///
/// A sink that waits holds its place in line, and a sink that is ready holds its room, until it
/// sends, is closed or is dropped. Drop a sink that is not used any more.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
/// use futures_util::{StreamExt, stream};
/// use tower_sse::{Buffer, Event, EventBody, event_channel};
///
/// let (events, receiver) = event_channel(Buffer::fixed(16));
/// let numbers = stream::iter(1..=3).map(|n| Ok(Event::new(n)));
/// numbers.forward(events.into_sink()).await?;
///
/// let mut body = EventBody::from(receiver).without_greeting();
/// assert_eq!(body.next_chunk().await.unwrap()?, "data: 1\n\ndata: 2\n\ndata: 3\n\n");
/// # Ok(()) }
/// ```
#[must_use = "a sink does nothing unless events are sent to it"]
pub struct EventSink<E = Event> {
    /// `None` after `poll_close`, so that a closed sink does not keep the stream open.
    sender: Option<EventSender>,
    /// The channel, also after the sink was closed.
    shared: Arc<Shared>,
    /// What the sink holds.
    state: SinkState,
    /// How long the sink has waited for room.
    timeout: SendTimeout,
    _events: PhantomData<fn(E)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SinkState {
    Idle,
    /// The sink stands in line.
    Waiting(Ticket),
    /// The sink has room for one event.
    Reserved,
}

impl EventSender {
    /// Makes a [`Sink`] of this sender.
    pub fn into_sink<E: Encode>(self) -> EventSink<E> {
        EventSink::new(self)
    }
}

impl<E> EventSink<E> {
    pub(super) fn new(sender: EventSender) -> Self {
        Self {
            shared: sender.shared().clone(),
            sender: Some(sender),
            state: SinkState::Idle,
            timeout: SendTimeout::default(),
            _events: PhantomData,
        }
    }

    /// Returns the sender, or `None` after the sink was closed.
    #[must_use]
    pub fn get_ref(&self) -> Option<&EventSender> {
        self.sender.as_ref()
    }

    /// Gives up what the sink holds, and returns the sender, or `None` after the sink was closed.
    #[must_use]
    pub fn into_inner(mut self) -> Option<EventSender> {
        self.release();
        self.sender.take()
    }

    /// Reserves room. Buffers that drop events always have room, so nothing is reserved there.
    fn poll_reserve(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendErrorKind>> {
        let shared = &self.shared;
        let ticket = match self.state {
            SinkState::Waiting(ticket) => Some(ticket),
            SinkState::Idle | SinkState::Reserved => None,
        };
        let mut state = shared.lock();
        let is_open = self.sender.is_some() && state.is_open();
        if self.state == SinkState::Reserved && is_open {
            return Poll::Ready(Ok(()));
        }
        if state.must_yield(|state| is_open && state.would_wait(1, ticket)) {
            drop(state);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !is_open {
            state.count_refused();
            return Poll::Ready(Err(SendErrorKind::Closed));
        }
        if !state.senders_wait() {
            return Poll::Ready(Ok(()));
        }
        if !state.reserve(ticket) {
            let limit = state.wait_limit();
            let (ticket, previous) = state.wait(ticket, cx);
            // The body waits although the queue is full if a batch window holds it back.
            let body = state.body_waker.take();
            drop(state);
            drop(previous);
            body.into_iter().for_each(Waker::wake);
            self.state = SinkState::Waiting(ticket);
            let evicted = ready!(self.timeout.poll(limit, shared, cx));
            shared.metrics.waited(&self.timeout.take_wait_timer());
            let kind = if evicted { SendErrorKind::TimedOut } else { SendErrorKind::Closed };
            return Poll::Ready(Err(kind));
        }
        let release = ticket.map(|ticket| state.leave(ticket)).unwrap_or_default();
        drop(state);
        self.state = SinkState::Reserved;
        shared.metrics.waited(&self.timeout.take_wait_timer());
        release.next.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    /// Gives up the place in line or the reserved room, and passes it on.
    fn release(&mut self) {
        let release = match std::mem::replace(&mut self.state, SinkState::Idle) {
            SinkState::Idle => return,
            SinkState::Waiting(ticket) => {
                self.shared.metrics.waited(&self.timeout.take_wait_timer());
                self.shared.lock().leave(ticket)
            }
            SinkState::Reserved => self.shared.lock().unreserve(),
        };
        release.next.into_iter().for_each(Waker::wake);
    }
}

impl<E: Encode> Sink<E> for EventSink<E> {
    type Error = SendError<E>;

    /// Reserves room for one event. The sink keeps it until it sends, is closed or is dropped.
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<E>>> {
        let reserved = ready!(self.get_mut().poll_reserve(cx));
        Poll::Ready(reserved.map_err(SendError::without_event))
    }

    fn start_send(self: Pin<&mut Self>, event: E) -> Result<(), SendError<E>> {
        let this = self.get_mut();
        let Some(sender) = &this.sender else {
            return Err(SendError::new(SendErrorKind::Closed, event));
        };
        if this.state != SinkState::Reserved {
            return sender.try_send(event);
        }
        this.state = SinkState::Idle;
        let layout = event.layout();
        let (offered, wake) = {
            let mut state = this.shared.lock();
            let offered = state.offer_reserved(&event, &layout);
            let wake = match offered {
                Offered::Accepted(_) => state.body_waker.take(),
                // The room is free again.
                Offered::NoRoom | Offered::Refused(_) => state.next_turn(),
            };
            (offered, wake)
        };
        wake.into_iter().for_each(Waker::wake);
        match offered {
            Offered::Refused(kind) => Err(SendError::new(kind, event)),
            Offered::Accepted(dropped) => {
                this.shared.metrics.sent(layout.len, dropped.events);
                Ok(())
            }
            Offered::NoRoom => Ok(()),
        }
    }

    /// Completes at once: accepted events need no flush.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SendError<E>>> {
        Poll::Ready(Ok(()))
    }

    /// Drops the sender. The stream stays open while there are others.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SendError<E>>> {
        let this = self.get_mut();
        this.release();
        this.sender = None;
        Poll::Ready(Ok(()))
    }
}

/// Nothing in a sink is pinned.
impl<E> Unpin for EventSink<E> {}

impl<E> Clone for EventSink<E> {
    /// Clones the sink. The clone holds no room, and is closed if this sink is.
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            shared: self.shared.clone(),
            state: SinkState::Idle,
            timeout: SendTimeout::default(),
            _events: PhantomData,
        }
    }
}

impl<E> Drop for EventSink<E> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<E> fmt::Debug for EventSink<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSink")
            .field("sender", &self.sender)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
