//! A stream as a shutdown sees it.

use std::{fmt, sync::Arc, task::Waker};

use super::stop::StopRequest;

/// The part of a stream that receives stop requests: its channel, or its
/// [`StopSlot`](super::StopSlot).
pub(crate) trait StopTarget: Send + Sync {
    /// Stores a request and returns the body's waker. The caller wakes it after it has made the
    /// request visible, without any lock.
    fn request_stop(&self, request: StopRequest) -> Option<Waker>;

    /// Drops a request that the body has not taken yet.
    fn cancel_stop(&self);
}

/// A handle with which a shutdown ends a stream. It does not keep the stream open.
#[derive(Clone)]
pub(crate) struct StreamHandle(Arc<dyn StopTarget>);

impl StreamHandle {
    pub(crate) fn new(target: Arc<impl StopTarget + 'static>) -> Self {
        Self(target)
    }

    /// See [`StopTarget::request_stop`].
    #[must_use]
    pub(crate) fn request_stop(&self, request: StopRequest) -> Option<Waker> {
        self.0.request_stop(request)
    }

    /// See [`StopTarget::cancel_stop`].
    pub(crate) fn cancel_stop(&self) {
        self.0.cancel_stop();
    }
}

impl fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamHandle")
    }
}
