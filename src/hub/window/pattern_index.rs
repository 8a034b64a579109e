//! An index of patterns by their segments, which finds those that match a topic without a visit to
//! each.

use std::collections::BTreeMap;

use super::keys::PatternKey;
use crate::hub::{pattern::Pattern, topic::Topic};

/// The patterns of a window, as a tree: a node for each segment. The maps are trees as well: they
/// never move all their entries in one step, and they give their memory back.
#[derive(Debug, Default)]
pub(super) struct PatternIndex {
    /// The next segments of the patterns that pass this node. Wildcards are segments like any
    /// other.
    children: BTreeMap<Box<str>, Self>,
    /// The pattern that ends here.
    end: Option<PatternKey>,
}

/// The wildcard for one segment.
const ONE: &str = "*";
/// The wildcard for all segments that follow, at least one.
const REST: &str = ">";

impl PatternIndex {
    pub(super) fn insert(&mut self, pattern: &Pattern, key: PatternKey) {
        let mut node = self;
        for segment in pattern.segments() {
            node = node.children.entry(segment.into()).or_default();
        }
        node.end = Some(key);
    }

    pub(super) fn get(&self, pattern: &Pattern) -> Option<PatternKey> {
        let mut segments = pattern.segments();
        segments.try_fold(self, |node, segment| node.children.get(segment))?.end
    }

    pub(super) fn remove(&mut self, pattern: &Pattern) {
        self.remove_below(&mut pattern.segments());
    }

    fn remove_below<'a>(&mut self, segments: &mut impl Iterator<Item = &'a str>) {
        let Some(segment) = segments.next() else {
            self.end = None;
            return;
        };
        let Some(child) = self.children.get_mut(segment) else { return };
        child.remove_below(segments);
        if child.children.is_empty() && child.end.is_none() {
            self.children.remove(segment);
        }
    }

    /// Returns the patterns that match a topic, sorted.
    pub(super) fn matches(&self, topic: &Topic) -> Vec<PatternKey> {
        let mut found = Vec::new();
        if !self.children.is_empty() {
            self.find(Some(topic.as_str()), &mut found);
            found.sort_unstable();
            found.shrink_to_fit();
        }
        found
    }

    fn find(&self, rest: Option<&str>, found: &mut Vec<PatternKey>) {
        let Some(rest) = rest else {
            found.extend(self.end);
            return;
        };
        let (segment, after) = match rest.split_once('.') {
            Some((segment, after)) => (segment, Some(after)),
            None => (rest, None),
        };
        if let Some(all) = self.children.get(REST) {
            found.extend(all.end);
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
    use super::*;

    #[test]
    fn it_finds_what_matching_each_finds() {
        let patterns = ["*", ">", "a", "a.*", "a.>", "*.b", "a.*.c", "*.*", "a.b.>", "*.>"];
        let patterns = patterns.map(|pattern| Pattern::new(pattern).unwrap());
        let keys = || (0..).map(PatternKey).zip(&patterns);
        let mut index = PatternIndex::default();
        for (key, pattern) in keys() {
            index.insert(pattern, key);
            assert_eq!(index.get(pattern), Some(key));
        }
        for topic in ["a", "b", "a.b", "a.b.c", "a.b.d.e", "*", ">", "a.*", "a.>", "", "a..c", "."]
        {
            let Ok(topic) = Topic::try_from(topic) else { continue };
            let expected = keys().filter(|(_, pattern)| pattern.matches(topic.as_str()));
            let expected: Vec<PatternKey> = expected.map(|(key, _)| key).collect();
            assert_eq!(index.matches(&topic), expected, "{topic}");
        }
        for (_, pattern) in keys() {
            index.remove(pattern);
        }
        assert!(index.children.is_empty());
    }
}
