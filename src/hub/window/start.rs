//! Where a reader starts: what the window knows about a position of the log.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use tokio::time::Instant;

use super::{
    Window,
    counters::Head,
    group::{Group, Origin, Source},
    keys::TopicKey,
    limits::MAX_STEPS,
    record::{Record, Seq},
    steps::visit,
};
use crate::hub::{backend::Position, ids::Tag, topic::Topic};

/// Above this number of topics, missed events are not counted, since each topic would be visited.
const MAX_TOPICS_TO_COUNT: usize = 64;
/// Above this number of blocks of the order, missed events are not counted.
const MAX_BLOCKS_TO_COUNT: usize = 64;

/// Where a position of the log lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) enum Place {
    /// At this place, or after it and before the next record.
    At(Seq),
    /// Before the window.
    Before,
    /// After the newest record.
    Ahead,
    /// The log has another entry there.
    Mismatch,
}

/// Whose event a client has received last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) enum Owner {
    /// It belongs to a topic that the group selects.
    Group,
    /// It belongs to another topic.
    Other,
    /// It belongs to a topic that does not exist any more.
    Unknown,
}

impl Window {
    /// Returns the place of a position.
    pub(in crate::hub) fn place_of(&self, position: Position) -> Place {
        let Head { seq, position: head } = self.counters.head();
        if self.counters.is_log() {
            let is_own = position == Position::new(position.major());
            return match position.major() {
                _ if !is_own => Place::Mismatch,
                place if place > seq => Place::Ahead,
                place => Place::At(place),
            };
        }
        if position.place() > head.place() {
            return Place::Ahead;
        }
        match self.order.last_until(position.with_check(u32::MAX)) {
            Some(record) if record.position.place() == position.place() => {
                if record.position == position { Place::At(record.seq) } else { Place::Mismatch }
            }
            Some(record) => Place::At(record.seq),
            None if position == head => Place::At(seq),
            None => Place::Before,
        }
    }

    /// Returns whether the window has the record at a position, or is at it. Otherwise only the backend knows
    /// whether the log has an entry there.
    pub(in crate::hub) fn knows(&self, position: Position) -> bool {
        let record = self.order.last_until(position);
        self.counters.is_log()
            || position == Position::START
            || record.is_some_and(|record| record.position == position)
            || self.counters.head().position == position
    }

    /// Returns a place, with its position in the log.
    pub(in crate::hub) fn head_at(&self, seq: Seq) -> Head {
        if self.counters.is_log() {
            return Head { seq, position: Position::new(seq) };
        }
        let position = self.order.at_or_before(seq).map(|record| record.position);
        Head { seq, position: position.unwrap_or(Position::START) }
    }

    /// Returns the newest record, which readers may not see yet.
    pub(in crate::hub) fn newest(&self) -> Seq {
        self.head
    }

    /// Returns whether an event at this position with this tag belongs to a topic that the group
    /// selects. `at` is the [place](Self::place_of) of the position, which may be that of a record before
    /// it.
    pub(in crate::hub) fn owner_of(
        &self,
        group: &Group,
        (at, position): (Seq, Position),
        tag: Tag,
    ) -> Owner {
        let owner = |is_own| if is_own { Owner::Group } else { Owner::Other };
        if let Some(record) = self.order.get(at).filter(|record| record.position == position) {
            return owner(group.selects(record.topic.as_str()));
        }
        let names = group.sources.iter().filter_map(|source| source.origin.topic_tag());
        if names.into_iter().any(|name| name == tag) {
            return Owner::Group;
        }
        if group.set.patterns.is_empty() {
            return Owner::Other;
        }
        // Few topics have the same tag.
        let from = (tag, TopicKey::default());
        let same_tag = self.topics.by_tag.range(from..).take_while(|(it, _)| *it == tag);
        let topics = same_tag.take(MAX_STEPS).inspect(|_| visit(1));
        let topics = topics.map(|(_, key)| &self.topics.by_key[*key].name);
        let is_own = topics.map(|topic| group.selects(topic.as_str()));
        if let Some(is_own) = is_own.reduce(|one, other| one || other) {
            return owner(is_own);
        }
        // The topic does not exist any more. A pattern knows its last record that was trimmed.
        if group.sources.iter().any(|source| source.origin.last_trimmed() == Some(at)) {
            return Owner::Group;
        }
        match &self.topics.last_dropped {
            Some(topic) if self.topics.dropped_coverage == at => {
                owner(group.selects(topic.as_str()))
            }
            // The window has begun right after it, or later.
            None if at == self.topics.dropped_coverage && at > 0 => Owner::Unknown,
            _ if at < self.topics.dropped_coverage => Owner::Unknown,
            _ => Owner::Other,
        }
    }

    /// Counts the records of a group that were trimmed after a place. Returns `None` if that is not
    /// known.
    ///
    /// The window only knows how many events were published and which are retained. So the number is
    /// known only if every event after the place that is no longer retained was trimmed from a topic
    /// of this group. It is not known if one of them belonged to another topic or to a topic that no
    /// longer exists, was superseded, or is too old but still retained.
    pub(in crate::hub) fn missed_since(
        &self,
        group: &Group,
        after: Seq,
        too_old: Option<Instant>,
    ) -> Option<u64> {
        let is_aged = too_old.is_some_and(|too_old| group.too_old_until(too_old) > after);
        if is_aged
            || self.uncounted_until > after
            || self.topics.dropped_coverage > after
            || self.topics.by_key.len() > MAX_TOPICS_TO_COUNT
        {
            return None;
        }
        let mut topics = self.topics.by_key.some(0, usize::MAX).map(|(_, topic)| topic);
        let is_foreign_loss = topics.any(|topic| {
            visit(1);
            topic.source.feed.coverage() > after && !group.selects(topic.name.as_str())
        });
        if is_foreign_loss {
            return None;
        }
        let kept = self.order.count_after(after, MAX_BLOCKS_TO_COUNT)?;
        (self.head - after).checked_sub(kept)
    }

    /// Returns the source of a topic.
    pub(in crate::hub) fn source_of(&self, key: TopicKey) -> Option<Arc<Source>> {
        self.topics.by_key.get(key).map(|topic| topic.source.clone())
    }
}

impl Source {
    /// Returns the place of the nth newest record up to a place, or of the oldest.
    pub(in crate::hub) fn nth_newest(&self, n: usize, to: Seq) -> Option<Seq> {
        self.feed.view().newest_first(to).take(n).last().map(|record| record.seq)
    }
}

impl Group {
    /// Returns the named topics of which the window does not have the newest `n` records, up to a place, and of
    /// which the backend may have more. With them, returns the newest records that the window has of all topics.
    /// `None` if there are no such topics, or if patterns are selected, whose topics are not known here.
    pub(in crate::hub) fn lacks_newest(
        &self,
        n: usize,
        to: Seq,
    ) -> Option<(Vec<Topic>, Vec<Arc<Record>>)> {
        let mut topics = Vec::new();
        for source in &self.sources {
            let Origin::Topic { name, .. } = &source.origin else { return None };
            let count = || source.feed.view().newest_first(to).take(n).count();
            if source.feed.coverage() > 0 && count() < n {
                topics.push(name.clone());
            }
        }
        if topics.is_empty() {
            return None;
        }
        let mut records = Vec::new();
        for source in &self.sources {
            records.extend(source.feed.view().newest_first(to).take(n).cloned());
        }
        Some((topics, records))
    }

    /// Returns the place at which the present topics began: every record of them is after it.
    pub(in crate::hub) fn began_at(&self) -> Seq {
        let began = |origin: &Origin| match origin {
            Origin::Topic { covered_from, .. } => *covered_from,
            Origin::Pattern { .. } => 0,
        };
        self.sources.iter().map(|source| began(&source.origin)).min().unwrap_or(0)
    }

    /// Returns whether records of the present topics were trimmed.
    pub(in crate::hub) fn has_lost_its_start(&self) -> bool {
        self.sources.iter().any(|source| match source.origin {
            Origin::Topic { covered_from, .. } => source.feed.coverage() > covered_from,
            Origin::Pattern { .. } => source.feed.coverage() > 0,
        })
    }

    /// Returns the place of the nth newest record of each named topic, and the lowest of them. `None`
    /// if patterns are selected, whose topics are not known here.
    pub(in crate::hub) fn newest(&self, n: usize, to: Seq) -> Option<Seq> {
        if !self.set.patterns.is_empty() {
            return None;
        }
        let nth = self.sources.iter().filter_map(|source| source.nth_newest(n, to));
        Some(nth.min().unwrap_or(to + 1))
    }
}

impl Group {
    /// Returns whether a reader at this place needs records that were published before one of the
    /// patterns was added.
    pub(in crate::hub) fn lacks(&self, at: Seq) -> bool {
        self.sources.iter().any(|source| match &source.origin {
            Origin::Topic { .. } => false,
            Origin::Pattern { since, filled, .. } => at < *since && !filled.initialized(),
        })
    }

    /// Returns the patterns, each with the cell that is set when it is complete.
    pub(in crate::hub) fn patterns(
        &self,
    ) -> impl Iterator<Item = (&Arc<Source>, &tokio::sync::OnceCell<()>)> {
        self.sources.iter().filter_map(|source| match &source.origin {
            Origin::Topic { .. } => None,
            Origin::Pattern { filled, .. } => Some((source, &**filled)),
        })
    }
}

impl Origin {
    /// Returns the newest record of a pattern that was trimmed while the pattern existed.
    fn last_trimmed(&self) -> Option<Seq> {
        match self {
            Self::Topic { .. } => None,
            Self::Pattern { trimmed, .. } => Some(trimmed.load(SeqCst)).filter(|seq| *seq > 0),
        }
    }

    /// Returns the tag of a topic. `None` for a pattern.
    fn topic_tag(&self) -> Option<Tag> {
        match self {
            Self::Topic { tag, .. } => Some(*tag),
            Self::Pattern { .. } => None,
        }
    }
}
