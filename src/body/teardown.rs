//! The end of a stream: its outcome, and the order of its teardown.

use tokio::time::Instant;

use super::{
    account::Outcome, active::ActiveStream, prelude::Prelude, source::Source, stop::StopSchedule,
};
use crate::{channel::ChannelEnd, lifecycle::EndReason};

impl ActiveStream {
    /// Returns the outcome if nothing can follow, so that `is_end_stream` is true without another
    /// poll.
    pub(super) fn finished(&self) -> Option<Outcome> {
        let finished = self.outgoing.is_none()
            && self.prelude.is_sent()
            && self.source_ended
            // It was so when the last segment was taken. A stop request or a revocation may have come
            // since.
            && self.source.is_finished()
            && !self.stop.as_ref().is_some_and(|stop| stop.owes_farewell());
        finished.then(|| self.clean_outcome())
    }

    /// Sets how the stream ended.
    pub(super) fn set_outcome(&mut self, outcome: &Outcome) {
        self.account.set_outcome(outcome);
    }

    /// Decides the reason of a stream whose body is dropped before its end: the reason for which it
    /// had ended or should have ended, if there is one.
    fn abandoned_outcome(&mut self) -> Option<Outcome> {
        let all_sent = self.prelude.is_sent() && self.outgoing.is_none();
        match self.source.abandon() {
            Some(ChannelEnd::Failed(error)) => Some(Outcome::Failed(EndReason::Failed, error)),
            Some(ChannelEnd::Aborted(reason)) => Some(Outcome::Clean(reason.into())),
            Some(ChannelEnd::Closed | ChannelEnd::NoSenders) if all_sent => {
                Some(self.clean_outcome())
            }
            Some(ChannelEnd::Closed | ChannelEnd::NoSenders) | None => self.overdue_outcome(),
        }
    }

    /// Returns the outcome of a stream whose end was due, but that was not polled.
    fn overdue_outcome(&mut self) -> Option<Outcome> {
        if matches!(self.prelude, Prelude::NotStarted { .. }) && self.deadline.is_some() {
            let options = &self.account.options;
            self.stop = StopSchedule::new(options, self.deadline, true).map(Box::new);
        }
        if let Some(request) = self.source.take_stop_request() {
            StopSchedule::merge(&mut self.stop, request, self.source.has_grace());
        }
        self.stop.as_ref()?.overdue(Instant::now()).map(Outcome::Clean)
    }
}

/// The teardown of a stream, in this order:
///
/// 1. Senders are told that the stream is not read any more. So a handler cannot wait for room
///    while it is dropped.
/// 2. The source is dropped, and with it the handler. Its panic is caught.
/// 3. The account is dropped after this function, and reports the end.
impl Drop for ActiveStream {
    fn drop(&mut self) {
        // Read before the source is gone.
        self.account.dropped = self.source.dropped();
        if self.account.has_outcome() {
            self.source.abandon();
        } else if let Some(outcome) = self.abandoned_outcome() {
            self.account.set_outcome(&outcome);
        }
        self.source = Source::Ended;
    }
}
