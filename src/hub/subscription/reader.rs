//! A reader of the log: a cursor that waits, and leaves the log when it is dropped.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Extensions;
use tokio::{task::consume_budget, time::Instant};

use super::cursor::{Cursor, ReadStep};
use crate::{
    event::{Event, EventId},
    hub::{
        entry::Entry,
        gap::{Gap, Lagged, Lagging, Resumption},
        log::{JoinedChunk, ReadRange, Record},
        node::Node,
        selection::Selection,
    },
    lifecycle::AbortReason,
};

/// A reader of the log, as a subscription or the source of a body has it.
///
/// `repr(C)` keeps the node next to the cursor's first fields, which every event needs as well.
#[repr(C)]
pub(super) struct ReaderHandle {
    /// The hub. Holding it does not keep the hub open: only its handles do.
    node: Arc<Node>,
    /// The place in the log. It has the key with which the reader leaves the log.
    cursor: Cursor,
    /// How the reader started.
    resumption: Resumption,
}

/// What a reader is given, as the source of a body.
pub(super) enum Delivery {
    /// The next events.
    Chunk(JoinedChunk),
    /// Records were trimmed before they were read. The reader has ended if
    /// [`ReaderHandle::is_over`].
    Gap(Gap),
    /// All of the state was delivered.
    StateDone,
    /// Nothing more will come.
    End,
    /// `Hub::disconnect` has ended the reader.
    Revoked,
}

impl ReaderHandle {
    /// Adds a reader to the log, which starts at the head, or after the event with the ID `last`.
    pub(super) fn new(node: Arc<Node>, selection: Selection, last: Option<&str>) -> Self {
        let mut log = node.lock();
        // A resumed reader must report a gap for expired records.
        log.trim_aged(Instant::now());
        let (cursor, resumption) = Cursor::start(&node, &mut log, selection, last);
        let presence_changed = !log.readers.presence.changes.is_empty();
        drop(log);
        // From here on, dropping it removes the reader again.
        let this = Self { node, cursor, resumption };
        if presence_changed {
            this.node.run_presence_hooks();
        }
        if let Resumption::Gap(gap) = &this.resumption {
            Node::record_gap(gap.reason.as_str(), gap);
        }
        this
    }

    pub(super) fn resumption(&self) -> &Resumption {
        &self.resumption
    }

    pub(super) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Records that the client is sent an ID of the current position.
    pub(super) fn set_id_sent(&mut self) {
        self.cursor.set_id_sent();
    }

    /// Returns whether nothing more will be read.
    pub(super) fn is_over(&self) -> bool {
        self.cursor.is_over
    }

    /// Returns the ID from which everything that was not read yet can be resumed.
    pub(super) fn position(&self) -> EventId {
        self.node.ids.reader_id(self.cursor.resumable_at(), self.cursor.tag)
    }

    /// Returns the event that reports a gap to the client, or `None` if the hook omits it.
    pub(super) fn gap_event(&self, gap: &Gap) -> Option<Event> {
        self.node.hooks.gap_event(gap)
    }

    /// Returns why the reader was ended, or would be at its next read. It does not read.
    pub(super) fn abort_reason(&self) -> Option<AbortReason> {
        let log = self.node.lock();
        if log.readers.by_key[self.cursor.reader].is_cut {
            return Some(AbortReason::Revoked);
        }
        let trimmed = log.groups.by_key[self.cursor.group].trimmed;
        let has_lagged = self.cursor.is_over || self.cursor.has_missed(trimmed);
        (self.node.lagging == Lagging::Evict && has_lagged).then_some(AbortReason::Evicted)
    }

    /// Returns whether nothing more will be published.
    pub(super) fn is_closed(&self) -> bool {
        self.node.lock().is_closed
    }

    /// Returns whether `Hub::disconnect` has ended the reader, or stores the waker for that case
    /// alone.
    pub(super) fn poll_revoked(&self, cx: &Context<'_>) -> bool {
        let mut log = self.node.lock();
        if log.readers.by_key[self.cursor.reader].is_cut {
            return true;
        }
        let old = log.wait_for_cut(self.cursor.reader, cx);
        drop(log);
        drop(old);
        false
    }

    /// Sets the extensions by which `Hub::disconnect` finds the reader.
    pub(super) fn set_session(&self, extensions: Arc<Extensions>) {
        // Dropped after the lock is released: extensions are values of the application.
        let _unused = {
            let mut log = self.node.lock();
            match &mut log.readers.by_key[self.cursor.reader].session {
                // Empty extensions do not replace those that the application has set.
                Some(_) if extensions.is_empty() => Some(extensions),
                session => session.replace(extensions),
            }
        };
    }

    /// Returns the next entry.
    pub(super) fn poll_entry(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Entry, Lagged>>> {
        // A reader with a long backlog never waits, so it lets other tasks run by tokio's budget.
        ready!(pin!(consume_budget()).poll(cx));
        loop {
            if self.cursor.is_over {
                return Poll::Ready(None);
            }
            let mut log = self.node.lock();
            match self.cursor.next_step(&self.node, &mut log) {
                ReadStep::Wait => {
                    let old = log.wait(self.cursor.reader, cx);
                    drop(log);
                    drop(old);
                    return Poll::Pending;
                }
                ReadStep::Read(range) => {
                    let batch = log.collect(self.cursor.group, range, 1);
                    self.cursor.advance_cursor(batch.end, range, batch.len(), &log);
                    drop(log);
                    // The search may end without a record: it is limited to a number of steps.
                    let Some(record) = batch.first else { continue };
                    self.cursor.has_read = true;
                    return Poll::Ready(Some(Ok(entry_of(record, range))));
                }
                ReadStep::StateDone => {}
                ReadStep::Gap(gap) => {
                    drop(log);
                    Node::record_gap("lagged", &gap);
                    return Poll::Ready(Some(Err(Lagged { gap })));
                }
                ReadStep::End | ReadStep::Revoked => self.cursor.is_over = true,
            }
        }
    }

    /// Returns the next chunk, or the next of the other things that a body reports.
    // Inlined, so that a chunk is written once, to where the body takes it from.
    #[inline]
    pub(super) fn poll_delivery(&mut self, cx: &Context<'_>) -> Poll<Delivery> {
        loop {
            if self.cursor.is_over {
                return Poll::Ready(Delivery::End);
            }
            let mut log = self.node.lock();
            let range = match self.cursor.next_step(&self.node, &mut log) {
                ReadStep::Read(range) => range,
                ReadStep::Wait => {
                    let old = log.wait(self.cursor.reader, cx);
                    drop(log);
                    drop(old);
                    return Poll::Pending;
                }
                ReadStep::Gap(gap) => return Poll::Ready(Delivery::Gap(gap)),
                ReadStep::StateDone => return Poll::Ready(Delivery::StateDone),
                ReadStep::End => return Poll::Ready(Delivery::End),
                ReadStep::Revoked => return Poll::Ready(Delivery::Revoked),
            };
            if let Some(chunk) = log.groups.chunks.find(self.cursor.group, range).cloned() {
                self.cursor.advance_cursor(chunk.end, range, chunk.events, &log);
                return Poll::Ready(Delivery::Chunk(chunk));
            }
            let batch = log.collect(self.cursor.group, range, usize::MAX);
            self.cursor.advance_cursor(batch.end, range, batch.len(), &log);
            let is_shared = log.groups.by_key[self.cursor.group].readers > 1;
            let is_state = range.state_to.is_some();
            let removals = log.groups.chunks.removals;
            if !batch.more.is_empty() {
                // Joining copies up to 64 KiB, so it is done without the lock. A record that is
                // removed meanwhile is delivered to this reader, but must not be cached for later
                // ones.
                drop(log);
                let Some(chunk) = JoinedChunk::join(&batch, is_state) else { continue };
                if is_shared {
                    let mut log = self.node.lock();
                    if log.groups.chunks.removals == removals {
                        log.groups.chunks.insert(self.cursor.group, range, chunk.clone());
                    }
                }
                return Poll::Ready(Delivery::Chunk(chunk));
            }
            let Some(chunk) = JoinedChunk::join(&batch, is_state) else { continue };
            if is_shared {
                log.groups.chunks.insert(self.cursor.group, range, chunk.clone());
            }
            return Poll::Ready(Delivery::Chunk(chunk));
        }
    }
}

fn entry_of(record: Arc<Record>, range: ReadRange) -> Entry {
    match range.state_to {
        Some(_) => Entry::of_state(record),
        None => Entry::new(record),
    }
}

impl Drop for ReaderHandle {
    fn drop(&mut self) {
        // `_gone` is dropped after the lock is released: it holds application values.
        let (_gone, presence_changed) = {
            let mut log = self.node.lock();
            let gone = log.unsubscribe(self.cursor.reader);
            (gone, !log.readers.presence.changes.is_empty())
        };
        if presence_changed {
            self.node.run_presence_hooks();
        }
    }
}
