//! An index of patterns by their segments, which finds those that match a topic without a visit to
//! each.

use std::collections::HashMap;

use super::keys::GroupKey;
use crate::hub::{pattern::Pattern, topic::Topic};

/// The patterns of all groups, as a tree: a node for each segment.
#[derive(Debug, Default)]
pub(super) struct PatternIndex {
    /// The next segments of the patterns that pass this node. Wildcards are segments like any
    /// other.
    children: HashMap<Box<str>, Self>,
    /// The groups that have the pattern that ends here.
    ends: Vec<GroupKey>,
}

/// The wildcard for one segment.
const ONE: &str = "*";
/// The wildcard for all segments that follow, at least one.
const REST: &str = ">";

impl PatternIndex {
    pub(super) fn insert(&mut self, pattern: &Pattern, group: GroupKey) {
        let mut node = self;
        for segment in pattern.segments() {
            node = node.children.entry(segment.into()).or_default();
        }
        node.ends.push(group);
    }

    pub(super) fn remove(&mut self, pattern: &Pattern, group: GroupKey) {
        self.remove_below(&mut pattern.segments(), group);
    }

    fn remove_below<'a>(&mut self, segments: &mut impl Iterator<Item = &'a str>, group: GroupKey) {
        let Some(segment) = segments.next() else {
            self.ends.retain(|end| *end != group);
            return;
        };
        let Some(child) = self.children.get_mut(segment) else { return };
        child.remove_below(segments, group);
        if child.children.is_empty() && child.ends.is_empty() {
            self.children.remove(segment);
        }
    }

    /// Returns the groups that have a pattern that matches, each once, sorted.
    pub(super) fn matches(&self, topic: &Topic) -> Vec<GroupKey> {
        let mut found = Vec::new();
        if !self.children.is_empty() {
            self.find(Some(topic.as_str()), &mut found);
            found.sort_unstable();
            found.dedup();
        }
        found
    }

    fn find(&self, rest: Option<&str>, found: &mut Vec<GroupKey>) {
        let Some(rest) = rest else {
            found.extend(&self.ends);
            return;
        };
        let (segment, after) = match rest.split_once('.') {
            Some((segment, after)) => (segment, Some(after)),
            None => (rest, None),
        };
        if let Some(all) = self.children.get(REST) {
            found.extend(&all.ends);
        }
        if let Some(child) = self.children.get(ONE) {
            child.find(after, found);
        }
        // A `*` or `>` in a topic is an ordinary segment, which no pattern can name.
        if segment != ONE && segment != REST {
            if let Some(child) = self.children.get(segment) {
                child.find(after, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::slab::SlabKey, *};

    #[test]
    fn it_finds_what_matching_each_finds() {
        let patterns = ["*", ">", "a", "a.*", "a.>", "*.b", "a.*.c", "*.*", "a.b.>", "*.>"];
        let patterns = patterns.map(|pattern| Pattern::new(pattern).unwrap());
        let groups = || (0..).map(GroupKey::from_index).zip(&patterns);
        let mut index = PatternIndex::default();
        for (group, pattern) in groups() {
            index.insert(pattern, group);
        }
        for topic in ["a", "b", "a.b", "a.b.c", "a.b.d.e", "*", ">", "a.*", "a.>", "", "a..c", "."]
        {
            let Ok(topic) = Topic::try_from(topic) else { continue };
            let expected = groups().filter(|(_, pattern)| pattern.matches(&topic));
            let expected: Vec<GroupKey> = expected.map(|(group, _)| group).collect();
            assert_eq!(index.matches(&topic), expected, "{topic}");
        }
        for (group, pattern) in groups() {
            index.remove(pattern, group);
        }
        assert!(index.children.is_empty());
    }
}
