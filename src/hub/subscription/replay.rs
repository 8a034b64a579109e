//! Replay: a reader reads from the backend what the window does not have, and then goes on in the
//! window.

use std::{
    future::Future,
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    vec,
};

use crate::{
    exclusive::Exclusive,
    hub::{
        backend::{Located, Position, Wanted},
        engine::{Page, PageRange, fetch_page, shared::Engine},
        node::Node,
        window::{Group, Head, Record, Seq},
    },
};

/// A reader's way through the log, up to where the window takes over.
pub(super) struct Replay {
    /// The node and its engine, for the next page.
    source: (Arc<Node>, Arc<Engine>),
    /// The topics that are read.
    wanted: Arc<Wanted>,
    /// The records of the page that were not given yet.
    records: vec::IntoIter<Arc<Record>>,
    /// The position after which the replay starts.
    start: Position,
    /// The position up to which pages were read.
    at: Position,
    /// Where the window takes over.
    upto: Head,
    /// The next page. `None` if it was not asked for yet.
    next: Option<NextPage>,
    /// How many entries the next page has at most.
    most: NonZeroUsize,
    /// No page was read yet. One is read in any case: the entry after which the replay starts must be
    /// located, to prove that nothing is missing. The log may be another one, which has nothing there.
    is_first: bool,
    /// The reader must be told of a gap in any case: the log has lost its end, or is another one, in
    /// which even its start proves nothing.
    pub(super) has_lost: bool,
    /// The place of the last loss of the log when the replay was created.
    lost_before: Seq,
    /// The last handle of the hub was dropped.
    is_stopped: bool,
    /// The records are the state, which the reader is given without IDs.
    pub(super) is_state: bool,
}

/// How many entries the first page has. The next ones fit the size of the entries.
const FIRST_PAGE: NonZeroUsize = NonZeroUsize::new(16).expect("it is not 0");
/// The most entries of a page.
const MAX_PAGE: usize = 256;
/// How large a page should be, in bytes.
const PAGE_BYTES: usize = 256 << 10;

/// Returns how many entries the next page has, if they are as large as these.
fn next_page(records: &[Arc<Record>]) -> NonZeroUsize {
    let bytes: usize = records.iter().map(|record| record.bytes.len()).sum();
    let fit = PAGE_BYTES.saturating_mul(records.len()).checked_div(bytes).unwrap_or(MAX_PAGE);
    NonZeroUsize::new(fit.min(MAX_PAGE)).unwrap_or(NonZeroUsize::MIN)
}

/// A page that is being read.
type NextPage = Exclusive<Pin<Box<dyn Future<Output = Option<Page>> + Send>>>;

/// What a replay gives.
pub(super) enum Replayed {
    /// A record.
    Record(Arc<Record>),
    /// The backend cannot prove that nothing is missing.
    Gap(Located),
    /// The window takes over here.
    Done(Head),
    /// The last handle of the hub was dropped, so nothing more is read.
    Stopped,
}

impl Replay {
    pub(super) fn new(
        source: (Arc<Node>, Arc<Engine>),
        group: &Group,
        after: Position,
        upto: Head,
        is_first: bool,
    ) -> Self {
        let wanted = Arc::new(group.wanted());
        let records = Vec::new().into_iter();
        let lost_before = source.0.counters.lost().upto.seq;
        Self {
            source,
            wanted,
            records,
            start: after,
            at: after,
            upto,
            next: None,
            most: FIRST_PAGE,
            is_first,
            has_lost: false,
            lost_before,
            is_stopped: false,
            is_state: false,
        }
    }

    /// Creates the replay of a state that was read already.
    pub(super) fn of_state(
        source: (Arc<Node>, Arc<Engine>),
        group: &Group,
        state: Vec<Arc<Record>>,
        upto: Head,
    ) -> Self {
        let replay = Self::new(source, group, upto.position, upto, false);
        Self { records: state.into_iter(), is_state: true, ..replay }
    }

    /// Creates the replay of the newest records of some topics, which were read already. `before` is the
    /// position of a record before them.
    pub(super) fn of_newest(
        source: (Arc<Node>, Arc<Engine>),
        group: &Group,
        (before, newest): (Position, Vec<Arc<Record>>),
        upto: Head,
    ) -> Self {
        let replay = Self::new(source, group, upto.position, upto, false);
        Self { records: newest.into_iter(), start: before, ..replay }
    }

    /// Returns the next record, gap or end.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Replayed> {
        loop {
            if let Some(record) = self.records.next() {
                return Poll::Ready(Replayed::Record(record));
            }
            if self.is_done() {
                return Poll::Ready(Replayed::Done(self.upto));
            }
            if let Some(located) = ready!(self.poll_page(cx)) {
                return Poll::Ready(Replayed::Gap(located));
            }
            if self.is_stopped {
                return Poll::Ready(Replayed::Stopped);
            }
        }
    }

    /// Returns whether the node has found since the replay began that the log is another one or has lost
    /// its end. Then the reader begins another replay.
    pub(super) fn is_outdated(&self) -> bool {
        self.source.0.counters.lost().upto.seq > self.lost_before
    }

    /// Returns the position after which the replay starts.
    pub(super) fn start_position(&self) -> Position {
        self.start
    }

    /// Takes the record that was peeked at.
    pub(super) fn take(&mut self) -> Option<Arc<Record>> {
        self.records.next()
    }

    /// Returns the record that comes next, without taking it.
    pub(super) fn peek(&self) -> Option<&Arc<Record>> {
        self.records.as_slice().first()
    }

    /// Returns whether everything was read.
    fn is_done(&self) -> bool {
        self.at >= self.upto.position && self.next.is_none() && !self.is_first
    }

    /// Reads the next page, if there is one. Returns what became of the entry before it, if that is not
    /// kept: then entries may be missing before the page.
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Option<Located>> {
        if self.is_done() {
            return Poll::Ready(None);
        }
        let (node, engine) = &self.source;
        let next = self.next.get_or_insert_with(|| {
            let (node, engine) = (node.clone(), engine.clone());
            let (after, upto) = (self.at, self.upto.position);
            let range = PageRange { after, upto, most: self.most, is_first: self.is_first };
            let page = fetch_page(node, engine, self.wanted.clone(), range);
            Exclusive::new(Box::pin(page))
        });
        let Some(page) = ready!(next.get_mut().as_mut().poll(cx)) else {
            self.next = None;
            self.is_stopped = true;
            return Poll::Ready(None);
        };
        self.next = None;
        self.is_first = false;
        self.most = next_page(&page.records);
        self.records = page.records.into_iter();
        // A backend that makes no progress would be asked again and again.
        self.at = if page.end > self.at { page.end } else { self.upto.position };
        let has_lost = std::mem::take(&mut self.has_lost);
        Poll::Ready(match page.located {
            Located::Kept => has_lost.then_some(Located::Unknown),
            located => Some(located),
        })
    }

    /// Reads the first page. Returns what became of the entry after which the replay started, if it
    /// is not kept.
    pub(super) async fn start(&mut self) -> Option<Located> {
        std::future::poll_fn(|cx| self.poll_page(cx)).await
    }
}
