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
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{
    accepted::Accepted,
    curfew::Curfew,
    end::{EndReason, Record},
    options::StreamOptions,
    source::{Feed, Handler},
};
use crate::{
    alarm::{Alarm, later},
    channel::{Ask, Cut, Ending, EventReceiver, Segment, Taken},
    event::Event,
    shutdown::Shutdown,
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

pin_project! {
    /// The fields are dropped in this order: the handler first, then what its senders send to, and
    /// last the record, whose drop tells how the stream ended.
    #[derive(Debug)]
    pub(crate) struct Live {
        handler: Handler,
        receiver: EventReceiver,
        #[pin]
        alarm: Alarm,
        opening: Opening,
        // What is on its way out. Its bytes are what is left of them.
        outgoing: Segment,
        // Bytes given since the body was last pending.
        since_pending: usize,
        // When bytes last left, kept only for a keep-alive and a curfew. None without a runtime.
        last_left: Option<Instant>,
        // Until when what is ready is held back, to be joined with what comes.
        held_until: Option<Instant>,
        // Boxed, since most streams have none.
        curfew: Option<Box<Curfew>>,
        // Some once the stream has failed and everything else is out.
        failed: Option<Failed>,
        record: Record,
    }

    impl PinnedDrop for Live {
        fn drop(this: Pin<&mut Self>) {
            this.leave();
        }
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
    Ready(Bytes),
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
        accepted: Accepted,
    ) -> Self {
        let opening = Opening::NotPolled { own_buffer: false, deadline: accepted.deadline };
        Self::new(handler, opening, Record::new(options, accepted, &receiver), receiver)
    }

    /// Makes a stream of a channel alone.
    pub(super) fn with_channel(receiver: EventReceiver) -> Self {
        let options = Arc::new(StreamOptions::new());
        let record = Record::new(options, Accepted::without_request(), &receiver);
        let opening = Opening::NotPolled { own_buffer: true, deadline: None };
        Self::new(Handler::None, opening, record, receiver)
    }

    fn new(handler: Handler, opening: Opening, record: Record, receiver: EventReceiver) -> Self {
        Self {
            handler,
            receiver,
            alarm: Alarm::default(),
            opening,
            outgoing: Segment::default(),
            since_pending: 0,
            last_left: None,
            held_until: None,
            curfew: None,
            failed: None,
            record,
        }
    }

    /// Changes the settings, which apply until the first poll.
    pub(super) fn change(self: Pin<&mut Self>, change: impl FnOnce(&mut StreamOptions)) {
        self.project().record.change(change);
    }

    /// Ends with this shutdown, in place of the settings' one.
    pub(super) fn set_shutdown(self: Pin<&mut Self>, shutdown: &Shutdown) {
        self.project().record.register_with(shutdown);
    }

    /// Sets when the stream must have ended.
    pub(super) fn set_deadline(self: Pin<&mut Self>, at: Instant) {
        if let Opening::NotPolled { deadline, .. } = self.project().opening {
            *deadline = Some(at);
        }
    }

    /// Returns the next bytes, or how the stream ends.
    pub(super) fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Bytes, End>> {
        if self.since_pending >= BUDGET {
            return Self::let_others(self.project().since_pending, cx);
        }
        if self.outgoing.bytes.is_empty() {
            match self.as_mut().poll_segment(cx) {
                Poll::Ready(Ok(segment)) => *self.as_mut().project().outgoing = segment,
                Poll::Ready(Err(end)) => return Poll::Ready(Err(end)),
                Poll::Pending => {
                    *self.project().since_pending = 0;
                    return Poll::Pending;
                }
            }
        }
        // Events that go out together are counted together, so only a large one is ever cut.
        let too_long = self.outgoing.bytes.len() > BUDGET - self.since_pending;
        if too_long && self.outgoing.events > 1 && self.since_pending > 0 {
            return Self::let_others(self.project().since_pending, cx);
        }
        Poll::Ready(Ok(self.give()))
    }

    /// Returns the end, if all has been given and nothing else can come: known before it is asked
    /// for.
    pub(super) fn finished(&self) -> Option<End> {
        let finished = self.outgoing.bytes.is_empty()
            && matches!(self.opening, Opening::Gone)
            && !self.handler.is_inside()
            && !self.curfew.as_ref().is_some_and(|curfew| curfew.owes_farewell())
            && self.receiver.is_finished();
        finished.then(|| self.clean_end())
    }

    /// Ends the stream, for this reason.
    pub(super) fn end(self: Pin<&mut Self>, end: &End) {
        let record = self.project().record;
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
    fn leave(mut self: Pin<&mut Self>) {
        let ended = self.receiver.leave();
        if self.record.reason.is_some() {
            return;
        }
        let opened = matches!(self.opening, Opening::Gone);
        let all_given = opened && self.outgoing.bytes.is_empty();
        let end = match ended {
            Some(Ending::Failed(error)) => Some(End::Failed(EndReason::Failed, error)),
            Some(Ending::Cut(cut)) => Some(End::Clean(reason_of(cut))),
            Some(Ending::Closed) if all_given => Some(self.clean_end()),
            Some(Ending::NoSenders) if all_given && !self.handler.is_inside() => {
                Some(self.clean_end())
            }
            Some(Ending::Closed | Ending::NoSenders) | None => self.as_mut().overdue(),
        };
        let lagged = || End::Clean(EndReason::Evicted);
        let has_lagged = self.as_mut().project().handler.feed().is_some_and(Feed::has_lagged);
        let end = end.or_else(|| has_lagged.then(lagged));
        if let Some(end) = end {
            self.end(&end);
        }
    }

    /// Returns the end that was due, but could not come since nobody polled.
    fn overdue(self: Pin<&mut Self>) -> Option<End> {
        let this = self.project();
        if let &mut Opening::NotPolled { deadline: Some(deadline), .. } = this.opening {
            *this.curfew = Curfew::of(&this.record.options, Some(deadline), true).map(Box::new);
        }
        if let Some(ask) = this.receiver.take_ask() {
            Curfew::ask(this.curfew, ask, this.handler.feed().is_none());
        }
        this.curfew.as_ref()?.overdue(Instant::now()).map(End::Clean)
    }

    /// Gives what is outgoing, as much as the budget allows, and the opening with it or before it.
    fn give(self: Pin<&mut Self>) -> Bytes {
        let this = self.project();
        let mut opening = None;
        if let Opening::Ready(bytes) = std::mem::replace(this.opening, Opening::Gone) {
            if this.outgoing.bytes.len() <= JOINED {
                this.outgoing.bytes = [&bytes[..], &this.outgoing.bytes].concat().into();
            } else {
                opening = Some(bytes);
            }
        }
        let most = BUDGET - *this.since_pending;
        let (bytes, ended) = if let Some(opening) = opening {
            (opening, None)
        } else if this.outgoing.bytes.len() > most {
            (this.outgoing.bytes.split_to(most), None)
        } else {
            (std::mem::take(&mut this.outgoing.bytes), Some(this.outgoing))
        };
        *this.since_pending += bytes.len();
        if let Some(window) = this.record.options.batch_window {
            let has_events = ended.as_ref().is_some_and(|segment| segment.events > 0);
            if has_events {
                *this.held_until = Some(later(Instant::now(), window));
            }
        }
        this.record.count(bytes.len(), ended);
        if this.last_left.is_some() {
            *this.last_left = Some(Instant::now());
        }
        bytes
    }

    /// Is pending once, so that the server writes what it has.
    fn let_others<T>(since_pending: &mut usize, cx: &Context<'_>) -> Poll<T> {
        *since_pending = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_segment(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Segment, End>> {
        self.as_mut().open();
        let this = self.as_mut().project();
        if let (Some(curfew), Some(last_left)) = (this.curfew, *this.last_left) {
            // A stream that is never idle looks here. The clock was read when it gave something.
            curfew.advance(last_left, this.receiver);
        }
        loop {
            let this = self.as_mut().project();
            if this.failed.is_some() {
                return self.poll_failed(cx).map(Err);
            }
            this.handler.poll(this.receiver, &this.record.span, cx);
            let is_opening = matches!(this.opening, Opening::Ready(_));
            let is_held = this.last_left.is_some()
                && this.held_until.is_some_and(|until| Instant::now() < until);
            let taken = if is_held {
                this.handler.take_pressing(this.receiver, cx)
            } else {
                *this.held_until = None;
                this.handler.take(this.receiver, cx)
            };
            match taken {
                Taken::Segment(segment) => return Poll::Ready(Ok(segment)),
                Taken::Asked(ask) => self.as_mut().ask(ask),
                // The opening goes out alone.
                Taken::Nothing | Taken::Ended(_) if is_opening => {
                    return Poll::Ready(Ok(Segment::default()));
                }
                Taken::Nothing => {
                    if let Some(segment) = ready!(self.as_mut().poll_due(cx)) {
                        return Poll::Ready(Ok(segment));
                    }
                }
                Taken::Ended(Ending::Closed | Ending::NoSenders) => {
                    let curfew = this.curfew.as_mut();
                    let farewell = curfew.and_then(|curfew| curfew.farewell(this.record));
                    return Poll::Ready(farewell.ok_or_else(|| self.clean_end()));
                }
                Taken::Ended(Ending::Failed(error)) => {
                    *this.failed = Some(Failed::now(EndReason::Failed, error));
                }
                Taken::Ended(Ending::Cut(cut)) => {
                    *this.failed = Some(Failed::now(reason_of(cut), Arc::new(cut)));
                }
            }
        }
    }

    /// Does what is done once, at the first poll, when the settings are final.
    fn open(self: Pin<&mut Self>) {
        let this = self.project();
        let &mut Opening::NotPolled { own_buffer, deadline } = this.opening else { return };
        let options = &this.record.options;
        if !own_buffer {
            this.receiver.set_buffer(options.buffer);
        }
        let has_grace = this.handler.feed().is_none();
        *this.curfew = Curfew::of(options, deadline, has_grace).map(Box::new);
        if let Some(ask) = this.receiver.take_ask() {
            Curfew::ask(this.curfew, ask, has_grace);
        }
        let is_kept_alive = options.keep_alive.as_ref().is_some_and(|it| it.idle().is_some());
        if is_kept_alive || this.curfew.is_some() || options.batch_window.is_some() {
            *this.last_left = Some(Instant::now());
        }
        // What is over before it has begun has no handler.
        let is_over = this.curfew.as_mut().is_some_and(|curfew| {
            curfew.advance(Instant::now(), this.receiver);
            curfew.is_over()
        });
        if options.in_task && !is_over {
            this.handler.spawn(this.receiver, &this.record.span);
        }
        let mut opening = Event::default();
        if options.greeting {
            opening = opening.with_comment("connected");
        }
        if let Some(retry) = &options.retry {
            opening = opening.with_retry(retry.draw());
        }
        *this.opening = if options.greeting || options.retry.is_some() {
            Opening::Ready(opening.encode().to_bytes())
        } else {
            Opening::Gone
        };
    }

    /// Takes what a shutdown asks.
    fn ask(self: Pin<&mut Self>, ask: Ask) {
        let this = self.project();
        Curfew::ask(this.curfew, ask, this.handler.feed().is_none());
        let now = Instant::now();
        this.last_left.get_or_insert(now);
        if let Some(curfew) = this.curfew {
            curfew.advance(now, this.receiver);
        }
    }

    /// Waits for what is due when nothing else happens: a keep-alive, or that the curfew has done
    /// something.
    fn poll_due(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Segment>> {
        let this = self.project();
        let Some(last_left) = *this.last_left else { return Poll::Pending };
        let keep_alive = this.record.options.keep_alive.as_ref().and_then(|keep_alive| {
            // None where it is beyond what the clock can tell.
            Some((keep_alive, last_left.checked_add(keep_alive.idle()?)?))
        });
        let curfew = this.curfew.as_ref().and_then(|curfew| curfew.due());
        let held = *this.held_until;
        let due = keep_alive.map(|(_, at)| at).into_iter().chain(curfew).chain(held).min();
        let Some(due) = due else { return Poll::Pending };
        let Some(rung) = this.alarm.poll_at(due, cx) else {
            let what = match (curfew, held) {
                (Some(_), _) => "what limits a stream",
                (None, Some(_)) => "batch_window",
                (None, None) => "keep_alive",
            };
            trace::no_runtime(what);
            *this.last_left = None;
            return Poll::Pending;
        };
        ready!(rung);
        // The alarm's clock counts milliseconds, and may be a little ahead of this one.
        let now = Instant::now().max(due);
        if this.curfew.as_mut().is_some_and(|curfew| curfew.advance(now, this.receiver)) {
            return Poll::Ready(None);
        }
        if held.is_some_and(|until| until <= now) {
            *this.held_until = None;
            return Poll::Ready(None);
        }
        let Some((keep_alive, _)) = keep_alive else { return Poll::Ready(None) };
        let (mut bytes, mut last_id) = (keep_alive.bytes(), keep_alive.id());
        if let Some(fresh) = this.handler.feed().and_then(|feed| feed.refresh()) {
            bytes = [&bytes[..], &fresh.bytes].concat().into();
            last_id = fresh.last_id;
        }
        Poll::Ready(Some(Segment { bytes, last_id, ..Segment::default() }))
    }

    fn poll_failed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let this = self.project();
        let Some(Failed { reason, error, at }) = this.failed else { return Poll::Pending };
        if let Some(rung) = this.alarm.poll_at(*at, cx) {
            ready!(rung);
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
