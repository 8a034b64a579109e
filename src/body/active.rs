//! A stream that has not ended: its parts, and how it starts.
//!
//! Lifetime, deadline and shutdown are one [`StopSchedule`]. When it is due it closes the source.
//! From then on the stream ends as if the application had closed it, with a farewell and another
//! reason.

use std::{error::Error, sync::Arc};

use tokio::time::Instant;

use super::{
    account::{AcceptedStream, Outcome, StreamAccount},
    options::BodyOptions,
    pacing::Pacing,
    prelude::Prelude,
    source::Source,
    stop::StopSchedule,
    timers::{ERROR_DELAY, TimerSchedule, Timers},
};
use crate::{
    channel::Segment,
    lifecycle::{EndReason, StopRequest},
    shutdown::Shutdown,
};

/// A stream that has not ended.
///
/// `repr(C)` keeps the fields in the order of their use: a server of ten thousand streams has none
/// of them in its cache, so the fields that every event touches stand together, first.
#[derive(Debug)]
#[repr(C)]
pub(super) struct ActiveStream {
    /// Where the events come from.
    pub(super) source: Source,
    /// How much may go out at a time.
    pub(super) pacing: Pacing,
    /// When something is due if nothing else happens.
    pub(super) timers: Timers,
    /// Whether the greeting has gone out.
    pub(super) prelude: Prelude,
    /// The source has given its last segment, and has not failed.
    pub(super) source_ended: bool,
    /// The part of a segment that has not gone out yet.
    pub(super) outgoing: Option<Box<Segment>>,
    /// When the stream ends although its source has not ended. Boxed, since most streams have none.
    pub(super) stop: Option<Box<StopSchedule>>,
    /// The error that the stream ends with, once everything else is out.
    pub(super) error: Option<Box<PendingError>>,
    /// What has gone out, and how the stream ended.
    pub(super) account: StreamAccount,
    /// When the stream must have ended. It is part of the stop schedule from the first poll on.
    pub(super) deadline: Option<Instant>,
}

/// An error that is held back for a moment, so that the server first writes the events before it.
#[derive(Debug)]
pub(super) struct PendingError {
    /// The reason that the stream reports.
    pub(super) reason: EndReason,
    /// The error that the body yields.
    pub(super) error: Arc<dyn Error + Send + Sync>,
    /// When the body yields it.
    pub(super) at: Instant,
}

impl ActiveStream {
    pub(super) fn new(source: Source, options: Arc<BodyOptions>, accepted: AcceptedStream) -> Self {
        let deadline = accepted.deadline;
        let mut stream = Self {
            source,
            pacing: Pacing::default(),
            timers: Timers::default(),
            prelude: Prelude::NotStarted { is_held: false },
            source_ended: false,
            outgoing: None,
            stop: None,
            error: None,
            account: StreamAccount::new(options, accepted),
            deadline,
        };
        stream.register();
        stream
    }

    /// Changes the settings. They apply until the first poll.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut BodyOptions)) {
        let before = self.account.options.clone();
        change(Arc::make_mut(&mut self.account.options));
        if matches!(self.prelude, Prelude::NotStarted { .. }) {
            self.account.renew_metrics(&before);
        }
        if self.account.options.shutdown != before.shutdown {
            self.unregister();
            self.register();
        }
    }

    /// Replaces the shutdown of the settings by another one.
    pub(super) fn set_shutdown(&mut self, shutdown: &Shutdown) {
        if self.account.shutdown() != Some(shutdown) {
            self.unregister();
            let stream = self.source.handle();
            self.account.registration = stream.map(|stream| shutdown.register(&stream));
        }
    }

    /// Registers the stream with the shutdown of the settings, if there is one.
    fn register(&mut self) {
        if let Some(shutdown) = self.account.options.shutdown.clone() {
            self.set_shutdown(&shutdown);
        }
    }

    fn unregister(&mut self) {
        if self.account.registration.take().is_some() {
            // The stream no longer belongs to the shutdown that made this request.
            if let Some(stream) = self.source.handle() {
                stream.cancel_stop();
            }
        }
    }

    /// Sets when the stream must have ended.
    pub(super) fn set_deadline(&mut self, at: Instant) {
        self.deadline = Some(at);
    }

    /// Starts the stream at its first poll, when the settings are final.
    pub(super) fn start(&mut self) {
        let Prelude::NotStarted { is_held } = self.prelude else { return };
        let options = &self.account.options;
        self.prelude = if is_held { Prelude::Held } else { Prelude::for_options(options) };
        let has_grace = self.source.has_grace();
        let mut stop = StopSchedule::new(options, self.deadline, has_grace).map(Box::new);
        if let Some(request) = self.source.take_stop_request() {
            StopSchedule::merge(&mut stop, request, has_grace);
        }
        let is_kept_alive = options.keep_alive.as_ref().is_some_and(|it| it.idle().is_some());
        if is_kept_alive || stop.is_some() || options.batch_window.is_some() {
            self.timers.start();
        }
        // A stream that is already past its end starts no handler.
        if let Some(stop) = &mut stop {
            stop.advance(Instant::now(), &mut self.source);
        }
        if !stop.as_ref().is_some_and(|stop| stop.is_over()) {
            self.source.start(&self.account.span);
        }
        self.stop = stop;
    }

    /// Lets nothing go out. The next polls return no bytes once there is a first segment, or the end. Returns
    /// false if something may have gone out already.
    pub(super) fn hold(&mut self) -> bool {
        self.prelude.hold()
    }

    /// Lets everything go out.
    pub(super) fn release(&mut self) {
        self.prelude.release(&self.account.options);
    }

    pub(super) fn request_stop(&mut self, request: StopRequest) {
        StopSchedule::merge(&mut self.stop, request, self.source.has_grace());
        self.timers.start();
        if let Some(stop) = &mut self.stop {
            stop.advance(Instant::now(), &mut self.source);
        }
    }

    /// Collects the deadlines of a stream that has nothing to send.
    #[inline]
    pub(super) fn timer_schedule(&self) -> TimerSchedule {
        let keep_alive = self.account.options.keep_alive.as_ref();
        TimerSchedule {
            stop: self.stop.as_ref().and_then(|stop| stop.next()),
            window: self.pacing.held_until(),
            keep_alive: keep_alive
                .and_then(|keep_alive| keep_alive.idle())
                .and_then(|idle| self.timers.idle_at(idle)),
        }
    }

    /// Returns the outcome of a stream that ends without an error.
    pub(super) fn clean_outcome(&self) -> Outcome {
        let reason = self.stop.as_ref().and_then(|stop| stop.reason());
        Outcome::Clean(reason.unwrap_or(EndReason::Finished))
    }
}

impl PendingError {
    pub(super) fn new(reason: EndReason, error: Arc<dyn Error + Send + Sync>) -> Box<Self> {
        Box::new(Self { reason, error, at: Instant::now() + ERROR_DELAY })
    }
}
