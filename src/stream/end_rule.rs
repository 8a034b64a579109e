//! The rule that ends a stream of events before its connection ends.

use std::fmt;

use crate::{event::Event, exclusive::Exclusive};

/// Returns whether an event is the last one.
type IsLast = Box<dyn FnMut(&Event) -> bool + Send>;

/// Where a stream of events ends, and what its end means.
#[derive(Default)]
pub(crate) struct EndRule {
    /// `None` if the stream ends only with its connection.
    is_last: Option<Exclusive<IsLast>>,
    /// Whether the last event is returned.
    pub(crate) is_inclusive: bool,
    /// Whether an end without the last event is an error.
    pub(crate) is_required: bool,
    is_reached: bool,
}

/// The meaning of an event for the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndMatch {
    /// The stream continues.
    NotLast,
    /// This is the last event. It is returned.
    Last,
    /// This is the last event. It is not returned.
    Omitted,
}

impl EndRule {
    /// Adds a rule: from now on, an event that it matches is the last one too.
    pub(crate) fn add(&mut self, mut rule: impl FnMut(&Event) -> bool + Send + 'static) {
        let is_last: IsLast = match self.is_last.take() {
            None => Box::new(rule),
            Some(earlier) => {
                let mut earlier = earlier.into_inner();
                Box::new(move |event| earlier(event) || rule(event))
            }
        };
        self.is_last = Some(Exclusive::new(is_last));
    }

    /// Adds a rule for events with this data. White space around both does not count.
    pub(crate) fn add_data(&mut self, sentinel: &str) {
        let sentinel = sentinel.trim().to_owned();
        self.add(move |event| event.data().trim() == sentinel);
    }

    /// Adds a rule for events of this type.
    pub(crate) fn add_type(&mut self, event_type: String) {
        self.add(move |event| event.event_type() == event_type.as_str());
    }

    #[inline]
    pub(crate) fn check(&mut self, event: &Event) -> EndMatch {
        let Some(is_last) = &mut self.is_last else { return EndMatch::NotLast };
        if !is_last.get_mut()(event) {
            return EndMatch::NotLast;
        }
        self.is_reached = true;
        if self.is_inclusive { EndMatch::Last } else { EndMatch::Omitted }
    }

    /// Returns whether the last event was read.
    pub(crate) fn is_reached(&self) -> bool {
        self.is_reached
    }

    /// Returns whether an end of the stream now is an error.
    pub(crate) fn is_missing(&self) -> bool {
        self.is_required && self.is_last.is_some() && !self.is_reached
    }
}

impl fmt::Debug for EndRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndRule").field("is_reached", &self.is_reached).finish_non_exhaustive()
    }
}
