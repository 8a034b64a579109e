//! The log of a hub in NATS JetStream (feature `nats`).
//!
//! All nodes connect to the same servers, and are one hub. Other programs publish events and listen
//! to them with any NATS client.
//!
//! ```no_run
//! # async fn run() -> Result<(), tower_sse::BoxError> {
//! use tower_sse::{Event, Hub, hub::backend::nats::NatsBackend};
//!
//! let backend = NatsBackend::connect("nats://127.0.0.1:4222").await?;
//! let hub = Hub::builder().open(backend).await?;
//! hub.publish("orders", Event::new("paid")).await?;
//! # Ok(()) }
//! ```
//!
//! # The stream
//!
//! The log is one stream. It is made if it does not exist, by the options of [`NatsBuilder`]:
//!
//! | option | default |
//! |---|---|
//! | [`stream`](NatsBuilder::stream) | `events` |
//! | [`prefix`](NatsBuilder::prefix) | `events`: the subjects are `events.>` |
//! | [`storage`](NatsBuilder::storage), [`replicas`](NatsBuilder::replicas) | on disk, on one server |
//! | [`max_age`](NatsBuilder::max_age) | one day |
//! | [`max_bytes`](NatsBuilder::max_bytes) | 1 GiB, which the server reserves |
//! | [`max_messages`](NatsBuilder::max_messages) | no limit |
//! | [`compact_keys`](NatsBuilder::compact_keys) | false |
//!
//! A retry is recognized for two minutes, or for `max_age` if that is shorter.
//!
//! A stream that exists keeps its settings. If one of them would break a promise, for example
//! `discard=new`, connecting returns a [`NatsSettingError`], which names the setting and the cure. If
//! the stream has no identity, one is written into its metadata and its description.
//!
//! Each node follows the whole stream, regardless of the topics of its readers. If one stream has
//! more than a node can follow, use several hubs, each with a stream and a prefix of its own: for
//! example, one for each tenant.
//!
//! # Messages
//!
//! | part of an entry | in the message |
//! |---|---|
//! | topic `orders.eu` | subject `events.orders.eu` |
//! | topic `orders` and key `7` | subject `events.orders.=.7` |
//! | the end of topic `orders` | subject `events.orders.=.=` |
//! | data | the payload, unchanged |
//! | type, reconnection time, comments, custom fields | header `Sse-Fields`: a JSON array of pairs, for example `[["event","price"]]`. [`EventParts`](super::EventParts) lists the names |
//! | kind, unless it is an event | header `Sse-Kind`: `tombstone`, `end` or `control` |
//! | time to live | header `Sse-Expires`: milliseconds since 1970. With `allow_msg_ttl` (2.11 and later) also `Nats-TTL` |
//! | identity of the append | header `Nats-Msg-Id` |
//!
//! In a segment of a topic, white space, control characters, `*`, `>`, `%` and a `=` at the start are
//! written as `%XX`, byte by byte. An empty segment is `%`. A key is one segment, so its dots are
//! `%2E`.
//!
//! All headers are optional. So `nats pub events.orders '{"n":1}'` publishes an event on the topic
//! `orders`, and `nats sub events.orders` shows its data. A subject in another spelling, and a header
//! that cannot be read, is junk: it is left out and [counted](super::Batch::junk). A message whose
//! headers are invalid, for example since they are not UTF-8, is junk too. The client library disconnects when it
//! receives one, so each node reconnects once for its tail, and at least once for a replay.
//!
//! # Durability
//!
//! An entry is acknowledged when the server has it, not when it is on disk. These are the settings of
//! NATS; the backend adds nothing to them.
//!
//! | after an acknowledgement | one server | three servers, `replicas(3)` |
//! |---|---|---|
//! | the process of a server is killed | kept on disk, lost in memory | kept |
//! | a machine loses its power | up to two minutes may be lost. The setting `sync_interval: always` of the server avoids that, at about a fortieth of the speed | kept if the others go on. Not tested here |
//! | a disk is lost | lost | kept if the others go on. Not tested here |
//!
//! The backend notices if the end of the log was lost, or if the server has older files or no files: positions carry a fingerprint of their entry, and the stream has a random identity. Readers
//! then get a gap: see [`HubBuilder::open`](crate::hub::HubBuilder::open).
//!
//! While no server can be reached, publishing waits and is repeated until
//! [`HubBuilder::publish_timeout`](crate::hub::HubBuilder::publish_timeout), and readers wait.
//!
//! # Limits
//!
//! - An append of several entries is not atomic: after an error, the first of them may be in the log,
//!   without a hole.
//! - With more than one entry at a time, an append is slower while other nodes append too, since each
//!   entry but the first must directly follow the one before it, or is sent again.
//! - An entry is at most about as large as a message of the server may be (`max_payload`, 1 MB by
//!   default), and its subject at most 3,400 bytes.
//! - Expiry compares the clocks of the nodes.
//! - While one server of a cluster is down, a node may need some attempts to follow the log again,
//!   because the cluster may put its consumer on that server.
//! - The backend makes a deleted stream again after half a second. Servers older than 2.10 may otherwise remove
//!   the files of the new stream.
//! - If entries are removed by hand, a node that has not received them reports a gap only if the bounds of the
//!   stream could also have removed them.
//! - Servers before 2.10 filter by one subject only. So reading the history of a topic takes several requests
//!   for each page, and that of several patterns reads their neighbors as well.
//! - The topics that expire are removed message by message. A purge by subject is faster, but the server
//!   (seen up to 2.14) then moves the consumers of the subject to its end: readers of several topics that are in
//!   the past at that moment may miss events without a gap. So do not purge a single topic by hand.
//!
//! # Versions
//!
//! Tested with nats-server 2.9.10 and 2.15.0. The feature needs Rust 1.89, as the client library does.

mod append;
mod backend;
mod builder;
mod consumer;
mod error;
mod link;
mod message;
mod raw_headers;
mod read;
mod reader;
mod remove;
mod stream;
mod subject;
mod tail;
mod timestamp;

pub use self::{
    backend::NatsBackend,
    builder::{NatsBuilder, NatsStorage},
    error::{NatsError, NatsSettingError},
    tail::NatsTail,
};
