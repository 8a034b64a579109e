//! What a hook was told.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower_sse::StreamEnd;

use super::http::soon;

/// The ends that a hook was told.
pub(crate) struct Ends {
    sender: UnboundedSender<StreamEnd>,
    told: UnboundedReceiver<StreamEnd>,
}

impl Ends {
    pub(crate) fn new() -> Self {
        let (sender, told) = unbounded_channel();
        Self { sender, told }
    }

    pub(crate) fn hook(&self) -> impl Fn(StreamEnd) + Send + Sync + use<> + 'static {
        let sender = self.sender.clone();
        move |end| drop(sender.send(end))
    }

    /// Returns the one end that was told.
    #[track_caller]
    pub(crate) fn only(&mut self) -> StreamEnd {
        let end = self.told.try_recv().expect("the hook was told");
        self.none();
        end
    }

    /// Checks that the hook was told nothing more.
    #[track_caller]
    pub(crate) fn none(&mut self) {
        assert!(self.told.try_recv().is_err(), "the hook was told");
    }

    /// Waits for the next end.
    pub(crate) async fn next(&mut self) -> StreamEnd {
        soon(self.told.recv()).await.expect("a hook to be told")
    }
}
