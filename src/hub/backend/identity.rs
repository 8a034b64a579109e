//! Which log it is.

use std::hash::{BuildHasher, RandomState};

/// The identity of a log.
///
/// It is the same on all nodes of a hub and after each restart of a node. When a log is deleted and
/// made again, the new log has another identity. So event IDs of the old log are not mistaken for
/// those of the new one.
///
/// Event IDs contain a hash of it. If a hub has no secret, the identity is also the key of the tags
/// in event IDs, so do not show it to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity([u8; 16]);

impl Identity {
    /// Creates an identity from 16 bytes: random bytes that are stored with the log, or a hash of
    /// properties that another log does not have.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Draws a random identity.
    ///
    /// The randomness is that of [`RandomState`]: two identities differ, but it is no source of
    /// cryptographic keys.
    #[must_use]
    pub fn random() -> Self {
        let random = RandomState::new();
        let halves = [0, 1].map(|half: u64| random.hash_one(half).to_le_bytes());
        Self(std::array::from_fn(|at| halves[at / 8][at % 8]))
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_identities_differ() {
        let (one, other) = (Identity::random(), Identity::random());
        assert_ne!(one, other);
        let (first, second) = one.as_bytes().split_at(8);
        assert_ne!(first, second);
        assert_eq!(Identity::new(*one.as_bytes()), one);
    }
}
