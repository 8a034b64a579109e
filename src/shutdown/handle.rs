//! The handle that ends all streams.

use std::{
    collections::HashMap,
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Release, SeqCst},
        },
    },
    task::{Poll, Waker},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::{farewell::Farewell, timeout::ShutdownTimeout};
use crate::{
    lifecycle::{StopRequest, StreamHandle},
    timer::{LazyTimer, saturating_add},
    trace,
};

/// Ends all streams of a server, so that it can shut down.
///
/// Clones are cheap and stand for the same shutdown. Give it to handlers, layers and bodies with
/// their setting `shutdown`, and start it when the server's own graceful shutdown starts. It counts
/// the streams that are open: from the handler's response, or from the setting on a body, to the
/// end of `on_disconnect`.
///
/// See the [module docs](crate::shutdown) for how streams end, and for streams that cannot end.
#[derive(Clone)]
pub struct Shutdown {
    /// Shared by all clones.
    inner: Arc<Inner>,
}

struct Inner {
    /// How the streams end.
    farewell: Farewell,
    /// Whether the server is about to shut down, to be read without the lock.
    leaving: AtomicBool,
    /// Whether the shutdown has started, to be read without the lock.
    started: AtomicBool,
    /// Incremented after each stop request is stored and before its stream is woken. A stream that
    /// found no request need not look again until this changes.
    generation: AtomicU64,
    /// How far the shutdown is, and its streams.
    state: Mutex<ShutdownState>,
    /// Notified when the shutdown starts, when it is ended at once, and when its last stream ends.
    changed: Notify,
}

pub(super) struct ShutdownState {
    /// How far the shutdown is.
    pub(super) phase: Phase,
    /// How long the server goes on as before once it leaves.
    drain: Duration,
    /// The key of the next stream.
    pub(super) next_key: u64,
    /// All open streams.
    pub(super) streams: HashMap<u64, StreamHandle>,
    /// The ends since the start. `None` once they have been logged.
    ends: Option<Ends>,
}

/// The streams that have ended since the shutdown started.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    streams: usize,
    /// How many of them ended only when connections were cut, or later.
    overdue: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Started {
        since: Instant,
    },
    /// Started without a farewell. Connections of streams that are still open are cut at `cut_at`.
    StartedNow {
        since: Instant,
        cut_at: Instant,
    },
}

impl Shutdown {
    /// Creates a shutdown at which streams end as the farewell describes.
    #[must_use]
    pub fn new(farewell: Farewell) -> Self {
        let state = ShutdownState {
            phase: Phase::Running,
            drain: Duration::ZERO,
            next_key: 0,
            streams: HashMap::new(),
            ends: Some(Ends::default()),
        };
        let inner = Inner {
            farewell,
            leaving: AtomicBool::new(false),
            started: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            state: Mutex::new(state),
            changed: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Creates a shutdown at which streams end at once, without a farewell.
    #[must_use]
    pub fn now() -> Self {
        Self::new(Farewell::new())
    }

    /// Sets how long the server goes on as before after the signal of [`start_when`](Self::start_when), while
    /// [`is_leaving`](Self::is_leaving) is true already. Defaults to zero.
    ///
    /// It is for servers behind a load balancer: the check of its readiness fails at once, so that new clients go to
    /// other servers, while requests that are on their way are still served. Set it to the time that the balancer needs
    /// to notice. Then the streams end as the [`Farewell`] describes. The whole time is logged; it must be shorter than
    /// the time after which the process is killed, for example Kubernetes' `terminationGracePeriodSeconds`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::{Router, http::StatusCode, routing::get};
    /// use tower_sse::{Farewell, Shutdown};
    ///
    /// let farewell = Farewell::new()
    ///     .retry(Duration::from_secs(1)..Duration::from_secs(5))
    ///     .stagger_over(Duration::from_secs(10));
    /// let shutdown = Shutdown::new(farewell).drain_after(Duration::from_secs(5));
    /// let ready = {
    ///     let shutdown = shutdown.clone();
    ///     move || async move {
    ///         if shutdown.is_leaving() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
    ///     }
    /// };
    /// let app: Router = Router::new().route("/ready", get(ready));
    /// # let _ = app;
    /// ```
    #[must_use]
    pub fn drain_after(self, time: Duration) -> Self {
        self.lock().drain = time;
        self
    }

    /// Returns whether the server is about to shut down: the signal has come, or the shutdown has started.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.inner.leaving.load(SeqCst) || self.is_started()
    }

    /// Lets [`is_leaving`](Self::is_leaving) be true from now on. Returns how long to wait before the start.
    fn leave(&self) -> Duration {
        let drain = self.lock().drain;
        if !self.inner.leaving.swap(true, SeqCst) && !self.is_started() {
            let now = Instant::now();
            let end = self.inner.farewell.cut_at(saturating_add(now, drain));
            trace::leaving(drain, end - now, self.streams());
        }
        drain
    }

    /// Starts to end all streams. A second call does nothing.
    pub fn start(&self) {
        let now = Instant::now();
        let streams = {
            let mut state = self.lock();
            if state.phase != Phase::Running {
                return;
            }
            state.phase = Phase::Started { since: now };
            self.inner.started.store(true, SeqCst);
            state.all()
        };
        for stream in streams {
            self.request_stop(&stream, self.inner.farewell.draw(now));
        }
        self.inner.changed.notify_waiters();
    }

    /// Ends all streams now and without a farewell, whether the shutdown has started or not. Use it
    /// for the second Ctrl-C.
    ///
    /// Events that were sent before still go out.
    pub fn start_now(&self) {
        let now = Instant::now();
        let streams = {
            let mut state = self.lock();
            let cut_at = self.inner.farewell.cut_at_once(now);
            let (since, cut_at) = match state.phase {
                Phase::StartedNow { .. } => return,
                // A hurried end must not extend a limit that already runs.
                Phase::Started { since } => (since, cut_at.min(self.inner.farewell.cut_at(since))),
                Phase::Running => (now, cut_at),
            };
            state.phase = Phase::StartedNow { since, cut_at };
            self.inner.started.store(true, SeqCst);
            state.all()
        };
        for stream in streams {
            self.request_stop(&stream, StopRequest { begin: now, end: now, silent: true });
        }
        self.inner.changed.notify_waiters();
    }

    /// Waits for a signal and then starts, or starts [`drain_after`](Self::drain_after) later. The
    /// output of the signal is ignored, so an error starts the shutdown too. Servers take the
    /// returned future as the signal of their own graceful shutdown.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the signal, the shutdown has not started.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn serve(listener: tokio::net::TcpListener, app: axum::Router) -> std::io::Result<()> {
    /// let shutdown = tower_sse::Shutdown::now();
    /// let signal = shutdown.start_when(tokio::signal::ctrl_c());
    /// axum::serve(listener, app).with_graceful_shutdown(signal).await
    /// # }
    /// ```
    pub fn start_when<F: Future>(&self, signal: F) -> impl Future<Output = ()> + use<F> {
        let shutdown = self.clone();
        async move {
            signal.await;
            let start_at = saturating_add(Instant::now(), shutdown.leave());
            let mut started = pin!(shutdown.started());
            let mut timer = LazyTimer::default();
            poll_fn(|cx| match started.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending if start_at <= Instant::now() => Poll::Ready(()),
                // Without a timer there is no time to wait for.
                Poll::Pending => timer.poll_at(start_at, cx).unwrap_or(Poll::Ready(())),
            })
            .await;
            shutdown.start();
        }
    }

    /// Returns whether the shutdown has started.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.inner.started.load(SeqCst)
    }

    /// Waits until the shutdown has started.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. Call the method again.
    pub async fn started(&self) {
        self.changed_until(Self::is_started).await;
    }

    /// Returns the number of open streams.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.lock().streams.len()
    }

    /// Waits until the shutdown has started and no stream is open.
    ///
    /// A stream whose client stopped reading never ends unless its connection is cut. See
    /// [`finished_within`](Self::finished_within).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. Call the method again.
    pub async fn finished(&self) {
        self.changed_until(|shutdown| shutdown.lock().is_finished()).await;
    }

    /// Waits like [`finished`](Self::finished), but at most for `limit` from now.
    ///
    /// # Errors
    ///
    /// Returns [`ShutdownTimeout`] with the number of streams that are still open after the limit.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime whose timer is enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. Call the method again.
    pub async fn finished_within(&self, limit: Duration) -> Result<(), ShutdownTimeout> {
        let finished = timeout(limit, self.finished()).await;
        finished.map_err(|_| ShutdownTimeout::new(self.streams(), self.is_started()))
    }

    /// Waits until streams are overdue: the shutdown has started, its [`Farewell`] gives the
    /// streams no more time, [`Farewell::cut_after`] has passed, and some streams are still open.
    /// If no stream is open by then, the future stays pending.
    ///
    /// Servers that manage their own connections use it to drop those that are left:
    ///
    /// ```
    /// # use tower_sse::Shutdown;
    /// # async fn serve<C: std::future::Future<Output = hyper::Result<()>>>(connection: C, shutdown: Shutdown) {
    /// tokio::select! {
    ///     served = connection => drop(served),
    ///     () = shutdown.overdue() => {} // drops the connection
    /// }
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. Call the method again.
    pub async fn overdue(&self) {
        loop {
            let mut changed = pin!(self.inner.changed.notified());
            changed.as_mut().enable();
            let at = match self.lock().phase {
                Phase::Running => None,
                Phase::Started { since } => Some(self.inner.farewell.cut_at(since)),
                Phase::StartedNow { cut_at, .. } => Some(cut_at),
            };
            match at {
                Some(at) if at > Instant::now() => {
                    let mut timer = LazyTimer::default();
                    poll_fn(|cx| {
                        let is_changed = changed.as_mut().poll(cx).is_ready();
                        // Without a timer this never fires.
                        let fired = timer.poll_at(at, cx);
                        let is_due = fired.is_some_and(|fired| fired.is_ready());
                        if is_changed || is_due { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .await;
                }
                Some(_) if self.streams() > 0 => return,
                Some(_) | None => changed.await,
            }
        }
    }

    pub(crate) fn farewell(&self) -> &Farewell {
        &self.inner.farewell
    }

    /// Returns a number that changes after each stop request was stored and before its stream is
    /// woken.
    pub(crate) fn generation(&self) -> u64 {
        self.inner.generation.load(Acquire)
    }

    /// Stores the request, makes it visible, and wakes the stream, in this order: a stream that is
    /// polled in between finds either its request or a changed generation.
    pub(super) fn request_stop(&self, stream: &StreamHandle, request: StopRequest) {
        let waker = stream.request_stop(request);
        self.inner.generation.fetch_add(1, Release);
        waker.into_iter().for_each(Waker::wake);
    }

    pub(super) fn notify_changed(&self) {
        self.inner.changed.notify_waiters();
    }

    /// Removes a stream that has ended. When the last one has ended after the start, logs all ends once.
    pub(super) fn remove(&self, key: u64) {
        let (_stream, finished, log) = {
            let mut state = self.lock();
            let stream = state.streams.remove(&key);
            if state.streams.is_empty() && state.streams.capacity() > 64 {
                // The memory of a burst of streams is given back.
                mem::take(&mut state.streams);
            }
            let times = match state.phase {
                Phase::Running => None,
                Phase::Started { since } => Some((since, self.inner.farewell.cut_at(since))),
                Phase::StartedNow { since, cut_at } => Some((since, cut_at)),
            };
            let finished = state.is_finished();
            let log = times.and_then(|(since, cut_at)| {
                let now = Instant::now();
                let ends = state.ends.as_mut()?;
                ends.streams += 1;
                ends.overdue += usize::from(now >= cut_at);
                let ends = if finished { state.ends.take() } else { None };
                ends.map(|ends| (ends, now - since))
            });
            (stream, finished, log)
        };
        // A subscriber is foreign code, so it must not run under the lock.
        if let Some((ends, duration)) = log {
            trace::have_ended(ends.streams, ends.overdue, duration);
        }
        if finished {
            self.notify_changed();
        }
    }

    async fn changed_until(&self, condition: impl Fn(&Self) -> bool) {
        loop {
            // `Notified` receives notifications from its creation on, also before it is polled, so
            // no change between the check and the wait is lost.
            let changed = self.inner.changed.notified();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ShutdownState> {
        // No code that panics runs under the lock, so a poisoned lock guards a consistent state.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ShutdownState {
    fn all(&self) -> Vec<StreamHandle> {
        self.streams.values().cloned().collect()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.phase != Phase::Running && self.streams.is_empty()
    }
}

/// Two handles are equal if they stand for the same shutdown.
impl PartialEq for Shutdown {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Shutdown {}

impl Default for Shutdown {
    /// Returns [`Shutdown::now`].
    fn default() -> Self {
        Self::now()
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Shutdown");
        if let Ok(state) = self.inner.state.try_lock() {
            shown.field("phase", &state.phase).field("streams", &state.streams.len());
        }
        shown.finish_non_exhaustive()
    }
}
