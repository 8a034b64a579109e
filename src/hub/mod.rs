//! Many publishers, many readers: a hub fans events out, replays missed events, and reports gaps.
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
//! A hub is a log, not a set of queues. A published event is encoded once and appended. A reader is
//! a position in the log and a waker. This has four consequences:
//!
//! - A reader costs little memory. A slow reader delays no other, and holds no memory but the frame
//!   that is being written to its client.
//! - A reader that reconnects is a reader that starts earlier. There is no seam between missed and
//!   new events.
//! - All readers see the events of all their topics in the order of publication.
//! - Readers of the same topics at the same position share the same bytes.
//!
//! # Event IDs
//!
//! An ID stands for a position in the log, which is common to all topics. So one ID resumes a
//! reader of many topics. The hub sets the IDs: an event that already has one cannot be published.
//!
//! A stream starts with an ID, in a block without data, so that a client that is disconnected
//! before its first event can resume. While the stream is idle, its keep-alives carry newer IDs.
//! Each hub starts with position 1. An ID also contains the identity of its hub, so that it is not
//! mistaken for that of another hub.
//!
//! A client can send any ID. An ID grants no access: a reader only receives its own topics. But
//! positions count the events of all topics, so a client that sees IDs can see how much is
//! published.
//!
//! # Gaps
//!
//! A resumed reader is told of a gap if the hub cannot prove that it receives everything: events
//! were removed from the history, or the ID belongs to another hub, to another topic, or is not an
//! ID of a hub. A body reports a gap before anything else, by an event of type `gap` with JSON data
//! (see [`Gap::to_event`]). [`HubBuilder::on_gap`] replaces or omits that event. In a handler,
//! [`Subscription::resumption`] returns the gap.
//!
//! A publisher can use the type `gap` like any other. If untrusted users choose event types, refuse
//! this type.
//!
//! A reader that is too slow for the history also has a gap. By default it is evicted: its stream
//! ends, a browser reconnects by itself, and is then told of the gap. With [`Lagging::Skip`] it is
//! told of the gap at once, and continues with the oldest retained event.
//!
//! # Keys
//!
//! An event with a key supersedes the event that was published before with the same key on the same
//! topic. Readers that have not read the older event skip it, so a slow reader receives the latest
//! event of each key instead of the backlog. A new reader that asks for the
//! [state](Selection::with_state) first receives the current entry of each key. These entries have
//! no IDs; an ID follows after the last one. A client that is disconnected before then starts over.
//! A [tombstone](Publication::tombstone) removes a key from the state.
//!
//! # Selection and patterns
//!
//! A [`Topic`] is any text without control characters. [Patterns](Selection::patterns) have a
//! method of their own, so a topic that a user has typed never becomes a pattern. A topic without
//! readers and without history costs nothing.
//!
//! # Many nodes
//!
//! The log is in the memory of this process. IDs are opaque text and publishing is async, so that a
//! log elsewhere can take its place.

pub mod backend;
mod builder;
mod entry;
mod gap;
mod handle;
mod handler;
mod history;
mod hooks;
mod ids;
mod invalid_topic;
mod node;
mod pattern;
mod publication;
mod selection;
mod subscribe_error;
#[allow(dead_code, reason = "only `ids` uses it")]
mod sip_hash;
mod subscription;
mod topic;
mod window;

pub use self::{
    builder::HubBuilder,
    entry::Entry,
    gap::{Gap, GapReason, Lagged, Lagging, Resumption},
    handle::{Hub, Session, Stats},
    handler::{HubFuture, HubHandler},
    history::History,
    invalid_topic::InvalidTopic,
    publication::{Publication, PublishError, Published, PublishedAll},
    selection::Selection,
    subscribe_error::SubscribeError,
    subscription::Subscription,
    topic::Topic,
};
