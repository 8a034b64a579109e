//! A recorder for the hook `on_disconnect`.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower_sse::StreamEnd;

use super::http::soon;

/// The ends that a hook got.
pub(crate) struct Ends {
    sender: UnboundedSender<StreamEnd>,
    received: UnboundedReceiver<StreamEnd>,
}

impl Ends {
    pub(crate) fn new() -> Self {
        let (sender, received) = unbounded_channel();
        Self { sender, received }
    }

    pub(crate) fn hook(&self) -> impl Fn(StreamEnd) + Send + Sync + use<> + 'static {
        let sender = self.sender.clone();
        move |end| drop(sender.send(end))
    }

    /// Returns the only end that the hook got.
    #[track_caller]
    pub(crate) fn only(&mut self) -> StreamEnd {
        let end = self.received.try_recv().expect("the hook ran");
        self.none();
        end
    }

    /// Asserts that the hook got no other end.
    #[track_caller]
    pub(crate) fn none(&mut self) {
        assert!(self.received.try_recv().is_err(), "the hook ran");
    }

    /// Waits for the next end.
    pub(crate) async fn next(&mut self) -> StreamEnd {
        soon(self.received.recv()).await.expect("the hook to run")
    }
}
