//! The settings that the calls need.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) log: String,
    pub(super) max_entries: u64,
    pub(super) max_entry_bytes: usize,
    pub(super) topic_ttl: Duration,
}
