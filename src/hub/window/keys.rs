//! The keys of the window's tables. They are types, so that one is not mistaken for another, or for
//! a publication key.

use super::slab::slab_key;

slab_key! {
    /// Identifies a topic in the topic table.
    TopicKey
}

slab_key! {
    /// Identifies a reader in its group.
    ReaderKey
}

/// Identifies a pattern in the pattern table. It is never given to another pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::hub) struct PatternKey(pub(super) u64);
