//! The body of another service.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};

use super::boundary::BYTE_ORDER_MARK;
use crate::{
    BoxError,
    exclusive::Exclusive,
    stream::{Chunks, StepLimit},
};

/// The bytes of an event stream of another service.
pub(in crate::layer) struct ForeignBody<C: ?Sized> {
    chunks: Exclusive<Pin<Box<C>>>,
    start: Start,
}

/// Whether the first bytes have come.
enum Start {
    /// No.
    Waiting,
    /// No, and a block has gone out before them. A byte order mark may not follow, since it would not be at the
    /// start any more. These are its bytes that have come.
    Preceded(BytesMut),
    Begun,
}

impl<C: Chunks + ?Sized> ForeignBody<C> {
    pub(in crate::layer) fn new(chunks: Pin<Box<C>>) -> Self {
        Self { chunks: Exclusive::new(chunks), start: Start::Waiting }
    }

    /// Leaves out a byte order mark that has not come yet. Called when a block goes out.
    pub(in crate::layer) fn precede(&mut self) {
        if matches!(self.start, Start::Waiting) {
            self.start = Start::Preceded(BytesMut::new());
        }
    }

    /// Returns the next bytes, which are not empty, or `None` at the end.
    #[inline]
    pub(in crate::layer) fn poll_bytes(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>> {
        let mut steps = StepLimit::default();
        loop {
            ready!(steps.poll_step(cx));
            let chunk = match ready!(self.chunks.get_mut().as_mut().poll_chunk(cx)) {
                Some(Ok(chunk)) => chunk,
                end => return Poll::Ready(end),
            };
            if matches!(self.start, Start::Begun) && !chunk.is_empty() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            match self.without_mark(chunk) {
                Some(bytes) if !bytes.is_empty() => return Poll::Ready(Some(Ok(bytes))),
                _ => {}
            }
        }
    }

    /// Leaves out the byte order mark of a stream that does not start with it any more. `None` if more bytes
    /// are needed.
    fn without_mark(&mut self, bytes: Bytes) -> Option<Bytes> {
        let Start::Preceded(held) = &mut self.start else {
            if !bytes.is_empty() {
                self.start = Start::Begun;
            }
            return Some(bytes);
        };
        held.extend_from_slice(&bytes);
        if held.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(held) {
            return None;
        }
        let held = std::mem::take(held).freeze();
        self.start = Start::Begun;
        Some(if held.starts_with(BYTE_ORDER_MARK) {
            held.slice(BYTE_ORDER_MARK.len()..)
        } else {
            held
        })
    }
}
