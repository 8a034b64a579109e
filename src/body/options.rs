//! The settings of a stream, written once for everything that has them.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{end::StreamEnd, keep_alive::KeepAlive};
use crate::{
    channel::Buffer,
    delay_range::DelayRange,
    shutdown::{Farewell, Shutdown},
    timer::saturating_add,
};

/// The settings of an event stream, to be shared by many handlers and bodies.
///
/// Everything that takes settings has the same ones, by the same names, and takes a set of them by
/// `options`:
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Event, EventBody, KeepAlive, StreamOptions};
///
/// let options = StreamOptions::new()
///     .keep_alive(KeepAlive::every(Duration::from_secs(30)))
///     .retry(Duration::from_secs(1)..Duration::from_secs(5));
///
/// let body = EventBody::new(|events| async move {
///     events.send(Event::new("hello")).await?;
///     Ok(())
/// })
/// .options(options.clone());
/// # let _ = body;
/// ```
#[derive(Clone)]
#[must_use]
pub struct StreamOptions {
    pub(super) keep_alive: Option<KeepAlive>,
    pub(super) greeting: bool,
    pub(super) buffer: Buffer,
    pub(super) spawn_handler: bool,
    pub(super) batch_window: Option<Duration>,
    pub(super) retry: Option<DelayRange>,
    pub(super) send_timeout: Option<Duration>,
    pub(super) max_lifetime: Option<Lifetime>,
    pub(super) farewell: Option<Farewell>,
    pub(super) shutdown: Option<Shutdown>,
    pub(super) on_disconnect: Option<OnDisconnect>,
}

/// How long a stream may last at the most. Each draws its own time, of the last fifth of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime(Duration);

impl Lifetime {
    pub(super) fn ends_from(self, start: Instant) -> Instant {
        saturating_add(start, DelayRange::from(self.0 / 5 * 4..=self.0).draw())
    }
}

pub(super) type OnDisconnect = Arc<dyn Fn(StreamEnd) + Send + Sync>;

impl StreamOptions {
    /// Creates the default settings: a keep-alive comment after 15 seconds, a greeting,
    /// `Buffer::default()`, and nothing else.
    pub fn new() -> Self {
        Self {
            keep_alive: Some(KeepAlive::default()),
            greeting: true,
            buffer: Buffer::default(),
            spawn_handler: false,
            batch_window: None,
            retry: None,
            send_timeout: None,
            max_lifetime: None,
            farewell: None,
            shutdown: None,
            on_disconnect: None,
        }
    }

    pub(crate) fn has_on_disconnect(&self) -> bool {
        self.on_disconnect.is_some()
    }

    pub(crate) fn set_keep_alive(&mut self, keep_alive: Option<KeepAlive>) {
        self.keep_alive = keep_alive;
    }

    pub(crate) fn set_greeting(&mut self, greeting: bool) {
        self.greeting = greeting;
    }

    pub(crate) fn set_buffer(&mut self, buffer: Buffer) {
        self.buffer = buffer;
    }

    pub(crate) fn set_in_task(&mut self) {
        self.spawn_handler = true;
    }

    pub(crate) fn set_batch_window(&mut self, window: Duration) {
        self.batch_window = Some(window).filter(|window| !window.is_zero());
    }

    pub(crate) fn set_retry(&mut self, retry: DelayRange) {
        self.retry = Some(retry);
    }

    pub(crate) fn set_send_timeout(&mut self, limit: Duration) {
        self.send_timeout = Some(limit).filter(|limit| !limit.is_zero());
    }

    pub(crate) fn set_max_lifetime(&mut self, lifetime: Duration) {
        self.max_lifetime = Some(Lifetime(lifetime)).filter(|_| !lifetime.is_zero());
    }

    pub(crate) fn set_farewell(&mut self, farewell: Farewell) {
        self.farewell = Some(farewell);
    }

    pub(crate) fn set_shutdown(&mut self, shutdown: &Shutdown) {
        self.shutdown = Some(shutdown.clone());
    }

    pub(crate) fn shutdown_handle(&self) -> Option<&Shutdown> {
        self.shutdown.as_ref()
    }

    pub(crate) fn set_on_disconnect(&mut self, on_disconnect: OnDisconnect) {
        self.on_disconnect = Some(on_disconnect);
    }

    fn change(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StreamOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamOptions")
            .field("keep_alive", &self.keep_alive)
            .field("greeting", &self.greeting)
            .field("buffer", &self.buffer)
            .field("spawn_handler", &self.spawn_handler)
            .field("batch_window", &self.batch_window)
            .field("retry", &self.retry)
            .field("send_timeout", &self.send_timeout)
            .field("max_lifetime", &self.max_lifetime.map(|Lifetime(most)| most))
            .field("farewell", &self.farewell)
            .field("shutdown", &self.shutdown)
            .field("on_disconnect", &self.on_disconnect.is_some())
            .finish()
    }
}

/// Gives a type the setters, on top of its method `change(self, impl FnOnce(&mut StreamOptions)) ->
/// Self`.
macro_rules! stream_settings {
    ($type:ident $(<$generic:ident>)?) => {
        impl$(<$generic>)? $type$(<$generic>)? {
            /// Takes all settings from a set of them, in place of whatever was set before: so call
            /// it first.
            pub fn options(self, options: $crate::body::StreamOptions) -> Self {
                self.change(|own| *own = options)
            }

            /// Sets what goes out when nothing else has for a while. Default is a comment every 15
            /// seconds.
            #[doc(alias = "heartbeat")]
            pub fn keep_alive(self, keep_alive: $crate::body::KeepAlive) -> Self {
                self.change(|options| options.set_keep_alive(Some(keep_alive)))
            }

            /// Switches keep-alives off. A client that leaves unnoticed by the server is then
            /// noticed at the next event.
            pub fn without_keep_alive(self) -> Self {
                self.change(|options| options.set_keep_alive(None))
            }

            /// Leaves out the comment that goes out at once. Some clients and proxies take a stream
            /// for open only at its first byte.
            pub fn without_greeting(self) -> Self {
                self.change(|options| options.set_greeting(false))
            }

            /// Sets how much may wait for a slow client, and what happens then. Default is
            /// `Buffer::fixed(64)`. A stream made from an event channel has the buffer that it was
            /// made with.
            pub fn buffer(self, buffer: $crate::channel::Buffer) -> Self {
                self.change(|options| options.set_buffer(buffer))
            }

            /// Runs the handler in a task of its own, so that it goes on while its client is slow.
            /// Default is inside the body.
            ///
            /// The task is a tokio task, spawned when the body is first polled and aborted when the
            /// body is dropped. It is what the dropping and the sliding buffer are for, and
            /// timeouts of the handler's own. Aborted is not dropped yet: `on_disconnect` may be
            /// told a moment before the handler is.
            pub fn spawn_handler(self) -> Self {
                self.change(|options| options.set_in_task())
            }

            /// Holds events back for up to so long after events have gone out, so that what comes
            /// meanwhile goes out together. Default is none: what is ready goes out at once; zero is
            /// that too.
            ///
            /// The first event after a pause still goes out at once. It is for busy streams: a
            /// thousand events a second are a thousand writes to each client, and with 10
            /// milliseconds a hundred. What ends the stream, and a sender that waits for room, lets
            /// what is held go before its time. It needs a tokio runtime.
            pub fn batch_window(self, window: std::time::Duration) -> Self {
                self.change(|options| options.set_batch_window(window))
            }

            /// Sets the reconnection time that the stream opens with: how long a client waits
            /// before it comes back. From a range one is drawn for each stream, so that they do not
            /// come back all at once. Default is none: the client's own, about 3 seconds in
            /// browsers.
            pub fn retry(self, reconnection_time: impl Into<$crate::delay_range::DelayRange>) -> Self {
                let reconnection_time = reconnection_time.into();
                self.change(|options| options.set_retry(reconnection_time))
            }

            /// Sets how long a client may take nothing while a sender outside of the body waits for
            /// room, in a task, in a thread or of a handler [`spawn_handler`](Self::spawn_handler): after that
            /// it is too slow, and its stream is evicted. The sender gets its event back in an error, whatever else
            /// waited for the client is dropped, and the body ends with an error as soon as it is
            /// polled; the end reason is [`EndReason::Evicted`](crate::EndReason::Evicted).
            ///
            /// Default is to wait for ever; zero is that too. It has no effect on a handler inside
            /// its body, which is paused with it. Async senders need a tokio runtime for it.
            pub fn send_timeout(self, limit: std::time::Duration) -> Self {
                self.change(|options| options.set_send_timeout(limit))
            }

            /// Sets how long a stream may last, from its first poll: it ends at a time that is drawn for it between 0.8
            /// and 1.0 of this, with its [`farewell`](Self::farewell), so that clients that came
            /// together do not come back together. The end reason is
            /// [`EndReason::Expired`](crate::EndReason::Expired). Default is no limit; zero is that
            /// too.
            ///
            /// For one request, [`Accept::deadline`](crate::Accept::deadline) sets an exact time.
            pub fn max_lifetime(self, lifetime: std::time::Duration) -> Self {
                self.change(|options| options.set_max_lifetime(lifetime))
            }

            /// Sets what is said before a stream ends because of its lifetime or deadline, and how
            /// long before that its handler is told. Default is nothing. At a shutdown the
            /// [`Shutdown`](crate::Shutdown)'s own is said.
            pub fn farewell(self, farewell: $crate::shutdown::Farewell) -> Self {
                self.change(|options| options.set_farewell(farewell))
            }

            /// Ends the stream when this shutdown starts. See [`shutdown`](crate::shutdown).
            pub fn shutdown(self, shutdown: &$crate::shutdown::Shutdown) -> Self {
                self.change(|options| options.set_shutdown(shutdown))
            }

            /// Sets the hook that is told how each stream ended: once, whatever ends it, after its
            /// handler has been dropped.
            ///
            /// It is called where the body is dropped, so it must not block. Clean-up that awaits
            /// is sent to a task. A second hook takes the place of the first.
            #[doc(alias = "on_client_disconnect")]
            pub fn on_disconnect(
                self,
                on_disconnect: impl Fn($crate::body::StreamEnd) + Send + Sync + 'static,
            ) -> Self {
                let on_disconnect = std::sync::Arc::new(on_disconnect);
                self.change(|options| options.set_on_disconnect(on_disconnect))
            }
        }
    };
}
pub(crate) use stream_settings;

stream_settings!(StreamOptions);
