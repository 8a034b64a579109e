//! Reading a range of the log, and the state of keys.

use std::{
    collections::HashMap,
    future::poll_fn,
    num::NonZeroUsize,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    consumer::{Consumer, Pull, Received, Start},
    link::{Link, unavailable},
    message::{Content, Delivered},
    stream::StreamOptions,
    subject::Filters,
};
use crate::hub::backend::{
    entry::{Batch, EntryKind, LogEntry},
    error::{BackendError, Fault},
    position::Position,
    wanted::Wanted,
};

/// How many messages a page is made of, at most.
const MAX_PAGE: u64 = 1024;
/// How many bytes a page has, at most, unless one message may be larger.
const PAGE_BYTES: usize = 4 << 20;

/// The messages that a consumer has when it is made, one request after the other.
struct Reader<'a> {
    link: &'a Link,
    options: &'a StreamOptions,
    consumer: Consumer,
    filters: Vec<String>,
    /// How many messages the consumer has delivered.
    count: u64,
}

/// The answer to one request.
struct Page {
    messages: Vec<Delivered>,
    /// Whether there are no more messages.
    is_last: bool,
    /// Whether the connection was lost after these messages.
    is_cut: bool,
}

impl<'a> Reader<'a> {
    async fn new(
        link: &'a Link,
        options: &'a StreamOptions,
        start: Start,
        filters: Vec<String>,
    ) -> Result<Self, BackendError> {
        let consumer = Consumer::create(link, &options.name, start, &filters).await?;
        Ok(Self { link, options, consumer, filters, count: 0 })
    }

    async fn page(&mut self, most: u64) -> Result<Page, BackendError> {
        let max_bytes = PAGE_BYTES.max(self.link.client.max_payload().saturating_mul(2));
        let pull = Pull { batch: most, max_bytes, expires: None, heartbeat: None };
        self.consumer.pull(pull).await?;
        let mut messages: Vec<Delivered> = Vec::new();
        let mut is_cut = false;
        while (messages.len() as u64) < most {
            let mut session = self.consumer.session.clone();
            let received = poll_fn(|cx| self.consumer.poll_next(cx));
            let received = match session.limit(received, Fault::Unavailable).await {
                Ok(received) => received,
                // The part that has come is a page too. The next message may be unreadable.
                Err(_) if !messages.is_empty() => {
                    is_cut = true;
                    break;
                }
                Err(error) => return Err(error),
            };
            match received {
                Received::Message(message) => {
                    let delivered = Delivered::new(message, &self.options.subjects);
                    let delivered = delivered.filter(|delivered| delivered.count == self.count + 1);
                    messages.push(delivered.ok_or_else(|| unavailable("a message was lost"))?);
                    self.count += 1;
                }
                Received::Heartbeat(_) => {}
                Received::Done => return Ok(Page { messages, is_last: true, is_cut }),
                Received::Full if messages.is_empty() => {
                    return Err(unavailable("a message is larger than the server's limit"));
                }
                Received::Full => break,
                Received::Broken(cause) => return Err(unavailable(cause)),
            }
        }
        Ok(Page { messages, is_last: false, is_cut })
    }
}

/// Returns the filters of the consumers that deliver all wanted subjects: those of each consumer, which
/// deliver different messages.
fn consumers(link: &Link, filters: Filters) -> Vec<Vec<String>> {
    let Filters { exact, cover } = filters;
    // Older servers know one filter only, and deliver everything if there are several.
    match exact.len() {
        0 => vec![vec![cover]],
        _ if link.client.is_server_compatible(2, 10, 0) => vec![exact],
        _ => exact.into_iter().map(|filter| vec![filter]).collect(),
    }
}

/// Reads the wanted entries of a range. `suspect` is the place after which a read has failed.
pub(super) async fn read(
    link: &Link,
    options: &StreamOptions,
    (after, upto): (Position, Position),
    wanted: &Wanted,
    most: NonZeroUsize,
    suspect: &AtomicU64,
) -> Result<Batch, BackendError> {
    if after.place() >= upto.place() || is_nothing(wanted) {
        return Ok(Batch::default().with_upto(upto));
    }
    let (mut entries, mut end, mut junk) = (Vec::new(), upto, 0);
    for filters in consumers(link, options.subjects.of_topics(wanted)) {
        let range = (after, upto);
        let batch = read_subjects(link, options, range, (wanted, filters), most, suspect).await?;
        end = batch.upto.map_or(end, |upto| end.min(upto));
        entries.extend(batch.entries);
        junk += batch.junk;
    }
    // A consumer may have delivered less than another one.
    entries.sort_unstable_by_key(|entry: &LogEntry| entry.at);
    entries.retain(|entry| entry.at.place() <= end.place());
    if entries.len() > most.get() {
        entries.truncate(most.get());
        end = entries[most.get() - 1].at;
    }
    Ok(Batch::new(entries).with_upto(end).with_junk(junk))
}

/// Reads the wanted entries of a range that one consumer delivers.
async fn read_subjects(
    link: &Link,
    options: &StreamOptions,
    (after, upto): (Position, Position),
    (wanted, filters): (&Wanted, Vec<String>),
    most: NonZeroUsize,
    suspect: &AtomicU64,
) -> Result<Batch, BackendError> {
    let mut batch = Batch::default().with_upto(upto);
    let mut reader = Reader::new(link, options, Start::After(after.major()), filters).await?;
    if suspect.load(Ordering::Relaxed) == after.major() {
        // A read from here has failed before.
        let next = after.major() + 1;
        if let Some(at) = options.next_unreadable(link, next, &reader.filters).await? {
            suspect.store(at.major(), Ordering::Relaxed);
            let is_beyond = at.major() >= upto.major();
            let junk = u64::from(at.major() <= upto.major());
            return Ok(if is_beyond { batch } else { batch.with_upto(at) }.with_junk(junk));
        }
    }
    let page = reader.page(MAX_PAGE.min(most.get() as u64)).await;
    let page = page.inspect_err(|_| suspect.store(after.major(), Ordering::Relaxed))?;
    let mut end = after;
    if let (true, Some(last)) = (page.is_cut, page.messages.last()) {
        suspect.store(last.at.major(), Ordering::Relaxed);
    }
    for Delivered { at, content, .. } in page.messages {
        if at.major() > upto.major() {
            return Ok(batch);
        }
        end = at;
        match content {
            Content::Entry(entry) if wanted.takes(entry.topic.as_str()) => {
                batch.entries.push(entry);
            }
            Content::Entry(_) | Content::Expired => {}
            Content::Junk => batch.junk += 1,
        }
    }
    // The page may end with the entry at `upto`, whose position the caller knows.
    let is_complete = page.is_last || end.major() == upto.major();
    Ok(if is_complete { batch } else { batch.with_upto(end) })
}

/// Reads the newest entry of each key of the wanted topics.
pub(super) async fn state(
    link: &Link,
    options: &StreamOptions,
    wanted: &Wanted,
    upto: Position,
) -> Result<Vec<LogEntry>, BackendError> {
    let mut state = HashMap::new();
    if is_nothing(wanted) || upto == Position::START {
        return Ok(Vec::new());
    }
    for filters in consumers(link, options.subjects.of_keys(wanted)) {
        let mut reader = Reader::new(link, options, Start::LastPerSubject, filters).await?;
        'pages: loop {
            let page = reader.page(MAX_PAGE).await?;
            for Delivered { at, content, .. } in page.messages {
                // They come in the order of the log.
                if at.major() > upto.major() {
                    break 'pages;
                }
                let Content::Entry(entry) = content else { continue };
                let Some(key) = entry.key.clone() else { continue };
                let name = (entry.topic.clone(), key);
                if entry.kind == EntryKind::Tombstone {
                    state.remove(&name);
                } else if wanted.takes(entry.topic.as_str()) {
                    state.insert(name, entry);
                }
            }
            if page.is_last {
                break;
            }
        }
    }
    Ok(state.into_values().collect())
}

fn is_nothing(wanted: &Wanted) -> bool {
    !wanted.is_all() && wanted.names().is_empty() && wanted.patterns().next().is_none()
}
