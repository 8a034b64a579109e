//! What a reader is told when it may have missed events.

use std::{error::Error, fmt};

use crate::event::{Event, EventId};

/// Reports that events may be missing between the last event a reader received and the next one.
///
/// A reader of several topics may also miss later ones of the events that were published before the gap was reported:
/// while it reads the oldest retained events of one topic, more of them may be removed. These are not reported again.
/// Events that were published after the report are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// Why events may be missing.
    pub reason: GapReason,
    /// The ID of the next retained event on the reader's topics, if there is one.
    pub first: Option<EventId>,
    /// How many events are missing, if that is known.
    pub missed: Option<u64>,
}

/// Why events may be missing.
///
/// If the last event ID is useless, for all reasons but [`Trimmed`](Self::Trimmed), a reader whose
/// selection has [`with_state`](super::Selection::with_state) or [`last`](super::Selection::last)
/// continues with the state or the newest events instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// Some events were removed from the history. The reader continues with the oldest retained
    /// event.
    Trimmed,
    /// The last event ID was issued by another hub, for example before a restart. The reader starts
    /// at the oldest retained event.
    OtherEpoch,
    /// The last event ID does not have the format of a hub's IDs, or this hub has not issued it
    /// yet. The reader starts at the oldest retained event.
    Unknown,
    /// The last event ID belongs to a topic that the reader does not follow, or to a reader of
    /// other topics, so completeness cannot be checked. Reading starts after that position.
    OtherTopic,
}

impl GapReason {
    /// Returns the reason in lower case with underscores, as it stands in the gap event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::OtherEpoch => "other_epoch",
            Self::Unknown => "unknown",
            Self::OtherTopic => "other_topic",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Gap {
    /// Returns the event with which a body reports the gap, unless
    /// [`HubBuilder::on_gap`](super::HubBuilder::on_gap) sets another.
    ///
    /// Its type is `gap`. Its data is JSON: `{"reason":"trimmed","first":"…","missed":12}`, where
    /// `first` and `missed` may be `null`.
    #[must_use]
    pub fn to_event(&self) -> Event {
        // The ID is one of the hub's own, which are ASCII letters, digits, `-` and `~`: no JSON
        // escapes.
        let first = self.first.as_ref().map(|id| format!("\"{id}\""));
        let first = first.as_deref().unwrap_or("null");
        let missed = self.missed.map(|missed| missed.to_string());
        let missed = missed.as_deref().unwrap_or("null");
        let reason = self.reason;
        Event::new(format!(r#"{{"reason":"{reason}","first":{first},"missed":{missed}}}"#))
            .with_type("gap")
    }
}

/// How a subscription started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resumption {
    /// It was not resumed. The reader receives what is published from then on.
    New,
    /// The reader receives everything that was published after the last event ID.
    Complete,
    /// Some events after the last event ID may be missing.
    Gap(Gap),
}

/// The error of a reader that fell behind: events it had not read were removed from the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lagged {
    /// What is missing.
    pub(super) gap: Gap,
}

impl Lagged {
    /// Returns what is known about the missing events.
    #[must_use]
    pub fn gap(&self) -> &Gap {
        &self.gap
    }
}

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gap.missed {
            Some(missed) => write!(f, "the reader was too slow: {missed} events are missing"),
            None => f.write_str("the reader was too slow: events are missing"),
        }
    }
}

impl Error for Lagged {}

/// What happens to a reader that falls behind: events it has not read are removed from the history.
///
/// A reader that has only missed events older than [`max_age`](super::History::max_age) is told of the
/// gap and continues, with both settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lagging {
    /// The reader's stream ends. The end reason is [`Evicted`](crate::EndReason::Evicted). Browsers
    /// reconnect by themselves, and are told of the gap then. This is the default.
    ///
    /// Lag is detected when the server polls the body. A client that stops reading is not polled;
    /// its stream stays open, holding one frame, until the connection is closed. Set a write
    /// timeout on the server.
    #[default]
    Evict,
    /// The reader is told of the gap, and continues with the oldest retained event.
    Skip,
}
