//! The state of an event channel: its queue, the senders that wait, and how it ends.
//!
//! Rules:
//!
//! - Senders that wait stand in a line in the order of their arrival, and only the first of them
//!   may take room. So a sender that leaves the front, because it was served or cancelled, passes
//!   the turn on ([`ChannelState::next_turn`]).
//! - Wakers are returned to the caller, which wakes or drops them after it has released the lock.

use std::{
    mem,
    task::{Context, Waker},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    buffer::{Buffer, WhenFull},
    error::SendErrorKind,
    queue::Queue,
    segment::Segment,
    waiting::{Ticket, WaitingLine},
};
use crate::{
    encode::{Layout, sealed},
    lifecycle::{StopRequest, StreamStatus},
    timer::saturating_add,
};

/// The maximum number of sends before a sender yields. Buffers that are bounded only in bytes hold
/// any number of events.
const MAX_SENDS_PER_TURN: usize = 1024;
/// The maximum number of segments that are taken in one turn before a handler that was woken is
/// polled.
const MAX_TAKEN_BEFORE_HANDLER: u8 = 16;
/// For every so many bytes an event counts as one more send.
const BYTES_PER_TURN: usize = 4 << 10;

/// Fields that every event touches stand first, so that they share few cache lines.
#[derive(Debug)]
#[repr(C)]
pub(super) struct ChannelState {
    /// Wakes the body. `Some` while the body waits for something to take.
    pub(super) body_waker: Option<Waker>,
    /// Whether the stream is open, or how it ended.
    pub(super) status: StreamStatus,
    /// The handler was woken since its last poll. It starts as true.
    pub(super) handler_woken: bool,
    /// The handler woke itself during its last poll, and not because a send yielded.
    pub(super) handler_yielded: bool,
    /// A send has yielded during this poll of the handler, and wakes the handler next. That wake is
    /// not the handler's own yield.
    send_yielded: bool,
    /// How many segments were taken since the handler was woken.
    taken_since_woken: u8,
    /// A graceful end has begun.
    pub(super) ending: bool,
    /// How many sends were accepted or refused since the receiver last took something. An event
    /// counts once, and once more for every [`BYTES_PER_TURN`] bytes.
    since_taken: u32,
    /// The number of senders that keep the stream open.
    pub(super) senders: u32,
    /// Room that is promised to sinks, in events.
    reserved: u32,
    /// The thread that polls the handler, while it does; otherwise 0.
    polling_thread: usize,
    /// The bounds of the queue, and what happens at them.
    buffer: Buffer,
    /// The encoded events that wait for the client.
    pub(super) queue: Queue,
    /// The senders that wait for room. Boxed, since most streams never have one.
    waiting: Option<Box<WaitingLine>>,
    /// The request that the body has not taken yet. Boxed, since most streams never get one.
    pub(super) stop: Option<Box<StopRequest>>,
    /// How long a sender outside of the body may wait. Boxed, since most streams have no limit.
    send_limit: Option<Box<SendLimit>>,
    /// How many events the buffer's policy has dropped.
    pub(super) dropped: u64,
}

#[derive(Debug)]
struct SendLimit {
    /// How long a sender may wait.
    timeout: Duration,
    /// When the receiver last took something.
    last_taken: Option<Instant>,
}

/// What is left to do, without the lock, after a sender has left the line.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Release {
    /// The waker of the sender that has left, to be dropped.
    _previous: Option<Waker>,
    /// The next sender in line, to be woken: there may be room for it.
    pub(super) next: Option<Waker>,
}

/// The result of offering an event.
#[derive(Debug)]
#[must_use]
pub(super) enum Offered {
    /// The event is queued, or was dropped by the buffer's policy.
    Accepted(Dropped),
    /// There is no room now.
    NoRoom,
    Refused(SendErrorKind),
}

/// The events that the buffer's policy has dropped for one offer.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    pub(super) events: u64,
    /// Their bytes, to be freed without the lock.
    _bytes: Vec<Bytes>,
    /// Shared bytes that were copied into the queue's tail, to be freed without the lock too.
    _copied: Option<Bytes>,
}

impl ChannelState {
    pub(super) fn new(buffer: Buffer) -> Self {
        Self {
            body_waker: None,
            status: StreamStatus::Open,
            handler_woken: true,
            handler_yielded: false,
            send_yielded: false,
            taken_since_woken: 0,
            ending: false,
            since_taken: 0,
            senders: 1,
            reserved: 0,
            polling_thread: 0,
            buffer,
            queue: match buffer.when_full {
                WhenFull::DropOldest => Queue::sliding(),
                WhenFull::Wait | WhenFull::DropNewest => Queue::default(),
            },
            waiting: None,
            stop: None,
            send_limit: None,
            dropped: 0,
        }
    }

    pub(super) fn set_send_timeout(&mut self, limit: Option<Duration>) {
        let limit = limit.map(|timeout| Box::new(SendLimit { timeout, last_taken: None }));
        self.send_limit = limit;
    }

    pub(super) fn is_open(&self) -> bool {
        self.status.is_open()
    }

    /// Queues an event, if it is this sender's turn and there is room.
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
        let weight = 1 + u32::try_from(layout.len / BYTES_PER_TURN).unwrap_or(u32::MAX - 1);
        self.since_taken = self.since_taken.saturating_add(weight);
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
            WhenFull::Wait | WhenFull::DropNewest => {
                dropped._copied = self.queue.push(event, layout);
            }
            WhenFull::DropOldest => {
                while !self.fits(layout.len) {
                    dropped._bytes.extend(self.queue.drop_oldest());
                    dropped.events += 1;
                }
                dropped._copied = self.queue.push(event, layout);
            }
        }
        self.dropped += dropped.events;
        Offered::Accepted(dropped)
    }

    /// Queues an event for which room was reserved.
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
        let _copied = self.queue.push(event, layout);
        Offered::Accepted(Dropped { _copied, ..Dropped::default() })
    }

    fn refusal(&self, layout: &Layout) -> Option<SendErrorKind> {
        if !self.is_open() {
            Some(SendErrorKind::Closed)
        } else if layout.len > self.buffer.max_event_bytes {
            Some(SendErrorKind::TooLarge { bytes: layout.len, max: self.buffer.max_event_bytes })
        } else {
            None
        }
    }

    /// Reserves room for one event, if it is this sender's turn and there is room. Only for buffers
    /// whose senders wait.
    pub(super) fn reserve(&mut self, ticket: Option<Ticket>) -> bool {
        let free = !self.would_wait(1, ticket);
        self.reserved += u32::from(free);
        free
    }

    /// Gives reserved room back, and passes it on.
    pub(super) fn unreserve(&mut self) -> Release {
        self.reserved -= 1;
        Release { _previous: None, next: self.next_turn() }
    }

    pub(super) fn senders_wait(&self) -> bool {
        self.buffer.when_full == WhenFull::Wait
    }

    /// Returns whether an async sender must yield once: it has sent a buffer's worth since the
    /// receiver last took something, and would not have to wait. Otherwise a handler that never
    /// waits would never let its own body write.
    pub(super) fn must_yield(&mut self, would_wait: impl FnOnce(&Self) -> bool) -> bool {
        let max_sends = self.buffer.max_events.min(MAX_SENDS_PER_TURN);
        if (self.since_taken as usize) < max_sends || would_wait(self) {
            return false;
        }
        self.since_taken = 0;
        self.send_yielded |= self.is_polled_here();
        true
    }

    /// Counts a send that was refused without being offered.
    pub(super) fn count_refused(&mut self) {
        self.since_taken = self.since_taken.saturating_add(1);
    }

    /// Returns whether an event of this length would have to wait.
    pub(super) fn would_wait(&self, len: usize, ticket: Option<Ticket>) -> bool {
        self.is_open() && self.senders_wait() && !(self.is_turn_of(ticket) && self.fits(len))
    }

    /// Puts a sender at the end of the line, or renews the waker of one that waits. Returns the
    /// previous waker.
    pub(super) fn wait(
        &mut self,
        ticket: Option<Ticket>,
        cx: &Context<'_>,
    ) -> (Ticket, Option<Waker>) {
        self.waiting.get_or_insert_default().wait(ticket, cx)
    }

    /// Takes a sender out of the line, and passes the turn on.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Release {
        let previous = self.waiting.as_mut().and_then(|line| line.remove(ticket));
        Release { _previous: previous, next: self.next_turn() }
    }

    /// Returns the sender that must be woken, because it is its turn and there may be room.
    #[must_use]
    pub(super) fn next_turn(&self) -> Option<Waker> {
        let first = self.waiting.as_ref()?.first()?;
        self.fits(1).then(|| first.clone())
    }

    /// Takes the first segment, and returns the first sender in line, which may have room now.
    #[inline]
    pub(super) fn take(&mut self) -> Option<(Segment, Option<Waker>)> {
        if self.queue.is_empty() {
            return None;
        }
        // Cloned first: it is foreign code, and may panic.
        let first = self.waiting.as_ref().and_then(|line| line.first().cloned());
        let segment = self.queue.take()?;
        self.since_taken = 0;
        self.taken_since_woken =
            self.taken_since_woken.saturating_add(u8::from(self.handler_woken));
        if let Some(limit) = &mut self.send_limit {
            limit.last_taken = Some(Instant::now());
        }
        Some((segment, first))
    }

    /// Marks the handler as woken, and returns the body's waker.
    pub(super) fn wake_handler(&mut self) -> Option<Waker> {
        self.handler_woken = true;
        // A wake from another thread is not a yield.
        if self.is_polled_here() && !mem::take(&mut self.send_yielded) {
            self.handler_yielded = true;
        }
        self.body_waker.take()
    }

    /// Marks the handler as being polled by this thread. Returns the body's waker: while the
    /// handler runs, its sends need not wake the body, which takes them right afterwards.
    pub(super) fn begin_poll(&mut self) -> Option<Waker> {
        // From here on a wake counts as a new one: it may come before the handler has looked.
        self.handler_woken = false;
        self.handler_yielded = false;
        self.taken_since_woken = 0;
        self.polling_thread = thread_token();
        self.body_waker.take()
    }

    /// Returns whether the handler is polled although events are queued. Senders elsewhere may keep
    /// the queue from ever being empty, and the handler must not wait for that. `new_turn` says that
    /// the server has written since the last segment.
    pub(super) fn is_handler_overdue(&self, new_turn: bool) -> bool {
        let max_taken = if new_turn { 0 } else { MAX_TAKEN_BEFORE_HANDLER };
        self.handler_woken && self.is_open() && self.taken_since_woken > max_taken
    }

    pub(super) fn end_poll(&mut self) {
        self.polling_thread = 0;
        self.send_yielded = false;
    }

    /// Returns whether blocking this thread would block the body, which makes room.
    pub(super) fn is_polled_here(&self) -> bool {
        self.polling_thread == thread_token()
    }

    /// Returns how long a sender may wait. A handler inside its body may wait without a limit: it
    /// is paused together with the body, whose polls make room.
    pub(super) fn wait_limit(&self) -> Option<Duration> {
        let limit = self.send_limit.as_ref()?;
        (!self.is_polled_here()).then_some(limit.timeout)
    }

    /// Returns when the client counts as too slow for a sender that waits since `since`. A client
    /// is not slow while nothing is queued.
    pub(super) fn too_slow_at(&self, since: Instant, limit: Duration) -> Instant {
        let from = if self.queue.is_empty() { Instant::now() } else { since };
        let last_taken = self.send_limit.as_ref().and_then(|limit| limit.last_taken);
        saturating_add(last_taken.map_or(from, |taken| taken.max(from)), limit)
    }

    fn is_turn_of(&self, ticket: Option<Ticket>) -> bool {
        self.waiting.as_ref().is_none_or(|line| line.is_turn_of(ticket))
    }

    fn fits(&self, len: usize) -> bool {
        let events = self.queue.events() + self.reserved as usize;
        events == 0
            || (events < self.buffer.max_events
                && self.queue.bytes().saturating_add(len) <= self.buffer.max_bytes)
    }

    /// Returns how many senders wait for room.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.as_ref().map_or(0, |line| line.len())
    }

    /// Ends the waiting of all senders, and returns their wakers.
    pub(super) fn take_waiting(&mut self) -> impl Iterator<Item = Waker> + use<> {
        self.waiting.take().into_iter().flat_map(|line| line.into_wakers())
    }
}

/// Returns a number that no other running thread has, and that is not 0. It costs less than
/// `thread::current().id()`.
fn thread_token() -> usize {
    thread_local! {
        static TOKEN: u8 = const { 0 };
    }
    TOKEN.with(|token| std::ptr::from_ref(token).addr())
}
