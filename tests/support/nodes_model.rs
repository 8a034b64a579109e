//! Random calls on the nodes of a hub, and what each reader must get. The calls are made one after the
//! other, so the log has their order. The windows of the nodes are small, so readers are given events from
//! the window, from the backend, and from both.

use std::{collections::VecDeque, time::Duration};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use tokio::time::timeout;
use tower_sse::{
    Event, Hub,
    event::EventId,
    hub::{History, HubBuilder, Lagging, Publication, Resumption, Selection, Subscription},
};

/// Far longer than anything here takes. Shrinking a failed case waits for it many times.
const PATIENCE: Duration = Duration::from_secs(20);
const NODES: usize = 2;
const TOPICS: usize = 4;

#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// Publishes on a node, on topics, each with a key or none.
    Publish(usize, Vec<(usize, Option<u8>)>),
    /// Removes a key.
    Retract(usize, usize, u8),
    /// Ends a topic, with an event or without one.
    Finish(usize, usize, bool),
    /// Adds a reader on a node, of topics or of a pattern.
    Subscribe(usize, Vec<usize>, Start),
    /// Adds a reader that resumes after an event, counted from the newest one that it selects.
    Resume(usize, Vec<usize>, usize),
    /// A reader, counted from the newest one, reads.
    Read(usize, usize),
    /// A reader resumes on a node by its position.
    Move(usize, usize),
    /// A node is replaced by a new one, which reads this number of entries at its start. Its readers move to
    /// the other one.
    Replace(usize, usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    Now,
    State,
    Beginning,
}

fn call() -> impl Strategy<Value = Call> {
    let key = || proptest::option::weighted(0.4, 0..2u8);
    // No topic is the pattern.
    let topics = || vec(0..TOPICS, 0..3);
    let start = prop_oneof![Just(Start::Now), Just(Start::State), Just(Start::Beginning)];
    prop_oneof![
        10 => (0..NODES, vec((0..TOPICS, key()), 1..6)).prop_map(|(n, e)| Call::Publish(n, e)),
        1 => (0..NODES, 0..TOPICS, 0..2u8).prop_map(|(n, t, k)| Call::Retract(n, t, k)),
        1 => (0..NODES, 0..TOPICS, any::<bool>()).prop_map(|(n, t, e)| Call::Finish(n, t, e)),
        4 => (0..NODES, topics(), start).prop_map(|(n, t, s)| Call::Subscribe(n, t, s)),
        3 => (0..NODES, topics(), 0..20usize).prop_map(|(n, t, i)| Call::Resume(n, t, i)),
        6 => (0..4usize, 1..12usize).prop_map(|(r, n)| Call::Read(r, n)),
        3 => (0..4usize, 0..NODES).prop_map(|(r, n)| Call::Move(r, n)),
        1 => (0..NODES, 0..6usize).prop_map(|(n, s)| Call::Replace(n, s)),
    ]
}

/// Runs the model. `open` opens a node of the hub whose log has a number.
pub(crate) fn run<O>(cases: u32, open: impl Fn(u64, HubBuilder) -> O)
where
    O: Future<Output = Hub>,
{
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        max_shrink_iters: 100,
        ..Config::with_cases(cases)
    });
    let log = std::cell::Cell::new(0);
    let result = runner.run(&vec(call(), 1..60), |calls| {
        log.set(log.get() + 1);
        runtime.block_on(async {
            let open = |start| open(log.get(), builder().warm_start(start));
            let mut model = Model::new([open(0).await, open(3).await]);
            for call in calls {
                if let Call::Replace(node, start) = call {
                    model.replace(node, open(start).await).await?;
                } else {
                    model.call(call).await?;
                }
            }
            model.finish().await
        })
    });
    result.unwrap();
}

fn builder() -> HubBuilder {
    let builder = Hub::builder().history(History::events(3)).total_history(History::events(6));
    builder.lagging(Lagging::Skip)
}

/// An event of the log.
#[derive(Clone, Debug)]
struct Logged {
    topic: usize,
    key: Option<u8>,
    data: String,
    id: EventId,
    /// A newer event has the key, so readers need not get it.
    is_superseded: bool,
    is_tombstone: bool,
}

struct Reader {
    subscription: Subscription,
    /// Its topics. None is the pattern.
    topics: Vec<usize>,
    /// The events that it is to get, by their index in the log.
    expected: VecDeque<usize>,
    /// How many of these are the state, which comes in any order.
    state: usize,
    /// It may be in the middle of the state, where its position is the start of the log.
    starts_with_state: bool,
    has_ended: bool,
}

impl Reader {
    fn selects(&self, topic: usize) -> bool {
        selects(&self.topics, topic)
    }
}

fn selects(topics: &[usize], topic: usize) -> bool {
    topics.is_empty() || topics.contains(&topic)
}

struct Model {
    nodes: [Hub; NODES],
    log: Vec<Logged>,
    finished: [bool; TOPICS],
    readers: Vec<Reader>,
}

fn name(topic: usize) -> String {
    format!("t.{topic}")
}

fn selection(topics: &[usize]) -> Selection {
    match topics {
        [] => Selection::default().patterns(["t.*"]).unwrap(),
        topics => Selection::new(topics.iter().map(|topic| name(*topic))).unwrap(),
    }
}

macro_rules! check {
    ($condition:expr, $($text:tt)+) => { prop_assert!($condition, $($text)+) };
}

impl Model {
    fn new(nodes: [Hub; NODES]) -> Self {
        Self { nodes, log: Vec::new(), finished: [false; TOPICS], readers: Vec::new() }
    }

    /// Adds an event that was published to the log, and to what readers are to get.
    fn add(&mut self, event: Logged) {
        let index = self.log.len();
        if event.key.is_some() {
            let same = |old: &&mut Logged| (old.topic, old.key) == (event.topic, event.key);
            self.log.iter_mut().filter(same).for_each(|old| old.is_superseded = true);
        }
        for reader in self.readers.iter_mut().filter(|reader| reader.selects(event.topic)) {
            reader.expected.push_back(index);
        }
        self.log.push(event);
    }

    async fn call(&mut self, call: Call) -> Result<(), TestCaseError> {
        match call {
            Call::Publish(node, events) => {
                let first = self.log.len();
                let data = |n: usize| (first + n).to_string();
                let publications = events.iter().enumerate().map(|(n, (topic, key))| {
                    let publication = Publication::new(name(*topic), Event::new(data(n)));
                    match key {
                        Some(key) => publication.key(key.to_string()),
                        None => publication,
                    }
                });
                let is_finished = events.iter().any(|(topic, _)| self.finished[*topic]);
                match self.nodes[node].publish_all(publications.collect::<Vec<_>>()).await {
                    Ok(published) => {
                        check!(!is_finished, "published on a topic that has ended");
                        for (n, ((topic, key), id)) in events.iter().zip(published.ids).enumerate()
                        {
                            let (topic, key, data) = (*topic, *key, data(n));
                            let (is_superseded, is_tombstone) = (false, false);
                            self.add(Logged { topic, key, data, id, is_superseded, is_tombstone });
                        }
                    }
                    Err(error) => check!(is_finished && error.is_finished(), "{error}"),
                }
            }
            Call::Retract(node, topic, key) => {
                let data = self.log.len().to_string();
                let event = Event::new(&data);
                match self.nodes[node].retract(name(topic), key.to_string(), event).await {
                    Ok(published) => {
                        check!(!self.finished[topic], "retracted on a topic that has ended");
                        let (key, id, is_superseded) = (Some(key), published.id, false);
                        self.add(Logged {
                            topic,
                            key,
                            data,
                            id,
                            is_superseded,
                            is_tombstone: true,
                        });
                    }
                    Err(error) => check!(self.finished[topic] && error.is_finished(), "{error}"),
                }
            }
            Call::Finish(node, topic, has_event) => {
                let data = self.log.len().to_string();
                let event = has_event.then(|| Event::new(&data));
                match self.nodes[node].finish(name(topic), event).await {
                    Ok(published) => {
                        check!(!self.finished[topic], "a topic has ended twice");
                        // Until a node knows that, it publishes the other events of a batch.
                        for node in 0..NODES {
                            self.caught_up(node).await?;
                        }
                        self.finished[topic] = true;
                        if has_event {
                            let (key, id, is_superseded) = (None, published.id, false);
                            self.add(Logged {
                                topic,
                                key,
                                data,
                                id,
                                is_superseded,
                                is_tombstone: false,
                            });
                        }
                    }
                    Err(error) => check!(self.finished[topic] && error.is_finished(), "{error}"),
                }
            }
            Call::Subscribe(node, topics, start) => {
                let (mut expected, mut state) = (VecDeque::new(), 0);
                let selection = match start {
                    Start::Now => selection(&topics),
                    Start::Beginning => {
                        expected.extend(self.after(0, &topics));
                        selection(&topics).from_start()
                    }
                    Start::State => {
                        let is_state = |index: &usize| {
                            let event: &Logged = &self.log[*index];
                            event.key.is_some() && !event.is_superseded && !event.is_tombstone
                        };
                        expected.extend(self.after(0, &topics).filter(is_state));
                        state = expected.len();
                        selection(&topics).with_state()
                    }
                };
                let subscription = self.caught_up(node).await?.subscribe(selection).await;
                let subscription =
                    subscription.map_err(|error| TestCaseError::fail(error.to_string()))?;
                check!(
                    *subscription.resumption() == Resumption::New,
                    "{:?}",
                    subscription.resumption()
                );
                let starts_with_state = matches!(start, Start::State);
                self.readers.push(Reader {
                    subscription,
                    topics,
                    expected,
                    state,
                    starts_with_state,
                    has_ended: false,
                });
            }
            Call::Resume(node, topics, index) => {
                let of_topics: Vec<_> = self.after(0, &topics).collect();
                let Some(last) = of_topics.iter().rev().nth(index) else { return Ok(()) };
                let expected = self.after(last + 1, &topics).collect();
                let id = self.log[*last].id.clone();
                let subscription = self.resume(node, &topics, &id).await?;
                self.readers.push(Reader {
                    subscription,
                    topics,
                    expected,
                    state: 0,
                    starts_with_state: false,
                    has_ended: false,
                });
            }
            Call::Read(index, number) => {
                let Some(index) = self.readers.len().checked_sub(index + 1) else { return Ok(()) };
                for _ in 0..number {
                    self.read(index).await?;
                }
            }
            Call::Move(index, node) => {
                let Some(index) = self.readers.len().checked_sub(index + 1) else { return Ok(()) };
                self.move_reader(index, node).await?;
            }
            Call::Replace(..) => {}
        }
        Ok(())
    }

    /// Returns the events of topics from an index on.
    fn after<'a>(&'a self, from: usize, topics: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
        (from..self.log.len()).filter(|index| selects(topics, self.log[*index].topic))
    }

    /// Returns a node that has followed the log to its end, so that a new reader starts there.
    async fn caught_up(&self, node: usize) -> Result<Hub, TestCaseError> {
        let hub = self.nodes[node].clone();
        // A topic of the test itself, which no reader selects.
        let published = hub.publish("caught up", "").await;
        published.map_err(|error| TestCaseError::fail(error.to_string()))?;
        Ok(hub)
    }

    async fn resume(
        &self,
        node: usize,
        topics: &[usize],
        last: &EventId,
    ) -> Result<Subscription, TestCaseError> {
        let resumed = self.nodes[node].resume(selection(topics), last).await;
        let resumed = resumed.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let resumption = resumed.resumption();
        check!(*resumption == Resumption::Complete, "{topics:?} after {last}: {resumption:?}");
        Ok(resumed)
    }

    async fn move_reader(&mut self, index: usize, node: usize) -> Result<(), TestCaseError> {
        let reader = &self.readers[index];
        if !reader.starts_with_state && !reader.has_ended {
            let last = reader.subscription.position();
            let resumed = self.resume(node, &reader.topics, &last).await?;
            self.readers[index].subscription = resumed;
        }
        Ok(())
    }

    async fn replace(&mut self, node: usize, hub: Hub) -> Result<(), TestCaseError> {
        if self.readers.iter().any(|reader| reader.starts_with_state && !reader.has_ended) {
            return Ok(());
        }
        for index in 0..self.readers.len() {
            self.move_reader(index, (node + 1) % NODES).await?;
        }
        self.nodes[node] = hub;
        Ok(())
    }

    /// A reader reads one entry, if it has one to read that was not superseded, or the end.
    async fn read(&mut self, index: usize) -> Result<(), TestCaseError> {
        let Self { log, finished, readers, .. } = self;
        let reader = &mut readers[index];
        let is_finished = !reader.topics.is_empty() && reader.topics.iter().all(|it| finished[*it]);
        let must_read = reader.expected.iter().any(|it| !log[*it].is_superseded);
        if reader.has_ended || (!must_read && !is_finished) {
            return Ok(());
        }
        let next = timeout(PATIENCE, reader.subscription.next()).await;
        let left: Vec<_> = reader.expected.iter().map(|it| &log[*it]).collect();
        let Ok(next) = next else {
            return Err(TestCaseError::fail(format!("nothing comes of {left:?}")));
        };
        match next {
            None => {
                check!(is_finished && !must_read, "the end, but {left:?} are left");
                reader.has_ended = true;
            }
            Some(Err(lagged)) => check!(false, "{lagged}, and {left:?} are left"),
            Some(Ok(entry)) => {
                let data = entry.event().data().to_owned();
                let is_it = |it: &usize| log[*it].data == data;
                let found = reader.expected.iter().position(is_it);
                let Some(found) = found else {
                    return Err(TestCaseError::fail(format!(
                        "{data} comes, expected are {left:?}"
                    )));
                };
                if found < reader.state {
                    reader.state -= 1;
                    reader.expected.remove(found);
                } else {
                    let skipped = reader.expected.drain(..=found).take(found);
                    let missed: Vec<_> = skipped.filter(|it| !log[*it].is_superseded).collect();
                    check!(missed.is_empty(), "{data} comes, but {missed:?} do not");
                    reader.state = 0;
                    reader.starts_with_state = false;
                }
            }
        }
        Ok(())
    }

    /// All readers read everything.
    async fn finish(&mut self) -> Result<(), TestCaseError> {
        for index in 0..self.readers.len() {
            for _ in 0..=self.readers[index].expected.len() {
                self.read(index).await?;
            }
            let reader = &self.readers[index];
            let left = reader.expected.iter().filter(|it| !self.log[**it].is_superseded);
            check!(left.count() == 0, "{:?} are left", reader.expected);
        }
        Ok(())
    }
}
