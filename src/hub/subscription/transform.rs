//! Filters and maps of a subscription.

use std::fmt;

use crate::{
    catch_panic::{Panicked, catch_panic},
    event::Event,
    exclusive::Exclusive,
    hub::entry::Entry,
};

/// The filters and maps of a subscription, in the order in which they were added.
pub(super) struct Transform {
    /// The closures. They are called through `&mut` only.
    stages: Exclusive<Vec<Stage>>,
}

/// A closure of the application.
enum Stage {
    Filter(Box<dyn FnMut(&Entry) -> bool + Send>),
    Map(Box<dyn FnMut(&Entry) -> Event + Send>),
}

/// An entry that has passed.
pub(super) struct Passed {
    /// The entry.
    pub(super) entry: Entry,
    /// A map has changed it.
    pub(super) is_mapped: bool,
}

impl Transform {
    pub(super) fn new() -> Self {
        Self { stages: Exclusive::new(Vec::new()) }
    }

    pub(super) fn filter(&mut self, filter: impl FnMut(&Entry) -> bool + Send + 'static) {
        self.stages.get_mut().push(Stage::Filter(Box::new(filter)));
    }

    pub(super) fn map(&mut self, map: impl FnMut(&Entry) -> Event + Send + 'static) {
        self.stages.get_mut().push(Stage::Map(Box::new(map)));
    }

    /// Passes an entry through all stages. Returns `None` if a filter leaves it out, and an error if
    /// a closure panics.
    pub(super) fn apply(&mut self, mut entry: Entry) -> Result<Option<Passed>, Panicked> {
        let mut is_mapped = false;
        for stage in self.stages.get_mut() {
            match stage {
                Stage::Filter(filter) => {
                    if !catch_panic("the filter of a subscription", || filter(&entry))? {
                        return Ok(None);
                    }
                }
                Stage::Map(map) => {
                    let event = catch_panic("the map of a subscription", || map(&entry))?;
                    entry = entry.with_event(event);
                    is_mapped = true;
                }
            }
        }
        Ok(Some(Passed { entry, is_mapped }))
    }
}

impl fmt::Debug for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transform")
    }
}
