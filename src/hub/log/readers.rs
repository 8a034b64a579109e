//! Readers come, wait and leave, and the feeds that they share.

use std::{
    collections::BTreeSet,
    ops::Bound,
    sync::Arc,
    task::{Context, Waker},
};

use super::{Feed, Log, Presence, Reader};
use crate::hub::{slab::Key, topic::Pattern, topics::Spec, trie::Trie};

impl Log {
    pub(in crate::hub) fn enter(&mut self, spec: Spec) -> Key {
        let feed = match self.specs.get(&spec) {
            Some(feed) => *feed,
            None => self.add_feed(spec),
        };
        let spec = self.feeds[feed].spec.clone();
        self.feeds[feed].readers += 1;
        for name in &spec.names {
            let topic = self.living(name);
            let log = &mut self.topics[topic];
            log.named += 1;
            if log.named == 1 && self.keeps_presence {
                self.presence.push_back((name.clone(), Presence::First));
            }
        }
        self.readers.insert(Reader { feed, waker: None, place: None, is_cut: false, session: None })
    }

    fn add_feed(&mut self, mut spec: Spec) -> Key {
        let tag = self.ids.tag(&spec);
        let mut named = Vec::with_capacity(spec.names.len());
        for name in &mut spec.names {
            let topic = self.living(name);
            // One copy of the text.
            *name = self.topics[topic].topic.clone();
            named.push(topic);
        }
        let mut matched = self.matching(&spec);
        for topic in &named {
            matched.remove(topic);
        }
        let spec = Arc::new(spec);
        let has_patterns = !spec.patterns.is_empty();
        let key = self.feeds.insert(Feed {
            spec: spec.clone(),
            tag,
            named: named.into(),
            matched,
            readers: 0,
            waiting: Vec::new(),
            last: 0,
            trimmed: if has_patterns { self.freed } else { 0 },
            // What was superseded before is not told apart.
            superseded: self.superseded,
            published: 0,
        });
        for pattern in &spec.patterns {
            self.patterns.insert(pattern, key);
        }
        let Feed { named, matched, last, trimmed, .. } = &mut self.feeds[key];
        for topic in named.iter().chain(&*matched) {
            let log = &mut self.topics[*topic];
            if let Err(place) = log.feeds.binary_search(&key) {
                log.feeds.insert(place, key);
            }
            *last = log.last.max(*last);
            *trimmed = log.trimmed.max(*trimmed);
        }
        self.specs.insert(spec, key);
        key
    }

    /// Finds the topics that match patterns, and looks at each that may no more than once.
    fn matching(&self, spec: &Spec) -> BTreeSet<Key> {
        let mut patterns = Trie::default();
        for pattern in &spec.patterns {
            patterns.insert(pattern, 0);
        }
        let mut prefixes: Vec<&str> = spec.patterns.iter().map(Pattern::prefix).collect();
        prefixes.sort_unstable();
        prefixes.dedup_by(|prefix, before| prefix.starts_with(&**before));
        let mut found = BTreeSet::new();
        for prefix in prefixes {
            let from = (Bound::Included(prefix), Bound::Unbounded);
            let same = self.names.range::<str, _>(from);
            let same = same.take_while(|(topic, _)| topic.as_str().starts_with(prefix));
            let matching = same.filter(|(topic, _)| !patterns.matches(topic).is_empty());
            found.extend(matching.map(|(_, key)| *key));
        }
        found
    }

    /// Removes a reader, and returns what is to be dropped without the lock.
    pub(in crate::hub) fn leave(&mut self, key: Key) -> impl Sized + use<> {
        let waker = self.stop_waiting(key);
        let Some(reader) = self.readers.remove(key) else { return (waker, None) };
        let feed = &mut self.feeds[reader.feed];
        feed.readers -= 1;
        let (is_last, spec) = (feed.readers == 0, feed.spec.clone());
        for name in &spec.names {
            let Some(&topic) = self.names.get(name) else { continue };
            let log = &mut self.topics[topic];
            log.named -= 1;
            if log.named == 0 && self.keeps_presence {
                self.presence.push_back((name.clone(), Presence::Last));
            }
        }
        if is_last {
            self.remove_feed(reader.feed);
        }
        for name in &spec.names {
            if let Some(&topic) = self.names.get(name) {
                self.free_if_unused(topic);
            }
        }
        (waker, reader.session)
    }

    fn remove_feed(&mut self, key: Key) {
        let Some(feed) = self.feeds.remove(key) else { return };
        for topic in feed.topics() {
            let feeds = &mut self.topics[topic].feeds;
            if let Ok(place) = feeds.binary_search(&key) {
                feeds.remove(place);
            }
        }
        for pattern in &feed.spec.patterns {
            self.patterns.remove(pattern, key);
        }
        self.specs.remove(&*feed.spec);
        if self.specs.capacity() > 8 * self.specs.len() + 64 {
            self.specs.shrink_to(2 * self.specs.len());
        }
        self.frames.forget_feed(key);
    }

    /// Leaves a reader's waker, and returns the one before, to be dropped without the lock.
    pub(in crate::hub) fn wait(&mut self, key: Key, cx: &Context<'_>) -> Option<Waker> {
        let reader = &mut self.readers[key];
        if reader.place.is_none() {
            let waiting = &mut self.feeds[reader.feed].waiting;
            reader.place = u32::try_from(waiting.len()).ok();
            waiting.push(key);
        }
        match &reader.waker {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => reader.waker.replace(cx.waker().clone()),
        }
    }

    fn stop_waiting(&mut self, key: Key) -> Option<Waker> {
        let reader = &mut self.readers[key];
        let waker = reader.waker.take();
        if let Some(place) = reader.place.take() {
            let waiting = &mut self.feeds[reader.feed].waiting;
            waiting.swap_remove(place as usize);
            if let Some(&moved) = waiting.get(place as usize) {
                self.readers[moved].place = Some(place);
            }
        }
        waker
    }

    /// Cuts a reader, and returns its waker.
    pub(in crate::hub) fn cut(&mut self, key: Key) -> Option<Waker> {
        self.readers[key].is_cut = true;
        self.stop_waiting(key)
    }

    /// Tells all readers that nothing more will come, and returns their wakers.
    pub(in crate::hub) fn close(&mut self) -> Vec<Waker> {
        self.is_closed = true;
        for feed in self.feeds.iter_mut() {
            feed.waiting.clear();
        }
        let mut wakers = Vec::new();
        for reader in self.readers.iter_mut() {
            reader.place = None;
            wakers.extend(reader.waker.take());
        }
        wakers
    }
}
