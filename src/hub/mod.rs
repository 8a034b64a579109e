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
//! [`Hub::publish`] is async, because the log may be in an engine. Hooks and `Drop` implementations,
//! which cannot wait, use [`Hub::try_publish`]. It keeps the order of one thread's events, which
//! spawned tasks would not.
//!
//! # Where a reader starts
//!
//! | the reader has | it starts | for example |
//! |---|---|---|
//! | nothing | now, with the next event | a notification |
//! | nothing, and asks for the [state](Selection::with_state) | with the current entry of each key | a dashboard |
//! | nothing, and asks for the [start](Selection::from_start) | with the oldest retained event | the output of a job |
//! | nothing, and asks for the [last](Selection::last) `n` | with the newest `n` events of each topic | a chat |
//! | a last event ID | after that event | a browser that reconnects |
//! | a [position](Hub::position) of the hub | after everything that was published before it | a page that was rendered from a database |
//!
//! The last event ID wins over the selection: a page that asks for the last 50 messages gets them
//! once, and after a reconnect only the messages that it missed. If the ID is of no use, the reader
//! is told of a gap. It then starts with the state if it asks for it, and otherwise as
//! [`GapReason`] says.
//!
//! # Event IDs
//!
//! An ID stands for a position in the log, which is common to all topics. So one ID resumes a
//! reader of many topics. The hub sets the IDs: an event that already has one cannot be published.
//! They are opaque text of at most 65 bytes. There are three kinds:
//!
//! - The ID of an *event* resumes readers of its topic.
//! - The ID of a *reader's position* resumes readers of the same selection. A stream starts with such
//!   an ID, so that a client that is disconnected before its first event can resume: see
//!   [`Subscription::positions_for`]. While the stream is idle, its keep-alives carry newer ones. [`Subscription::position`]
//!   returns it.
//! - The ID of a *position of the hub* resumes any reader. [`Hub::position`] returns it.
//!
//! An ID also contains the identity of its log. So the IDs of one log are not mistaken for those of
//! another, and all nodes that share a log accept each other's IDs. A hub in memory has a new log in
//! each process.
//!
//! A client can send any ID. An ID grants no access: a reader only receives its own topics. But
//! positions count the events of all topics, so a client that sees IDs can see how much is
//! published.
//!
//! # Gaps
//!
//! A resumed reader is told of a gap if the hub cannot prove that it receives everything: events
//! were removed from the history, or the ID belongs to another log, to another topic, or is not an
//! ID of a hub. A body reports a gap before anything else, by an event of type `gap` with JSON data
//! (see [`Gap::to_event`]). [`HubBuilder::on_gap`] replaces or omits that event. In a handler,
//! [`Subscription::resumption`] returns the gap.
//!
//! The proof is the *coverage* of each topic: the position after which the hub has every event of
//! it. A reader that is at or after the coverage of all its topics misses nothing. Events that have
//! expired or were superseded are not missing.
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
//! [`Hub::retract`] removes a key from the state, with an event that tells the present readers of
//! it.
//!
//! # Expiry
//!
//! Three bounds are times. No event is given to a reader after its time is over, whether it was
//! removed from memory by then or not. Over a backend, `max_age` applies only to the memory of a node.
//!
//! | bound | a reader that has not read the event |
//! |---|---|
//! | [`Publication::ttl`], of one event | gets no gap, since the event has lost its meaning |
//! | [`History::max_age`], of all events | gets one gap for all of them, and continues, also with [`Lagging::Evict`] |
//! | [`HubBuilder::idle_ttl`] and [`finished_ttl`](HubBuilder::finished_ttl), of a topic after its last event or its end | the same |
//!
//! # The end of a topic
//!
//! [`Hub::finish`] ends a topic: a job is done, a room is closed. Readers receive everything, and
//! then their streams end, if all of their topics have ended. A pattern never ends, because a new
//! topic may match it. A reader that comes later receives what it asks for, and ends as well. A
//! browser reconnects after each end; if it has everything, a [`HubHandler`] answers with a 204, and
//! the browser stays away. Publishing on the topic [fails](PublishError::is_finished) until the topic
//! is forgotten.
//!
//! # Selection and patterns
//!
//! A [`Topic`] is any text without control characters. [Patterns](Selection::patterns) have a
//! method of their own, so a topic that a user has typed never becomes a pattern. A topic without
//! readers and without history costs nothing.
//!
//! [`Subscription::filter`] and [`Subscription::map`] change what one reader receives, for example by
//! its permissions. The result is still a subscription: its body reports gaps, starts with an ID, and
//! shares the bytes of unchanged events.
//!
//! # Limits
//!
//! Nothing in a hub grows without a bound. These are the bounds and their defaults:
//!
//! | bound | default | what happens there |
//! |---|---|---|
//! | [`history`](HubBuilder::history) of each topic | 1,024 events and 16 MiB | the oldest events are removed |
//! | [`total_history`](HubBuilder::total_history) of all topics | 1 GiB | the oldest events are removed |
//! | [`max_topics_per_subscription`](HubBuilder::max_topics_per_subscription) | 1,024 | the answer is a 400 |
//! | [`max_patterns_per_subscription`](HubBuilder::max_patterns_per_subscription) | 64 | the answer is a 400 |
//! | [`max_named_topics`](HubBuilder::max_named_topics) of all readers | 1,048,576 | the client is asked to come back later |
//!
//! The number of readers is that of the streams: see [`HubHandler::max_streams`] and
//! [`HubHandler::max_streams_per`]. [`Hub::sessions`] lists the readers, [`Hub::disconnect`] ends
//! their streams.
//!
//! Publishers and readers that come and leave share one lock. No step under it grows with the number
//! of topics, readers, patterns or events. Readers read without it.
//!
//! # Many nodes
//!
//! By default the log is in the memory of this process. A [`Backend`](backend::Backend) keeps it in
//! another place. Each node follows the whole log and serves its readers from memory, so the nodes
//! that share a log are one hub: an event that is published on one of them reaches the readers of
//! all, and a reader resumes on any of them. See [`HubBuilder::open`] and [`backend`]. [`Hub::health`]
//! returns whether the backend answers.

pub mod backend;
mod builder;
mod disconnect;
mod engine;
mod entry;
mod gap;
mod handle;
mod handler;
mod health;
mod history;
#[cfg(tower_sse_hold)]
mod hold;
mod hooks;
mod ids;
mod node;
mod pattern;
mod publication;
pub mod runs;
mod selection;
mod sip_hash;
mod subscribe_error;
mod subscription;
mod topic;
mod window;

#[cfg(tower_sse_hold)]
#[doc(hidden)]
pub use self::hold::take_holds;
pub use self::{
    builder::HubBuilder,
    entry::Entry,
    gap::{Gap, GapReason, Lagged, Lagging, Resumption},
    handle::{Hub, Session, Stats},
    handler::{HubFuture, HubHandler},
    health::Health,
    history::History,
    publication::{Publication, PublishError, Published, PublishedAll},
    selection::Selection,
    subscribe_error::SubscribeError,
    subscription::Subscription,
    topic::Topic,
};
pub use crate::invalid_topic::InvalidTopic;
