//! Publishers and readers that are busy while a test breaks something, and an account of all events.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower_sse::{
    Event, Hub,
    hub::{Entry, PublishError, Resumption, Selection, Subscription},
};

use crate::reading::PATIENCE;

/// The publishers, half of them on each node.
pub(crate) const WRITERS: usize = 4;
/// Nothing comes any more after this.
const QUIET: Duration = Duration::from_millis(300);

/// The result of a publication, as its publisher knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is published.
    Acknowledged,
    /// It may be published.
    Unknown,
    /// It is not published.
    Unavailable,
}

/// An event by its publisher and its number, or a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Seen {
    Event(usize, usize),
    Gap,
    Over,
}

/// All publications.
#[derive(Debug, Default)]
pub(crate) struct Ledger([Mutex<Vec<Outcome>>; WRITERS]);

impl Ledger {
    /// Returns the next number of a writer. Its result is unknown until it is set.
    pub(crate) fn next(&self, writer: usize) -> usize {
        let mut outcomes = self.0[writer].lock().unwrap();
        outcomes.push(Outcome::Unknown);
        outcomes.len() - 1
    }

    pub(crate) fn set<T>(&self, writer: usize, number: usize, result: &Result<T, PublishError>) {
        let outcome = match result {
            Ok(_) => Outcome::Acknowledged,
            Err(error) if error.is_unknown() => Outcome::Unknown,
            Err(error) => {
                assert!(error.is_unavailable(), "{error}");
                Outcome::Unavailable
            }
        };
        self.0[writer].lock().unwrap()[number] = outcome;
    }

    fn count(&self, outcome: Outcome) -> [usize; WRITERS] {
        let count =
            |all: &Mutex<Vec<_>>| all.lock().unwrap().iter().filter(|it| **it == outcome).count();
        self.0.each_ref().map(count)
    }

    /// Waits until each writer has some further acknowledgements.
    pub(crate) async fn wait_for(&self, more: usize) {
        self.wait_until(|further| further.iter().all(|it| *it >= more)).await;
    }

    /// Waits until some writer has further acknowledgements.
    pub(crate) async fn wait_for_any(&self, more: usize) {
        self.wait_until(|further| further.iter().any(|it| *it >= more)).await;
    }

    async fn wait_until(&self, is_enough: impl Fn([usize; WRITERS]) -> bool) {
        let before = self.count(Outcome::Acknowledged);
        let start = Instant::now();
        loop {
            let now = self.count(Outcome::Acknowledged);
            let further = std::array::from_fn(|writer| now[writer] - before[writer]);
            if is_enough(further) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "the writers do not go on: {before:?}, {now:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Selects all events of a load.
pub(crate) fn all() -> Selection {
    Selection::default().patterns(["load.*"]).unwrap()
}

pub(crate) fn topic(writer: usize) -> String {
    format!("load.{writer}")
}

pub(crate) fn seen(entry: &Entry) -> Seen {
    let number = entry.event().data().parse();
    match entry.topic().as_str()["load.".len()..].parse() {
        Ok(writer) => Seen::Event(writer, number.unwrap()),
        Err(_) => Seen::Over,
    }
}

/// Publishes until it succeeds that the load is over.
pub(crate) async fn publish_over(hub: &Hub) {
    let start = Instant::now();
    while let Err(error) = hub.publish("load.over", Event::new("over")).await {
        assert!(start.elapsed() < PATIENCE, "{error}");
    }
}

/// Returns the next that a reader gets. `None` if there is nothing after the load.
async fn next(reader: &mut Subscription, all: &[Seen]) -> Option<(Seen, Option<String>)> {
    let is_over = all.contains(&Seen::Over);
    let limit = if is_over { QUIET } else { PATIENCE };
    let Ok(next) = timeout(limit, reader.next()).await else {
        assert!(is_over, "nothing comes after {} events", all.len());
        return None;
    };
    Some(match next.expect("the reader stays connected") {
        Ok(entry) => (seen(&entry), entry.id().map(|id| id.to_string())),
        Err(_) => (Seen::Gap, None),
    })
}

async fn read_all(mut reader: Subscription) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Some((seen, _)) = next(&mut reader, &all).await {
        all.push(seen);
    }
    all
}

/// Reads some events on one node, then on the next one by the last event ID, and so on.
async fn read_here_and_there(nodes: Vec<Hub>, mut last: String) -> (Vec<Seen>, usize) {
    let mut found = Vec::new();
    let mut turn = 0;
    loop {
        let resumed = nodes[turn % nodes.len()].resume(all(), &last);
        let mut reader = timeout(PATIENCE, resumed).await.expect("it starts").unwrap();
        match reader.resumption() {
            Resumption::Complete => {}
            Resumption::Gap(_) => found.push(Seen::Gap),
            other => panic!("{other:?} with a last event ID"),
        }
        for _ in 0..1 + turn * 7 % 40 {
            let Some((seen, id)) = next(&mut reader, &found).await else { return (found, turn) };
            found.push(seen);
            last = id.unwrap_or_else(|| reader.position().to_string());
        }
        turn += 1;
    }
}

/// Publishers and readers on some nodes.
pub(crate) struct Load {
    nodes: Vec<Hub>,
    pub(crate) ledger: Arc<Ledger>,
    is_over: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
    readers: Vec<JoinHandle<Vec<Seen>>>,
    mover: JoinHandle<(Vec<Seen>, usize)>,
}

impl Load {
    /// Starts publishers, a reader on each node, and one that moves.
    pub(crate) async fn start(nodes: &[Hub]) -> Self {
        let mut readers = Vec::new();
        let mut position = String::new();
        for hub in nodes {
            let reader = hub.subscribe(all()).await.unwrap();
            position = reader.position().to_string();
            readers.push(tokio::spawn(read_all(reader)));
        }
        let mover = tokio::spawn(read_here_and_there(nodes.to_vec(), position));
        let (ledger, is_over) = (Arc::<Ledger>::default(), Arc::<AtomicBool>::default());
        let writers = (0..WRITERS).map(|writer| {
            let hub = nodes[writer % nodes.len()].clone();
            let (ledger, is_over) = (ledger.clone(), is_over.clone());
            tokio::spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    let number = ledger.next(writer);
                    let result = hub.publish(topic(writer), Event::new(number)).await;
                    ledger.set(writer, number, &result);
                    sleep(Duration::from_millis(1)).await;
                }
            })
        });
        let writers = writers.collect();
        Self { nodes: nodes.to_vec(), ledger, is_over, writers, readers, mover }
    }

    /// Ends the load, and compares all that was published with all that was read.
    pub(crate) async fn finish(self) -> Account {
        self.is_over.store(true, Ordering::SeqCst);
        for writer in self.writers {
            timeout(PATIENCE, writer).await.expect("a writer ends").unwrap();
        }
        publish_over(&self.nodes[0]).await;
        let mut all = Vec::new();
        for reader in self.readers {
            all.push(timeout(PATIENCE, reader).await.expect("a reader ends").unwrap());
        }
        let (found, moves) = timeout(PATIENCE, self.mover).await.expect("it ends").unwrap();
        all.push(found);
        Account::new(&self.ledger, &all, moves)
    }
}

/// What became of all events.
#[derive(Debug, Default)]
pub(crate) struct Account {
    acknowledged: usize,
    unknown: usize,
    /// The part of the unknown that has come.
    unknown_came: usize,
    unavailable: usize,
    readers: usize,
    moves: usize,
    /// Acknowledged and not read, without a gap.
    lost: usize,
    /// Acknowledged and not read, with a gap.
    missed: usize,
    twice: usize,
    /// Read after a later one of the same publisher.
    late: usize,
    /// Read although the publisher was given the error that they are not published.
    denied: usize,
    pub(crate) gaps: usize,
}

impl Account {
    pub(crate) fn new(ledger: &Ledger, readers: &[Vec<Seen>], moves: usize) -> Self {
        let outcomes = ledger.0.each_ref().map(|all| all.lock().unwrap().clone());
        let count = |outcome| ledger.count(outcome).iter().sum();
        let mut account = Self {
            acknowledged: count(Outcome::Acknowledged),
            unknown: count(Outcome::Unknown),
            unavailable: count(Outcome::Unavailable),
            readers: readers.len(),
            moves,
            ..Self::default()
        };
        for reader in readers {
            account.add(&outcomes, reader);
        }
        // Readers without a gap have all read the same log.
        let events = |reader: &Vec<Seen>| {
            let events = reader.iter().filter(|seen| matches!(seen, Seen::Event(..)));
            events.copied().collect::<Vec<_>>()
        };
        if account.gaps == 0 {
            let first = events(&readers[0]);
            for (index, reader) in readers.iter().enumerate() {
                assert!(events(reader) == first, "reader {index} has read another log");
            }
            let is_unknown =
                |(writer, number): (usize, usize)| outcomes[writer][number] == Outcome::Unknown;
            let unknown = first.iter().filter(
                |seen| matches!(seen, Seen::Event(writer, number) if is_unknown((*writer, *number))),
            );
            account.unknown_came = unknown.count();
        }
        account
    }

    fn add(&mut self, outcomes: &[Vec<Outcome>; WRITERS], reader: &[Seen]) {
        // The number that comes next, and whether a gap was reported since the last one.
        let mut next = [(0, false); WRITERS];
        let mut known = HashSet::new();
        for seen in reader {
            let Seen::Event(writer, number) = *seen else {
                if *seen == Seen::Gap {
                    self.gaps += 1;
                    next = next.map(|(next, _)| (next, true));
                }
                continue;
            };
            self.twice += usize::from(!known.insert(*seen));
            match outcomes[writer][number] {
                Outcome::Acknowledged => self.advance(outcomes, &mut next, writer, number),
                // It may come later than the next one of its publisher.
                Outcome::Unknown => {}
                Outcome::Unavailable => self.denied += 1,
            }
        }
        for writer in 0..WRITERS {
            self.advance(outcomes, &mut next, writer, outcomes[writer].len());
        }
    }

    /// Counts those between the last one of a publisher and this one.
    fn advance(
        &mut self,
        outcomes: &[Vec<Outcome>; WRITERS],
        next: &mut [(usize, bool); WRITERS],
        writer: usize,
        number: usize,
    ) {
        let (expected, has_gap) = next[writer];
        if number < expected {
            self.late += 1;
            return;
        }
        let missing = &outcomes[writer][expected..number];
        let missing = missing.iter().filter(|it| **it == Outcome::Acknowledged).count();
        if has_gap {
            self.missed += missing;
        } else {
            self.lost += missing;
        }
        next[writer] = (number + 1, false);
    }

    /// Each acknowledged event was read exactly once and in order, or a gap was reported.
    pub(crate) fn check(&self) {
        assert!(self.acknowledged > 200, "{self}");
        assert_eq!((self.lost, self.twice, self.late, self.denied), (0, 0, 0, 0), "{self:?}");
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, unknown, unknown_came, unavailable, readers, moves, .. } = self;
        let Self { lost, missed, twice, gaps, .. } = self;
        write!(
            f,
            "{acknowledged} acknowledged, {unknown} unknown ({unknown_came} came), {unavailable} \
             unavailable, {readers} readers, {moves} moves: lost {lost}, twice {twice}, gaps {gaps} \
             with {missed} events"
        )
    }
}
