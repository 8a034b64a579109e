//! The names of the keys in Redis.

use crate::hub::backend::identity::Identity;

/// The names of the keys of a log. All of them are in one slot of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// The key of the log.
    pub(super) log: String,
    /// The start of all other keys. It has the identity of the log, so that nothing of a log that was
    /// deleted belongs to the one that follows it.
    prefix: String,
}

impl Keys {
    pub(super) fn new(log: &str, identity: Identity) -> Self {
        Self { log: log.to_owned(), prefix: format!("{{{log}}}:{}", hex(identity.as_bytes())) }
    }

    /// The stream of a topic.
    pub(super) fn topic(&self, topic: &str) -> String {
        format!("{}:topic:{topic}", self.prefix)
    }

    /// The hash of a topic: from each key to the ID of its newest entry.
    pub(super) fn state(&self, topic: &str) -> String {
        format!("{}:state:{topic}", self.prefix)
    }

    /// The ID of the end of a topic.
    pub(super) fn end(&self, topic: &str) -> String {
        format!("{}:end:{topic}", self.prefix)
    }

    /// The ID of the newest entry of a topic that another program has appended. It is in the log only.
    pub(super) fn foreign(&self, topic: &str) -> String {
        format!("{}:foreign:{topic}", self.prefix)
    }

    /// The set of the topics that have keys.
    pub(super) fn topics_with_keys(&self) -> String {
        format!("{}:topics-with-keys", self.prefix)
    }

    /// The ID of the entry of an append.
    pub(super) fn append(&self, append_id: u128) -> String {
        format!("{}:append:{append_id:032x}", self.prefix)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Parses 32 hexadecimal digits.
pub(super) fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(text, 16).ok().filter(|_| is_hex).map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_written_and_read() {
        let identity = Identity::random();
        assert_eq!(parse_hex(&hex(identity.as_bytes())), Some(*identity.as_bytes()));
        for wrong in ["", "0", &"g".repeat(32), &"+".repeat(32), &"0".repeat(33)] {
            assert_eq!(parse_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn all_keys_have_the_hash_tag_of_the_log() {
        let keys = Keys::new("events", Identity::new([7; 16]));
        for key in [
            keys.topic("a"),
            keys.state("a"),
            keys.end("a"),
            keys.foreign("a"),
            keys.topics_with_keys(),
            keys.append(1),
        ] {
            assert!(key.starts_with("{events}:0707"), "{key}");
        }
    }
}
