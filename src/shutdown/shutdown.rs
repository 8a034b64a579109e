//! The handle that ends all streams.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::{farewell::Farewell, io::ShutdownIo};
use crate::{
    channel::{Ask, Control},
    timer::LazyTimer,
};

/// Ends all streams that it was given to, so that a server can shut down.
///
/// Cloning it is cheap, and clones are the same shutdown. Give it to handlers, layers and bodies by
/// their setting `shutdown`, and start it where the server's own graceful shutdown starts. It
/// counts the streams that are open: from the handler's answer, or from the setting on a body, to
/// the end of `on_disconnect`.
///
/// See the [module docs](crate::shutdown) for how streams end, and what is done about those that
/// cannot.
#[derive(Clone)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

struct Inner {
    farewell: Farewell,
    /// What can be seen without the lock.
    started: AtomicBool,
    state: Mutex<State>,
    /// Told when it starts, when it is to be over now, and when the last stream has ended since.
    changed: Notify,
}

struct State {
    phase: Phase,
    next_key: u64,
    streams: HashMap<u64, Control>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Ending {
        since: Instant,
    },
    /// Without a farewell, and cut at this time.
    EndingNow {
        cut_at: Instant,
    },
}

impl Shutdown {
    /// Creates a shutdown, at which streams end as the farewell says.
    #[must_use]
    pub fn new(farewell: Farewell) -> Self {
        let state = State { phase: Phase::Running, next_key: 0, streams: HashMap::new() };
        let inner = Inner {
            farewell,
            started: AtomicBool::new(false),
            state: Mutex::new(state),
            changed: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Creates a shutdown at which streams end at once, and say nothing.
    #[must_use]
    pub fn now() -> Self {
        Self::new(Farewell::new())
    }

    /// Begins to end all streams. Once it has started it does nothing.
    pub fn start(&self) {
        let now = Instant::now();
        let streams = {
            let mut state = self.lock();
            if state.phase != Phase::Running {
                return;
            }
            state.phase = Phase::Ending { since: now };
            self.inner.started.store(true, SeqCst);
            state.all()
        };
        for stream in streams {
            stream.ask(self.inner.farewell.draw(now));
        }
        self.inner.changed.notify_waiters();
    }

    /// Ends all streams now, without a farewell, whether it has started or not: for the second
    /// Ctrl-C.
    ///
    /// What they have sent still goes out.
    pub fn start_now(&self) {
        let now = Instant::now();
        let streams = {
            let mut state = self.lock();
            let cut_at = self.inner.farewell.cut_at_once(now);
            let cut_at = match state.phase {
                Phase::EndingNow { .. } => return,
                // Nobody waits longer because someone is in a hurry.
                Phase::Ending { since } => cut_at.min(self.inner.farewell.cut_at(since)),
                Phase::Running => cut_at,
            };
            state.phase = Phase::EndingNow { cut_at };
            self.inner.started.store(true, SeqCst);
            state.all()
        };
        for stream in streams {
            stream.ask(Ask { begin: now, end: now, silent: true });
        }
        self.inner.changed.notify_waiters();
    }

    /// Waits for a signal, whatever it says, and starts: what servers take as the signal of their
    /// own graceful shutdown.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the signal, it has not started.
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
            shutdown.start();
        }
    }

    /// Returns whether it has started.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.inner.started.load(SeqCst)
    }

    /// Waits until it has started.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again at any time.
    pub async fn started(&self) {
        self.changed_until(Self::is_started).await;
    }

    /// Returns how many streams are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.lock().streams.len()
    }

    /// Waits until it has started, and no stream is open any more.
    ///
    /// Streams whose clients have stopped reading may take for ever, unless something cuts their
    /// connections: see [`finished_within`](Self::finished_within).
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again at any time.
    pub async fn finished(&self) {
        self.changed_until(|shutdown| shutdown.lock().is_finished()).await;
    }

    /// Waits as [`finished`](Self::finished) does, and no longer than so long from now.
    ///
    /// # Errors
    ///
    /// Returns how many streams are still open after that.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime with its timer enabled.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again at any time.
    pub async fn finished_within(&self, limit: Duration) -> Result<(), ShutdownTimeout> {
        let finished = timeout(limit, self.finished()).await;
        finished
            .map_err(|_| ShutdownTimeout { streams: self.streams(), started: self.is_started() })
    }

    /// Waits until streams are open that should have ended: the shutdown has started, everything
    /// that its [`Farewell`] gives is over, and [`Farewell::cut_after`] too. If none is open then,
    /// it waits for ever.
    ///
    /// For whoever has the connections in hand, and drops what is still there:
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
    /// It can be dropped and called again at any time.
    pub async fn overdue(&self) {
        loop {
            let mut changed = pin!(self.inner.changed.notified());
            changed.as_mut().enable();
            let at = match self.lock().phase {
                Phase::Running => None,
                Phase::Ending { since } => Some(self.inner.farewell.cut_at(since)),
                Phase::EndingNow { cut_at } => Some(cut_at),
            };
            match at {
                Some(at) if at > Instant::now() => {
                    let mut timer = LazyTimer::default();
                    poll_fn(|cx| {
                        let is_changed = changed.as_mut().poll(cx).is_ready();
                        // Where there is no timer, it is never.
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

    /// Wraps a connection, so that it is cut when streams are [`overdue`](Self::overdue): reading
    /// and writing are errors then. All connections that are still open at that time are cut,
    /// whatever they carry.
    pub fn cut_io<IO>(&self, io: IO) -> ShutdownIo<IO> {
        ShutdownIo::new(io, self)
    }

    pub(crate) fn farewell(&self) -> &Farewell {
        &self.inner.farewell
    }

    /// Counts a stream in, and asks it to end if the shutdown has started.
    pub(crate) fn register(&self, stream: &Control) -> Registration {
        let (key, ask) = {
            let mut state = self.lock();
            let key = state.next_key;
            state.next_key += 1;
            state.streams.insert(key, stream.clone());
            let now = Instant::now();
            let ask = match state.phase {
                Phase::Running => None,
                Phase::Ending { since } => Some(self.inner.farewell.ask_late(now, since)),
                Phase::EndingNow { .. } => Some(Ask { begin: now, end: now, silent: true }),
            };
            (key, ask)
        };
        if let Some(ask) = ask {
            stream.ask(ask);
            // It may be overdue as soon as it is there.
            self.inner.changed.notify_waiters();
        }
        Registration { shutdown: self.clone(), key }
    }

    async fn changed_until(&self, is_so: impl Fn(&Self) -> bool) {
        loop {
            // Is told of everything from here on, also before it is polled.
            let changed = self.inner.changed.notified();
            if is_so(self) {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that panics runs under the lock.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn all(&self) -> Vec<Control> {
        self.streams.values().cloned().collect()
    }

    fn is_finished(&self) -> bool {
        self.phase != Phase::Running && self.streams.is_empty()
    }
}

/// Shutdowns are equal if they are the same one.
impl PartialEq for Shutdown {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Shutdown {}

impl Default for Shutdown {
    /// As [`Shutdown::now`].
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

/// A stream that is counted, until this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    shutdown: Shutdown,
    key: u64,
}

impl Registration {
    pub(crate) fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let (_stream, finished) = {
            let mut state = self.shutdown.lock();
            let stream = state.streams.remove(&self.key);
            if state.streams.is_empty() && state.streams.capacity() > 64 {
                // What a burst of streams has taken is given back.
                mem::take(&mut state.streams);
            }
            (stream, state.is_finished())
        };
        if finished {
            self.shutdown.inner.changed.notify_waiters();
        }
    }
}

/// The error of a shutdown that has taken too long: streams are still open, because their clients
/// have stopped reading, or their handlers were given more time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownTimeout {
    streams: usize,
    started: bool,
}

impl ShutdownTimeout {
    /// Returns how many streams are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams
    }
}

impl fmt::Display for ShutdownTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.started {
            return f.write_str("shutdown not finished in time: it has not started");
        }
        let plural = if self.streams == 1 { "stream is" } else { "streams are" };
        write!(f, "shutdown not finished in time: {} event {plural} still open", self.streams)
    }
}

impl Error for ShutdownTimeout {}
