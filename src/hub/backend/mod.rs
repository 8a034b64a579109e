//! Where a hub keeps its log: in memory, in an engine, or in a store of your own.
//!
//! A backend orders, stores and delivers the entries of a hub. The hub on each node follows the whole
//! log, keeps the newest part of it in memory, and serves its readers from there. It reads older
//! entries from the backend. So several nodes with the same log are one hub.
//!
//! The features `redis` and `nats` have backends for these engines. [`MemoryBackend`] is for tests, and for several
//! hubs in one process; a hub in memory needs no backend. For another engine, implement [`Backend`], and check the
//! implementation with the suite of the module `testing` (feature `backend-testing`).
//!
//! # Contract
//!
//! A hub relies on these promises. The suite checks each of them under the name that stands in front
//! of it.
//!
//! **Appending**
//!
//! 1. `order`: The log has one order over all topics. The entries of one append have ascending
//!    places. An append that starts after another one was acknowledged gets higher places. Once an entry was returned
//!    by a tail or a read, no entry is added before it. A sequence whose numbers become visible in
//!    another order than they were drawn does not keep this promise.
//! 2. `acknowledgement`: [`append`](Backend::append) returns one position for each entry. A tail and
//!    a read return the entry at exactly this position.
//! 3. `content`: Topic, key, kind, fields and data come back unchanged. They may contain any
//!    character, and the data any byte. Topics that differ stay different.
//! 4. `retries`: If an entry with the same [`append_id`](Outgoing::append_id) is in the log, it is not
//!    appended again, and its first position is returned. This holds for the time of
//!    [`Abilities::dedup`], and across topics, nodes, and errors of the first append.
//! 5. `batches`: If the backend is [`atomic`](Abilities::atomic), the entries of one append are
//!    appended together or not at all. Otherwise an error leaves the first of them appended, none or more, without
//!    a hole between them. An entry above [`Abilities::largest`] is [refused](Fault::Refused).
//!
//! **Following**
//!
//! 6. `tail`: A tail returns each entry after its position exactly once, in order, and waits for
//!    more.
//! 7. `cancellation`: A call of [`Tail::next`] that is dropped before it is ready loses nothing.
//! 8. `one-order`: All tails, on all nodes, return the same entries in the same order while several
//!    tasks append.
//!
//! **Reading**
//!
//! 9. `ranges`: A read returns each wanted entry after one position, up to and including another one,
//!    and nothing outside of this range.
//! 10. `pages`: A read returns at most as many entries as requested. The reads that start at the end
//!     of the one before return the whole range, each entry once.
//! 11. `locate`: A retained entry is [`Kept`](Located::Kept). A position that was not given is
//!     [`Unknown`](Located::Unknown), also if only its [fingerprint](Position::check) differs.
//! 12. `trimming`: A log within bounds loses its oldest entries first. A position is
//!     not [`Kept`](Located::Kept) if an entry of the wanted topics after it was trimmed. A tail returns
//!     [`Lost`](Fault::Lost) if entries are trimmed after it was created and before it returned them.
//! 13. `state`: [`state`](Backend::state) returns the newest entry of each topic and key, without
//!     tombstones.
//! 14. `ends`: [`ends`](Backend::ends) returns the position of the end of each topic that has ended, until
//!     the end is trimmed or [forgotten](Backend::forget).
//! 15. `newest`: [`newest`](Backend::newest) returns the newest entries of each topic up to a position.
//! 16. `warm-start`: [`warm_start`](Backend::warm_start) returns a position that has about as many entries
//!     after it as requested, and at most twice as many. It may also return the start.
//!
//! **The life of a log**
//!
//! 17. `bounds`: The identity is the same for all nodes and calls. [`Bounds::newest`] is the position
//!     of the newest entry that was acknowledged.
//! 18. `expiry`: An entry whose [time to live](Outgoing::ttl) is over is not returned. Before, it is
//!     returned with the time that remains. That it has expired is no gap: retained entries before it stay
//!     [`Kept`](Located::Kept).
//! 19. `forget`: [`forget`](Backend::forget) leaves other topics, and entries after the positions,
//!     unchanged.
//! 20. `recreation`: A log that was deleted and made again has another identity. A tail of the old log
//!     returns [`Lost`](Fault::Lost), and no entry of the new one.
//! 21. `lost-end`: If the engine lost its newest entries, their positions are
//!     [`Unknown`](Located::Unknown), also after their places were given again. A tail that has
//!     returned a lost entry returns [`Lost`](Fault::Lost). A lost entry can be appended again, with
//!     the same [`append_id`](Outgoing::append_id).
//! 22. `outage`: While the engine cannot be reached, calls return an error, and tails do too. Nothing
//!     is lost: a new tail after the last received position goes on.
//! 23. `lost-answer`: If the answer to an append is lost, the error is [`Unknown`](Fault::Unknown),
//!     and the retry appends nothing twice.
//!
//! A backend decides how durable an acknowledged entry is, and documents it.
//!
//! # A store of one's own
//!
//! This store never removes anything, so it has little to prove. The suite skips the promises about removal
//! and failures, which need hooks, and the store keeps the others.
//!
//! ```
//! use std::{num::NonZeroUsize, sync::Arc};
//! use tokio::{sync::watch, time::Instant};
//! use tower_sse::hub::{Topic, backend::*};
//!
//! struct Store {
//!     identity: Identity,
//!     // The lock of the channel gives the entries their order.
//!     log: watch::Sender<Vec<Stored>>,
//! }
//!
//! struct Stored {
//!     entry: LogEntry,
//!     expires_at: Option<Instant>,
//! }
//!
//! impl Stored {
//!     // Returns the entry with the time that remains, or `None` if it has expired.
//!     fn live(&self) -> Option<LogEntry> {
//!         let Some(at) = self.expires_at else { return Some(self.entry.clone()) };
//!         let remaining = at.checked_duration_since(Instant::now()).filter(|it| !it.is_zero())?;
//!         Some(self.entry.clone().with_ttl(remaining))
//!     }
//! }
//!
//! fn newest(log: &[Stored]) -> Position {
//!     log.last().map_or(Position::START, |stored| stored.entry.at)
//! }
//!
//! // Positions are 1, 2, 3 and so on. Returns the entries of a range.
//! fn page(log: &[Stored], after: Position, upto: Position, most: usize) -> Batch {
//!     let end = upto.major().min(log.len() as u64).min(after.major().saturating_add(most as u64));
//!     let start = after.major().min(end);
//!     let range = &log[start as usize..end as usize];
//!     let end = if end == log.len() as u64 { upto } else { Position::new(end) };
//!     Batch::new(range.iter().filter_map(Stored::live).collect()).with_upto(end)
//! }
//!
//! impl Backend for Store {
//!     type Tail = Following;
//!
//!     fn abilities(&self) -> Abilities {
//!         Abilities::new().with_atomic(true)
//!     }
//!
//!     async fn bounds(&self) -> Result<Bounds, BackendError> {
//!         let log = self.log.borrow();
//!         let oldest = log.first().map(|stored| stored.entry.at);
//!         Ok(Bounds::new(self.identity, oldest, newest(&log)))
//!     }
//!
//!     async fn append(&self, entries: &[Outgoing]) -> Result<Vec<Position>, BackendError> {
//!         let mut positions = Vec::new();
//!         self.log.send_modify(|log| {
//!             for entry in entries {
//!                 // An engine has an index for this.
//!                 let is_retry = |stored: &&Stored| stored.entry.append_id == Some(entry.append_id);
//!                 if let Some(stored) = log.iter().rev().find(is_retry) {
//!                     positions.push(stored.entry.at);
//!                     continue;
//!                 }
//!                 let at = Position::new(log.len() as u64 + 1);
//!                 let expires_at = entry.ttl.and_then(|ttl| Instant::now().checked_add(ttl));
//!                 log.push(Stored { entry: entry.clone().into_entry(at), expires_at });
//!                 positions.push(at);
//!             }
//!         });
//!         Ok(positions)
//!     }
//!
//!     async fn tail(&self, after: Position) -> Result<Following, BackendError> {
//!         Ok(Following { log: self.log.subscribe(), after })
//!     }
//!
//!     async fn read(
//!         &self,
//!         after: Position,
//!         upto: Position,
//!         _wanted: &Wanted, // Entries of other topics may be returned.
//!         most: NonZeroUsize,
//!     ) -> Result<Batch, BackendError> {
//!         Ok(page(&self.log.borrow(), after, upto, most.get()))
//!     }
//!
//!     async fn locate(&self, at: Position, _wanted: &Wanted) -> Result<Located, BackendError> {
//!         let is_known = at <= newest(&self.log.borrow()) && at == Position::new(at.major());
//!         Ok(if is_known { Located::Kept } else { Located::Unknown })
//!     }
//!
//!     async fn state(
//!         &self,
//!         wanted: &Wanted,
//!         upto: Position,
//!     ) -> Result<Vec<LogEntry>, BackendError> {
//!         state_by_reading(self, wanted, upto).await
//!     }
//!
//!     async fn ends(&self, topics: &[Topic]) -> Result<Vec<Option<Position>>, BackendError> {
//!         ends_by_reading(self, topics).await
//!     }
//!
//!     async fn newest(
//!         &self,
//!         topics: &[Topic],
//!         upto: Position,
//!         most: NonZeroUsize,
//!     ) -> Result<Vec<LogEntry>, BackendError> {
//!         newest_by_reading(self, topics, upto, most).await
//!     }
//! }
//!
//! struct Following {
//!     log: watch::Receiver<Vec<Stored>>,
//!     after: Position,
//! }
//!
//! impl Tail for Following {
//!     async fn next(&mut self) -> Result<Batch, BackendError> {
//!         let after = self.after;
//!         let log = self.log.wait_for(|log| newest(log) > after).await;
//!         let log = log.map_err(|error| BackendError::new(Fault::Lost, error))?;
//!         let newest = newest(&log);
//!         let batch = page(&log, after, newest, 1024);
//!         // After the last `await`: a call that was dropped has not moved the position.
//!         self.after = batch.end().unwrap_or(newest);
//!         Ok(batch)
//!     }
//! }
//!
//! # #[cfg(feature = "backend-testing")]
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let new = || async {
//!     let store = Store { identity: Identity::random(), log: watch::Sender::new(Vec::new()) };
//!     testing::Subject::new(store)
//! };
//! let report = testing::run_all(new).await;
//! report.assert_kept();
//! # }
//! # #[cfg(not(feature = "backend-testing"))] fn main() {}
//! ```

mod bounds;
pub(in crate::hub) mod dynamic;
mod entry;
mod error;
mod identity;
mod memory;
#[cfg(feature = "nats")]
#[cfg_attr(docsrs, doc(cfg(feature = "nats")))]
pub mod nats;
mod position;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub mod redis;
mod state;
mod store;
#[cfg(feature = "backend-testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "backend-testing")))]
pub mod testing;
mod wanted;

#[cfg(feature = "backend-testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "backend-testing")))]
pub use self::memory::MemoryFaults;
pub use self::{
    bounds::{Abilities, Bounds, Located},
    entry::{Batch, EntryKind, EventParts, LogEntry, Outgoing},
    error::{BackendError, Fault},
    identity::Identity,
    memory::{MemoryBackend, MemoryTail},
    position::Position,
    state::{ends_by_reading, newest_by_reading, state_by_reading},
    store::{Backend, Tail},
    wanted::Wanted,
};
