//! How a stream ends for its senders, and how it is asked to.

use std::{error::Error, fmt, sync::Arc, task::Waker};

use tokio::time::Instant;

use super::state::Shared;

/// Whether a stream is open, or how it was ended. It is left once, from `Open`.
#[derive(Debug)]
pub(super) enum Status {
    Open,
    /// Closed by the application, or at its due end: what is queued still goes out.
    Closed,
    /// Ended with an error, by the application or since the handler failed.
    Failed(Arc<dyn Error + Send + Sync>),
    /// Cut: what is queued does not go out.
    Cut(Cut),
    /// The receiver is gone.
    Gone,
}

/// Why a stream was cut before all was out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A sender has waited for longer than it had to.
    Evicted,
    /// The application took the right to it back.
    Revoked,
}

/// What the body of a stream is asked: to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// When the handler is told.
    pub(crate) begin: Instant,
    /// When the stream ends, if it has not by itself.
    pub(crate) end: Instant,
    /// Without a farewell.
    pub(crate) silent: bool,
}

impl Shared {
    /// Ends the stream for its senders, unless it has ended, and returns whether it did. What is
    /// queued still goes out, unless it is cut.
    pub(super) fn end(&self, status: Status) -> bool {
        let (waiting, receiver, _cut) = {
            let mut state = self.lock();
            // What is on its way out of a closed stream can still be taken back.
            let revoked = matches!(status, Status::Cut(Cut::Revoked));
            let can_end = state.is_open() || (revoked && matches!(state.status, Status::Closed));
            if !can_end {
                return false;
            }
            let cut = matches!(status, Status::Cut(_));
            state.status = status;
            let queue = cut.then(|| std::mem::take(&mut state.queue));
            (std::mem::take(&mut state.waiting), state.receiver.take(), queue)
        };
        self.told.notify_waiters();
        waiting.into_iter().map(|waiting| waiting.waker).chain(receiver).for_each(Waker::wake);
        true
    }

    /// Tells the senders that a graceful end has begun.
    pub(super) fn begin_ending(&self) {
        self.lock().ending = true;
        self.told.notify_waiters();
    }

    /// Tells the body to end. One that was to end without a farewell still is.
    pub(super) fn ask(&self, mut ask: Ask) {
        let (receiver, has_begun) = {
            let mut state = self.lock();
            // Senders elsewhere are told also if nobody polls the body.
            let has_begun = ask.begin <= Instant::now();
            state.ending |= has_begun;
            ask.silent |= state.ask.as_ref().is_some_and(|before| before.silent);
            match &mut state.ask {
                Some(before) if before.end < ask.end => before.silent = ask.silent,
                other => *other = Some(Box::new(ask)),
            }
            (state.receiver.take(), has_begun)
        };
        if has_begun {
            self.told.notify_waiters();
        }
        receiver.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Evicted => "evicted: the client was too slow",
            Self::Revoked => "revoked by the application",
        })
    }
}

impl Error for Cut {}
