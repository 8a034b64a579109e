//! The settings of a stream, in two groups: those of every body, and those of a handler.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{keep_alive::KeepAlive, source::HandlerSettings, stream_end::StreamEnd};
use crate::{
    delay_range::DelayRange,
    shutdown::{Farewell, Shutdown},
    timer::saturating_add,
};

/// The settings of an event stream, which many bodies and handlers can share.
///
/// Bodies and handlers have the same methods, and take the options as a whole with their method
/// `options`. The settings of a handler and its buffer are in [`HandlerOptions`]:
///
/// | stream | settings |
/// |---|---|
/// | any [`EventBody`](super::EventBody), a hub's handler | `BodyOptions` |
/// | [`EventBody::with_options`](super::EventBody::with_options), [`from_stream_with_options`](super::EventBody::from_stream_with_options) | `HandlerOptions` |
/// | [`EventChannelHandler`](crate::EventChannelHandler) | `HandlerOptions` |
/// | [`EventReceiver`](crate::EventReceiver), for a channel of your own | its [`Buffer`](crate::Buffer) and `send_timeout` |
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{BodyOptions, Event, EventBody, KeepAlive};
///
/// let options = BodyOptions::new()
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
pub struct BodyOptions {
    /// `None` if keep-alives are off.
    pub(crate) keep_alive: Option<KeepAlive>,
    /// Whether a comment goes out at once.
    pub(crate) greeting: bool,
    /// Never zero.
    pub(crate) batch_window: Option<Duration>,
    /// The reconnection time that the stream sends first.
    pub(crate) retry: Option<DelayRange>,
    /// How long a stream may last.
    pub(crate) max_lifetime: Option<Lifetime>,
    /// What a stream says before its lifetime or deadline ends it.
    pub(crate) farewell: Option<Farewell>,
    /// The shutdown that ends the streams.
    pub(crate) shutdown: Option<Shutdown>,
    /// The hook for the end of each stream.
    pub(crate) on_disconnect: Option<OnDisconnect>,
    /// The label of the metrics.
    pub(crate) route: Option<Route>,
    /// After which time without an event a stream counts as stalled. Never zero.
    pub(crate) stall_after: Option<Duration>,
}

/// The route of a stream, which is a label of its metrics.
pub(crate) type Route = Cow<'static, str>;

/// The hook that receives how a stream ended.
pub(crate) type OnDisconnect = Arc<dyn Fn(StreamEnd) + Send + Sync>;

/// The maximum lifetime of a stream. It is never zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime(Duration);

impl Lifetime {
    pub(crate) fn new(max: Duration) -> Option<Self> {
        (!max.is_zero()).then_some(Self(max))
    }

    /// Draws when a stream ends, in the last fifth of its lifetime.
    pub(super) fn draw_end(self, start: Instant) -> Instant {
        saturating_add(start, DelayRange::from(self.0 / 5 * 4..=self.0).draw())
    }
}

impl BodyOptions {
    /// Creates the default settings: a keep-alive comment after 15 seconds, a greeting, and nothing
    /// else.
    pub fn new() -> Self {
        Self {
            keep_alive: Some(KeepAlive::default()),
            greeting: true,
            batch_window: None,
            retry: None,
            max_lifetime: None,
            farewell: None,
            shutdown: None,
            on_disconnect: None,
            route: None,
            stall_after: None,
        }
    }

    fn change_body(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Default for BodyOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BodyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyOptions")
            .field("keep_alive", &self.keep_alive)
            .field("greeting", &self.greeting)
            .field("batch_window", &self.batch_window)
            .field("retry", &self.retry)
            .field("max_lifetime", &self.max_lifetime.map(|Lifetime(max)| max))
            .field("farewell", &self.farewell)
            .field("shutdown", &self.shutdown)
            .field("on_disconnect", &self.on_disconnect.is_some())
            .field("route", &self.route)
            .field("stall_after", &self.stall_after)
            .finish()
    }
}

/// The settings of a stream that a handler fills: those of the handler and its buffer, and those of
/// the body.
///
/// An [`EventChannelHandler`](crate::EventChannelHandler) has the same methods.
/// [`EventBody::with_options`](super::EventBody::with_options) takes the options as a whole.
///
/// ```
/// use tower_sse::{Buffer, Event, EventBody, HandlerOptions};
///
/// let options = HandlerOptions::new().buffer(Buffer::sliding(64)).spawn_handler();
/// let body = EventBody::with_options(options, |events| async move {
///     events.send(Event::new("21.5 °C")).await?;
///     Ok(())
/// });
/// # let _ = body;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct HandlerOptions {
    /// The settings of the body.
    pub(crate) body: BodyOptions,
    /// The settings of the handler and its buffer.
    pub(crate) handler: HandlerSettings,
}

impl HandlerOptions {
    /// Creates the default settings: those of [`BodyOptions::new`], a default
    /// [`Buffer`](crate::Buffer), the handler inside its body, and no send timeout.
    pub fn new() -> Self {
        BodyOptions::new().into()
    }

    fn change_body(mut self, change: impl FnOnce(&mut BodyOptions)) -> Self {
        change(&mut self.body);
        self
    }

    fn change_handler(mut self, change: impl FnOnce(&mut HandlerSettings)) -> Self {
        change(&mut self.handler);
        self
    }
}

impl Default for HandlerOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes the settings of a body, and the defaults of a handler.
impl From<BodyOptions> for HandlerOptions {
    fn from(body: BodyOptions) -> Self {
        Self { body, handler: HandlerSettings::default() }
    }
}

/// Gives a type the setters of a body. The type has a method `change_body(self, impl FnOnce(&mut
/// BodyOptions)) -> Self`.
macro_rules! body_settings {
    ($type:ident $(<$generic:ident>)?) => {
        impl$(<$generic>)? $type$(<$generic>)? {
            /// Sets what the stream sends when it has sent nothing else for a while. Defaults to a
            /// comment after 15 seconds.
            #[doc(alias = "heartbeat")]
            pub fn keep_alive(self, keep_alive: $crate::body::KeepAlive) -> Self {
                self.change_body(|options| options.keep_alive = Some(keep_alive))
            }

            /// Turns keep-alives off. A server that does not notice by itself that a client has
            /// left then notices it only when the next event cannot be written.
            pub fn without_keep_alive(self) -> Self {
                self.change_body(|options| options.keep_alive = None)
            }

            /// Leaves out the greeting: the comment that goes out at once. Some clients and proxies
            /// consider a stream open only after its first byte.
            pub fn without_greeting(self) -> Self {
                self.change_body(|options| options.greeting = false)
            }

            /// Holds events back for up to this time after events have gone out, so that later
            /// events go out together with them. Defaults to zero: an event that is ready goes out
            /// at once.
            ///
            /// The first event after a pause still goes out at once. The end of the stream, and a
            /// sender that waits for room, end the window early. A window needs a tokio runtime.
            ///
            /// Use it for busy streams: a thousand events a second are a thousand writes for each
            /// client. With a window of 10 milliseconds they are a hundred.
            pub fn batch_window(self, window: std::time::Duration) -> Self {
                let window = Some(window).filter(|window| !window.is_zero());
                self.change_body(|options| options.batch_window = window)
            }

            /// Sets the reconnection time that the stream sends first: how long a client waits
            /// before it reconnects. From a range a time is drawn for each stream, so that clients
            /// do not all reconnect at the same time. By default the stream sends no time, and the
            /// client uses its own: about 3 seconds in browsers.
            pub fn retry(
                self,
                reconnection_time: impl Into<$crate::delay_range::DelayRange>,
            ) -> Self {
                let reconnection_time = reconnection_time.into();
                self.change_body(|options| options.retry = Some(reconnection_time))
            }

            /// Sets how long a stream may last from its first poll. Defaults to no limit, and zero
            /// is no limit either.
            ///
            /// The time is drawn for each stream between 0.8 and 1.0 of this value, so that clients
            /// that connected together do not reconnect together. The stream ends with its
            /// [`farewell`](Self::farewell). The end reason is
            /// [`EndReason::Expired`](crate::EndReason::Expired).
            ///
            /// [`Accept::deadline`](crate::Accept::deadline) sets an exact time for one request. A client
            /// that reads nothing keeps its connection open beyond it: see the recipe [Cut a client that has
            /// stopped reading](crate::recipes#cut-a-client-that-has-stopped-reading).
            pub fn max_lifetime(self, lifetime: std::time::Duration) -> Self {
                let lifetime = $crate::body::Lifetime::new(lifetime);
                self.change_body(|options| options.max_lifetime = lifetime)
            }

            /// Sets what a stream sends before it ends because of its lifetime or deadline, and how
            /// long before that [`EventSender::ending`](crate::EventSender::ending) completes. By
            /// default it sends nothing. At a shutdown the farewell of the
            /// [`Shutdown`](crate::Shutdown) is used instead.
            pub fn farewell(self, farewell: $crate::shutdown::Farewell) -> Self {
                self.change_body(|options| options.farewell = Some(farewell))
            }

            /// Ends the stream when this shutdown starts. By default no shutdown does. See
            /// [`shutdown`](crate::shutdown).
            pub fn shutdown(self, shutdown: &$crate::shutdown::Shutdown) -> Self {
                self.change_body(|options| options.shutdown = Some(shutdown.clone()))
            }

            /// Sets the hook that receives how each stream ended. It is called once for each
            /// stream, after the handler was dropped; a handler in [a task of its
            /// own](crate::HandlerOptions::spawn_handler) may be dropped a little later. A second
            /// hook replaces the first.
            ///
            /// It is called on the thread that drops the body, so it must not block. Cleanup that
            /// awaits belongs in a task.
            #[doc(alias = "on_client_disconnect")]
            pub fn on_disconnect(
                self,
                on_disconnect: impl Fn($crate::body::StreamEnd) + Send + Sync + 'static,
            ) -> Self {
                let on_disconnect = std::sync::Arc::new(on_disconnect);
                self.change_body(|options| options.on_disconnect = Some(on_disconnect))
            }

            /// Sets the label `route` of the stream's [metrics](crate::telemetry#metrics) and span, for
            /// example `/rooms/{id}`. By default they have none.
            ///
            /// Use few different values, since each one is a time series of its own.
            pub fn route(self, route: impl Into<std::borrow::Cow<'static, str>>) -> Self {
                let route = Some(route.into());
                self.change_body(|options| options.route = route)
            }

            /// Counts a stall in the [metrics](crate::telemetry#metrics) when no event has gone out for
            /// this time, since the last one or the start of the stream. By default, and with zero,
            /// stalls are not counted.
            ///
            /// Keep-alives and the greeting are no events. Each silence counts once. It is counted when
            /// something is sent next, or at the end: without keep-alives that may be late. A client that
            /// does not read causes stalls too.
            pub fn stall_after(self, time: std::time::Duration) -> Self {
                let time = Some(time).filter(|time| !time.is_zero());
                self.change_body(|options| options.stall_after = time)
            }
        }
    };
}
pub(crate) use body_settings;

/// Gives a type the setters of a handler. The type has a method `change_handler(self, impl
/// FnOnce(&mut HandlerSettings)) -> Self`.
macro_rules! handler_settings {
    ($type:ident $(<$generic:ident>)?) => {
        impl$(<$generic>)? $type$(<$generic>)? {
            /// Sets the buffer: how much may wait for a slow client, and what happens when it is
            /// full. Defaults to `Buffer::fixed(64)` with 256 KiB.
            pub fn buffer(self, buffer: $crate::channel::Buffer) -> Self {
                self.change_handler(|settings| settings.buffer = buffer)
            }

            /// Runs the handler in a task of its own, so that it goes on while its client is slow.
            /// By default the handler runs inside the body.
            ///
            /// The body spawns a tokio task at its first poll, and aborts it when the body is
            /// dropped. Use it with dropping and sliding buffers, and for handlers with timeouts of
            /// their own. An aborted task is dropped a little later, so `on_disconnect` may be
            /// called before the handler was dropped.
            pub fn spawn_handler(self) -> Self {
                self.change_handler(|settings| settings.spawn = true)
            }

            /// Sets how long a client may take nothing while a sender outside of the body waits for
            /// room. Such a sender is in a task, in a thread, or in a [spawned
            /// handler](Self::spawn_handler). Defaults to no limit, and zero is no limit either.
            ///
            /// After that the client is too slow, and its stream is evicted: the sender gets its
            /// event back in an error, the rest of the queue is discarded, and the body ends with
            /// an error as soon as it is polled. The end reason is
            /// [`EndReason::Evicted`](crate::EndReason::Evicted).
            ///
            /// A handler inside its body is not affected: it is paused together with the body. The
            /// timeout of an async sender needs a tokio runtime.
            pub fn send_timeout(self, limit: std::time::Duration) -> Self {
                let limit = Some(limit).filter(|limit| !limit.is_zero());
                self.change_handler(|settings| settings.send_timeout = limit)
            }
        }
    };
}
pub(crate) use handler_settings;

body_settings!(BodyOptions);
body_settings!(HandlerOptions);
handler_settings!(HandlerOptions);
