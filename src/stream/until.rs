//! A stream of events that ends at a sentinel.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::event::Event;

pin_project! {
    /// The stream that [`EventStreamExt::until_data`](super::EventStreamExt::until_data) returns.
    #[must_use = "a stream does nothing unless it is polled"]
    #[derive(Debug)]
    pub struct UntilData<S> {
        // `None` once the sentinel was read or the stream has ended. Dropping the stream closes its
        // connection.
        #[pin]
        stream: Option<S>,
        sentinel: String,
        // Whether the sentinel was read.
        reached: bool,
    }
}

impl<S> UntilData<S> {
    pub(super) fn new(stream: S, sentinel: String) -> Self {
        Self { stream: Some(stream), sentinel, reached: false }
    }

    /// Returns whether the sentinel was read. If the stream has ended and it was not, the stream
    /// was cut off.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.reached
    }
}

impl<S, E> Stream for UntilData<S>
where
    S: Stream<Item = Result<Event, E>>,
{
    type Item = Result<Event, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        let Some(stream) = this.stream.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        match ready!(stream.poll_next(cx)) {
            Some(Ok(event)) if event.data() == this.sentinel.as_str() => *this.reached = true,
            Some(item) => return Poll::Ready(Some(item)),
            None => {}
        }
        this.stream.set(None);
        Poll::Ready(None)
    }
}
