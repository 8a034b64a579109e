//! Page and stream: a page that takes a position, then the answer of a database, and then the stream
//! after that position has every change. Without the position it loses changes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::timeout};
use tower_sse::{
    Event, EventId, Hub,
    hub::{History, Resumption, Selection},
};

use crate::support::process::PATIENCE;

const PAGES: usize = 10_000;

/// How many pages load at a time.
const LOADERS: usize = 32;

const WRITERS: u64 = 4;

const ROWS: u64 = 16;

/// Every so many pages, a change is committed and published between the answer of the database and
/// the subscription.
const FORCED: usize = 50;

/// Each row and its version. A change increases the version by one.
type Rows = BTreeMap<u64, u64>;

/// A stand-in for a database, and a hub that is told of its changes.
struct Shop {
    database: Mutex<Rows>,
    hub: Hub,
    /// How many changes were published.
    published: AtomicU64,
    /// The writers end.
    is_over: AtomicBool,
}

/// What pages lost, and what they got twice.
#[derive(Default)]
struct Counts {
    /// Changes that are neither in the answer nor in the stream.
    lost: AtomicU64,
    /// Changes that the stream had twice.
    twice: AtomicU64,
    /// Changes that are in the answer and in the stream. The page leaves them out by their version.
    in_both: AtomicU64,
    /// How many changes the streams had.
    streamed: AtomicU64,
    /// The pages that are loaded.
    loaded: AtomicUsize,
}

impl Shop {
    fn new() -> Self {
        let history = History::unlimited_events().max_bytes(256 << 20);
        Self {
            database: Mutex::new((0..ROWS).map(|row| (row, 0)).collect()),
            hub: Hub::builder().history(history).build(),
            published: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    fn query(&self) -> Rows {
        self.database.lock().unwrap().clone()
    }

    /// Changes rows. A change is committed first, and then published.
    async fn write(&self, rows: impl Iterator<Item = u64>) {
        for row in rows {
            let version = {
                let mut database = self.database.lock().unwrap();
                let version = database.get_mut(&row).unwrap();
                *version += 1;
                *version
            };
            tokio::task::yield_now().await;
            let event = Event::new(format!("{row} {version}"));
            self.hub.publish(format!("rows.{row}"), event).await.unwrap();
            self.published.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
        }
    }

    /// Waits until every writer has published another change.
    async fn wait_for_changes(&self) {
        let before = self.published.load(SeqCst);
        while self.published.load(SeqCst) < before + 2 * WRITERS {
            tokio::task::yield_now().await;
        }
    }

    /// Loads a page, and reads its stream until it has each change that was committed meanwhile.
    async fn load(&self, number: usize, takes_position: bool, counts: &Counts) {
        let position: Option<EventId> = takes_position.then(|| self.hub.position());
        let mut rows = self.query();
        if number % FORCED == 0 {
            self.wait_for_changes().await;
        } else {
            // An answer takes its time.
            tokio::task::yield_now().await;
        }
        let selection = Selection::default().patterns(["rows.*"]).unwrap();
        let mut stream = match position {
            Some(position) => self.hub.resume(selection, position).await.unwrap(),
            None => self.hub.subscribe(selection).await.unwrap(),
        };
        let start = if takes_position { Resumption::Complete } else { Resumption::New };
        assert_eq!(*stream.resumption(), start);

        let end = self.query();
        let mut seen = Rows::new();
        while end.iter().any(|(row, version)| rows[row] < *version) {
            let entry = timeout(PATIENCE, stream.next()).await.expect("a change").unwrap().unwrap();
            let data = entry.event().data().to_owned();
            let (row, version) = data.split_once(' ').unwrap();
            let (row, version): (u64, u64) = (row.parse().unwrap(), version.parse().unwrap());
            counts.streamed.fetch_add(1, SeqCst);
            if seen.insert(row, version).is_some_and(|last| last >= version) {
                counts.twice.fetch_add(1, SeqCst);
            }
            let known = rows.get_mut(&row).unwrap();
            if version <= *known {
                counts.in_both.fetch_add(1, SeqCst);
            } else {
                counts.lost.fetch_add(version - *known - 1, SeqCst);
                *known = version;
            }
        }
        counts.loaded.fetch_add(1, SeqCst);
    }
}

/// Loads pages while writers change rows. Each writer has rows of its own, so that the changes of a
/// row are published in the order in which they are committed.
async fn load_pages(takes_position: bool) -> Arc<Counts> {
    let shop = Arc::new(Shop::new());
    let counts = Arc::new(Counts::default());
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let shop = shop.clone();
        writers.spawn(async move {
            let own = (writer..ROWS).step_by(WRITERS as usize).cycle();
            shop.write(own.take_while(|_| !shop.is_over.load(SeqCst))).await;
        });
    }
    let mut loaders = JoinSet::new();
    for loader in 0..LOADERS {
        let (shop, counts) = (shop.clone(), counts.clone());
        loaders.spawn(async move {
            for number in (loader..PAGES).step_by(LOADERS) {
                shop.load(number, takes_position, &counts).await;
            }
        });
    }
    while let Some(loaded) = loaders.join_next().await {
        loaded.unwrap();
    }
    shop.is_over.store(true, SeqCst);
    while let Some(ended) = timeout(Duration::from_secs(60), writers.join_next()).await.unwrap() {
        ended.unwrap();
    }
    assert_eq!(counts.loaded.load(SeqCst), PAGES);
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_takes_a_position_first_has_every_change_once() {
    let counts = load_pages(true).await;
    assert_eq!(counts.lost.load(SeqCst), 0);
    assert_eq!(counts.twice.load(SeqCst), 0);
    // Changes were published while pages were loaded, and some of them were in the answer already.
    assert!(counts.streamed.load(SeqCst) > PAGES as u64 / FORCED as u64);
    assert!(counts.in_both.load(SeqCst) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_subscribes_after_the_answer_without_a_position_loses_changes() {
    let counts = load_pages(false).await;
    // At least what was published while the forced pages waited.
    assert!(counts.lost.load(SeqCst) >= (PAGES / FORCED) as u64);
    assert_eq!(counts.twice.load(SeqCst), 0);
}
