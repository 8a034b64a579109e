//! Many publishers, many readers: a hub that fans events out, replays what a reader has missed, and
//! tells the truth about gaps.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
//! use tower_sse::{Event, Hub};
//!
//! let hub = Hub::new();
//! // A tower service, for any server.
//! let orders = hub.handler(|connect| async move { connect.accept().topics(["orders"]) });
//! // From anywhere.
//! hub.publish("orders", Event::new("paid").with_type("order")).await?;
//! # let _ = orders;
//! # Ok(()) }
//! ```
//!
//! # A log with cursors
//!
//! A hub is a log, not a set of queues. What is published is encoded once and appended; a reader is
//! a place in the log and a waker. So a reader costs little, a slow one holds nobody up and no memory
//! but the frame that its client does not take, and one that comes back is a reader that begins earlier: there is no seam between what it
//! has missed and what is new. All readers see the order of publication, over all their topics.
//! Readers of the same topics at the same place are given the same bytes.
//!
//! # Ids
//!
//! An id is a position in the log, of all topics: so one id resumes a reader of many. Ids are the
//! hub's, and an event that has one cannot be published. A stream opens with an id, in a block without
//! data, so that a reader that is cut before its first event can resume as well; while it is idle its
//! keep-alives bring it up to date. Positions begin anew with each hub, and ids tell one hub from
//! another.
//!
//! An id is what a client says. It gives no right to anything: a reader gets its own topics only.
//! But positions count the events of all topics, so whoever sees ids sees how much is published.
//!
//! # Gaps
//!
//! A reader that resumes is told if it cannot be proven that it gets everything: the history has
//! lost what it needs, the id is of another hub, of another topic, or of none. A body tells it by an
//! event of type `gap`, before anything else, with JSON as its data (see [`Gap::to_event`]);
//! [`HubBuilder::on_gap`] replaces or silences that. In a handler, [`Subscription::resumption`] tells.
//!
//! A publisher can use the type `gap` as any other: where strangers choose types, refuse it.
//!
//! A reader that is slower than the history is long has a gap as well. By default it is evicted: its
//! stream ends, a browser comes back by itself, and is told. With [`Lagging::Skip`] it is told on
//! the spot, and goes on with the oldest that is kept.
//!
//! # Keys
//!
//! What is published with a key supersedes what was published with it before, on the same topic, for
//! whoever has not read that yet: so a slow reader gets the latest of each key, not the backlog. A new
//! reader that asks for the [state](Selection::with_state) gets the current entry of each key first.
//! These go out without ids, and an id follows when they are through: who is cut in between begins
//! anew. What a key names may be gone: a [tombstone](Publication::tombstone) says so.
//!
//! # Selection and patterns
//!
//! A [`Topic`] is any text without control characters. [Patterns](Selection::patterns) have a method of
//! their own, so a topic that a user typed never becomes one. A topic without readers and without
//! history costs nothing.
//!
//! # Many nodes
//!
//! The log is in memory, of this process. Ids are opaque text and publishing is async so that a log
//! elsewhere can take its place.

mod builder;
mod entry;
mod frames;
mod gap;
mod handler;
mod history;
#[expect(clippy::module_inception, reason = "`Hub` is what the module is about")]
mod hub;
mod log;
mod position;
mod publish;
mod shared;
mod slab;
mod stats;
mod subscription;
mod topic;
mod topics;
mod trie;

pub use self::{
    builder::HubBuilder,
    entry::Entry,
    gap::{Gap, GapReason, Lagged, Lagging, Resumption},
    handler::{HubFuture, HubHandler},
    history::History,
    hub::Hub,
    publish::{Publication, PublishError, Published, PublishedAll},
    stats::Stats,
    subscription::Subscription,
    topic::{InvalidTopic, Topic},
    topics::Selection,
};
