//! The keys of the log's tables. They are types, so that one is not mistaken for another, or for a
//! publication key.

use super::slab::slab_key;

slab_key! {
    /// Identifies a topic in the topic table.
    TopicKey
}

slab_key! {
    /// Identifies a group in the group table.
    GroupKey
}

slab_key! {
    /// Identifies a reader in the reader table.
    ReaderKey
}
