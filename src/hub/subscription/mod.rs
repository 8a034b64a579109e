//! A reader: a place in the log, and how it goes on from there.

mod reading;

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use http::Extensions;
use tokio::{task::consume_budget, time::Instant};

use self::reading::Reading;
use super::{
    entry::Entry,
    frames::Frame,
    gap::{Gap, GapReason, Lagged, Lagging, Resumption},
    log::{Log, Range, Session},
    position::{Position, Says, Tag},
    shared::Shared,
    slab::Key,
    topics::Selection,
};
use crate::{
    body::{EventBody, Feed},
    channel::Control,
    event::EventId,
};

/// A reader of a [`Hub`](super::Hub): a stream of entries for use inside of a handler, or a whole
/// body, by [`into_body`](Self::into_body).
///
/// It stands at a place in the hub's log, and whatever comes after that, it gets: in the order of
/// publication, over all its topics, nothing twice. If it is too slow for the history, it is told
/// ([`Lagged`]), and what was superseded by its key before it came to it is not owed. It holds
/// nothing of what it has yet to read.
///
/// The stream ends after [`Lagged`] if the hub [evicts](Lagging::Evict), when the reader is
/// [cut](super::Hub::disconnect), and when the last handle of the hub is gone and all is read.
///
/// A snapshot, then what has changed since, without a seam: subscribe, take the snapshot, and read.
///
/// ```
/// use tower_sse::{Event, Hub, event_channel_handler, hub::Selection};
///
/// let hub = Hub::new();
/// let handler = event_channel_handler::<_, _, ()>(move |_request, events| {
///     let hub = hub.clone();
///     async move {
///         let mut feed = hub.subscribe(Selection::new(["orders"])?);
///         let snapshot = Event::new("all orders").with_id(feed.position());
///         events.send(snapshot).await?;
///         while let Some(entry) = feed.next().await {
///             events.send(entry?).await?;
///         }
///         Ok(())
///     }
/// });
/// # let _ = handler;
/// ```
#[must_use = "a subscription is read with `next`, or made a body"]
#[repr(C)]
pub struct Subscription {
    // In the order of use, for what is not in the cache costs the most.
    shared: Arc<Shared>,
    reader: Key,
    feed: Key,
    cursor: Cursor,
    /// The last position that was told as an id.
    told: Position,
    /// It was told so, or cut.
    is_over: bool,
    /// It has given something.
    has_read: bool,
    tag: Tag,
    phase: Phase,
    resumption: Resumption,
}

/// Where a reader stands, and what it has been told.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    /// It has everything up to here.
    at: Position,
    /// It knows that records up to here were trimmed.
    forgiven: Position,
    /// How many records of the feed there were up to here; known if it counts.
    seen: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The current entries of keys, up to where the reader began.
    State {
        at: Position,
    },
    Live,
}

/// What there is for a reader.
enum Found {
    Frame(Frame),
    Lagged(Gap),
    /// The state is through.
    State,
    Over,
}

impl Subscription {
    pub(super) fn new(shared: Arc<Shared>, topics: Selection, last: Option<&str>) -> Self {
        let (mut this, presence) = {
            let mut log = shared.lock();
            log.trim_aged(Instant::now());
            let reader = log.enter(topics.spec);
            let feed = log.readers[reader].feed;
            let (cursor, resumption) = begin(&shared, &mut log, feed, last);
            let phase = if topics.state && resumption == Resumption::New {
                Phase::State { at: 0 }
            } else {
                Phase::Live
            };
            let presence = !log.presence.is_empty();
            let tag = log.feeds[feed].tag;
            drop(log);
            let told = cursor.at;
            let (is_over, has_read) = (false, false);
            (
                Self {
                    shared,
                    reader,
                    feed,
                    cursor,
                    phase,
                    resumption,
                    is_over,
                    told,
                    tag,
                    has_read,
                },
                presence,
            )
        };
        if presence {
            this.shared.tell_presence();
        }
        if let Resumption::Gap(gap) = &this.resumption {
            Shared::count_gap(gap.reason.as_str(), gap);
            // Told again before anything else goes out.
            this.told = 0;
        }
        this
    }

    /// Returns how it began: anew, complete, or with a [`Gap`]. In a body a gap is told by itself;
    /// in a handler it is yours to tell.
    #[must_use]
    pub fn resumption(&self) -> &Resumption {
        &self.resumption
    }

    /// Returns the id that stands for where it is: who resumes from there gets what this has not
    /// read yet. While it reads the [state](Selection::with_state), that is all that is kept.
    #[must_use]
    pub fn position(&self) -> EventId {
        let at = match self.phase {
            Phase::State { .. } => 0,
            Phase::Live => self.cursor.at,
        };
        self.shared.ids.standing(at, self.tag)
    }

    /// Sets whose it is, so that [`Hub::disconnect`](super::Hub::disconnect) can tell.
    pub fn extensions(self, extensions: Extensions) -> Self {
        self.set_session(Arc::new(extensions), None);
        self
    }

    /// Waits for the next entry; `None` when there will be no more.
    ///
    /// # Errors
    ///
    /// Returns [`Lagged`] if entries were trimmed before it came to them. Then the stream ends, or
    /// goes on with the oldest that is kept, as the hub's [`Lagging`] says.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again at any time; nothing is lost.
    pub async fn next(&mut self) -> Option<Result<Entry, Lagged>> {
        poll_fn(|cx| self.poll_entry(cx)).await
    }

    /// Makes a body of it, which gives shared bytes and joins what is ready. It opens with an id, so
    /// that a reader that is cut before its first event can resume, or with the gap.
    ///
    /// What is [set](EventBody) for it applies, but what is about a handler and its buffer.
    pub fn into_body(self) -> EventBody {
        EventBody::with_feed(
            Default::default(),
            crate::body::AcceptedStream::without_request(),
            |control| self.into_feed(Arc::new(Extensions::new()), control),
        )
    }

    pub(super) fn into_feed(self, extensions: Arc<Extensions>, control: Control) -> Box<dyn Feed> {
        self.set_session(extensions, Some(control));
        Box::new(Reading::new(self))
    }

    fn set_session(&self, extensions: Arc<Extensions>, control: Option<Control>) {
        let (session, _old, is_cut) = {
            let mut log = self.shared.lock();
            let reader = &mut log.readers[self.reader];
            // Its own, if it has one, is kept.
            let extensions = match &reader.session {
                Some(before) if extensions.is_empty() => before.extensions.clone(),
                _ => extensions,
            };
            let session = Arc::new(Session { extensions, control });
            let old = reader.session.replace(session.clone());
            (session, old, reader.is_cut)
        };
        // Cut before it was a body.
        if let Some(control) = session.control.as_ref().filter(|_| is_cut) {
            control.revoke();
        }
    }

    fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Entry, Lagged>>> {
        // A reader that is far behind lets others run.
        ready!(pin!(consume_budget()).poll(cx));
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            let (found, _old) = {
                let shared = self.shared.clone();
                let mut log = shared.lock();
                match self.look(&mut log) {
                    Some(Err(found)) => (Some(Err(found)), None),
                    Some(Ok(range)) => {
                        let batch = log.collect(self.feed, range, 1);
                        self.advance(batch.upto, range, batch.len(), &log);
                        (Some(Ok((batch.first, range))), None)
                    }
                    None => (None, log.wait(self.reader, cx)),
                }
            };
            match found {
                None => return Poll::Pending,
                Some(Ok((None, _))) | Some(Err(Found::State | Found::Frame(_))) => {}
                Some(Ok((Some(record), range))) => {
                    self.has_read = true;
                    return Poll::Ready(Some(Ok(match range.state_to {
                        Some(_) => Entry::of_state(record),
                        None => Entry::new(record),
                    })));
                }
                Some(Err(Found::Lagged(gap))) => {
                    Shared::count_gap("lagged", &gap);
                    return Poll::Ready(Some(Err(Lagged { gap })));
                }
                Some(Err(Found::Over)) => self.is_over = true,
            }
        }
    }

    /// Returns the next frame.
    fn poll_frame(&mut self, cx: &Context<'_>) -> Poll<Found> {
        loop {
            if self.is_over {
                return Poll::Ready(Found::Over);
            }
            let shared = self.shared.clone();
            let mut log = shared.lock();
            let range = match self.look(&mut log) {
                Some(Ok(range)) => range,
                Some(Err(found)) => return Poll::Ready(found),
                None => {
                    let old = log.wait(self.reader, cx);
                    drop(log);
                    drop(old);
                    return Poll::Pending;
                }
            };
            if let Some(frame) = log.frames.find(self.feed, range).cloned() {
                self.advance(frame.upto, range, frame.events, &log);
                return Poll::Ready(Found::Frame(frame));
            }
            let batch = log.collect(self.feed, range, usize::MAX);
            self.advance(batch.upto, range, batch.len(), &log);
            let is_shared = log.feeds[self.feed].readers > 1;
            let is_state = range.state_to.is_some();
            let age = log.frames.age;
            if !batch.more.is_empty() {
                // Joined without the lock.
                drop(log);
                let Some(frame) = Frame::join(&batch, is_state) else { continue };
                if is_shared {
                    let mut log = shared.lock();
                    if log.frames.age == age {
                        log.frames.keep(self.feed, range, frame.clone());
                    }
                }
                return Poll::Ready(Found::Frame(frame));
            }
            let Some(frame) = Frame::join(&batch, is_state) else { continue };
            if is_shared {
                log.frames.keep(self.feed, range, frame.clone());
            }
            return Poll::Ready(Found::Frame(frame));
        }
    }

    /// Looks for what is to be read: nothing (`None`), a range, or something else than records.
    fn look(&mut self, log: &mut Log) -> Option<Result<Range, Found>> {
        if log.readers[self.reader].is_cut {
            return Some(Err(Found::Over));
        }
        if self.shared.is_aging {
            log.trim_aged(Instant::now());
        }
        let feed = &log.feeds[self.feed];
        // What is trimmed of the state is left out, as it is for whoever comes later.
        if let Phase::State { at } = self.phase {
            if at < self.cursor.at {
                return Some(Ok(Range { after: at, state_to: Some(self.cursor.at) }));
            }
            self.phase = Phase::Live;
            return Some(Err(Found::State));
        }
        if feed.trimmed > self.cursor.at.max(self.cursor.forgiven) {
            let missed = self.missed(log);
            return Some(Err(self.lag(log, missed)));
        }
        if feed.last <= self.cursor.at {
            self.cursor.at = log.head;
            self.cursor.seen = Some(feed.published);
            return if log.is_closed { Some(Err(Found::Over)) } else { None };
        }
        Some(Ok(Range { after: self.cursor.at, state_to: None }))
    }

    /// Counts what was trimmed before it was read. Nothing was superseded meanwhile, or it is not
    /// known.
    fn missed(&self, log: &Log) -> Option<u64> {
        let feed = &log.feeds[self.feed];
        if feed.superseded > self.cursor.at {
            return None;
        }
        let kept = log.count(self.feed, self.cursor.at)?;
        (feed.published - self.cursor.seen?).checked_sub(kept)
    }

    fn lag(&mut self, log: &mut Log, missed: Option<u64>) -> Found {
        log.lagged += 1;
        let first = log.first(self.feed, self.cursor.at);
        let gap = Shared::gap(GapReason::Trimmed, first, missed);
        self.cursor.forgiven = log.feeds[self.feed].trimmed;
        self.cursor.seen = None;
        self.is_over = self.shared.lagging == Lagging::Evict;
        Found::Lagged(gap)
    }

    fn advance(&mut self, upto: Position, range: Range, events: usize, log: &Log) {
        if let (Phase::State { at }, Some(_)) = (&mut self.phase, range.state_to) {
            *at = upto;
            return;
        }
        self.cursor.at = upto;
        let certain = log.feeds[self.feed].superseded <= range.after;
        let seen = self.cursor.seen.filter(|_| certain);
        self.cursor.seen = seen.map(|seen| seen + events as u64);
    }
}

/// Returns where a reader begins, and what it is told about that.
fn begin(shared: &Shared, log: &mut Log, feed: Key, last: Option<&str>) -> (Cursor, Resumption) {
    let (published, trimmed) = (log.feeds[feed].published, log.feeds[feed].trimmed);
    let head = log.head;
    let Some(last) = last else {
        let cursor = Cursor { at: head, forgiven: trimmed, seen: Some(published) };
        return (cursor, Resumption::New);
    };
    let (at, reason) = match shared.ids.read(last) {
        Says::Event(at, _) | Says::Standing(at, _) if at > head => (0, Some(GapReason::Unknown)),
        Says::Event(at, tag) if !log.may_be_of(feed, at, tag) => (at, Some(GapReason::OtherTopic)),
        Says::Standing(at, tag) if tag != log.feeds[feed].tag => (at, Some(GapReason::OtherTopic)),
        Says::Event(at, _) | Says::Standing(at, _) if trimmed > at => {
            (at, Some(GapReason::Trimmed))
        }
        Says::Event(at, _) | Says::Standing(at, _) => (at, None),
        Says::OtherEpoch => (0, Some(GapReason::OtherEpoch)),
        Says::Unknown => (0, Some(GapReason::Unknown)),
    };
    let cursor = Cursor { at, forgiven: trimmed, seen: None };
    let Some(reason) = reason else { return (cursor, Resumption::Complete) };
    log.gaps += 1;
    let is_trimmed = reason == GapReason::Trimmed;
    let missed = if is_trimmed { log.missed_since(feed, at) } else { None };
    let first = log.first(feed, at);
    (cursor, Resumption::Gap(Shared::gap(reason, first, missed)))
}

impl Stream for Subscription {
    type Item = Result<Entry, Lagged>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_entry(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let (_gone, presence) = {
            let mut log = self.shared.lock();
            let gone = log.leave(self.reader);
            (gone, !log.presence.is_empty())
        };
        if presence {
            self.shared.tell_presence();
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("position", &self.cursor.at)
            .field("resumption", &self.resumption)
            .finish_non_exhaustive()
    }
}
