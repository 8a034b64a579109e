//! The hub against a model of it: a plain vector of the published events, and plain cursors.

use std::{
    collections::BTreeSet,
    env,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::time::Instant;
use tower_sse::{
    Event, Hub,
    hub::{Gap, GapReason, History, Lagging, Publication, Resumption, Selection, Subscription},
};

use super::{call, get, resume, subscribe, support::waker::Woken};

pub(crate) const TOPICS: [&str; 6] = ["a", "b", "a.x", "a.y", "b.x", "a.x.z"];

const PATTERNS: [&str; 5] = ["a.*", "a.>", ">", "*.x", "b"];

pub(crate) const KEYS: [&str; 3] = ["k", "l", "m"];

thread_local! {
    /// A runtime whose clock only moves when a test moves it. Entering it does not limit how much
    /// a future may do at a time, as the runtime does for its tasks.
    static PAUSED: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
}

/// Returns how many cases a model is run for: `usual`, or `TOWER_SSE_CASES` if that is set.
pub(crate) fn cases(usual: u32) -> u32 {
    env::var("TOWER_SSE_CASES").map_or(usual, |cases| cases.parse().unwrap())
}

/// Runs a test with a paused clock.
pub(crate) fn with_paused_clock(test: impl FnOnce()) {
    PAUSED.with(|runtime| {
        let _entered = runtime.enter();
        test();
    });
}

/// Moves the clock of [`with_paused_clock`].
pub(crate) fn advance(seconds: u64) {
    let time = Duration::from_secs(seconds);
    PAUSED.with(|runtime| runtime.block_on(tokio::time::advance(time)));
}

#[derive(Clone, Debug)]
enum Op {
    Publish(Vec<Draft>),
    /// Ends a topic, with an event or without one.
    Finish(usize, bool),
    /// Moves the clock by so many seconds.
    Advance(u64),
    /// Takes the position of the hub.
    Position,
    Subscribe {
        names: Vec<usize>,
        patterns: Vec<usize>,
        start: Start,
        filter: Option<usize>,
    },
    /// Resumes from the position of a reader or of the hub, or from the ID of an event.
    Resume {
        names: Vec<usize>,
        patterns: Vec<usize>,
        from: From,
        state: bool,
    },
    Read {
        reader: usize,
        most: usize,
    },
    Leave(usize),
    Disconnect(usize),
}

/// What is published. Its data is its position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft {
    pub(crate) topic: usize,
    pub(crate) key: Option<usize>,
    pub(crate) is_tombstone: bool,
    /// Its time to live, in seconds.
    pub(crate) ttl: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Start {
    Now,
    State,
    Oldest,
    Last(usize),
}

#[derive(Clone, Debug)]
enum From {
    Reader(usize),
    Event(usize),
    Hub(usize),
}

/// The bounds in time, in seconds.
#[derive(Clone, Copy, Debug)]
struct Times {
    max_age: Option<u64>,
    finished_ttl: Option<u64>,
    idle_ttl: Option<u64>,
}

pub(crate) fn drafts(most: usize) -> impl Strategy<Value = Vec<Draft>> {
    let draft = (
        0..TOPICS.len(),
        prop::option::of(0..KEYS.len()),
        prop::bool::weighted(0.2),
        prop::option::weighted(0.2, 0..4_u64),
    );
    let draft =
        draft.prop_map(|(topic, key, is_tombstone, ttl)| Draft { topic, key, is_tombstone, ttl });
    prop::collection::vec(draft, 1..most)
}

pub(crate) fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        2 => Just(Start::Now),
        2 => Just(Start::State),
        1 => Just(Start::Oldest),
        2 => (0..4_usize).prop_map(Start::Last),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let topics = || prop::collection::vec(0..TOPICS.len(), 0..4);
    let patterns = || prop::collection::vec(0..PATTERNS.len(), 0..2);
    let from = prop_oneof![
        3 => any::<usize>().prop_map(From::Reader),
        3 => any::<usize>().prop_map(From::Event),
        1 => any::<usize>().prop_map(From::Hub),
    ];
    prop_oneof![
        16 => drafts(4).prop_map(Op::Publish),
        1 => (0..TOPICS.len(), any::<bool>()).prop_map(|(topic, event)| Op::Finish(topic, event)),
        2 => (1..4_u64).prop_map(Op::Advance),
        1 => Just(Op::Position),
        5 => (topics(), patterns(), start(), prop::option::weighted(0.3, 0..2_usize)).prop_map(
            |(names, patterns, start, filter)| Op::Subscribe { names, patterns, start, filter }
        ),
        5 => (topics(), patterns(), from, any::<bool>())
            .prop_map(|(names, patterns, from, state)| Op::Resume { names, patterns, from, state }),
        12 => (any::<usize>(), 1..6_usize).prop_map(|(reader, most)| Op::Read { reader, most }),
        3 => any::<usize>().prop_map(Op::Leave),
        1 => any::<usize>().prop_map(Op::Disconnect),
    ]
}

/// In most cases there are no bounds in time: then the model is exact.
fn times() -> impl Strategy<Value = Times> {
    let some = || prop::option::weighted(0.2, 1..6_u64);
    (some(), some(), some()).prop_map(|(max_age, finished_ttl, idle_ttl)| Times {
        max_age,
        finished_ttl,
        idle_ttl,
    })
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Kept,
    Superseded,
    Expired,
    Trimmed,
}

/// A published event. Its position is its index, counted from 1.
struct Published {
    topic: usize,
    key: Option<usize>,
    is_tombstone: bool,
    /// A topic may end without an event. Readers are not given such an entry.
    has_event: bool,
    id: String,
    at: Instant,
    expires_at: Option<Instant>,
    fate: Fate,
}

struct Model {
    per_topic: usize,
    total: usize,
    times: Times,
    log: Vec<Published>,
    /// Where each topic has ended, if it has.
    ends: [Option<usize>; TOPICS.len()],
    /// The newest position when each topic began to exist.
    began: [usize; TOPICS.len()],
    /// How many readers name each topic.
    named: [usize; TOPICS.len()],
}

struct Reader {
    subscription: Subscription,
    names: Vec<usize>,
    patterns: Vec<usize>,
    at: usize,
    /// A loss up to here may have been reported already.
    known_gap_end: usize,
    /// A loss up to here was reported already.
    certain_gap_end: usize,
    /// The position up to which the state was read.
    state: Option<usize>,
    /// The newest position when each topic began to exist, if the reader starts there: another
    /// topic may have had the name before.
    began: [usize; TOPICS.len()],
    /// The newest events with which the reader starts.
    newest: Option<Newest>,
    /// Only positions that leave this rest when they are divided by two pass.
    filter: Option<usize>,
    cut: bool,
    is_over: bool,
}

struct Newest {
    number: usize,
    /// The newest position when it started.
    to: usize,
    /// The newest events at that time.
    events: BTreeSet<usize>,
}

/// An item that a reader gets.
#[derive(Clone, Debug, PartialEq)]
enum Item {
    /// The position of the entry, and whether it has an ID: entries of the state have none.
    Entry(usize, bool),
    Lagged(Gap),
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

impl Published {
    fn is_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

impl Model {
    fn is_aged(&self, it: &Published, now: Instant) -> bool {
        self.times.max_age.is_some_and(|age| now - it.at >= Duration::from_secs(age))
    }

    /// Returns whether a reader may be given an event.
    fn is_given(&self, position: usize, now: Instant) -> bool {
        let it = &self.log[position - 1];
        it.fate == Fate::Kept && it.has_event && !it.is_expired(now) && !self.is_aged(it, now)
    }

    /// Returns whether readers that have not read an event must be told of a gap.
    fn is_lost(&self, position: usize, now: Instant) -> bool {
        let it = &self.log[position - 1];
        let is_aged = it.fate == Fate::Kept && self.is_aged(it, now) && !it.is_expired(now);
        it.has_event && (it.fate == Fate::Trimmed || is_aged)
    }

    /// Returns whether readers that have not read an event may be told of a gap.
    fn may_be_lost(&self, position: usize, now: Instant) -> bool {
        let it = &self.log[position - 1];
        (it.has_event && it.fate == Fate::Trimmed) || self.is_aged(it, now)
    }

    /// Publishes an event, whose place in the batch does not matter.
    fn publish(&mut self, it: Published) {
        let (now, topic) = (it.at, it.topic);
        if it.key.is_some() {
            let old = |old: &&mut Published| {
                old.fate == Fate::Kept && old.topic == topic && old.key == it.key
            };
            if let Some(old) = self.log.iter_mut().find(old) {
                old.fate = Fate::Superseded;
            }
        }
        self.log.push(it);
        let per_topic = self.per_topic;
        self.trim(per_topic, now, |it| it.topic == topic);
        let total = self.total;
        self.trim(total, now, |_| true);
        self.settle();
    }

    fn trim(&mut self, most: usize, now: Instant, of: impl Fn(&Published) -> bool) {
        let kept = |it: &Published| it.fate == Fate::Kept && of(it);
        while self.log.iter().filter(|it| kept(it)).count() > most {
            let oldest = self.log.iter_mut().find(|it| kept(it)).unwrap();
            // An expired event is not missed, for any cause of its removal.
            oldest.fate = if oldest.is_expired(now) { Fate::Expired } else { Fate::Trimmed };
        }
    }

    /// Removes what is too old or has expired, as some calls of the hub do.
    fn maintain(&mut self) {
        let now = Instant::now();
        let Times { finished_ttl, idle_ttl, .. } = self.times;
        let is_due: [bool; TOPICS.len()] = std::array::from_fn(|topic| {
            let finished = finished_ttl.filter(|_| self.ends[topic].is_some());
            let ttl = finished.into_iter().chain(idle_ttl).min();
            let last = self.log.iter().rev().find(|it| it.topic == topic);
            let since = last.map_or(Duration::ZERO, |last| now - last.at);
            ttl.is_some_and(|ttl| since >= Duration::from_secs(ttl))
        });
        for index in 0..self.log.len() {
            let it = &self.log[index];
            if it.fate == Fate::Kept {
                self.log[index].fate = if it.is_expired(now) {
                    Fate::Expired
                } else if self.is_aged(it, now) || is_due[it.topic] {
                    Fate::Trimmed
                } else {
                    Fate::Kept
                };
            }
        }
        self.settle();
    }

    /// Forgets topics without events that no reader names.
    fn settle(&mut self) {
        for topic in 0..TOPICS.len() {
            let is_kept = |it: &Published| it.topic == topic && it.fate == Fate::Kept;
            if self.named[topic] == 0 && !self.log.iter().any(is_kept) {
                self.ends[topic] = None;
                self.began[topic] = self.log.len();
            }
        }
    }

    /// Returns the positions after `after` of the events that a reader selects.
    fn of<'a>(
        &'a self,
        names: &'a [usize],
        patterns: &'a [usize],
        after: usize,
    ) -> impl Iterator<Item = usize> + 'a {
        let positions = after + 1..=self.log.len();
        positions.filter(move |position| is_for(names, patterns, self.log[position - 1].topic))
    }

    /// Returns the newest events of each topic that a reader selects.
    fn newest(&self, names: &[usize], patterns: &[usize], number: usize) -> BTreeSet<usize> {
        let now = Instant::now();
        let given = |topic: usize| {
            let all = self.of(names, patterns, 0);
            all.filter(move |it| self.log[it - 1].topic == topic && self.is_given(*it, now))
        };
        let newest = (0..TOPICS.len()).flat_map(|topic| {
            let all: Vec<_> = given(topic).collect();
            all[all.len().saturating_sub(number)..].to_vec()
        });
        newest.collect()
    }

    /// Asserts that an item, or `None` if the reader has to wait, is a right one, and moves the
    /// reader.
    fn check_item(&self, reader: &mut Reader, item: Option<&Item>) {
        if reader.cut || reader.is_over {
            assert_eq!(item, Some(&Item::End));
            return;
        }
        let now = Instant::now();
        let (names, patterns) = (&reader.names, &reader.patterns);
        let passes = |position: &usize| reader.filter.is_none_or(|rest| position % 2 == rest);
        if let Some(at) = reader.state {
            let keyed = |position: &usize| {
                let it = &self.log[position - 1];
                it.key.is_some() && !it.is_tombstone && self.is_given(*position, now)
            };
            let next = self.of(names, patterns, at).filter(keyed).find(passes);
            if let Some(position) = next.filter(|position| *position <= reader.at) {
                reader.state = Some(position);
                assert_eq!(item, Some(&Item::Entry(position, false)));
                return;
            }
            reader.state = None;
        }
        let last = |is: &dyn Fn(usize) -> bool| {
            self.of(names, patterns, 0).filter(|it| is(*it)).max().unwrap_or(0)
        };
        // A reader that starts with the newest events does not miss older ones.
        let is_wanted = |position: usize| {
            let newest = reader.newest.as_ref();
            let is_newest = |it: &Newest| position > it.to || it.events.contains(&position);
            newest.is_none_or(is_newest) && position > reader.began[self.log[position - 1].topic]
        };
        let lost = last(&|position| self.is_lost(position, now) && is_wanted(position));
        let may_be_lost = last(&|position| self.may_be_lost(position, now));
        if let Some(Item::Lagged(gap)) = item {
            assert!(may_be_lost > reader.at.max(reader.certain_gap_end), "a false gap: {gap:?}");
            self.check_gap(gap, (names, patterns), reader.at, &reader.began);
            (reader.known_gap_end, reader.certain_gap_end) = (may_be_lost, lost);
            return;
        }
        assert!(lost <= reader.at.max(reader.known_gap_end), "the loss of {lost}, then {item:?}");
        let mut given = self.of(names, patterns, reader.at).filter(|it| self.is_given(*it, now));
        let next = match reader.newest.take() {
            None => given.find(passes),
            Some(newest) => {
                // An event is among the newest if it was at the start, or if it is now, because
                // others were removed meanwhile.
                let is_next = |it: &usize| *it > newest.to || newest.events.contains(it);
                let latest = given.find(|it| is_next(it) && passes(it));
                let found = match item {
                    Some(Item::Entry(position, _)) => Some(*position),
                    _ => None,
                };
                let kept_later = |it: usize| {
                    let topic = self.log[it - 1].topic;
                    let later = self.of(names, patterns, it).filter(|later| {
                        *later <= newest.to
                            && self.log[later - 1].topic == topic
                            && self.is_given(*later, now)
                    });
                    later.count() < newest.number
                };
                let earlier = found.filter(|found| {
                    latest.is_none_or(|latest| *found < latest)
                        && *found > reader.at
                        && self.is_given(*found, now)
                        && passes(found)
                        && kept_later(*found)
                });
                if earlier.or(latest).is_some_and(|it| it <= newest.to) {
                    reader.newest = Some(newest);
                }
                earlier.or(latest)
            }
        };
        reader.at = next.unwrap_or(self.log.len());
        let has_ended = |name: &usize| self.ends[*name].is_some();
        reader.is_over = next.is_none()
            && patterns.is_empty()
            && !names.is_empty()
            && names.iter().all(has_ended);
        let expected = match next {
            Some(position) => Some(Item::Entry(position, true)),
            None => reader.is_over.then_some(Item::End),
        };
        assert_eq!(item, expected.as_ref());
    }

    /// Asserts that the details of a gap after a position are right.
    fn check_gap(
        &self,
        gap: &Gap,
        (names, patterns): (&[usize], &[usize]),
        at: usize,
        began: &[usize; TOPICS.len()],
    ) {
        let now = Instant::now();
        let first = self.of(names, patterns, at).find(|it| self.is_given(*it, now));
        let first = first.map(|position| self.log[position - 1].id.as_str());
        assert_eq!(gap.first.as_ref().map(|id| id.as_str()), first, "{gap:?}");
        let after = self.of(names, patterns, at);
        let after = after.filter(|it| *it > began[self.log[it - 1].topic]);
        let lost = after.filter(|it| self.is_lost(*it, now)).count();
        assert!(gap.missed.is_none_or(|missed| missed == lost as u64), "{gap:?}, lost {lost}");
    }
}

/// Selects topics and patterns by their numbers.
pub(crate) fn selection(names: &[usize], patterns: &[usize]) -> Selection {
    let topics = Selection::new(names.iter().map(|name| TOPICS[*name])).unwrap();
    topics.patterns(patterns.iter().map(|pattern| PATTERNS[*pattern])).unwrap()
}

pub(crate) fn starting(selection: Selection, start: Start) -> Selection {
    match start {
        Start::Now => selection,
        Start::State => selection.with_state(),
        Start::Oldest => selection.from_start(),
        Start::Last(number) => selection.last(number),
    }
}

pub(crate) fn publication(draft: Draft, data: usize) -> Publication {
    let mut publication = Publication::new(TOPICS[draft.topic], Event::new(data));
    if let Some(key) = draft.key {
        publication = publication.key(KEYS[key]);
    }
    if let Some(ttl) = draft.ttl {
        publication = publication.ttl(Duration::from_secs(ttl));
    }
    if draft.is_tombstone { publication.tombstone() } else { publication }
}

struct World {
    hub: Hub,
    model: Model,
    readers: Vec<Reader>,
    /// IDs of the position of the hub, and the position.
    positions: Vec<(String, usize)>,
}

impl World {
    fn run(&mut self, op: Op) {
        match op {
            Op::Publish(several) => self.publish(&several),
            Op::Finish(topic, has_event) => self.finish(topic, has_event),
            Op::Advance(seconds) => {
                advance(seconds);
                return;
            }
            Op::Position => {
                let position = (self.hub.position().to_string(), self.model.log.len());
                self.positions.push(position);
                return;
            }
            Op::Subscribe { names, patterns, start, filter } => {
                let topics = starting(selection(&names, &patterns), start);
                let mut subscription = subscribe(&self.hub, topics);
                if let Some(rest) = filter {
                    let is_of = move |data: &str| data.parse::<usize>().unwrap() % 2 == rest;
                    subscription = subscription.filter(move |it| is_of(it.event().data()));
                }
                self.model.maintain();
                let head = self.model.log.len();
                let at = match start {
                    Start::Now | Start::State => head,
                    Start::Last(number) if patterns.is_empty() => {
                        let newest = self.model.newest(&names, &[], number);
                        newest.first().map_or(head, |first| first - 1)
                    }
                    Start::Oldest if patterns.is_empty() => {
                        let began = names.iter().map(|name| self.model.began[*name]);
                        began.min().unwrap_or(0)
                    }
                    Start::Oldest | Start::Last(_) => 0,
                };
                self.check_start(&subscription, &names, &patterns, start);
                self.enter(subscription, names, patterns, at, start, filter);
            }
            Op::Resume { names, patterns, from, state } => {
                let Some((id, mut at)) = self.id(&from) else { return };
                let topics = selection(&names, &patterns);
                let topics = if state { topics.with_state() } else { topics };
                let subscription = resume(&self.hub, topics.clone(), &id);
                self.model.maintain();
                // With an ID that is of no use, the state is given.
                let is_of_no_use = |gap: &Gap| gap.reason != GapReason::Trimmed;
                let mut start = Start::Now;
                match subscription.resumption() {
                    Resumption::Gap(gap) if state && is_of_no_use(gap) => {
                        start = Start::State;
                        at = self.model.log.len();
                    }
                    _ => self.check(&subscription, &names, &patterns, at, &from),
                }
                self.enter(subscription, names, patterns, at, start, None);
                self.check_status(topics, &id);
            }
            Op::Read { reader, most } => {
                let index = reader.checked_rem(self.readers.len());
                for _ in 0..index.map_or(0, |_| most) {
                    let reader = &mut self.readers[index.unwrap()];
                    let item = read(&mut reader.subscription, &self.model);
                    self.model.check_item(reader, item.as_ref());
                    if item.is_none() {
                        break;
                    }
                }
                return;
            }
            Op::Leave(reader) => {
                if let Some(index) = reader.checked_rem(self.readers.len()) {
                    let reader = self.readers.swap_remove(index);
                    reader.names.iter().for_each(|name| self.model.named[*name] -= 1);
                    self.model.settle();
                }
                return;
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
                    let sessions = self.hub.sessions(|session| {
                        session.extensions().get::<()>()?;
                        Some(TOPICS.map(|topic| session.selects(topic)))
                    });
                    let selects = |topic| is_for(&reader.names, &reader.patterns, topic);
                    assert_eq!(sessions, [std::array::from_fn(selects)]);
                    let cut = self.hub.disconnect(|session| session.get::<()>().is_some());
                    assert_eq!(cut, 1);
                    self.readers.push(Reader { subscription, cut: true, ..reader });
                }
                return;
            }
        }
        let stats = self.hub.stats();
        self.model.maintain();
        let kept = self.model.log.iter().filter(|it| it.fate == Fate::Kept).count();
        assert_eq!((stats.events, stats.readers), (kept, self.readers.len()));
    }

    fn publish(&mut self, several: &[Draft]) {
        let now = Instant::now();
        let first = self.model.log.len() + 1;
        let all: Vec<_> =
            (first..).zip(several).map(|(data, draft)| publication(*draft, data)).collect();
        let ended = |model: &Model| several.iter().position(|it| model.ends[it.topic].is_some());
        if ended(&self.model).is_some() {
            // The hub looks whether the topic has expired.
            self.model.maintain();
        }
        let expected = ended(&self.model);
        let draft = several[0];
        let is_plain = all.len() == 1 && draft.ttl.is_none();
        let ids = if is_plain && draft.key.is_none() {
            let publish = self.hub.publish(TOPICS[draft.topic], Event::new(first));
            publish.now_or_never().unwrap().map(|published| vec![published.id])
        } else if is_plain && draft.is_tombstone {
            let key = KEYS[draft.key.unwrap()];
            let retract = self.hub.retract(TOPICS[draft.topic], key, Event::new(first));
            retract.now_or_never().unwrap().map(|published| vec![published.id])
        } else {
            let published = self.hub.publish_all(all).now_or_never().unwrap();
            published.map(|published| published.ids)
        };
        match (ids, expected) {
            (Err(error), Some(index)) => {
                assert!(error.is_finished());
                assert_eq!(
                    (error.index(), error.into_publications().len()),
                    (index, several.len())
                );
            }
            (Ok(ids), None) => {
                for (draft, id) in several.iter().zip(ids) {
                    let ttl = draft.ttl.map(Duration::from_secs);
                    self.model.publish(Published {
                        topic: draft.topic,
                        key: draft.key,
                        is_tombstone: draft.is_tombstone,
                        has_event: true,
                        id: id.to_string(),
                        at: now,
                        expires_at: ttl.map(|ttl| now + ttl),
                        fate: Fate::Kept,
                    });
                }
                self.model.maintain();
            }
            (ids, expected) => panic!("{ids:?}, {expected:?}"),
        }
    }

    fn finish(&mut self, topic: usize, has_event: bool) {
        let now = Instant::now();
        let event = has_event.then(|| Event::new(self.model.log.len() + 1));
        let finished = self.hub.finish(TOPICS[topic], event).now_or_never().unwrap();
        if self.model.ends[topic].is_some() {
            self.model.maintain();
        }
        if self.model.ends[topic].is_some() {
            assert!(finished.unwrap_err().is_finished());
            return;
        }
        let id = finished.unwrap().id.to_string();
        let (key, is_tombstone, expires_at, fate) = (None, false, None, Fate::Kept);
        let it = Published { topic, key, is_tombstone, has_event, id, at: now, expires_at, fate };
        self.model.publish(it);
        self.model.ends[topic] = Some(self.model.log.len());
        self.model.maintain();
    }

    fn enter(
        &mut self,
        subscription: Subscription,
        names: Vec<usize>,
        patterns: Vec<usize>,
        at: usize,
        start: Start,
        filter: Option<usize>,
    ) {
        let now = Instant::now();
        let (mut known_gap_end, mut certain_gap_end) = (0, 0);
        let is_told = matches!(subscription.resumption(), Resumption::Gap(_));
        if is_told || matches!(start, Start::Last(_)) {
            // One gap stands for everything that was lost until then. A pattern may have lost what
            // topics that are gone have lost.
            let is_known = |it: &usize| {
                !patterns.is_empty() || is_for(&names, &[], self.model.log[it - 1].topic)
            };
            let all = (1..=self.model.log.len()).filter(is_known);
            known_gap_end = all.filter(|it| self.model.may_be_lost(*it, now)).max().unwrap_or(0);
            let began = |position: usize| self.model.began[self.model.log[position - 1].topic];
            let own = self.model.of(&names, &patterns, 0).filter(|it| *it > began(*it));
            certain_gap_end = own.filter(|it| self.model.is_lost(*it, now)).max().unwrap_or(0);
        }
        let newest = match start {
            Start::Last(number) => {
                let events = self.model.newest(&names, &patterns, number);
                Some(Newest { number, to: self.model.log.len(), events })
            }
            _ => None,
        };
        let names: Vec<_> = BTreeSet::from_iter(names).into_iter().collect();
        names.iter().for_each(|name| self.model.named[*name] += 1);
        self.readers.push(Reader {
            subscription,
            names,
            patterns,
            at,
            known_gap_end,
            certain_gap_end,
            began: if start == Start::Oldest { self.model.began } else { [0; TOPICS.len()] },
            state: (start == Start::State).then_some(0),
            newest,
            filter,
            cut: false,
            is_over: false,
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
            From::Hub(number) => {
                let index = number.checked_rem(self.positions.len())?;
                Some(self.positions[index].clone())
            }
        }
    }

    /// Checks that a new reader is told of a gap if it wants the beginning and that is lost.
    fn check_start(
        &self,
        subscription: &Subscription,
        names: &[usize],
        patterns: &[usize],
        start: Start,
    ) {
        let Resumption::Gap(gap) = subscription.resumption() else {
            assert_eq!(*subscription.resumption(), Resumption::New);
            let now = Instant::now();
            let began = |position: &usize| self.model.began[self.model.log[position - 1].topic];
            let named = self.model.of(names, &[], 0).filter(|it| *it > began(it));
            let mut lost = named.chain(self.model.of(&[], patterns, 0));
            let lost = lost.find(|it| self.model.is_lost(*it, now));
            assert!(start != Start::Oldest || lost.is_none(), "the loss of {lost:?}");
            return;
        };
        assert_eq!((start, gap.reason), (Start::Oldest, GapReason::Trimmed));
        let is_lost = |it: &Published| it.fate == Fate::Trimmed;
        let of_own = self.model.of(names, patterns, 0).any(|it| is_lost(&self.model.log[it - 1]));
        let of_any = self.model.log.iter().any(is_lost);
        assert!(of_own || (of_any && !patterns.is_empty()), "a false gap: {gap:?}");
        self.model.check_gap(gap, (names, patterns), 0, &[0; TOPICS.len()]);
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
        let now = Instant::now();
        let after = || self.model.of(names, patterns, at);
        let lost = after().filter(|it| self.model.is_lost(*it, now)).count();
        // An ID has a hash of its topic, which two topics may share.
        let tag = |id: &str| id.split_once('-').unwrap().0.to_owned();
        let is_own = |it: &Published| is_for(names, patterns, it.topic);
        let own = self.model.log.iter().filter(|it| is_own(it) && it.has_event);
        let event = match from {
            From::Event(_) => Some(&self.model.log[at - 1]).filter(|it| it.has_event),
            From::Reader(_) | From::Hub(_) => None,
        };
        let foreign = match from {
            From::Event(_) => event.is_some_and(|it| {
                let is_known = own.map(|it| tag(&it.id)).any(|own| own == tag(&it.id));
                !is_own(it) && !is_known
            }),
            From::Reader(reader) => {
                let other = &self.readers[reader % self.readers.len()];
                let set = |of: &[usize]| of.iter().copied().collect::<BTreeSet<_>>();
                set(names) != set(&other.names) || set(patterns) != set(&other.patterns)
            }
            From::Hub(_) => false,
        };
        match subscription.resumption() {
            Resumption::Complete => {
                // If the topic was removed, a pattern may have matched it.
                let may_be_gone =
                    !patterns.is_empty() && event.is_some_and(|it| it.fate == Fate::Trimmed);
                assert!(lost == 0 && (!foreign || may_be_gone), "lost {lost}, {foreign}");
            }
            Resumption::Gap(gap) => {
                self.model.check_gap(gap, (names, patterns), at, &[0; TOPICS.len()]);
                let mut later = at + 1..=self.model.log.len();
                let any = later.any(|it| self.model.may_be_lost(it, now));
                // The topic does not exist any more, so the hub does not know whether a pattern
                // matches it.
                let is_gone = event.is_some_and(|it| {
                    let began = self.model.began[it.topic];
                    !patterns.is_empty() && began >= at
                });
                assert!(foreign || lost > 0 || any || is_gone, "a false gap: {gap:?}");
            }
            other => panic!("{other:?}"),
        }
    }

    /// Checks that a client is told to stay away if its last reader would get nothing any more.
    fn check_status(&mut self, topics: Selection, id: &str) {
        let last = self.readers.last_mut().unwrap();
        let is_told = matches!(last.subscription.resumption(), Resumption::Gap(_));
        let at = last.at;
        let now = Instant::now();
        let has_ended = |name: &usize| self.model.ends[*name].is_some();
        let is_exhausted = !is_told
            && last.patterns.is_empty()
            && !last.names.is_empty()
            && last.names.iter().all(has_ended)
            && !self.model.of(&last.names, &[], at).any(|it| self.model.is_given(it, now));
        let handler = self.hub.handler(move |connect| {
            let topics = topics.clone();
            async move { Ok(connect.accept().subscribe(topics)) }
        });
        let request = get(&format!("/?last_event_id={}", id.replace('*', "%2A")));
        let response = call(&handler, request).now_or_never().unwrap();
        assert_eq!(response.status() == 204, is_exhausted, "{}", response.status());
    }
}

/// Reads the next item.
fn read(subscription: &mut Subscription, model: &Model) -> Option<Item> {
    let (woken, waker) = Woken::new();
    let mut cx = Context::from_waker(&waker);
    loop {
        let before = woken.count();
        match subscription.poll_next(&mut cx) {
            // It lets other tasks run.
            Poll::Pending if woken.count() > before => {}
            Poll::Pending => return None,
            Poll::Ready(None) => return Some(Item::End),
            Poll::Ready(Some(Err(lagged))) => return Some(Item::Lagged(lagged.gap().clone())),
            Poll::Ready(Some(Ok(entry))) => {
                let position: usize = entry.event().data().parse().unwrap();
                let it = &model.log[position - 1];
                assert_eq!(entry.topic().as_str(), TOPICS[it.topic]);
                assert_eq!(entry.key(), it.key.map(|key| KEYS[key]));
                let id = entry.id().map(|id| id.to_string());
                assert!(id.as_ref().is_none_or(|id| *id == it.id));
                let bytes = entry.to_bytes();
                let text = std::str::from_utf8(&bytes).unwrap();
                assert_eq!(text.starts_with("id: "), id.is_some());
                assert!(text.ends_with(&format!("data: {position}\n\n")));
                return Some(Item::Entry(position, id.is_some()));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(8000), ..ProptestConfig::default() })]

    // 8,000 cases here and 2,000 of `body_model` are 10,000.
    #[test]
    fn every_reader_agrees_with_the_model(
        per_topic in 1..5_usize,
        total in 1..12_usize,
        times in times(),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        with_paused_clock(|| {
            let mut builder = Hub::builder()
                .total_history(History::events(total))
                .lagging(Lagging::Skip);
            let mut history = History::events(per_topic);
            if let Some(age) = times.max_age {
                history = history.max_age(Duration::from_secs(age));
            }
            if let Some(ttl) = times.finished_ttl {
                builder = builder.finished_ttl(Duration::from_secs(ttl));
            }
            if let Some(ttl) = times.idle_ttl {
                builder = builder.idle_ttl(Duration::from_secs(ttl));
            }
            let hub = builder.history(history).build();
            let (ends, began, named) = Default::default();
            let model = Model { per_topic, total, times, log: Vec::new(), ends, began, named };
            let mut world = World { hub, model, readers: Vec::new(), positions: Vec::new() };
            for op in ops {
                world.run(op);
            }
        });
    }
}
