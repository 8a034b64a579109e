//! What a reader is told that does not get everything.

use std::{error::Error, fmt};

use crate::event::{Event, EventId};

/// That completeness cannot be proven: events may be missing between what a reader has and what it
/// gets next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// The id of the first event that the reader can still get, if there is one.
    pub first: Option<EventId>,
    /// How many events are missing, where that is known.
    pub missed: Option<u64>,
}

/// Why completeness cannot be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// Some events are not kept any more. The reader goes on with the oldest that are.
    Trimmed,
    /// The last event ID is of this kind of hub, but of another one: the process has restarted, say.
    /// The reader gets all of its topics that is kept.
    OtherEpoch,
    /// The last event ID is not one that a hub gives, or not one that it has given yet. The reader
    /// gets all of its topics that is kept.
    Unknown,
    /// The last event ID is of another topic, or of where a reader of other topics stood, so nothing
    /// tells what this one has of its own. It gets what comes after that place.
    OtherTopic,
}

impl GapReason {
    /// Returns the reason in lower case with underscores, as the gap event tells it.
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
    /// Makes the event that tells of it, unless a hook does: of type `gap`, its data JSON, as
    /// `{"reason":"trimmed","first":"…","missed":12}`, where `first` and `missed` may be `null`.
    #[must_use]
    pub fn to_event(&self) -> Event {
        // An id of a hub needs no escape.
        let first = self.first.as_ref().map(|id| format!("\"{id}\""));
        let first = first.as_deref().unwrap_or("null");
        let missed = self.missed.map(|missed| missed.to_string());
        let missed = missed.as_deref().unwrap_or("null");
        let reason = self.reason;
        Event::new(format!(r#"{{"reason":"{reason}","first":{first},"missed":{missed}}}"#))
            .with_type("gap")
    }
}

/// How a subscription began.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resumption {
    /// It was not resumed: it gets what comes.
    New,
    /// Everything since the last event ID will come, then what is new.
    Complete,
    /// Some of it may be missing.
    Gap(Gap),
}

/// The error of a reader that was too slow: what it had not read yet was not kept any longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lagged {
    pub(super) gap: Gap,
}

impl Lagged {
    /// Returns what is known of what is missing.
    #[must_use]
    pub fn gap(&self) -> &Gap {
        &self.gap
    }
}

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gap.missed {
            Some(missed) => write!(f, "lagged behind the history, {missed} events are missing"),
            None => f.write_str("lagged behind the history, events are missing"),
        }
    }
}

impl Error for Lagged {}

/// What becomes of a reader that falls behind more than the history keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lagging {
    /// Its stream ends, for the reason [`Evicted`](crate::EndReason::Evicted). A browser comes back by
    /// itself, and is told of the gap then. The default.
    ///
    /// A body is found to lag when the server asks it for more. A client that takes nothing is not
    /// come to: its stream stays, with the one frame that it does not take, until the server gives
    /// its connection up. Bound that by the server's own write timeout.
    #[default]
    Evict,
    /// It is told of the gap, and goes on with the oldest that is kept.
    Skip,
}
