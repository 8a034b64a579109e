//! The hooks of a hub: application code that is called for gaps and for changes of presence.
//!
//! Hooks are called without the log's lock, since they may use the hub. A hook that panics is
//! logged.

use std::{fmt, sync::Arc};

use super::{gap::Gap, topic::Topic, window::ReaderPresence};
use crate::{
    catch_panic::{catch_and_log, catch_panic},
    event::Event,
    trace,
};

type OnGap = dyn Fn(&Gap) -> Option<Event> + Send + Sync;
type OnPresence = dyn Fn(&Topic) + Send + Sync;

/// The hooks that are set.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    /// Makes the event that reports a gap. Defaults to [`Gap::to_event`].
    pub(super) on_gap: Option<Arc<OnGap>>,
    /// Called when a topic gets its first reader that names it.
    pub(super) on_first_reader: Option<Arc<OnPresence>>,
    /// Called when a topic loses its last reader that names it.
    pub(super) on_last_reader: Option<Arc<OnPresence>>,
}

impl Hooks {
    /// Returns whether changes of presence have to be recorded.
    pub(super) fn track_presence(&self) -> bool {
        self.on_first_reader.is_some() || self.on_last_reader.is_some()
    }

    /// Returns the event that reports a gap, or `None` if the hook omits it.
    pub(super) fn gap_event(&self, gap: &Gap) -> Option<Event> {
        let Some(on_gap) = &self.on_gap else { return Some(gap.to_event()) };
        // A client must be told of a gap even if the hook fails.
        catch_panic("on_gap", || on_gap(gap)).unwrap_or_else(|panicked| {
            trace::panicked("on_gap", &panicked.to_string());
            Some(gap.to_event())
        })
    }

    pub(super) fn call_presence(&self, topic: &Topic, presence: ReaderPresence) {
        let (name, hook) = match presence {
            ReaderPresence::First => ("on_first_reader", &self.on_first_reader),
            ReaderPresence::Last => ("on_last_reader", &self.on_last_reader),
        };
        if let Some(hook) = hook {
            catch_and_log(name, || hook(topic));
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("on_gap", &self.on_gap.is_some())
            .field("on_first_reader", &self.on_first_reader.is_some())
            .field("on_last_reader", &self.on_last_reader.is_some())
            .finish()
    }
}
