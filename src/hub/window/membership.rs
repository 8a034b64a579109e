//! Readers come and leave, and with the first and the last reader of a selection its group.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Window,
    group::{Group, Origin, Source},
    keys::{PatternKey, ReaderKey},
    limits::MAX_STEPS,
    presence::ReaderPresence,
    steps::visit,
};
use crate::hub::{pattern::Pattern, selection::TopicSet, topic::Topic};

/// The error of a reader that names too many new topics.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) struct TooManyNamedTopics {
    /// How many topics may exist because readers name them.
    pub(in crate::hub) max: usize,
}

/// The most patterns that are added in one step, and the most topics and patterns that a group
/// leaves in one step. A pattern of many segments takes 3 µs.
const MAX_PATTERNS: usize = 128;

impl Window {
    /// Returns the first patterns of a selection in steps, each to be
    /// [reserved](Self::reserve_patterns) on its own. [`join`](Self::join) adds the rest.
    pub(in crate::hub) fn first_patterns(set: &TopicSet) -> impl Iterator<Item = &[Pattern]> {
        let patterns = &set.patterns;
        patterns[..patterns.len().saturating_sub(MAX_PATTERNS)].chunks(MAX_PATTERNS)
    }

    /// Adds patterns before a reader joins, and keeps them until they are
    /// [released](Self::release_patterns): with many patterns, joining is not one step.
    pub(in crate::hub) fn reserve_patterns(
        &mut self,
        patterns: &[Pattern],
        reserved: &mut Vec<Arc<Source>>,
    ) {
        for pattern in patterns {
            let state = self.patterns.get_or_insert(pattern, self.head);
            state.reserved += 1;
            reserved.push(state.source.clone());
        }
    }

    /// Ends a reservation. Some patterns may have no group, and are removed.
    pub(in crate::hub) fn release_patterns(&mut self, reserved: &[Arc<Source>]) {
        for source in reserved {
            let Origin::Pattern { pattern, key, .. } = &source.origin else { continue };
            if let Some(state) = self.patterns.by_key.get_mut(key) {
                state.reserved -= 1;
            }
            self.patterns.remove_if_unused(pattern, *key);
        }
    }

    /// Adds a reader, and its group if it is the first one of its selection. `hash` is a hash of the
    /// selection. `reserved` has the first of its patterns, or none.
    pub(in crate::hub) fn join(
        &mut self,
        set: &Arc<TopicSet>,
        hash: u64,
        reserved: &[Arc<Source>],
        now: Instant,
    ) -> Result<(Arc<Group>, ReaderKey), TooManyNamedTopics> {
        let group = match self.groups.by_set.get(&(hash, set.clone())) {
            Some(group) => group.clone(),
            None => self.add_group(set, hash, reserved, now)?,
        };
        let reader = group.add_reader();
        self.counters.add_reader();
        Ok((group, reader))
    }

    fn add_group(
        &mut self,
        set: &Arc<TopicSet>,
        hash: u64,
        reserved: &[Arc<Source>],
        now: Instant,
    ) -> Result<Arc<Group>, TooManyNamedTopics> {
        let max = self.bounds.named_topics;
        let is_named = |name: &Topic| {
            let key = self.topics.by_name.get(name);
            key.is_some_and(|key| !self.topics.by_key[*key].groups.is_empty())
        };
        let new = set.names.iter().filter(|name| !is_named(name)).count();
        if self.named_topics + new > max {
            return Err(TooManyNamedTopics { max });
        }
        let mut sources = Vec::with_capacity(set.names.len() + set.patterns.len());
        for name in &set.names {
            visit(1);
            let key = self.topic_or_insert(name, now);
            sources.push(self.topics.by_key[key].source.clone());
        }
        sources.extend_from_slice(reserved);
        for pattern in &set.patterns[reserved.len()..] {
            visit(1);
            sources.push(self.patterns.get_or_insert(pattern, self.head).source.clone());
        }
        let names = set.names.iter().map(Topic::as_str);
        let tag = self.ids.set_tag(names, set.patterns.iter().map(|pattern| pattern.as_str()));
        let number = self.groups.next_number;
        self.groups.next_number += 1;
        let group =
            Arc::new(Group::new(number, (set.clone(), hash), tag, sources.into_boxed_slice()));
        for source in &group.sources {
            visit(1);
            match &source.origin {
                Origin::Topic { name, key, .. } => {
                    let topic = &mut self.topics.by_key[*key];
                    if topic.groups.is_empty() {
                        self.named_topics += 1;
                        self.presence.push(name, ReaderPresence::First);
                    }
                    topic.groups.insert(&group);
                }
                Origin::Pattern { key, .. } => {
                    if let Some(pattern) = self.patterns.by_key.get_mut(key) {
                        pattern.groups.insert(&group);
                    }
                }
            }
        }
        self.groups.by_set.insert((hash, set.clone()), group.clone());
        Ok(group)
    }

    /// Removes a reader that may be the last one of its group, and then the group. Returns whether
    /// the group has [topics and patterns to leave](Self::leave_sources) in more steps, and values to
    /// be dropped after the lock is released.
    pub(in crate::hub) fn leave(
        &mut self,
        group: &Arc<Group>,
        key: ReaderKey,
    ) -> (bool, impl Sized + use<>) {
        self.counters.remove_reader();
        let (is_last, gone) = group.remove_reader(key);
        let removed = is_last.then(|| {
            let in_table = self.groups.by_set.remove(&(group.hash, group.set.clone()));
            group.disarm();
            (in_table, self.leave_sources(group, 0))
        });
        let has_more = is_last && group.sources.len() > MAX_PATTERNS;
        (has_more, (gone, removed))
    }

    /// Removes a group that has no readers from some of its topics and patterns, in the given step.
    /// Returns the next step, or `None` after the last, and values to be dropped after the lock is
    /// released.
    pub(in crate::hub) fn leave_sources(
        &mut self,
        group: &Group,
        step: usize,
    ) -> (Option<usize>, impl Sized + use<>) {
        let mut gone: Vec<Arc<Source>> = Vec::new();
        let from = step * MAX_PATTERNS;
        for source in group.sources.iter().skip(from).take(MAX_PATTERNS) {
            visit(1);
            match &source.origin {
                Origin::Topic { name, key, .. } => {
                    let Some(topic) = self.topics.by_key.get_mut(*key) else { continue };
                    topic.groups.remove(group);
                    if topic.groups.is_empty() {
                        self.named_topics -= 1;
                        self.presence.push(name, ReaderPresence::Last);
                        self.drop_topic_if_unused(*key);
                    }
                }
                Origin::Pattern { pattern, key, .. } => {
                    let Some(state) = self.patterns.by_key.get_mut(key) else { continue };
                    state.groups.remove(group);
                    if self.patterns.remove_if_unused(pattern, *key) {
                        // Its feed may be long, so it is dropped without the lock.
                        gone.push(source.clone());
                        self.unswept = self.topics.by_key.slots();
                    }
                }
            }
        }
        let has_more = from + MAX_PATTERNS < group.sources.len();
        (has_more.then_some(step + 1), gone)
    }

    /// Counts the readers of some of the groups that name a topic, from the group with a number on. Returns
    /// the next number, or `None` after the last group.
    pub(in crate::hub) fn readers_that_name(
        &self,
        topic: &Topic,
        from: u64,
        readers: &mut usize,
    ) -> Option<u64> {
        let topic = self.topics.by_name.get(topic).map(|key| &self.topics.by_key[*key])?;
        let mut last = None;
        for (visited, group) in topic.groups.from(from).enumerate() {
            if visited == MAX_STEPS {
                return last;
            }
            *readers += group.len();
            last = Some(group.number + 1);
        }
        None
    }

    /// Finds some of the topics that readers name, from an index on. Returns the next index, or `None` after
    /// the last topic.
    pub(in crate::hub) fn named_topics(
        &self,
        from: usize,
        found: &mut Vec<Topic>,
    ) -> Option<usize> {
        let topics = self.topics.by_key.some(from, MAX_STEPS).map(|(_, topic)| topic);
        let named = topics.filter(|topic| !topic.groups.is_empty());
        found.extend(named.map(|topic| topic.name.clone()));
        let next = from + MAX_STEPS;
        (next < self.topics.by_key.slots()).then_some(next)
    }

    /// Returns some of the groups that select a topic, by its name or by a pattern, beginning at
    /// `from`. Returns where the next ones begin, or `None` after the last.
    pub(in crate::hub) fn groups_of(
        &self,
        topic: &Topic,
        from: GroupsFrom,
        found: &mut Vec<Arc<Group>>,
    ) -> Option<GroupsFrom> {
        let GroupsFrom { pattern, number } = from;
        let groups = if pattern == PatternKey::default() {
            self.topics.by_name.get(topic).map(|key| &self.topics.by_key[*key].groups)
        } else {
            self.patterns.by_key.get(&pattern).map(|pattern| &pattern.groups)
        };
        let some = groups.into_iter().flat_map(|groups| groups.from(number).take(MAX_STEPS));
        let before = found.len();
        found.extend(some.cloned());
        visit(found.len() - before);
        let last = found.last().filter(|_| found.len() - before == MAX_STEPS);
        if let Some(group) = last {
            return Some(GroupsFrom { pattern, number: group.number + 1 });
        }
        // The keys of patterns are sorted, and do not change when others are removed.
        let mut later = self.patterns.index.matches(topic).into_iter().filter(|key| *key > pattern);
        later.next().map(|pattern| GroupsFrom { pattern, number: 0 })
    }

    /// Returns some of all groups, after a given one.
    pub(in crate::hub) fn all_groups(&self, after: Option<&Arc<Group>>) -> Vec<Arc<Group>> {
        let after = match after {
            Some(group) => std::ops::Bound::Excluded((group.hash, group.set.clone())),
            None => std::ops::Bound::Unbounded,
        };
        let groups = self.groups.by_set.range((after, std::ops::Bound::Unbounded));
        groups.take(MAX_STEPS).map(|(_, group)| group.clone()).collect()
    }
}

/// Where [`Window::groups_of`] continues.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::hub) struct GroupsFrom {
    /// The pattern whose groups are returned. The default, which no pattern has, stands for the groups
    /// that name the topic.
    pattern: PatternKey,
    /// The number of the group.
    number: u64,
}
