//! The traits of a backend.

use std::num::NonZeroUsize;

use super::{
    bounds::{Abilities, Bounds, Located},
    entry::{Batch, LogEntry, Outgoing},
    error::BackendError,
    position::Position,
    wanted::Wanted,
};
use crate::hub::topic::Topic;

/// A place where a hub keeps its log.
///
/// The [module](super#contract) states what an implementation promises, by number, and shows a
/// complete one. Implement the methods as `async fn`.
///
/// All methods are cancel safe: the hub may drop a future before it is ready. If that of
/// [`append`](Self::append) is dropped, the entries may have been appended.
pub trait Backend: Send + Sync + 'static {
    /// Follows the log.
    type Tail: Tail;

    /// Returns what the backend can do.
    fn abilities(&self) -> Abilities;

    /// Returns which log it is and what it retains. Creates the log if it does not exist.
    fn bounds(&self) -> impl Future<Output = Result<Bounds, BackendError>> + Send;

    /// Appends entries in this order, and returns their positions once the engine has acknowledged
    /// all of them.
    ///
    /// Entries that are there already, by their [`append_id`](Outgoing::append_id), are not appended
    /// again. Their positions are those of the first append.
    ///
    /// # Errors
    ///
    /// With [`Fault::Unknown`](super::Fault::Unknown) it is not known how many of the entries were appended: all
    /// or none if the backend is [atomic](Abilities::atomic), else the first ones. With another fault, an atomic
    /// backend has appended none.
    fn append(
        &self,
        entries: &[Outgoing],
    ) -> impl Future<Output = Result<Vec<Position>, BackendError>> + Send;

    /// Follows the log from the entries after this position. Entries that are appended after this has returned
    /// are not missed, also if the first call of [`next`](Tail::next) comes later.
    ///
    /// If entries after the position were trimmed before this call, the tail starts with the oldest retained
    /// entry, or its first `next` returns [`Fault::Lost`](super::Fault::Lost). The hub finds out by
    /// [`locate`](Self::locate), after this has returned.
    ///
    /// # Errors
    ///
    /// May return [`Fault::Lost`](super::Fault::Lost) if the position does not belong to this log.
    fn tail(
        &self,
        after: Position,
    ) -> impl Future<Output = Result<Self::Tail, BackendError>> + Send;

    /// Reads at most `most` entries of the wanted topics: those after one position, up to and
    /// including another one.
    ///
    /// The batch may end earlier. Its [end](Batch::end) is where the next read starts, so it must be
    /// after `after`. If everything was read, it is `upto`. A read may look at a bounded number of
    /// entries only, and return none of them. It may return entries of other topics, which the hub
    /// leaves out.
    ///
    /// Entries that were trimmed are left out without an error. The hub finds out by
    /// [`locate`](Self::locate), after the read.
    ///
    /// # Errors
    ///
    /// May return [`Fault::Lost`](super::Fault::Lost) if a position does not belong to this log.
    fn read(
        &self,
        after: Position,
        upto: Position,
        wanted: &Wanted,
        most: NonZeroUsize,
    ) -> impl Future<Output = Result<Batch, BackendError>> + Send;

    /// Returns whether a reader at a position can still read all later entries of the wanted topics, apart from
    /// superseded, expired and forgotten ones. Returns [`Located::Kept`] only if it is certain: a gap that does not exist does less harm than one that
    /// is not reported. A backend may look at all topics together, and ignore `wanted`.
    ///
    /// [`Position::START`] is [`Kept`](Located::Kept) until the first entry is trimmed.
    fn locate(
        &self,
        at: Position,
        wanted: &Wanted,
    ) -> impl Future<Output = Result<Located, BackendError>> + Send;

    /// Returns for each topic the position of its [end](super::EntryKind::End), if that is retained.
    /// A topic that ends a second time may be reported with either end. The fingerprint of a position may be
    /// left out.
    ///
    /// The hub asks about topics that its window does not know, before it publishes on them and when
    /// a reader names them. [`ends_by_reading`](super::ends_by_reading) implements it for an engine
    /// that has no better means.
    fn ends(
        &self,
        topics: &[Topic],
    ) -> impl Future<Output = Result<Vec<Option<Position>>, BackendError>> + Send;

    /// Returns the state of the wanted topics at a position: of each topic and key the newest entry
    /// up to and including `upto`, unless it is a tombstone. The order does not matter. Entries
    /// without a key are not part of the state.
    ///
    /// A key whose newest entry is after `upto` may be left out: the hub reads that entry next. No
    /// entry after `upto` is returned.
    ///
    /// If the newest entry of a key was trimmed or has expired, the backend may return an older entry
    /// of the key that is retained, or none.
    ///
    /// [`state_by_reading`](super::state_by_reading) implements it for an engine that has no better
    /// means.
    fn state(
        &self,
        wanted: &Wanted,
        upto: Position,
    ) -> impl Future<Output = Result<Vec<LogEntry>, BackendError>> + Send;

    /// Returns the newest entries of each topic up to and including a position: at most `most` of each topic,
    /// in any order. Those that have expired are left out, and may count.
    ///
    /// The hub asks for them if a reader starts with the [last](crate::hub::Selection::last) events of its
    /// topics, and the window does not have them. [`newest_by_reading`](super::newest_by_reading) implements it
    /// for an engine that has no better means.
    fn newest(
        &self,
        topics: &[Topic],
        upto: Position,
        most: NonZeroUsize,
    ) -> impl Future<Output = Result<Vec<LogEntry>, BackendError>> + Send;

    /// Removes the entries of topics whose time is over, each up to and including a position. The hub
    /// may call it on several nodes, and for topics that have no entries.
    ///
    /// Later entries of the topics are kept. By default it does nothing: a backend may leave the
    /// entries until they are trimmed.
    fn forget(
        &self,
        topics: &[(Topic, Position)],
    ) -> impl Future<Output = Result<(), BackendError>> + Send {
        let _ = topics;
        std::future::ready(Ok(()))
    }

    /// Returns the position from which a new node follows the log: that of an entry which has about
    /// `most` entries after it, or [`Position::START`] if the log does not retain more.
    ///
    /// By default it is the start: a new node reads the whole log.
    fn warm_start(
        &self,
        most: NonZeroUsize,
    ) -> impl Future<Output = Result<Position, BackendError>> + Send {
        let _ = most;
        std::future::ready(Ok(Position::START))
    }
}

/// Follows a log. Created by [`Backend::tail`].
pub trait Tail: Send + 'static {
    /// Waits for the next entries. Returns at least one entry, or a batch without entries whose
    /// [`upto`](Batch::upto) is after that of the batch before. The size of a batch is limited, by a
    /// number and by bytes that the backend chooses.
    ///
    /// Cancel safe: if the future is dropped before it is ready, the entries are part of a later
    /// batch. Time limits of the backend, for example for a heartbeat of the engine, must go on
    /// across calls that were dropped.
    ///
    /// # Errors
    ///
    /// After an error the tail has ended, and the hub creates another one after the last position that
    /// it has received. So an implementation needs no code that reconnects.
    ///
    /// Returns [`Fault::Lost`](super::Fault::Lost) if the log is another one, if it has lost an entry
    /// that the tail has returned, or if entries were trimmed before the tail returned them.
    fn next(&mut self) -> impl Future<Output = Result<Batch, BackendError>> + Send;
}
