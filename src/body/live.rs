//! A stream while it lasts: what the body does at each poll.
//!
//! ```text
//! poll ─▶ let the server write after 64 KiB ─▶ rest of a segment?     ─▶ out
//!                                           └▶ handler ─▶ channel ─▶ segment ─▶ out
//!                                                                 ├▶ asked   ─▶ a curfew
//!                                                                 ├▶ nothing ─▶ greeting | keep-alive | curfew | pending
//!                                                                 └▶ ended   ─▶ greeting | farewell | error after a pause | end
//! ```
//!
//! Whatever governs the stream (lifetime, deadline, shutdown) is its [`Curfew`], which closes the
//! channel when it is due; from there on the stream ends as if the application had closed it.

use std::{
    error::Error,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    accepted::AcceptedStream,
    curfew::Curfew,
    end::{EndReason, Record},
    options::StreamOptions,
    source::{Feed, Handler},
};
use crate::{
    channel::{Ask, Cut, Ending, EventReceiver, Segment, Taken},
    event::Event,
    shutdown::Shutdown,
    timer::{LazyTimer, saturating_add},
    trace,
};

/// How much goes out between two times that the body is pending, in bytes. A server gathers all it
/// can get before it writes, and more than this leaves the cache.
const BUDGET: usize = 64 << 10;
/// How large the first segment may be, in bytes, to be copied behind the greeting. A larger one
/// follows it.
const JOINED: usize = 16 << 10;
/// How long what was sent before an error has to get out before the error takes the connection
/// down.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// The fields are dropped in this order: the handler first, then what its senders send to, and
/// last the record, whose drop tells how the stream ended. They lie in this order too: what each
/// event touches is together in front, which is what a delivery costs most.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Live {
    handler: Handler,
    receiver: EventReceiver,
    /// Bytes given since the body was last pending.
    since_pending: usize,
    /// When bytes last left, kept only for a keep-alive, a curfew and a window. None without a
    /// runtime.
    last_left: Option<Instant>,
    /// Until when what is ready is held back, to be joined with what comes.
    held_until: Option<Instant>,
    timer: LazyTimer,
    opening: Opening,
    /// What is left of a segment that does not go out at once.
    outgoing: Option<Box<Segment>>,
    /// Boxed, since most streams have none.
    curfew: Option<Box<Curfew>>,
    /// Some once the stream has failed and everything else is out.
    failed: Option<Box<Failed>>,
    record: Record,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What goes out before all else.
#[derive(Debug)]
enum Opening {
    /// The body was not polled. The buffer is the setting's, unless the channel came with its own.
    NotPolled {
        own_buffer: bool,
        deadline: Option<Instant>,
    },
    /// To be sent.
    Due,
    Gone,
}

/// The end of a stream.
#[derive(Debug)]
pub(super) enum End {
    Clean(EndReason),
    Failed(EndReason, Arc<dyn Error + Send + Sync>),
}

/// An end with an error that is yet to be told.
#[derive(Debug)]
struct Failed {
    reason: EndReason,
    error: Arc<dyn Error + Send + Sync>,
    at: Instant,
}

impl Live {
    /// Makes a stream of a handler and the channel that it sends to.
    pub(super) fn with_handler(
        handler: Handler,
        receiver: EventReceiver,
        options: Arc<StreamOptions>,
        accepted: AcceptedStream,
    ) -> Self {
        let opening = Opening::NotPolled { own_buffer: false, deadline: accepted.deadline };
        Self::new(handler, opening, Record::new(options, accepted, &receiver), receiver)
    }

    /// Makes a stream of a channel alone.
    pub(super) fn with_channel(receiver: EventReceiver) -> Self {
        let options = Arc::new(StreamOptions::new());
        let record = Record::new(options, AcceptedStream::without_request(), &receiver);
        let opening = Opening::NotPolled { own_buffer: true, deadline: None };
        Self::new(Handler::None, opening, record, receiver)
    }

    fn new(handler: Handler, opening: Opening, record: Record, receiver: EventReceiver) -> Self {
        Self {
            handler,
            receiver,
            timer: LazyTimer::default(),
            opening,
            outgoing: None,
            since_pending: 0,
            last_left: None,
            held_until: None,
            curfew: None,
            failed: None,
            record,
        }
    }

    /// Changes the settings, which apply until the first poll.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut StreamOptions)) {
        self.record.change(change);
    }

    /// Ends with this shutdown, in place of the settings' one.
    pub(super) fn set_shutdown(&mut self, shutdown: &Shutdown) {
        self.record.register_with(shutdown);
    }

    /// Sets when the stream must have ended.
    pub(super) fn set_deadline(&mut self, at: Instant) {
        if let Opening::NotPolled { deadline, .. } = &mut self.opening {
            *deadline = Some(at);
        }
    }

    /// Returns the next bytes, or how the stream ends.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, End>> {
        if self.since_pending >= BUDGET {
            return self.let_others(cx);
        }
        if self.outgoing.is_none() {
            let mut segment = match self.poll_segment(cx) {
                Poll::Ready(Ok(segment)) => segment,
                Poll::Ready(Err(end)) => return Poll::Ready(Err(end)),
                Poll::Pending => {
                    self.since_pending = 0;
                    return Poll::Pending;
                }
            };
            let is_opening = matches!(self.opening, Opening::Due);
            if !is_opening && segment.bytes.len() <= BUDGET - self.since_pending {
                let bytes = std::mem::take(&mut segment.bytes);
                self.given(bytes.len(), Some(&mut segment));
                return Poll::Ready(Ok(bytes));
            }
            self.outgoing = Some(Box::new(segment));
        }
        // Events that go out together are counted together, so only a large one is ever cut.
        let must_wait = self.outgoing.as_ref().is_some_and(|segment| {
            let is_too_long = segment.bytes.len() > BUDGET - self.since_pending;
            is_too_long && segment.events > 1 && self.since_pending > 0
        });
        if must_wait {
            return self.let_others(cx);
        }
        Poll::Ready(Ok(self.give()))
    }

    /// Returns the end, if all has been given and nothing else can come: known before it is asked
    /// for.
    pub(super) fn finished(&self) -> Option<End> {
        let finished = self.outgoing.is_none()
            && matches!(self.opening, Opening::Gone)
            && !self.handler.is_inside()
            && !self.curfew.as_ref().is_some_and(|curfew| curfew.owes_farewell())
            && self.receiver.is_finished();
        finished.then(|| self.clean_end())
    }

    /// Ends the stream, for this reason.
    pub(super) fn end(&mut self, end: &End) {
        let record = &mut self.record;
        match end {
            End::Clean(reason) => record.reason = Some(*reason),
            End::Failed(reason, error) => {
                record.reason = Some(*reason);
                record.error = (*reason == EndReason::Failed).then(|| error.clone());
            }
        }
    }

    fn clean_end(&self) -> End {
        let reason = self.curfew.as_ref().and_then(|curfew| curfew.reason());
        End::Clean(reason.unwrap_or(EndReason::Finished))
    }

    /// Tells the senders that nobody reads any more, before the handler is dropped. If the stream
    /// had ended before its client left, or should have, that is the reason.
    fn leave(&mut self) {
        let ended = self.receiver.leave();
        if self.record.reason.is_some() {
            return;
        }
        let opened = matches!(self.opening, Opening::Gone);
        let all_given = opened && self.outgoing.is_none();
        let end = match ended {
            Some(Ending::Failed(error)) => Some(End::Failed(EndReason::Failed, error)),
            Some(Ending::Cut(cut)) => Some(End::Clean(reason_of(cut))),
            Some(Ending::Closed) if all_given => Some(self.clean_end()),
            Some(Ending::NoSenders) if all_given && !self.handler.is_inside() => {
                Some(self.clean_end())
            }
            Some(Ending::Closed | Ending::NoSenders) | None => self.overdue(),
        };
        let lagged = || End::Clean(EndReason::Evicted);
        let has_lagged = self.handler.feed().is_some_and(Feed::has_lagged);
        let end = end.or_else(|| has_lagged.then(lagged));
        if let Some(end) = end {
            self.end(&end);
        }
    }

    /// Returns the end that was due, but could not come since nobody polled.
    fn overdue(&mut self) -> Option<End> {
        if let Opening::NotPolled { deadline: Some(deadline), .. } = self.opening {
            self.curfew = Curfew::of(&self.record.options, Some(deadline), true).map(Box::new);
        }
        if let Some(ask) = self.receiver.take_ask() {
            Curfew::ask(&mut self.curfew, ask, self.handler.feed().is_none());
        }
        self.curfew.as_ref()?.overdue(Instant::now()).map(End::Clean)
    }

    /// Gives what is outgoing, as much as the budget allows, and the opening with it or before it.
    fn give(&mut self) -> Bytes {
        let Some(mut segment) = self.outgoing.take() else { return Bytes::new() };
        if let Opening::Due = std::mem::replace(&mut self.opening, Opening::Gone) {
            let opening = self.opening();
            if segment.bytes.len() > JOINED {
                self.outgoing = Some(segment);
                self.given(opening.len(), None);
                return opening;
            }
            segment.bytes = [&opening[..], &segment.bytes].concat().into();
        }
        let most = BUDGET - self.since_pending;
        if segment.bytes.len() > most {
            let bytes = segment.bytes.split_to(most);
            self.outgoing = Some(segment);
            self.given(bytes.len(), None);
            return bytes;
        }
        self.given(segment.bytes.len(), Some(&mut segment));
        segment.bytes
    }

    /// Makes what goes out before all else.
    fn opening(&self) -> Bytes {
        let options = &self.record.options;
        let mut opening = Event::default();
        if options.greeting {
            opening = opening.with_comment("connected");
        }
        if let Some(retry) = &options.retry {
            opening = opening.with_retry(retry.draw());
        }
        opening.encode().to_bytes()
    }

    /// Takes note of bytes that go out now, and of the segment that they are the last of.
    fn given(&mut self, length: usize, ended: Option<&mut Segment>) {
        self.since_pending += length;
        if let Some(window) = self.record.options.batch_window {
            let has_events = ended.as_ref().is_some_and(|segment| segment.events > 0);
            if has_events {
                self.held_until = Some(saturating_add(Instant::now(), window));
            }
        }
        self.record.count(length, ended);
        if self.last_left.is_some() {
            self.last_left = Some(Instant::now());
        }
    }

    /// Is pending once, so that the server writes what it has.
    fn let_others<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.since_pending = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_segment(&mut self, cx: &mut Context<'_>) -> Poll<Result<Segment, End>> {
        self.open();
        if let (Some(curfew), Some(last_left)) = (&mut self.curfew, self.last_left) {
            // A stream that is never idle looks here. The clock was read when it gave something.
            curfew.advance(last_left, &self.receiver);
        }
        loop {
            if self.failed.is_some() {
                return self.poll_failed(cx).map(Err);
            }
            self.handler.poll(&self.receiver, &self.record.span, cx);
            let is_opening = matches!(self.opening, Opening::Due);
            let is_held = self.last_left.is_some()
                && self.held_until.is_some_and(|until| Instant::now() < until);
            let taken = if is_held {
                self.handler.take_pressing(&self.receiver, cx)
            } else {
                self.held_until = None;
                self.handler.take(&self.receiver, cx)
            };
            match taken {
                Taken::Segment(segment) => return Poll::Ready(Ok(segment)),
                Taken::Asked(ask) => self.ask(ask),
                // The opening goes out alone.
                Taken::Nothing | Taken::Ended(_) if is_opening => {
                    return Poll::Ready(Ok(Segment::default()));
                }
                Taken::Nothing => {
                    if let Some(segment) = ready!(self.poll_due(cx)) {
                        return Poll::Ready(Ok(segment));
                    }
                }
                Taken::Ended(Ending::Closed | Ending::NoSenders) => {
                    let curfew = self.curfew.as_mut();
                    let farewell = curfew.and_then(|curfew| curfew.farewell(&self.record));
                    return Poll::Ready(farewell.ok_or_else(|| self.clean_end()));
                }
                Taken::Ended(Ending::Failed(error)) => {
                    self.failed = Some(Box::new(Failed::now(EndReason::Failed, error)));
                }
                Taken::Ended(Ending::Cut(cut)) => {
                    self.failed = Some(Box::new(Failed::now(reason_of(cut), Arc::new(cut))));
                }
            }
        }
    }

    /// Does what is done once, at the first poll, when the settings are final.
    fn open(&mut self) {
        let Opening::NotPolled { own_buffer, deadline } = self.opening else { return };
        let options = &self.record.options;
        if !own_buffer {
            self.receiver.set_buffer(options.buffer);
        }
        let has_grace = self.handler.feed().is_none();
        self.curfew = Curfew::of(options, deadline, has_grace).map(Box::new);
        if let Some(ask) = self.receiver.take_ask() {
            Curfew::ask(&mut self.curfew, ask, has_grace);
        }
        let is_kept_alive = options.keep_alive.as_ref().is_some_and(|it| it.idle().is_some());
        if is_kept_alive || self.curfew.is_some() || options.batch_window.is_some() {
            self.last_left = Some(Instant::now());
        }
        // What is over before it has begun has no handler.
        let is_over = self.curfew.as_mut().is_some_and(|curfew| {
            curfew.advance(Instant::now(), &self.receiver);
            curfew.is_over()
        });
        if options.spawn_handler && !is_over {
            self.handler.spawn(&self.receiver, &self.record.span);
        }
        let has_opening = options.greeting || options.retry.is_some();
        self.opening = if has_opening { Opening::Due } else { Opening::Gone };
    }

    /// Takes what a shutdown asks.
    fn ask(&mut self, ask: Ask) {
        Curfew::ask(&mut self.curfew, ask, self.handler.feed().is_none());
        let now = Instant::now();
        self.last_left.get_or_insert(now);
        if let Some(curfew) = &mut self.curfew {
            curfew.advance(now, &self.receiver);
        }
    }

    /// Waits for what is due when nothing else happens: a keep-alive, or that the curfew has done
    /// something.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Option<Segment>> {
        let Some(last_left) = self.last_left else { return Poll::Pending };
        let keep_alive = self.record.options.keep_alive.as_ref().and_then(|keep_alive| {
            // None where it is beyond what the clock can tell.
            Some((keep_alive, last_left.checked_add(keep_alive.idle()?)?))
        });
        let curfew = self.curfew.as_ref().and_then(|curfew| curfew.due());
        let held = self.held_until;
        let due = keep_alive.map(|(_, at)| at).into_iter().chain(curfew).chain(held).min();
        let Some(due) = due else { return Poll::Pending };
        // If something has just left, that is when the clock was read. Reading it again costs less than
        // the timer, which is not in the cache.
        let now = if self.since_pending > 0 { last_left } else { Instant::now() };
        if self.timer.is_set(due, now, cx) {
            return Poll::Pending;
        }
        let Some(fired) = self.timer.poll_at(due, cx) else {
            let what = match (curfew, held) {
                (Some(_), _) => "what limits a stream",
                (None, Some(_)) => "batch_window",
                (None, None) => "keep_alive",
            };
            trace::no_runtime(what);
            self.last_left = None;
            return Poll::Pending;
        };
        ready!(fired);
        // The timer's clock counts milliseconds, and may be a little ahead of this one.
        let now = Instant::now().max(due);
        if self.curfew.as_mut().is_some_and(|curfew| curfew.advance(now, &self.receiver)) {
            return Poll::Ready(None);
        }
        if held.is_some_and(|until| until <= now) {
            self.held_until = None;
            return Poll::Ready(None);
        }
        let Some((keep_alive, _)) = keep_alive else { return Poll::Ready(None) };
        let (mut bytes, mut last_id) = (keep_alive.bytes(), keep_alive.id());
        if let Some(fresh) = self.handler.feed().and_then(|feed| feed.refresh()) {
            bytes = [&bytes[..], &fresh.bytes].concat().into();
            last_id = fresh.last_id;
        }
        Poll::Ready(Some(Segment { bytes, last_id, ..Segment::default() }))
    }

    fn poll_failed(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let Some(failed) = &self.failed else { return Poll::Pending };
        let Failed { reason, error, at } = &**failed;
        if let Some(fired) = self.timer.poll_at(*at, cx) {
            ready!(fired);
        }
        Poll::Ready(End::Failed(*reason, error.clone()))
    }
}

impl Failed {
    fn now(reason: EndReason, error: Arc<dyn Error + Send + Sync>) -> Self {
        Self { reason, error, at: Instant::now() + ERROR_PAUSE }
    }
}

fn reason_of(cut: Cut) -> EndReason {
    match cut {
        Cut::Evicted => EndReason::Evicted,
        Cut::Revoked => EndReason::Revoked,
    }
}
