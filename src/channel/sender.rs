//! The end of the channel that the application sends to.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use super::{
    error::{SendError, SendErrorKind},
    send::SendFuture,
    shared::Shared,
    state::Offered,
};
use crate::{
    BoxError,
    encode::Encode,
    lifecycle::{AbortReason, StreamStatus},
};

/// The sending end of an event channel. Clone it, and move it to tasks and threads.
///
/// Sending never waits for the network, only for room in the [`Buffer`](crate::Buffer). The stream
/// is open until the last clone is dropped and its handler has returned, or until one of the clones
/// calls [`close`](Self::close), [`fail`](Self::fail) or [`revoke`](Self::revoke).
///
/// [`into_sink`](Self::into_sink) makes a [`Sink`](futures_sink::Sink) of it.
///
/// See the [module docs](crate::channel) for order, bounds and the end.
pub struct EventSender {
    /// The channel. Each sender counts in its `senders`.
    shared: Arc<Shared>,
}

impl EventSender {
    /// Wraps the first sender, which a new channel has counted already.
    pub(super) fn first(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Creates another sender.
    pub(super) fn create(shared: &Arc<Shared>) -> Self {
        shared.lock().senders += 1;
        Self { shared: shared.clone() }
    }

    /// Sends an event. Waits for room if the buffer is full and its senders wait.
    ///
    /// Accepted events go out in the order in which they were accepted, unless the buffer drops
    /// them, the client leaves, or the stream is cut off. The future yields once after as many
    /// sends as the buffer holds, and earlier if the events are large or very many, even if there
    /// is room. Otherwise a handler that only sends would never let its body write.
    ///
    /// # Errors
    ///
    /// Returns the event if the stream has ended, or if the event is larger than the buffer's
    /// `max_event_bytes`. If this send waited for longer than
    /// [`send_timeout`](crate::HandlerOptions::send_timeout) allows, it evicts the stream and
    /// returns the event.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the event is not sent and is dropped with it.
    /// The next sender in line gets its turn. Send a clone to keep the event.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_sse::{Event, event_channel_handler};
    ///
    /// let handler = event_channel_handler(|_, events| async move {
    ///     for n in 0..10 {
    ///         events.send(Event::new(n).with_id(n)).await?;
    ///     }
    ///     Ok(())
    /// });
    /// let app: axum::Router = axum::Router::new().route_service("/events", handler);
    /// ```
    pub fn send<E: Encode>(
        &self,
        event: E,
    ) -> impl Future<Output = Result<(), SendError<E>>> + Send + use<'_, E> {
        SendFuture::new(&self.shared, event)
    }

    /// Sends an event if there is room now and no sender waits for it.
    ///
    /// A dropping or sliding buffer always has room, because it drops events instead.
    ///
    /// # Errors
    ///
    /// Returns the event if it would have to wait, if the stream has ended, or if the event is too
    /// large.
    pub fn try_send<E: Encode>(&self, event: E) -> Result<(), SendError<E>> {
        let layout = event.layout();
        let (offered, body) = {
            let mut state = self.shared.lock();
            let offered = state.offer(&event, &layout, None);
            let is_accepted = matches!(offered, Offered::Accepted(_));
            (offered, if is_accepted { state.body_waker.take() } else { None })
        };
        body.into_iter().for_each(Waker::wake);
        match offered {
            Offered::Accepted(dropped) => {
                self.shared.metrics.sent(layout.len, dropped.events);
                Ok(())
            }
            Offered::NoRoom => Err(SendError::new(SendErrorKind::Full, event)),
            Offered::Refused(kind) => Err(SendError::new(kind, event)),
        }
    }

    /// Sends an event from a thread. Blocks the thread while there is no room.
    ///
    /// Use it in threads of your own and in `spawn_blocking`. On a thread of an async runtime it
    /// blocks everything else that runs there.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send`](Self::send). If the buffer is full and the caller is the
    /// handler inside its body, blocking would be a deadlock, which is an error:
    /// [`SendError::is_deadlock`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_sse::{Event, SendError, event_channel_handler};
    ///
    /// let handler = event_channel_handler(|_, events| async move {
    ///     std::thread::spawn(move || {
    ///         for n in 0..10 {
    ///             events.blocking_send(Event::new(n))?;
    ///         }
    ///         Ok::<_, SendError>(())
    ///     });
    ///     Ok(())
    /// });
    /// let app: axum::Router = axum::Router::new().route_service("/events", handler);
    /// ```
    pub fn blocking_send<E: Encode>(&self, event: E) -> Result<(), SendError<E>> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut sending = pin!(SendFuture::blocking(&self.shared, event));
        loop {
            match sending.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => return result,
                Poll::Pending => match sending.remaining() {
                    Some(remaining) => thread::park_timeout(remaining),
                    None => thread::park(),
                },
            }
        }
    }

    /// Ends the stream. Accepted events still go out. A handler that still runs is dropped at the
    /// `.await` where it waits. The end reason is
    /// [`EndReason::Finished`](crate::EndReason::Finished).
    ///
    /// Does nothing if the stream has ended already.
    pub fn close(&self) {
        self.shared.end(StreamStatus::Closed);
    }

    /// Ends the stream with an error. Accepted events still go out, then the body ends with the
    /// error, so that the client can tell a truncated stream from a finished one. The end reason is
    /// [`EndReason::Failed`](crate::EndReason::Failed).
    ///
    /// A handler fails by returning its error; this is for senders elsewhere. Does nothing if the
    /// stream has ended already.
    pub fn fail(&self, error: impl Into<BoxError>) {
        self.fail_unless_ended(error.into());
    }

    /// Ends the stream with an error. Returns the error if the stream had ended before.
    pub(crate) fn fail_unless_ended(
        &self,
        error: BoxError,
    ) -> Option<Arc<dyn Error + Send + Sync>> {
        let error: Arc<dyn Error + Send + Sync> = Arc::from(error);
        let ended = self.shared.end(StreamStatus::Failed(error.clone()));
        (!ended).then_some(error)
    }

    /// Cuts the stream off, for example because the token of its client was revoked. Queued events
    /// are discarded. A chunk that the body has begun to write still goes out, then the body ends
    /// with an error. The end reason is [`EndReason::Revoked`](crate::EndReason::Revoked).
    ///
    /// A browser reconnects, and `on_connect` can then refuse it. A stream that was closed and
    /// still sends queued events is cut off too. Does nothing if the stream has ended in another
    /// way.
    pub fn revoke(&self) {
        self.shared.end(StreamStatus::Aborted(AbortReason::Revoked));
    }

    /// Waits until the server begins to end the stream, at a [shutdown](crate::shutdown) or before
    /// its [maximum lifetime](crate::EventBody::max_lifetime), or until the stream has ended.
    /// Events that are sent from then on still go out, for as long as the
    /// [`Farewell`](crate::Farewell::grace_period) allows.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. Call the method again.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Event, event_channel_handler};
    ///
    /// let handler = event_channel_handler(|_, events| async move {
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
    /// let app: axum::Router = axum::Router::new().route_service("/events", handler);
    /// ```
    pub async fn ending(&self) {
        self.changed_until(Self::is_ending).await;
    }

    /// Returns whether the server has begun to end the stream, or the stream has ended.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        let state = self.shared.lock();
        state.ending || !state.is_open()
    }

    /// Waits until the stream has ended: it was closed, failed or cut off, or its client has left.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. Call the method again.
    pub async fn closed(&self) {
        self.changed_until(Self::is_closed).await;
    }

    /// Returns whether the stream has ended, so that sending returns the event.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        !self.shared.lock().is_open()
    }

    /// Returns the number of events that the buffer of this stream has dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.lock().dropped
    }

    async fn changed_until(&self, condition: impl Fn(&Self) -> bool) {
        loop {
            // `Notified` receives notifications from its creation on, also before it is polled, so
            // no change between the check and the wait is lost.
            let changed = self.shared.changed.notified();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Clone for EventSender {
    fn clone(&self) -> Self {
        Self::create(&self.shared)
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        let body = {
            let mut state = self.shared.lock();
            state.senders -= 1;
            if state.senders > 0 {
                return;
            }
            state.body_waker.take()
        };
        body.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for EventSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSender").field("channel", &self.shared).finish()
    }
}

/// Wakes a blocked thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
