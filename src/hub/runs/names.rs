//! The topics of runs.

use std::fmt::Write as _;

use crate::hub::topic::Topic;

/// The longest owner, in bytes, after it was encoded.
const MAX_OWNER: usize = 160;
/// The length of an ID, in characters.
const ID: usize = 32;

/// The topics of runs: all start with the same segment.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
}

/// An owner as a segment of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct OwnerName(String);

impl OwnerName {
    /// Encodes an owner: dots, and everything that a segment should not contain, are `%XX`. `None` if it is
    /// empty or too long.
    pub(super) fn new(owner: &str) -> Option<Self> {
        let mut name = String::with_capacity(owner.len());
        for byte in owner.bytes() {
            match byte {
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'@' => {
                    name.push(char::from(byte));
                }
                byte => {
                    // Writing into a string does not fail.
                    let _ = write!(name, "%{byte:02X}");
                }
            }
        }
        (!name.is_empty() && name.len() <= MAX_OWNER).then_some(Self(name))
    }

    /// Takes the owner out of a topic.
    pub(super) fn from_segment(segment: &str) -> Self {
        Self(segment.to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Names {
    /// Returns `None` if the prefix is not one plain segment.
    pub(super) fn new(prefix: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_valid = !prefix.is_empty() && prefix.len() <= 32 && prefix.bytes().all(is_plain);
        is_valid.then(|| Self { prefix: prefix.to_owned() })
    }

    /// The output of a run.
    pub(super) fn output(&self, owner: &OwnerName, id: &str) -> Topic {
        self.topic(&format!("out.{}.{id}", owner.as_str()))
    }

    /// The states of the runs of an owner, by their IDs.
    pub(super) fn states(&self, owner: &OwnerName) -> Topic {
        self.topic(&format!("of.{}", owner.as_str()))
    }

    /// The pattern of all states.
    pub(super) fn all_states(&self) -> String {
        format!("{}.of.*", self.prefix)
    }

    /// The owner whose states are in a topic.
    pub(super) fn owner_of(&self, topic: &Topic) -> Option<OwnerName> {
        let segment = topic.as_str().strip_prefix(&*self.prefix)?.strip_prefix(".of.")?;
        Some(OwnerName::from_segment(segment))
    }

    /// The requests to stop runs.
    pub(super) fn stops(&self) -> Topic {
        self.topic("stop")
    }

    /// The nodes that work, by their names.
    pub(super) fn nodes(&self) -> Topic {
        self.topic("nodes")
    }

    fn topic(&self, rest: &str) -> Topic {
        let topic = Topic::try_from(format!("{}.{rest}", self.prefix));
        topic.expect("its parts are plain, and short enough together")
    }
}

/// Returns whether a text may be the ID of a run.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_stay_apart_and_topics_are_valid() {
        let names = Names::new("runs").unwrap();
        let owners =
            ["ann", "ann.b", "ann%2Eb", "ann%", "*", ">", "ä", " ", "a/b", &"x".repeat(160)];
        let encoded: Vec<_> = owners.iter().map(|owner| OwnerName::new(owner).unwrap()).collect();
        for (at, owner) in encoded.iter().enumerate() {
            assert!(!encoded[..at].contains(owner), "{owner:?}");
            assert!(!owner.as_str().contains(['.', '*', '>']), "{owner:?}");
            let id = "0".repeat(32);
            assert!(names.output(owner, &id).as_str().len() < 255);
            assert_eq!(names.owner_of(&names.states(owner)).as_ref(), Some(owner));
        }
        for invalid in ["", &"x".repeat(161), &".".repeat(54)] {
            assert_eq!(OwnerName::new(invalid), None, "{invalid}");
        }
        for invalid in ["", "a.b", "*", "é", &"x".repeat(33)] {
            assert!(Names::new(invalid).is_none(), "{invalid}");
        }
        assert!(names.owner_of(&names.stops()).is_none());
    }

    #[test]
    fn an_id_is_32_hexadecimal_digits() {
        assert!(is_id("0123456789abcdef0123456789abcdef"));
        for wrong in
            ["", "0123456789ABCDEF0123456789abcdef", "../../../../../../../../../../../../"]
        {
            assert!(!is_id(wrong), "{wrong}");
        }
    }
}
