//! Which topics a read is about.

use crate::{
    hub::{pattern::Pattern, topic::Topic},
    invalid_topic::InvalidTopic,
};

/// The topics whose entries are wanted: by name, by pattern, or all.
///
/// ```
/// use tower_sse::hub::{Topic, backend::Wanted};
///
/// let wanted = Wanted::new([Topic::try_from("news")?], ["orders.*"])?;
/// assert!(wanted.takes("news") && wanted.takes("orders.7"));
/// assert!(!wanted.takes("orders"));
/// assert!(Wanted::all().takes("orders"));
/// # Ok::<(), tower_sse::BoxError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Sorted, so that a name is found without comparing all.
    names: Vec<Topic>,
    patterns: Vec<Pattern>,
    is_all: bool,
}

impl Wanted {
    /// All topics.
    #[must_use]
    pub const fn all() -> Self {
        Self { names: Vec::new(), patterns: Vec::new(), is_all: true }
    }

    /// The topics with these names, and those that match one of these patterns. Without a name and a
    /// pattern it is no topic.
    ///
    /// # Errors
    ///
    /// Returns an error if a pattern is invalid. [`Selection::patterns`] describes patterns.
    ///
    /// [`Selection::patterns`]: crate::hub::Selection::patterns
    pub fn new<'a>(
        names: impl IntoIterator<Item = Topic>,
        patterns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, InvalidTopic> {
        let patterns = patterns.into_iter().map(Pattern::new).collect::<Result<_, _>>()?;
        Ok(Self::from_parts(names.into_iter().collect(), patterns))
    }

    pub(in crate::hub) fn from_parts(mut names: Vec<Topic>, patterns: Vec<Pattern>) -> Self {
        names.sort_unstable();
        names.dedup();
        Self { names, patterns, is_all: false }
    }

    /// Returns whether all topics are wanted.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.is_all
    }

    /// Returns the names, sorted.
    #[must_use]
    pub fn names(&self) -> &[Topic] {
        &self.names
    }

    /// Returns the patterns.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(Pattern::as_str)
    }

    /// Returns whether the entries of a topic are wanted.
    #[must_use]
    pub fn takes(&self, topic: &str) -> bool {
        let is_named = || self.names.binary_search_by(|name| name.as_str().cmp(topic)).is_ok();
        self.is_all || is_named() || self.patterns.iter().any(|pattern| pattern.matches(topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns_are_taken() {
        let topic = |name: &str| name.parse::<Topic>().unwrap();
        let wanted = Wanted::new(["b", "a", "b", "*"].map(topic), ["x.*", "y.>"]).unwrap();
        assert_eq!(wanted.names(), ["*", "a", "b"]);
        assert_eq!(wanted.patterns().collect::<Vec<_>>(), ["x.*", "y.>"]);
        for taken in ["a", "b", "*", "x.1", "y.1.2"] {
            assert!(wanted.takes(taken), "{taken}");
        }
        for other in ["c", "x", "y", "x.1.2", "ab", ""] {
            assert!(!wanted.takes(other), "{other}");
        }
        assert!(!Wanted::new([], []).unwrap().takes("a"));
        assert!(Wanted::new([], ["a.>.b"]).is_err());
    }
}
