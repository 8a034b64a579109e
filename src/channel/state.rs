//! What sender and receiver share, behind one lock.
//!
//! Rules that hold here:
//!
//! - No code that is not ours runs under the lock, but for `Waker::clone`: wakers to be woken or
//!   dropped, and bytes to be freed (whose owner may be anything), are returned to the caller, who
//!   does that when the lock is free.
//! - Who waits stands in `waiting`, in the order of arrival, and the first of them has the next
//!   room: nobody else may take it. So whoever leaves the front, served or cancelled, passes the
//!   turn on ([`State::next_turn`]).
//! - The status is left once, from `Open`; the first reason wins (`ending.rs`).

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
    thread::{self, ThreadId},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    buffer::{Buffer, WhenFull},
    ending::{Ask, Status},
    error::Kind,
    queue::{Queue, Segment},
};
use crate::{
    encode::{Layout, sealed},
    metrics::StreamMetrics,
    timer::saturating_add,
};

/// How many sends are enough for one turn, however many events the buffer holds: it may be bounded
/// by its bytes alone.
const MANY: usize = 1024;
/// From how many bytes on an event counts for more than one in a turn.
const HEAVY: usize = 4 << 10;

pub(super) struct Shared {
    state: Mutex<State>,
    /// Told when a graceful end has begun, and when the stream is over.
    pub(super) told: Notify,
    /// Told of what happens, never under the lock: what is behind them is not ours.
    pub(super) metrics: StreamMetrics,
}

impl Shared {
    pub(super) fn new(buffer: Buffer) -> Self {
        Self {
            state: Mutex::new(State::new(buffer)),
            told: Notify::new(),
            metrics: StreamMetrics::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that panics runs under the lock, so the state is whole whatever a thread that
        // held it did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows what can be seen without waiting for the lock.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Channel");
        if let Ok(state) = self.state.try_lock() {
            shown.field("open", &state.is_open());
            shown.field("queued", &state.queue.events()).field("waiting", &state.waiting.len());
        }
        shown.finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct State {
    buffer: Buffer,
    pub(super) queue: Queue,
    /// Places promised to sinks.
    reserved: usize,
    pub(super) waiting: VecDeque<Waiting>,
    next_ticket: Ticket,
    /// How much was offered and not made to wait since the receiver last took something: one for
    /// each event, and one for each [`HEAVY`] bytes of it.
    since_taken: usize,
    pub(super) dropped: u64,
    pub(super) status: Status,
    /// A graceful end has begun.
    pub(super) ending: bool,
    /// What the body has not heard of yet. Boxed, since most streams are never asked.
    pub(super) ask: Option<Box<Ask>>,
    /// How long a sender outside of the body may wait.
    pub(super) send_timeout: Option<Duration>,
    /// When the receiver last took something, kept only for that.
    last_taken: Option<Instant>,
    pub(super) senders: usize,
    /// Some while the receiver waits for something to take.
    pub(super) receiver: Option<Waker>,
    /// The thread that polls the handler, while it does.
    pub(super) polling: Option<ThreadId>,
}

/// Tells one that waits from the others. Tickets grow from the front of the line to its end.
pub(super) type Ticket = u64;

#[derive(Debug)]
pub(super) struct Waiting {
    ticket: Ticket,
    pub(super) waker: Waker,
}

/// What is left to do, without the lock, when somebody got out of line.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Left {
    _gone: Option<Waker>,
    /// To be woken: it is their turn, and there may be room.
    pub(super) next: Option<Waker>,
}

/// What became of an event that was offered.
#[derive(Debug)]
#[must_use]
pub(super) enum Offered {
    /// It is in the queue, or was dropped as the buffer's policy says.
    Taken(Dropped),
    /// There is no room now.
    NoRoom,
    Refused(Kind),
}

/// What the buffer's policy has cost.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    pub(super) events: u64,
    /// To be freed without the lock.
    gone: Vec<Segment>,
}

impl State {
    fn new(buffer: Buffer) -> Self {
        Self {
            buffer,
            queue: queue_for(buffer),
            reserved: 0,
            waiting: VecDeque::new(),
            next_ticket: 0,
            since_taken: 0,
            dropped: 0,
            status: Status::Open,
            ending: false,
            ask: None,
            send_timeout: None,
            last_taken: None,
            senders: 1,
            receiver: None,
            polling: None,
        }
    }

    pub(super) fn set_buffer(&mut self, buffer: Buffer) {
        self.buffer = buffer;
        self.queue = queue_for(buffer);
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.status, Status::Open)
    }

    /// Takes an event into the queue, if it is this one's turn and there is room.
    pub(super) fn offer<E: sealed::Encode>(
        &mut self,
        event: &E,
        layout: &Layout,
        ticket: Option<Ticket>,
    ) -> Offered {
        let offered = match self.refusal(layout) {
            Some(kind) => Offered::Refused(kind),
            None => self.offer_open(event, layout, ticket),
        };
        if !matches!(offered, Offered::NoRoom) {
            self.count(layout);
        }
        offered
    }

    fn count(&mut self, layout: &Layout) {
        self.since_taken += 1 + layout.len / HEAVY;
    }

    fn offer_open<E: sealed::Encode>(
        &mut self,
        event: &E,
        layout: &Layout,
        ticket: Option<Ticket>,
    ) -> Offered {
        let mut dropped = Dropped::default();
        match self.buffer.when_full {
            WhenFull::Wait if self.would_wait(layout.len, ticket) => return Offered::NoRoom,
            WhenFull::DropNewest if !self.fits(layout.len) => dropped.events = 1,
            WhenFull::Wait | WhenFull::DropNewest => self.queue.push(event, layout),
            WhenFull::DropOldest => {
                while !self.fits(layout.len) {
                    dropped.gone.extend(self.queue.drop_oldest());
                    dropped.events += 1;
                }
                self.queue.push(event, layout);
            }
        }
        self.dropped += dropped.events;
        Offered::Taken(dropped)
    }

    /// Takes an event for which a place was reserved.
    pub(super) fn offer_reserved<E: sealed::Encode>(
        &mut self,
        event: &E,
        layout: &Layout,
    ) -> Offered {
        self.reserved -= 1;
        self.count(layout);
        if let Some(kind) = self.refusal(layout) {
            return Offered::Refused(kind);
        }
        self.queue.push(event, layout);
        Offered::Taken(Dropped::default())
    }

    fn refusal(&self, layout: &Layout) -> Option<Kind> {
        if !self.is_open() {
            Some(Kind::Closed)
        } else if layout.len > self.buffer.max_event_bytes {
            Some(Kind::TooLarge)
        } else {
            None
        }
    }

    /// Reserves the place of one event, if it is this one's turn and there is room. Only where
    /// senders wait.
    pub(super) fn reserve(&mut self, ticket: Option<Ticket>) -> bool {
        let free = !self.would_wait(1, ticket);
        self.reserved += usize::from(free);
        free
    }

    /// Gives a reserved place back, and passes it on.
    pub(super) fn unreserve(&mut self) -> Left {
        self.reserved -= 1;
        Left { _gone: None, next: self.next_turn() }
    }

    pub(super) fn senders_wait(&self) -> bool {
        self.buffer.when_full == WhenFull::Wait
    }

    /// Returns whether an async sender lets others run once, the body among them, before it goes
    /// on: as many were offered since the receiver last took something as the buffer holds, or very
    /// many, and this one would not wait anyway.
    pub(super) fn must_yield(&mut self, would_wait: impl FnOnce(&Self) -> bool) -> bool {
        if self.since_taken < self.buffer.max_events.min(MANY) || would_wait(self) {
            return false;
        }
        self.since_taken = 0;
        true
    }

    /// Counts one that was refused without being offered.
    pub(super) fn count_refused(&mut self) {
        self.since_taken += 1;
    }

    /// Returns whether one of this length would get in line.
    pub(super) fn would_wait(&self, len: usize, ticket: Option<Ticket>) -> bool {
        self.is_open() && self.senders_wait() && !(self.is_turn_of(ticket) && self.fits(len))
    }

    /// Gets in line, or renews the waker of one who is. Returns the old waker, to be dropped
    /// without the lock.
    pub(super) fn wait(
        &mut self,
        ticket: Option<Ticket>,
        cx: &Context<'_>,
    ) -> (Ticket, Option<Waker>) {
        if let Some(place) = ticket.and_then(|ticket| self.place_of(ticket)) {
            let waiting = &mut self.waiting[place];
            return (waiting.ticket, renew(&mut waiting.waker, cx));
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_back(Waiting { ticket, waker: cx.waker().clone() });
        (ticket, None)
    }

    /// Gets out of line, and passes the turn on.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Left {
        let place = self.place_of(ticket);
        let gone = place.and_then(|place| self.waiting.remove(place));
        Left { _gone: gone.map(|waiting| waiting.waker), next: self.next_turn() }
    }

    /// Returns who is to be woken because it is their turn and there may be room.
    #[must_use]
    pub(super) fn next_turn(&self) -> Option<Waker> {
        if !self.fits(1) {
            return None;
        }
        self.waiting.front().map(|waiting| waiting.waker.clone())
    }

    /// Takes the first piece of what is queued, and returns who has room now.
    pub(super) fn take(&mut self) -> Option<(Segment, Option<Waker>)> {
        let segment = self.queue.take()?;
        self.since_taken = 0;
        if self.send_timeout.is_some() {
            self.last_taken = Some(Instant::now());
        }
        Some((segment, self.next_turn()))
    }

    /// Returns whether blocking this thread would block what makes room.
    pub(super) fn is_polled_here(&self) -> bool {
        self.polling == Some(thread::current().id())
    }

    /// Returns how long one who gets in line may wait: inside of the body, whose polls make the
    /// room, for ever.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.send_timeout.filter(|_| !self.is_polled_here())
    }

    /// Returns when the client will have taken nothing for this long, as one sees it that has waited
    /// since then. Of what is not there it can take nothing.
    pub(super) fn too_slow_at(&self, since: Instant, limit: Duration) -> Instant {
        let from = if self.queue.is_empty() { Instant::now() } else { since };
        saturating_add(self.last_taken.map_or(from, |taken| taken.max(from)), limit)
    }

    fn is_turn_of(&self, ticket: Option<Ticket>) -> bool {
        self.waiting.front().is_none_or(|first| Some(first.ticket) == ticket)
    }

    fn fits(&self, len: usize) -> bool {
        let events = self.queue.events() + self.reserved;
        events == 0
            || (events < self.buffer.max_events
                && self.queue.bytes().saturating_add(len) <= self.buffer.max_bytes)
    }

    fn place_of(&self, ticket: Ticket) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket, |waiting| waiting.ticket).ok()
    }
}

/// Puts the context's waker in place of another, and returns that, unless they wake the same.
pub(super) fn renew(waker: &mut Waker, cx: &Context<'_>) -> Option<Waker> {
    (!waker.will_wake(cx.waker())).then(|| mem::replace(waker, cx.waker().clone()))
}

fn queue_for(buffer: Buffer) -> Queue {
    match buffer.when_full {
        WhenFull::DropOldest => Queue::sliding(),
        WhenFull::Wait | WhenFull::DropNewest => Queue::default(),
    }
}
