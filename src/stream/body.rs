//! What events are read from: bodies, and streams of bytes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;

use crate::BoxError;

pin_project! {
    /// A body made of a stream of bytes, as [`EventStream::from_bytes`](super::EventStream::from_bytes)
    /// reads it.
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

/// Polls a body for its next data. A frame of something else is a chunk without bytes, so that who
/// counts chunks counts it.
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

/// A body of any type, as the chunks that it is made of.
pub(crate) type BoxChunks = Pin<Box<dyn Chunks + Send>>;

/// Hides the type of a body.
pub(crate) fn box_chunks<B>(body: B) -> BoxChunks
where
    B: Body<Error: Into<BoxError>> + Send + 'static,
{
    Box::pin(Erased { body })
}

/// What is left of a body when its type is hidden.
pub(crate) trait Chunks {
    /// Returns the next bytes.
    fn poll_chunk(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>>;
}

pin_project! {
    struct Erased<B> {
        #[pin]
        body: B,
    }
}

impl<B: Body<Error: Into<BoxError>>> Chunks for Erased<B> {
    fn poll_chunk(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>> {
        let chunk = ready!(poll_chunk(self.project().body, cx));
        Poll::Ready(chunk.map(|chunk| chunk.map_err(Into::into)))
    }
}
