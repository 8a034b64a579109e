//! The settings that the calls need.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) log: String,
    pub(super) max_entries: u64,
    pub(super) max_entry_bytes: usize,
    pub(super) topic_ttl: Duration,
}

/// A thousand years. A script calculates with numbers of 53 bits.
const MAX_TTL_MILLIS: u128 = 1000 * 365 * 86_400 * 1000;

/// Returns a time to live for a script: at least a millisecond, so that a short one is not none.
pub(super) fn ttl_millis(ttl: Duration) -> String {
    ttl.as_millis().clamp(1, MAX_TTL_MILLIS).to_string()
}
