//! Readers come and leave, and with the first and the last reader of a selection its group.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Window,
    group::{Group, Origin, Source},
    keys::ReaderKey,
    limits::MAX_STEPS,
    presence::ReaderPresence,
    steps::visit,
};
use crate::hub::{selection::TopicSet, topic::Topic};

/// The error of a reader that names too many new topics.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) struct TooManyNamedTopics {
    /// How many topics may exist because readers name them.
    pub(in crate::hub) max: usize,
}

impl Window {
    /// Adds a reader, and its group if it is the first one of its selection. `hash` is a hash of the
    /// selection.
    pub(in crate::hub) fn join(
        &mut self,
        set: TopicSet,
        hash: u64,
        now: Instant,
    ) -> Result<(Arc<Group>, ReaderKey), TooManyNamedTopics> {
        let set = Arc::new(set);
        let group = match self.groups.by_set.get(&(hash, set.clone())) {
            Some(group) => group.clone(),
            None => self.add_group(&set, hash, now)?,
        };
        let reader = group.add_reader();
        self.counters.add_reader();
        Ok((group, reader))
    }

    fn add_group(
        &mut self,
        set: &Arc<TopicSet>,
        hash: u64,
        now: Instant,
    ) -> Result<Arc<Group>, TooManyNamedTopics> {
        let max = self.bounds.named_topics;
        if self.named_topics + set.names.len() > max {
            return Err(TooManyNamedTopics { max });
        }
        let mut sources = Vec::with_capacity(set.names.len() + set.patterns.len());
        for name in &set.names {
            visit(1);
            let key = self.topic_or_insert(name, now);
            sources.push(self.topics.by_key[key].source.clone());
        }
        for pattern in &set.patterns {
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
                    topic.groups.insert(number, group.clone());
                }
                Origin::Pattern { key, .. } => {
                    if let Some(pattern) = self.patterns.by_key.get_mut(key) {
                        pattern.groups.insert(number, group.clone());
                    }
                }
            }
        }
        self.groups.by_set.insert((hash, set.clone()), group.clone());
        Ok(group)
    }

    /// Removes a reader that may be the last one of its group, and then the group. Returns values to
    /// be dropped after the lock is released.
    pub(in crate::hub) fn leave(
        &mut self,
        group: &Arc<Group>,
        key: ReaderKey,
    ) -> impl Sized + use<> {
        self.counters.remove_reader();
        let (is_last, gone) = group.remove_reader(key);
        (gone, is_last.then(|| self.remove_group(group)))
    }

    fn remove_group(&mut self, group: &Arc<Group>) -> impl Sized + use<> {
        let mut gone: Vec<Arc<Source>> = Vec::new();
        let in_table = self.groups.by_set.remove(&(group.hash, group.set.clone()));
        group.disarm();
        for source in &group.sources {
            visit(1);
            match &source.origin {
                Origin::Topic { name, key, .. } => {
                    let Some(topic) = self.topics.by_key.get_mut(*key) else { continue };
                    topic.groups.remove(&group.number);
                    if topic.groups.is_empty() {
                        self.named_topics -= 1;
                        self.presence.push(name, ReaderPresence::Last);
                        self.drop_topic_if_unused(*key);
                    }
                }
                Origin::Pattern { pattern, key, .. } => {
                    let Some(state) = self.patterns.by_key.get_mut(key) else { continue };
                    state.groups.remove(&group.number);
                    if state.groups.is_empty() {
                        // Its feed may be long, so it is dropped without the lock.
                        gone.push(source.clone());
                        self.patterns.remove(pattern);
                        self.unswept = self.topics.by_key.slots();
                    }
                }
            }
        }
        (gone, in_table)
    }

    /// Returns some of the groups that select a topic, by its name or by a pattern, after those with
    /// the number `after` of the given step. Returns the next step, or `None` after the last.
    pub(in crate::hub) fn groups_of(
        &self,
        topic: &Topic,
        from: GroupsFrom,
        found: &mut Vec<Arc<Group>>,
    ) -> Option<GroupsFrom> {
        let GroupsFrom { source, number } = from;
        let patterns = self.patterns.index.matches(topic);
        let groups = match source {
            0 => self.topics.by_name.get(topic).map(|key| &self.topics.by_key[*key].groups),
            source => {
                let key = patterns.get(source - 1)?;
                self.patterns.by_key.get(key).map(|pattern| &pattern.groups)
            }
        };
        let some = groups.into_iter().flat_map(|groups| groups.range(number..).take(MAX_STEPS));
        let before = found.len();
        found.extend(some.map(|(_, group)| group.clone()));
        visit(found.len() - before);
        let last = found.last().filter(|_| found.len() - before == MAX_STEPS);
        Some(match last {
            Some(group) => GroupsFrom { source, number: group.number + 1 },
            None => GroupsFrom { source: source + 1, number: 0 },
        })
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
    /// 0 for the groups that name the topic, then one more for each pattern that matches.
    source: usize,
    /// The number of the group.
    number: u64,
}
