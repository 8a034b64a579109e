//! Patterns by their segments, so that a topic finds those that match it without a look at each.

use std::collections::HashMap;

use super::{
    slab::Key,
    topic::{Pattern, Topic},
};

/// The patterns of all feeds.
#[derive(Debug, Default)]
pub(super) struct Trie {
    children: HashMap<Box<str>, Self>,
    /// Feeds whose pattern ends here.
    ends: Vec<Key>,
}

const ONE: &str = "*";
const REST: &str = ">";

impl Trie {
    pub(super) fn insert(&mut self, pattern: &Pattern, feed: Key) {
        let mut node = self;
        for segment in pattern.segments() {
            node = node.children.entry(segment.into()).or_default();
        }
        node.ends.push(feed);
    }

    pub(super) fn remove(&mut self, pattern: &Pattern, feed: Key) {
        self.remove_below(&mut pattern.segments(), feed);
    }

    fn remove_below<'a>(&mut self, segments: &mut impl Iterator<Item = &'a str>, feed: Key) {
        let Some(segment) = segments.next() else {
            self.ends.retain(|end| *end != feed);
            return;
        };
        let Some(child) = self.children.get_mut(segment) else { return };
        child.remove_below(segments, feed);
        if child.children.is_empty() && child.ends.is_empty() {
            self.children.remove(segment);
        }
    }

    /// Returns the feeds with a pattern that matches, each once, in order.
    pub(super) fn matches(&self, topic: &Topic) -> Vec<Key> {
        let mut found = Vec::new();
        if !self.children.is_empty() {
            self.find(Some(topic.as_str()), &mut found);
            found.sort_unstable();
            found.dedup();
        }
        found
    }

    fn find(&self, rest: Option<&str>, found: &mut Vec<Key>) {
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
        // A topic's own `*` or `>` is no wildcard.
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
        let mut trie = Trie::default();
        for (feed, pattern) in (0..).zip(&patterns) {
            trie.insert(pattern, feed);
        }
        for topic in ["a", "b", "a.b", "a.b.c", "a.b.d.e", "*", ">", "a.*", "a.>", "", "a..c", "."]
        {
            let Ok(topic) = Topic::try_from(topic) else { continue };
            let expected = (0..).zip(&patterns).filter(|(_, pattern)| pattern.matches(&topic));
            let expected: Vec<Key> = expected.map(|(feed, _)| feed).collect();
            assert_eq!(trie.matches(&topic), expected, "{topic}");
        }
        for (feed, pattern) in (0..).zip(&patterns) {
            trie.remove(pattern, feed);
        }
        assert!(trie.children.is_empty());
    }
}
