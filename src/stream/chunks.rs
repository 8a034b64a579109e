//! The bytes of a body, chunk by chunk, and the step limit of the loop that reads them. The client
//! uses both too.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;

use crate::BoxError;

/// How many steps one poll takes at most before it yields to other tasks.
const MAX_STEPS_PER_POLL: usize = 32;

/// Limits the loop that reads a body until there is an event.
///
/// A body that is always ready, and completes no event, would keep its task busy. So each round of
/// the loop is a step, and after 32 of them the poll yields.
#[derive(Debug, Default)]
pub(crate) struct StepLimit {
    taken: usize,
}

impl StepLimit {
    /// Begins a step. Once the limit is reached, this wakes the task and is pending.
    #[inline]
    pub(crate) fn poll_step(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.taken == MAX_STEPS_PER_POLL {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.taken += 1;
        Poll::Ready(())
    }
}

/// Polls a body for its next chunk. A frame without data (trailers) is an empty chunk, so that the
/// loop that reads counts it as a step.
pub(super) fn poll_chunk<B: Body>(
    body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, B::Error>>> {
    let frame = ready!(body.poll_frame(cx));
    Poll::Ready(frame.map(|frame| {
        let data = frame?.into_data();
        Ok(data.map_or_else(|_| Bytes::new(), |mut data| data.copy_to_bytes(data.remaining())))
    }))
}

/// The chunks of a body of any type.
pub(crate) type BoxChunks = Pin<Box<dyn Chunks + Send>>;

/// Boxes a body and hides its type.
pub(crate) fn box_chunks<B>(body: B) -> BoxChunks
where
    B: Body<Error: Into<BoxError>> + Send + 'static,
{
    Box::pin(body_chunks(body))
}

/// Returns the chunks of a body whose type is known.
pub(crate) fn body_chunks<B: Body>(body: B) -> BodyChunks<B> {
    BodyChunks { body }
}

/// A body without the types of its data and its error.
pub trait Chunks {
    /// Polls for the next chunk. It may be empty; `None` is the end of the body.
    fn poll_chunk(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>>;
}

pin_project! {
    /// The chunks of a body.
    pub(crate) struct BodyChunks<B> {
        #[pin]
        body: B,
    }
}

impl<B: Body<Error: Into<BoxError>>> Chunks for BodyChunks<B> {
    fn poll_chunk(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>> {
        let chunk = ready!(poll_chunk(self.project().body, cx));
        Poll::Ready(chunk.map(|chunk| chunk.map_err(Into::into)))
    }
}

pin_project! {
    /// The body that [`EventStream::from_bytes`](super::EventStream::from_bytes) reads: a stream of
    /// bytes.
    #[derive(Debug)]
    pub struct ByteStream<S> {
        #[pin]
        stream: S,
    }
}

impl<S> ByteStream<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream }
    }
}

impl<S, T, E> Body for ByteStream<S>
where
    S: Stream<Item = Result<T, E>>,
    T: Into<Bytes>,
{
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        let item = ready!(self.project().stream.poll_next(cx));
        Poll::Ready(item.map(|bytes| bytes.map(|bytes| Frame::data(bytes.into()))))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::{Wake, Waker},
    };

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_poll_yields_after_its_steps_and_wakes_its_task() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let cx = Context::from_waker(&waker);
        for polls in 1..3 {
            let mut limit = StepLimit::default();
            let mut steps = 0;
            while limit.poll_step(&cx).is_ready() {
                steps += 1;
            }
            assert_eq!((steps, wakes.0.load(Relaxed)), (32, polls));
        }
    }
}
