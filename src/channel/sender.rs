//! Where the application puts events.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use super::{
    ending::{Ask, Cut, Status},
    error::{Kind, SendError},
    patience::Patience,
    send::Sending,
    state::{Offered, Shared, State, Ticket},
};
use crate::{BoxError, encode::Encode, metrics::StreamMetrics};

/// The sending end of an event channel: clone it, move it to tasks and threads, keep it.
///
/// Sending never waits for the network, only for room in the [`Buffer`](crate::Buffer). The stream
/// is open until the last clone is gone, its handler has returned, or one of them calls
/// [`close`](Self::close) or [`fail`](Self::fail).
///
/// It is a [`Sink`](futures_sink::Sink) too: `poll_ready` reserves a place, `poll_flush` is done at
/// once, since what was accepted is on its way, and `poll_close` ends this clone alone. A clone
/// that was told to wait, or that it is ready, has its turn or its place until it sends, is closed
/// or is dropped: so drop the clone with what was sending to it, and use its methods on another.
/// It is a sink of events and of encoded events, so `flush` and `close` of `SinkExt` have to be told
/// of which: `SinkExt::<Event>::close(&mut events)`.
///
/// See the [module docs](crate::channel) for order, bounds and the end.
pub struct EventSender {
    shared: Arc<Shared>,
    pub(super) sink: SinkState,
    /// How long this clone has waited as a sink.
    pub(super) patience: Patience,
}

/// Where this clone stands as a sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SinkState {
    #[default]
    Idle,
    Waiting(Ticket),
    Reserved,
    Closed,
}

impl EventSender {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, sink: SinkState::default(), patience: Patience::default() }
    }

    /// Sends an event, and waits for room if the buffer is full and of the kind that lets senders
    /// wait.
    ///
    /// Accepted means on its way: it goes out in the order of acceptance, unless the client leaves.
    /// After as many sends as the buffer holds, fewer if they are large or very many, it lets others
    /// run once, even if there is room, so that a handler that only sends cannot keep its body from
    /// writing.
    ///
    /// # Errors
    ///
    /// Returns the event if the stream is over, or if the event is larger than the buffer's
    /// `max_event_bytes`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has not sent the event, which is dropped with it, and its
    /// turn passes on to the next who waits. To keep the event, send a clone.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_sse::{Event, event_channel_handler};
    ///
    /// let handler = event_channel_handler::<_, _, ()>(|_, events| async move {
    ///     for n in 0..10 {
    ///         events.send(Event::new(n).with_id(n)).await?;
    ///     }
    ///     Ok(())
    /// });
    /// # let _ = handler;
    /// ```
    pub fn send<E: Encode>(
        &self,
        event: E,
    ) -> impl Future<Output = Result<(), SendError<E>>> + Send + use<'_, E> {
        Sending::new(self, event)
    }

    /// Sends an event if there is room now and nobody waits for it.
    ///
    /// With a dropping or a sliding buffer there always is, as it drops what does not fit.
    ///
    /// # Errors
    ///
    /// Returns the event if it would have to wait, if the stream is over, or if it is too large.
    pub fn try_send<E: Encode>(&self, event: E) -> Result<(), SendError<E>> {
        let layout = event.layout();
        let (offered, wake) = {
            let mut state = self.shared.lock();
            let offered = if self.sink == SinkState::Closed {
                Offered::Refused(Kind::Closed)
            } else {
                state.offer(&event, &layout, None)
            };
            let wake =
                matches!(offered, Offered::Taken(_)).then(|| state.receiver.take()).flatten();
            (offered, wake)
        };
        wake.into_iter().for_each(Waker::wake);
        match offered {
            Offered::Taken(dropped) => {
                self.shared.metrics.sent(layout.len, dropped.events);
                Ok(())
            }
            Offered::NoRoom => Err(SendError::new(Kind::Full, event)),
            Offered::Refused(kind) => Err(SendError::new(kind, event)),
        }
    }

    /// Sends an event from a thread, and blocks the thread while there is no room.
    ///
    /// For threads of your own and for `spawn_blocking`. On a thread of an async runtime it blocks
    /// what else the thread should run; if that is the very body which would make room, it
    /// would wait for ever.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send). And if the buffer is full and the caller is the handler inside its
    /// body, so that blocking would be a deadlock: see [`SendError::is_deadlock`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_sse::{Event, SendError, event_channel_handler};
    ///
    /// let handler = event_channel_handler::<_, _, ()>(|_, events| async move {
    ///     std::thread::spawn(move || {
    ///         for n in 0..10 {
    ///             events.blocking_send(Event::new(n))?;
    ///         }
    ///         Ok::<_, SendError>(())
    ///     });
    ///     Ok(())
    /// });
    /// # let _ = handler;
    /// ```
    pub fn blocking_send<E: Encode>(&self, event: E) -> Result<(), SendError<E>> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut sending = pin!(Sending::blocking(self, event));
        loop {
            match sending.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => return result,
                Poll::Pending => match sending.left() {
                    Some(left) => thread::park_timeout(left),
                    None => thread::park(),
                },
            }
        }
    }

    /// Ends the stream. What was accepted still goes out, and the handler, if it has not returned,
    /// is dropped where it awaits; the end reason is
    /// [`EndReason::Finished`](crate::EndReason::Finished).
    ///
    /// After another end it does nothing.
    pub fn close(&self) {
        self.shared.end(Status::Closed);
    }

    /// Ends the stream abnormally. What was accepted still goes out, then the body ends with the
    /// error, so that the client can tell a truncated stream from a finished one; the end
    /// reason is [`EndReason::Failed`](crate::EndReason::Failed).
    ///
    /// A handler fails by returning the error; this is for senders elsewhere. After another end it
    /// does nothing.
    pub fn fail(&self, error: impl Into<BoxError>) {
        self.shared.end(Status::Failed(Arc::from(error.into())));
    }

    /// Cuts the stream, because its client has no right to it any more: a token that was revoked.
    /// What waits for the client is dropped, what the body has begun to give goes out, and it ends
    /// with an error; the end reason is [`EndReason::Revoked`](crate::EndReason::Revoked).
    ///
    /// A browser comes back, and is told in `on_connect` what is the matter. A stream that was closed,
    /// and still gives what was sent, is cut as well; after another end it does nothing.
    pub fn revoke(&self) {
        self.shared.end(Status::Cut(Cut::Revoked));
    }

    /// Waits until the server begins to end the stream, at a [shutdown](crate::shutdown) or before
    /// its [lifetime](crate::EventBody::max_lifetime) is over, or until it is over. What is sent
    /// from then on still goes out, for as long as the [`Farewell`](crate::Farewell) gives.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again at any time.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Event, event_channel_handler};
    ///
    /// let handler = event_channel_handler::<_, _, ()>(|_, events| async move {
    ///     for n in 0.. {
    ///         tokio::select! {
    ///             () = tokio::time::sleep(Duration::from_secs(1)) => {}
    ///             () = events.ending() => break,
    ///         }
    ///         events.send(Event::new(n)).await?;
    ///     }
    ///     events.send(Event::new("that is all").with_type("end")).await?;
    ///     Ok(())
    /// });
    /// # let _ = handler;
    /// ```
    pub async fn ending(&self) {
        self.told_that(Self::is_ending).await;
    }

    /// Returns whether the server has begun to end the stream, or it is over.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        let over = |state: &State| state.ending || !state.is_open();
        self.sink == SinkState::Closed || over(&self.shared.lock())
    }

    /// Waits until the stream is over: closed, failed, or its client is gone. For a clone that was
    /// closed as a sink it is over at once.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again at any time.
    pub async fn closed(&self) {
        self.told_that(Self::is_closed).await;
    }

    /// Returns whether the stream is over, so that whatever is sent comes back.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sink == SinkState::Closed || !self.shared.lock().is_open()
    }

    /// Returns how many events this stream's buffer has dropped, by its policy.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.lock().dropped
    }

    async fn told_that(&self, is_so: impl Fn(&Self) -> bool) {
        loop {
            // Is told of everything from here on, also before it is polled.
            let told = self.shared.told.notified();
            if is_so(self) {
                return;
            }
            told.await;
        }
    }

    pub(super) fn shared_handle(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Gives up what this clone holds as a sink, and passes its turn on.
    pub(super) fn leave_sink(&mut self, next: SinkState) {
        let left = match std::mem::replace(&mut self.sink, next) {
            SinkState::Idle | SinkState::Closed => return,
            SinkState::Waiting(ticket) => {
                self.end_waiting();
                self.shared.lock().leave(ticket)
            }
            SinkState::Reserved => self.shared.lock().unreserve(),
        };
        left.next.into_iter().for_each(Waker::wake);
    }

    /// Takes this clone out of those that keep the stream open.
    pub(super) fn count_out(&self) {
        let wake = {
            let mut state = self.shared.lock();
            state.senders -= 1;
            if state.senders > 0 {
                return;
            }
            state.receiver.take()
        };
        wake.into_iter().for_each(Waker::wake);
    }
}

impl Clone for EventSender {
    /// Clones the sender. The clone has no part in what this one has reserved as a sink, and is
    /// open if this one is closed as one.
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self::new(self.shared.clone())
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        let was_closed = self.sink == SinkState::Closed;
        self.leave_sink(SinkState::Closed);
        if !was_closed {
            self.count_out();
        }
    }
}

impl fmt::Debug for EventSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shared, sink, .. } = self;
        f.debug_struct("EventSender")
            .field("channel", shared)
            .field("sink", sink)
            .finish_non_exhaustive()
    }
}

/// A view of the channel that keeps no stream open.
#[derive(Clone, Debug)]
pub(crate) struct Control(pub(super) Arc<Shared>);

impl Control {
    /// Ends the stream with an error, and returns it if the stream had ended before.
    pub(crate) fn fail(&self, error: BoxError) -> Option<Arc<dyn Error + Send + Sync>> {
        let error: Arc<dyn Error + Send + Sync> = Arc::from(error);
        let ended = self.0.end(Status::Failed(error.clone()));
        (!ended).then_some(error)
    }

    /// Cuts the stream for the application, and returns whether it had not ended before.
    #[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "for the hub"))]
    pub(crate) fn revoke(&self) -> bool {
        self.0.end(Status::Cut(Cut::Revoked))
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.0.lock().dropped
    }

    pub(crate) fn metrics(&self) -> &StreamMetrics {
        &self.0.metrics
    }

    /// Sets how long a sender outside of the body may wait.
    pub(crate) fn set_send_timeout(&self, limit: Option<Duration>) {
        self.0.lock().send_timeout = limit;
    }

    /// Takes back what the body was asked and has not heard of.
    pub(crate) fn take_ask_back(&self) {
        self.0.lock().ask = None;
    }

    /// Asks the body to end.
    pub(crate) fn ask(&self, ask: Ask) {
        self.0.ask(ask);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
