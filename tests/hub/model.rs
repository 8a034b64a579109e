//! The hub against a model of it: a plain vector of the published events, and plain cursors.

use std::{
    collections::BTreeSet,
    task::{Context, Poll, Waker},
};

use futures_util::FutureExt;
use proptest::prelude::*;
use tower_sse::{
    Hub,
    hub::{History, Lagging, Publication, Resumption, Selection, Subscription},
};

use super::{resume, subscribe};

pub(crate) const TOPICS: [&str; 6] = ["a", "b", "a.x", "a.y", "b.x", "a.x.z"];

const PATTERNS: [&str; 5] = ["a.*", "a.>", ">", "*.x", "b"];

pub(crate) const KEYS: [&str; 3] = ["k", "l", "m"];

#[derive(Clone, Debug)]
enum Op {
    Publish(Vec<(usize, Option<usize>)>),
    Subscribe {
        names: Vec<usize>,
        patterns: Vec<usize>,
        state: bool,
    },
    /// Resumes from the position of a reader, or from the ID of an event.
    Resume {
        names: Vec<usize>,
        patterns: Vec<usize>,
        from: From,
    },
    Read {
        reader: usize,
        most: usize,
    },
    Leave(usize),
    Disconnect(usize),
}

#[derive(Clone, Debug)]
enum From {
    Reader(usize),
    Event(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let topics = || prop::collection::vec(0..TOPICS.len(), 0..3);
    let patterns = || prop::collection::vec(0..PATTERNS.len(), 0..2);
    let publication = (0..TOPICS.len(), prop::option::of(0..KEYS.len()));
    let from =
        prop_oneof![any::<usize>().prop_map(From::Reader), any::<usize>().prop_map(From::Event),];
    prop_oneof![
        8 => prop::collection::vec(publication, 1..4).prop_map(Op::Publish),
        2 => (topics(), patterns(), any::<bool>())
            .prop_map(|(names, patterns, state)| Op::Subscribe { names, patterns, state }),
        2 => (topics(), patterns(), from)
            .prop_map(|(names, patterns, from)| Op::Resume { names, patterns, from }),
        6 => (any::<usize>(), 1..6usize).prop_map(|(reader, most)| Op::Read { reader, most }),
        1 => any::<usize>().prop_map(Op::Leave),
        1 => any::<usize>().prop_map(Op::Disconnect),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Kept,
    Superseded,
    Trimmed,
}

/// A published event. Its position is its index, counted from 1.
struct Published {
    topic: usize,
    key: Option<usize>,
    id: String,
    fate: Fate,
}

struct Model {
    per_topic: usize,
    total: usize,
    log: Vec<Published>,
}

struct Reader {
    subscription: Subscription,
    names: Vec<usize>,
    patterns: Vec<usize>,
    at: usize,
    known_gap_end: usize,
    /// The position up to which the state was read.
    state: Option<usize>,
    cut: bool,
}

/// An item that a reader gets.
#[derive(Debug, PartialEq)]
enum Item {
    /// The position of the entry, and whether it has an ID: entries of the state have none.
    Entry(usize, bool),
    Lagged,
    End,
}

fn matches(pattern: &str, topic: &str) -> bool {
    let (mut pattern, mut topic) = (pattern.split('.'), topic.split('.'));
    loop {
        match (pattern.next(), topic.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(_)) => {}
            (Some(wanted), Some(segment)) if wanted == segment => {}
            _ => return false,
        }
    }
}

fn is_for(names: &[usize], patterns: &[usize], topic: usize) -> bool {
    names.contains(&topic)
        || patterns.iter().any(|pattern| matches(PATTERNS[*pattern], TOPICS[topic]))
}

impl Model {
    fn publish(&mut self, topic: usize, key: Option<usize>, id: String) {
        if key.is_some() {
            let old =
                |it: &&mut Published| it.fate == Fate::Kept && it.topic == topic && it.key == key;
            if let Some(old) = self.log.iter_mut().find(old) {
                old.fate = Fate::Superseded;
            }
        }
        self.log.push(Published { topic, key, id, fate: Fate::Kept });
        let per_topic = self.per_topic;
        self.trim(per_topic, |it| it.topic == topic);
        let total = self.total;
        self.trim(total, |_| true);
    }

    fn trim(&mut self, most: usize, of: impl Fn(&Published) -> bool) {
        let kept = |it: &Published| it.fate == Fate::Kept && of(it);
        while self.log.iter().filter(|it| kept(it)).count() > most {
            self.log.iter_mut().find(|it| kept(it)).unwrap().fate = Fate::Trimmed;
        }
    }

    /// Returns the positions after `after` of the events that a reader selects and that had this
    /// fate.
    fn of<'a>(
        &'a self,
        names: &'a [usize],
        patterns: &'a [usize],
        after: usize,
        fate: Fate,
    ) -> impl Iterator<Item = usize> + 'a {
        (1..=self.log.len()).filter(move |position| {
            let it = &self.log[position - 1];
            *position > after && it.fate == fate && is_for(names, patterns, it.topic)
        })
    }

    /// Returns the next item of a reader, or `None` if it has to wait.
    fn next(&self, reader: &mut Reader) -> Option<Item> {
        if reader.cut {
            return Some(Item::End);
        }
        let (names, patterns) = (&reader.names, &reader.patterns);
        let trimmed = self.of(names, patterns, 0, Fate::Trimmed).max().unwrap_or(0);
        if let Some(at) = reader.state {
            let keyed = |position: &usize| self.log[position - 1].key.is_some();
            let mut kept = self.of(names, patterns, at, Fate::Kept).filter(keyed);
            if let Some(position) = kept.next().filter(|position| *position <= reader.at) {
                reader.state = Some(position);
                return Some(Item::Entry(position, false));
            }
            reader.state = None;
        }
        if trimmed > reader.at.max(reader.known_gap_end) {
            reader.known_gap_end = trimmed;
            return Some(Item::Lagged);
        }
        let next = self.of(names, patterns, reader.at, Fate::Kept).next();
        reader.at = next.unwrap_or(self.log.len());
        next.map(|position| Item::Entry(position, true))
    }
}

/// Selects topics and patterns by their numbers.
pub(crate) fn selection(names: &[usize], patterns: &[usize]) -> Selection {
    let topics = Selection::new(names.iter().map(|name| TOPICS[*name])).unwrap();
    topics.patterns(patterns.iter().map(|pattern| PATTERNS[*pattern])).unwrap()
}

struct World {
    hub: Hub,
    model: Model,
    readers: Vec<Reader>,
}

impl World {
    fn run(&mut self, op: Op) {
        match op {
            Op::Publish(several) => {
                let all = several.iter().map(|&(topic, key)| {
                    let publication = Publication::new(TOPICS[topic], "x");
                    match key {
                        Some(key) => publication.key(KEYS[key]),
                        None => publication,
                    }
                });
                let published = self.hub.publish_all(all).now_or_never().unwrap().unwrap();
                for ((topic, key), id) in several.into_iter().zip(published.ids) {
                    self.model.publish(topic, key, id.to_string());
                }
            }
            Op::Subscribe { names, patterns, state } => {
                let mut topics = selection(&names, &patterns);
                if state {
                    topics = topics.with_state();
                }
                let subscription = subscribe(&self.hub, topics);
                assert_eq!(*subscription.resumption(), Resumption::New);
                let at = self.model.log.len();
                self.enter(subscription, names, patterns, at, state);
            }
            Op::Resume { names, patterns, from } => {
                let Some((id, at)) = self.id(&from) else { return };
                let subscription = resume(&self.hub, selection(&names, &patterns), id);
                self.check(&subscription, &names, &patterns, at, &from);
                self.enter(subscription, names, patterns, at, false);
            }
            Op::Read { reader, most } => {
                let index = reader.checked_rem(self.readers.len());
                for _ in 0..index.map_or(0, |_| most) {
                    let reader = &mut self.readers[index.unwrap()];
                    let before = reader.at;
                    let expected = self.model.next(reader);
                    let (item, missed) = read(&mut reader.subscription, &self.model);
                    assert_eq!(item, expected);
                    if let Some(missed) = missed {
                        let (names, patterns) = (&reader.names, &reader.patterns);
                        let lost = self.model.of(names, patterns, before, Fate::Trimmed).count();
                        assert_eq!(missed, lost as u64);
                    }
                    if expected.is_none() {
                        break;
                    }
                }
            }
            Op::Leave(reader) => {
                if let Some(index) = reader.checked_rem(self.readers.len()) {
                    self.readers.swap_remove(index);
                }
            }
            Op::Disconnect(reader) => {
                if let Some(index) = reader.checked_rem(self.readers.len()) {
                    if self.readers[index].cut {
                        return;
                    }
                    let reader = self.readers.swap_remove(index);
                    let mut session = http::Extensions::new();
                    session.insert(());
                    let subscription = reader.subscription.extensions(session);
                    let cut = self.hub.disconnect(|session| session.get::<()>().is_some());
                    assert_eq!(cut, 1);
                    self.readers.push(Reader { subscription, cut: true, ..reader });
                }
            }
        }
        let kept = self.model.log.iter().filter(|it| it.fate == Fate::Kept).count();
        let stats = self.hub.stats();
        assert_eq!((stats.events, stats.readers), (kept, self.readers.len()));
    }

    fn enter(
        &mut self,
        subscription: Subscription,
        names: Vec<usize>,
        patterns: Vec<usize>,
        at: usize,
        state: bool,
    ) {
        let known_gap_end = self.model.of(&names, &patterns, 0, Fate::Trimmed).max().unwrap_or(0);
        let state = state.then_some(0);
        self.readers.push(Reader {
            subscription,
            names,
            patterns,
            at,
            known_gap_end,
            state,
            cut: false,
        });
    }

    fn id(&self, from: &From) -> Option<(String, usize)> {
        match from {
            From::Reader(reader) => {
                let index = reader.checked_rem(self.readers.len())?;
                let id = self.readers[index].subscription.position().to_string();
                let at = id.trim_end_matches('~').split_once('-').unwrap().1.parse().unwrap();
                Some((id, at))
            }
            From::Event(event) => {
                let index = event.checked_rem(self.model.log.len())?;
                Some((self.model.log[index].id.clone(), index + 1))
            }
        }
    }

    /// Checks that `Complete` is reported only if nothing is missing, and a gap only if something
    /// may be.
    fn check(
        &self,
        subscription: &Subscription,
        names: &[usize],
        patterns: &[usize],
        at: usize,
        from: &From,
    ) {
        let lost = self.model.of(names, patterns, at, Fate::Trimmed).count() as u64;
        // An ID has a hash of its topic, which two topics may share.
        let tag = |id: &str| id.split_once('-').unwrap().0.to_owned();
        let is_own = |it: &Published| is_for(names, patterns, it.topic);
        let own = self.model.log.iter().filter(|it| is_own(it));
        let foreign = match from {
            From::Event(_) => {
                let it = &self.model.log[at - 1];
                let is_known = own.map(|it| tag(&it.id)).any(|own| own == tag(&it.id));
                !is_own(it) && !is_known
            }
            From::Reader(reader) => {
                let other = &self.readers[reader % self.readers.len()];
                let set = |of: &[usize]| of.iter().copied().collect::<BTreeSet<_>>();
                set(names) != set(&other.names) || set(patterns) != set(&other.patterns)
            }
        };
        match subscription.resumption() {
            Resumption::Complete => {
                // If the topic was removed, a pattern may have matched it.
                let may_be_gone = matches!(from, From::Event(_))
                    && !patterns.is_empty()
                    && self.model.log[at - 1].fate == Fate::Trimmed;
                assert!(lost == 0 && (!foreign || may_be_gone), "lost {lost}, {foreign}");
            }
            Resumption::Gap(gap) => {
                let first = self.model.of(names, patterns, at, Fate::Kept).next();
                let first = first.map(|position| self.model.log[position - 1].id.as_str());
                assert_eq!(gap.first.as_ref().map(|id| id.as_str()), first);
                let any = self.model.log[at..].iter().any(|it| it.fate == Fate::Trimmed);
                assert!(foreign || lost > 0 || any, "a false gap: {gap:?}");
                assert!(gap.missed.is_none_or(|missed| missed == lost), "{gap:?}, lost {lost}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Reads the next item, and how many events are reported as missing.
fn read(subscription: &mut Subscription, model: &Model) -> (Option<Item>, Option<u64>) {
    let mut cx = Context::from_waker(Waker::noop());
    match subscription.poll_next(&mut cx) {
        Poll::Pending => (None, None),
        Poll::Ready(None) => (Some(Item::End), None),
        Poll::Ready(Some(Err(lagged))) => (Some(Item::Lagged), lagged.gap().missed),
        Poll::Ready(Some(Ok(entry))) => {
            let bytes = entry.to_bytes();
            let text = std::str::from_utf8(&bytes).unwrap();
            let position = model.log.iter().position(|it| {
                it.fate == Fate::Kept
                    && match entry.id() {
                        Some(id) => it.id == id.as_str(),
                        None => {
                            TOPICS[it.topic] == entry.topic().as_str()
                                && it.key.map(|key| KEYS[key]) == entry.key()
                        }
                    }
            });
            assert_eq!(text.starts_with("id: "), entry.id().is_some());
            assert!(text.ends_with("data: x\n\n"));
            let position = position.expect("it is kept") + 1;
            (Some(Item::Entry(position, entry.id().is_some())), None)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn every_reader_agrees_with_the_model(
        per_topic in 1..5usize,
        total in 1..12usize,
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let hub = Hub::builder()
            .history(History::events(per_topic))
            .total_history(History::events(total))
            .lagging(Lagging::Skip)
            .build();
        let model = Model { per_topic, total, log: Vec::new() };
        let mut world = World { hub, model, readers: Vec::new() };
        for op in ops {
            world.run(op);
        }
    }
}
