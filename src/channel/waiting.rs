//! The line of senders that wait for room.

use std::{
    collections::VecDeque,
    mem,
    task::{Context, Waker},
};

/// Identifies a sender that waits. Tickets grow from the front of the line to its end.
pub(super) type Ticket = u64;

/// The senders that wait for room, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct WaitingLine {
    /// Sorted by ticket.
    senders: VecDeque<WaitingSender>,
    /// The ticket of the next sender.
    next_ticket: Ticket,
}

#[derive(Debug)]
struct WaitingSender {
    /// Its place in the line.
    ticket: Ticket,
    /// Wakes the sender when it may have room, or when the stream ends.
    waker: Waker,
}

impl WaitingLine {
    pub(super) fn len(&self) -> usize {
        self.senders.len()
    }

    /// Returns the waker of the first sender.
    pub(super) fn first(&self) -> Option<&Waker> {
        self.senders.front().map(|first| &first.waker)
    }

    /// Returns whether a sender may take room: it is the first, or there is no other.
    pub(super) fn is_turn_of(&self, ticket: Option<Ticket>) -> bool {
        self.senders.front().is_none_or(|first| Some(first.ticket) == ticket)
    }

    /// Puts a sender at the end, or renews the waker of one that waits. Returns the previous waker.
    pub(super) fn wait(
        &mut self,
        ticket: Option<Ticket>,
        cx: &Context<'_>,
    ) -> (Ticket, Option<Waker>) {
        let index = ticket.and_then(|ticket| self.index_of(ticket));
        if let Some(waiting) = index.and_then(|index| self.senders.get_mut(index)) {
            return (waiting.ticket, renew(&mut waiting.waker, cx));
        }
        // Cloned first: it is foreign code, and may panic.
        let waker = cx.waker().clone();
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.senders.push_back(WaitingSender { ticket, waker });
        (ticket, None)
    }

    /// Takes a sender out, and returns its waker.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Waker> {
        let index = self.index_of(ticket)?;
        self.senders.remove(index).map(|waiting| waiting.waker)
    }

    pub(super) fn into_wakers(self) -> impl Iterator<Item = Waker> {
        self.senders.into_iter().map(|waiting| waiting.waker)
    }

    fn index_of(&self, ticket: Ticket) -> Option<usize> {
        self.senders.binary_search_by_key(&ticket, |waiting| waiting.ticket).ok()
    }
}

/// Replaces a waker by the context's, unless both wake the same task. Returns the replaced one.
pub(super) fn renew(waker: &mut Waker, cx: &Context<'_>) -> Option<Waker> {
    (!waker.will_wake(cx.waker())).then(|| mem::replace(waker, cx.waker().clone()))
}
