//! What a hub says of itself.

/// What a hub is doing, as [`Hub::stats`](super::Hub::stats) has found it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Selection that have history or are named by a reader.
    pub topics: usize,
    /// Subscriptions.
    pub readers: usize,
    /// Events in the history.
    pub events: usize,
    /// What these take, in bytes, as the bounds of a [`History`](super::History) count them.
    pub bytes: usize,
    /// Events that were published since the hub was made.
    pub published: u64,
    /// How often a reader was found to be too slow.
    pub lagged: u64,
    /// How often a subscription was resumed with a gap.
    pub gaps: u64,
}
