//! Readers subscribe, wait and leave.

use std::{
    collections::BTreeSet,
    ops::Bound,
    sync::Arc,
    task::{Context, Waker},
};

use super::{
    Log,
    groups::ReaderGroup,
    keys::{GroupKey, ReaderKey, TopicKey},
    pattern_index::PatternIndex,
    readers::{Reader, ReaderPresence},
};
use crate::hub::{pattern::Pattern, selection::TopicSet};

impl Log {
    /// Adds a reader, and its group if it is the first one of its selection.
    pub(in crate::hub) fn subscribe(&mut self, set: TopicSet) -> ReaderKey {
        let group = match self.groups.by_set.get(&set) {
            Some(group) => *group,
            None => self.add_group(set),
        };
        let set = self.groups.by_key[group].set.clone();
        self.groups.by_key[group].readers += 1;
        for name in &set.names {
            let key = self.topic_or_insert(name);
            let topic = &mut self.topics.by_key[key];
            topic.named_by += 1;
            if topic.named_by == 1 {
                self.readers.presence.push(name, ReaderPresence::First);
            }
        }
        self.readers.by_key.insert(Reader::new(group))
    }

    fn add_group(&mut self, mut set: TopicSet) -> GroupKey {
        let tag = self.ids.tag(&set);
        let mut named_topics = Vec::with_capacity(set.names.len());
        for name in &mut set.names {
            let topic = self.topic_or_insert(name);
            // The group shares the topic's copy of the text.
            *name = self.topics.by_key[topic].topic.clone();
            named_topics.push(topic);
        }
        let mut pattern_topics = self.topics_matching(&set);
        for topic in &named_topics {
            pattern_topics.remove(topic);
        }
        let key = self.groups.insert(ReaderGroup {
            tag,
            named_topics: named_topics.into(),
            pattern_topics,
            readers: 0,
            waiting: Vec::new(),
            last: 0,
            // A pattern may have selected a topic that no longer exists.
            trimmed: if set.patterns.is_empty() {
                0
            } else {
                self.topics.dropped_topics_trimmed_to
            },
            // The log does not know which topics had records superseded before.
            superseded: self.records.superseded,
            published: 0,
            set: Arc::new(set),
        });
        let ReaderGroup { named_topics, pattern_topics, last, trimmed, .. } =
            &mut self.groups.by_key[key];
        for topic in named_topics.iter().chain(&*pattern_topics) {
            let topic = &mut self.topics.by_key[*topic];
            if let Err(index) = topic.groups.binary_search(&key) {
                topic.groups.insert(index, key);
            }
            *last = topic.last.max(*last);
            *trimmed = topic.trimmed.max(*trimmed);
        }
        key
    }

    /// Finds the topics that the patterns of a set match. Each topic that starts with the prefix of
    /// one of them is visited once.
    fn topics_matching(&self, set: &TopicSet) -> BTreeSet<TopicKey> {
        let mut patterns = PatternIndex::default();
        for pattern in &set.patterns {
            // The search only needs to know whether any pattern matches, so all have the same key.
            patterns.insert(pattern, GroupKey::default());
        }
        let mut prefixes: Vec<&str> = set.patterns.iter().map(Pattern::prefix).collect();
        prefixes.sort_unstable();
        // A shorter prefix comes first, and covers those that start with it.
        prefixes.dedup_by(|prefix, before| prefix.starts_with(&**before));
        let mut found = BTreeSet::new();
        for prefix in prefixes {
            let from = (Bound::Included(prefix), Bound::Unbounded);
            let topics = self.topics.by_name.range::<str, _>(from);
            let topics = topics.take_while(|(topic, _)| topic.as_str().starts_with(prefix));
            let matching = topics.filter(|(topic, _)| !patterns.matches(topic).is_empty());
            found.extend(matching.map(|(_, key)| *key));
        }
        found
    }

    /// Removes a reader. Returns values to be dropped after the lock is released: dropping a waker
    /// or extensions runs application code.
    pub(in crate::hub) fn unsubscribe(&mut self, key: ReaderKey) -> impl Sized + use<> {
        let waker = self.stop_waiting(key);
        let Some(reader) = self.readers.by_key.remove(key) else { return (waker, None) };
        let group = &mut self.groups.by_key[reader.group];
        group.readers -= 1;
        let (is_last, set) = (group.readers == 0, group.set.clone());
        for name in &set.names {
            let Some(&key) = self.topics.by_name.get(name) else { continue };
            let topic = &mut self.topics.by_key[key];
            topic.named_by -= 1;
            if topic.named_by == 0 {
                self.readers.presence.push(name, ReaderPresence::Last);
            }
        }
        // The group is removed first: it must not hold the keys of topics that were dropped.
        if is_last {
            self.remove_group(reader.group);
        }
        for name in &set.names {
            if let Some(&topic) = self.topics.by_name.get(name) {
                self.drop_topic_if_unused(topic);
            }
        }
        (waker, reader.session)
    }

    fn remove_group(&mut self, key: GroupKey) {
        let Some(group) = self.groups.remove(key) else { return };
        for topic in group.topics() {
            let groups = &mut self.topics.by_key[topic].groups;
            if let Ok(index) = groups.binary_search(&key) {
                groups.remove(index);
            }
        }
    }

    /// Stores the reader's waker and returns the previous one, to be dropped after the lock is
    /// released.
    ///
    /// The caller has found nothing to read while it held the same lock, so every later append
    /// finds the waker.
    pub(in crate::hub) fn wait(&mut self, key: ReaderKey, cx: &Context<'_>) -> Option<Waker> {
        let reader = &mut self.readers.by_key[key];
        let is_current = reader.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_current && reader.waiting_at.is_some() {
            return None;
        }
        // `Waker::clone` is application code and may panic, so it is called before anything
        // changes.
        let old = reader.waker.replace(cx.waker().clone());
        if reader.waiting_at.is_none() {
            let waiting = &mut self.groups.by_key[reader.group].waiting;
            reader.waiting_at = u32::try_from(waiting.len()).ok();
            waiting.push(key);
        }
        old
    }

    /// Stores the waker of a reader that waits for nothing but [`cut`](Self::cut): its body holds
    /// events back, and must not be woken for each of them. Returns the previous waker, to be
    /// dropped after the lock is released.
    pub(in crate::hub) fn wait_for_cut(
        &mut self,
        key: ReaderKey,
        cx: &Context<'_>,
    ) -> Option<Waker> {
        self.readers.by_key[key].waker.replace(cx.waker().clone())
    }

    /// Takes a reader out of its group's list of waiting readers, and returns its waker.
    fn stop_waiting(&mut self, key: ReaderKey) -> Option<Waker> {
        let reader = &mut self.readers.by_key[key];
        let waker = reader.waker.take();
        if let Some(index) = reader.waiting_at.take() {
            let waiting = &mut self.groups.by_key[reader.group].waiting;
            waiting.swap_remove(index as usize);
            // The last reader of the list has moved to this index, unless it was this one.
            if let Some(&moved) = waiting.get(index as usize) {
                self.readers.by_key[moved].waiting_at = Some(index);
            }
        }
        waker
    }

    /// Marks a reader as cut, and returns its waker.
    pub(in crate::hub) fn cut(&mut self, key: ReaderKey) -> Option<Waker> {
        self.readers.by_key[key].is_cut = true;
        self.stop_waiting(key)
    }

    /// Records that nothing more will be published, and returns the wakers of all waiting readers.
    pub(in crate::hub) fn close(&mut self) -> Vec<Waker> {
        self.is_closed = true;
        for group in self.groups.by_key.iter_mut() {
            group.waiting.clear();
        }
        let mut wakers = Vec::new();
        for reader in self.readers.by_key.iter_mut() {
            reader.waiting_at = None;
            wakers.extend(reader.waker.take());
        }
        wakers
    }
}
