//! Readers come, wait and leave, and the feeds that they share.

use std::{
    collections::BTreeSet,
    ops::Bound,
    sync::Arc,
    task::{Context, Waker},
};

use super::{Feed, Log, Presence, Reader};
use crate::hub::{slab::Key, topics::Spec};

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

    fn add_feed(&mut self, spec: Spec) -> Key {
        let spec = Arc::new(spec);
        let key = self.feeds.insert(Feed {
            spec: spec.clone(),
            topics: BTreeSet::new(),
            readers: 0,
            waiting: Vec::new(),
            last: 0,
            trimmed: 0,
            superseded: 0,
            published: 0,
            state_trimmed: 0,
        });
        self.specs.insert(spec.clone(), key);
        let mut topics = BTreeSet::new();
        for name in &spec.names {
            topics.insert(self.living(name));
        }
        for pattern in &spec.patterns {
            let prefix = pattern.prefix();
            let from = self.names.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
            let same = from.take_while(|(topic, _)| topic.as_str().starts_with(prefix));
            let matching = same.filter(|(topic, _)| pattern.matches(topic));
            topics.extend(matching.map(|(_, key)| *key));
            self.patterns.insert(pattern, key);
        }
        let feed = &mut self.feeds[key];
        if !spec.patterns.is_empty() {
            feed.trimmed = self.freed;
        }
        for topic in &topics {
            let log = &mut self.topics[*topic];
            log.feeds.push(key);
            feed.last = feed.last.max(log.last);
            feed.trimmed = feed.trimmed.max(log.trimmed);
        }
        // What was superseded before is not told apart.
        feed.superseded = self.superseded;
        feed.topics = topics;
        key
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
        for topic in feed.topics {
            self.topics[topic].feeds.retain(|feed| *feed != key);
        }
        for pattern in &feed.spec.patterns {
            self.patterns.remove(pattern, key);
        }
        self.specs.remove(&*feed.spec);
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
