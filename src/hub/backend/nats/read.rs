//! Reading a range of the log, and the state of keys.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
};

use super::{
    consumer::Start,
    link::{Link, unavailable},
    message::{Content, Delivered},
    reader::{Reader, Readers},
    stream::StreamOptions,
    subject::Filters,
};
use crate::hub::backend::{
    entry::{Batch, EntryKind, LogEntry},
    error::BackendError,
    position::Position,
    wanted::Wanted,
};
use crate::hub::topic::Topic;

/// How many messages a page is made of, at most.
pub(super) const MAX_PAGE: u64 = 1024;
/// How many subjects of one filter are read one by one, on servers before 2.10.
const MAX_SUBJECTS: usize = 8;

/// Returns the filters of the consumers that deliver all wanted subjects: those of each consumer, which
/// deliver different messages.
pub(super) fn consumers(link: &Link, filters: Filters) -> Vec<Vec<String>> {
    let Filters { exact, cover } = filters;
    // Older servers know one filter only, and deliver everything if there are several.
    match exact.len() {
        0 => vec![vec![cover]],
        _ if knows_filters(link) => vec![exact],
        _ => exact.into_iter().map(|filter| vec![filter]).collect(),
    }
}

/// Returns whether the server knows several filters of one consumer.
fn knows_filters(link: &Link) -> bool {
    link.client.is_server_compatible(2, 10, 0)
}

/// Replaces filters by the few subjects that match them, if the server would look at each message of the
/// stream to find those that match a filter.
pub(super) async fn one_by_one(
    Source { link, options, .. }: &Source,
    all: Vec<Vec<String>>,
) -> Result<Vec<Vec<String>>, BackendError> {
    if knows_filters(link) {
        return Ok(all);
    }
    let mut found = Vec::new();
    for filters in all {
        let subjects = match &*filters {
            [filter] if is_of_keys(filter) => options.subjects_like(link, filter).await?,
            _ => filters.clone(),
        };
        match subjects.len() <= MAX_SUBJECTS {
            true => found.extend(subjects.into_iter().map(|subject| vec![subject])),
            false => found.push(filters),
        }
    }
    Ok(found)
}

/// Returns whether a filter matches the keys of one topic.
fn is_of_keys(filter: &str) -> bool {
    filter.strip_suffix('*').is_some_and(|start| !start.contains('*'))
}

/// What the calls need that read.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) link: Link,
    pub(super) options: Arc<StreamOptions>,
    pub(super) readers: Arc<Readers>,
    /// The stream is on several servers. A consumer may be on one that lacks the newest messages.
    pub(super) is_replicated: bool,
}

impl Source {
    /// Returns whether the stream has a message that one consumer has not delivered, in a range. A consumer
    /// that has nothing more to deliver may be on a server that is late. This asks the leader.
    async fn has_more(
        &self,
        (after, upto): (u64, u64),
        filters: &[String],
    ) -> Result<bool, BackendError> {
        if !self.is_replicated || after >= upto {
            return Ok(false);
        }
        let next = self.options.next_place(&self.link, after + 1, filters).await?;
        Ok(next.is_some_and(|next| next <= upto))
    }
}

fn is_late() -> BackendError {
    unavailable("a server of the stream is late")
}

/// Reads the wanted entries of a range.
pub(super) async fn read(
    source: &Source,
    (after, upto): (Position, Position),
    wanted: &Wanted,
    most: NonZeroUsize,
) -> Result<Batch, BackendError> {
    if after.place() >= upto.place() || is_nothing(wanted) {
        return Ok(Batch::default().with_upto(upto));
    }
    let (mut entries, mut end, mut junk) = (Vec::new(), upto, 0);
    let filters = consumers(&source.link, source.options.subjects.of_topics(wanted));
    for filters in one_by_one(source, filters).await? {
        let batch = read_subjects(source, (after, upto), (wanted, filters), most).await?;
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
    source: &Source,
    (after, upto): (Position, Position),
    (wanted, filters): (&Wanted, Vec<String>),
    most: NonZeroUsize,
) -> Result<Batch, BackendError> {
    let Source { link, options, readers, .. } = source;
    let mut batch = Batch::default().with_upto(upto);
    if readers.is_suspect(after.major()) {
        // A read from here has failed before.
        let next = after.major() + 1;
        if let Some(at) = options.next_unreadable(link, next, &filters).await? {
            readers.suspect(at.major());
            let is_beyond = at.major() >= upto.major();
            let junk = u64::from(at.major() <= upto.major());
            return Ok(if is_beyond { batch } else { batch.with_upto(at) }.with_junk(junk));
        }
    }
    let most = MAX_PAGE.min(most.get() as u64);
    let mut reader = readers.take(link, options, after.major(), &filters).await?;
    let mut page = reader.page(most).await;
    if page.is_err() && !reader.is_new() {
        // The server may have removed the consumer.
        reader = Reader::new(link, options, Start::After(after.major()), &filters).await?;
        page = reader.page(most).await;
    }
    let page = page.inspect_err(|_| readers.suspect(after.major()))?;
    let mut end = after;
    if let (true, Some(last)) = (page.is_cut, page.messages.last()) {
        readers.suspect(last.at.major());
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
    if end.major() == upto.major() {
        return Ok(batch);
    }
    if page.is_last {
        return match source.has_more((end.major(), upto.major()), &filters).await? {
            false => Ok(batch),
            true if end.major() > after.major() => Ok(batch.with_upto(end)),
            true => Err(is_late()),
        };
    }
    if !page.is_cut {
        readers.park(reader, end.major());
    }
    Ok(batch.with_upto(end))
}

/// Reads the newest entry of each key of the wanted topics.
pub(super) async fn state(
    source: &Source,
    wanted: &Wanted,
    upto: Position,
) -> Result<Vec<LogEntry>, BackendError> {
    let Source { link, options, .. } = source;
    let mut state = HashMap::new();
    if is_nothing(wanted) || upto == Position::START {
        return Ok(Vec::new());
    }
    for filters in consumers(link, options.subjects.of_keys(wanted)) {
        let mut reader = Reader::new(link, options, Start::LastPerSubject, &filters).await?;
        let mut end = 0;
        'pages: loop {
            let page = reader.page(MAX_PAGE).await?;
            for Delivered { at, content, .. } in page.messages {
                end = at.major();
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
                if source.has_more((end, upto.major()), &filters).await? {
                    return Err(is_late());
                }
                break;
            }
        }
    }
    Ok(state.into_values().collect())
}

/// Reads the newest entries of each topic up to a position.
pub(super) async fn newest(
    source: &Source,
    topics: &[Topic],
    upto: Position,
    most: NonZeroUsize,
) -> Result<Vec<LogEntry>, BackendError> {
    let mut newest = Vec::new();
    for topic in topics {
        let wanted = Wanted::from_parts(vec![topic.clone()], Vec::new());
        let filters = consumers(&source.link, source.options.subjects.of_topics(&wanted));
        let mut of_topic = Vec::new();
        for filters in one_by_one(source, filters).await? {
            of_topic.extend(newest_of(source, &filters, upto.major(), most).await?);
        }
        of_topic.sort_unstable_by_key(|entry: &LogEntry| entry.at);
        newest.extend(of_topic.into_iter().rev().take(most.get()));
    }
    Ok(newest)
}

/// Reads the newest entries that one consumer delivers. The server counts what it has to deliver from a
/// place on, so a place is looked for after which there are enough, and not many more.
async fn newest_of(
    source: &Source,
    filters: &[String],
    upto: u64,
    most: NonZeroUsize,
) -> Result<VecDeque<LogEntry>, BackendError> {
    let after = |place| Reader::new(&source.link, &source.options, Start::After(place), filters);
    let enough = most.get() as u64;
    let mut step = enough.saturating_mul(4);
    let mut too_late = upto;
    loop {
        // Messages that come meanwhile count as well, so there may be too few in the end. Then more are read.
        let later = after(upto).await?.pending();
        let count = |reader: &Reader| reader.pending().saturating_sub(later);
        let (mut reader, mut place) = loop {
            let place = upto.saturating_sub(step);
            let reader = after(place).await?;
            step = step.saturating_mul(8);
            if count(&reader) >= enough || place == 0 {
                break (reader, place);
            }
            too_late = place;
        };
        while count(&reader) > enough.saturating_mul(4) && too_late - place > 1 {
            let middle = place.midpoint(too_late);
            let later_reader = after(middle).await?;
            match count(&later_reader) >= enough {
                true => (reader, place) = (later_reader, middle),
                false => too_late = middle,
            }
        }
        let newest = newest_after(source, reader, filters, (place, upto), most).await?;
        if newest.len() >= most.get() || place == 0 {
            return Ok(newest);
        }
        (step, too_late) = (step.max((upto - place).saturating_mul(8)), place);
    }
}

/// Reads the newest entries of a range.
async fn newest_after(
    source: &Source,
    mut reader: Reader,
    filters: &[String],
    (mut end, upto): (u64, u64),
    most: NonZeroUsize,
) -> Result<VecDeque<LogEntry>, BackendError> {
    let mut newest = VecDeque::new();
    loop {
        let page = reader.page(MAX_PAGE).await?;
        for Delivered { at, content, .. } in page.messages {
            if at.major() > upto {
                return Ok(newest);
            }
            end = at.major();
            let Content::Entry(entry) = content else { continue };
            if newest.len() == most.get() {
                newest.pop_front();
            }
            newest.push_back(entry);
        }
        if page.is_cut {
            return Err(unavailable("the connection was lost"));
        }
        if page.is_last {
            return match source.has_more((end, upto), filters).await? {
                true => Err(is_late()),
                false => Ok(newest),
            };
        }
    }
}

fn is_nothing(wanted: &Wanted) -> bool {
    !wanted.is_all() && wanted.names().is_empty() && wanted.patterns().next().is_none()
}
