//! A handler that runs in a task of its own.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
};

use tokio::{runtime::Handle, task::AbortHandle};

use super::handler::{Handler, error_of, log_late_error};
use crate::{
    BoxError,
    channel::{EventReceiver, EventSender},
    trace::Span,
};

/// A handler that runs in a task, and the channel that it sends to.
#[derive(Debug)]
pub(in crate::body) struct Task {
    /// The channel that the handler sends to.
    pub(super) receiver: EventReceiver,
    /// Aborts the task when the body is dropped.
    _task: AbortOnDrop,
}

impl Handler {
    /// Moves the handler to a task. Without a runtime the stream fails, and the channel is
    /// returned.
    pub(super) fn spawn_task(self, span: &Span) -> Result<Task, EventReceiver> {
        let (receiver, mut future) = self.into_parts();
        let Ok(runtime) = Handle::try_current() else {
            let error =
                "spawn_handler needs a tokio runtime, and the body is polled outside of one";
            receiver.fail(Arc::from(BoxError::from(error)));
            return Err(receiver);
        };
        let open = OpenUntilReturned { events: receiver.sender(), returned: false };
        let span = span.clone();
        let task = runtime.spawn(async move {
            let result = poll_fn(|cx| span.enter(|| Pin::new(&mut future).poll(cx))).await;
            if let Some(error) = error_of(result) {
                log_late_error(open.events.fail_unless_ended(error));
            }
            open.returned();
        });
        Ok(Task { receiver, _task: AbortOnDrop(task.abort_handle()) })
    }
}

/// Keeps the stream open until the handler has returned, even if it has dropped its own sender.
/// Fails the stream if the handler never returns because its runtime has shut down.
struct OpenUntilReturned {
    events: EventSender,
    returned: bool,
}

impl OpenUntilReturned {
    fn returned(mut self) {
        self.returned = true;
    }
}

impl Drop for OpenUntilReturned {
    fn drop(&mut self) {
        if !self.returned {
            self.events.fail("the handler's task was cancelled");
        }
    }
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
