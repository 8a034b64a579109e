//! The first bytes of a stream: the greeting and the reconnection time.
//!
//! They are lines without an empty line after them, and so is the comment of a keep-alive: some clients take each empty
//! line for the end of an event.

use bytes::Bytes;

use super::{keep_alive::lines_of, options::BodyOptions};
use crate::event::Event;

/// The maximum length of the first segment, in bytes, to be copied after the prelude. A longer one
/// goes out as a frame of its own.
pub(super) const MAX_JOINED: usize = 16 << 10;

/// Whether the first bytes of a stream have gone out.
///
/// The body writes them itself, so that no buffer can drop them. They go out with the first
/// segment, or alone if no segment is ready.
#[derive(Clone, Copy, Debug)]
pub(super) enum Prelude {
    /// The body was not polled yet. `is_held` is what [`hold`](Self::hold) has set.
    NotStarted {
        is_held: bool,
    },
    /// The head of the response waits for the first segment, and nothing goes out.
    Held,
    Due,
    /// They have gone out, or there are none.
    Sent,
}

impl Prelude {
    pub(super) fn for_options(options: &BodyOptions) -> Self {
        if options.greeting || options.retry.is_some() { Self::Due } else { Self::Sent }
    }

    /// Lets nothing go out until [`release`](Self::release) is called. Returns false if something may have gone
    /// out already.
    pub(super) fn hold(&mut self) -> bool {
        if let Self::NotStarted { is_held } = self {
            *is_held = true;
        }
        matches!(self, Self::NotStarted { .. } | Self::Held)
    }

    /// Lets everything go out.
    pub(super) fn release(&mut self, options: &BodyOptions) {
        match self {
            Self::NotStarted { is_held } => *is_held = false,
            Self::Held => *self = Self::for_options(options),
            Self::Due | Self::Sent => {}
        }
    }

    pub(super) fn is_held(self) -> bool {
        matches!(self, Self::Held)
    }

    pub(super) fn is_due(self) -> bool {
        matches!(self, Self::Due)
    }

    pub(super) fn is_sent(self) -> bool {
        matches!(self, Self::Sent)
    }

    /// Encodes the prelude, if it has not gone out.
    pub(super) fn take(&mut self, options: &BodyOptions) -> Option<Bytes> {
        if !self.is_due() {
            return None;
        }
        *self = Self::Sent;
        let mut prelude = Event::default();
        if options.greeting {
            prelude = prelude.with_comment("connected");
        }
        if let Some(retry) = &options.retry {
            prelude = prelude.with_retry(retry.draw());
        }
        Some(lines_of(&prelude))
    }
}
