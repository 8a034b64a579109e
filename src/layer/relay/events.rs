//! The events of an upstream as a stream.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use super::{error::RelayError, upstream::Upstream};
use crate::{event::Event, stream::StepLimit};

/// The events of an upstream: see [`SseRelay::events`](crate::SseRelay::events). After an error there are no more.
#[must_use = "nothing is sent unless it is read"]
pub struct RelayEvents {
    upstream: Upstream,
}

impl RelayEvents {
    pub(super) fn new(upstream: Upstream) -> Self {
        Self { upstream }
    }

    /// Returns the next event, or `None` after the last one.
    ///
    /// # Errors
    ///
    /// Returns an error if the upstream gives no event stream, or does not complete it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. Call the method again.
    pub async fn next(&mut self) -> Option<Result<Event, RelayError>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, RelayError>>> {
        let mut steps = StepLimit::default();
        loop {
            ready!(steps.poll_step(cx));
            if let Some(event) = self.upstream.take_event() {
                return Poll::Ready(Some(Ok(event)));
            }
            match ready!(self.upstream.poll_passed(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for RelayEvents {
    type Item = Result<Event, RelayError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_event(cx)
    }
}

impl fmt::Debug for RelayEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayEvents").finish_non_exhaustive()
    }
}
