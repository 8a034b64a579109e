//! The response body of `SseService`: an event stream, or the body of the inner service.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{BoxError, body::EventBody};

pin_project! {
    /// The response body of an [`SseService`](super::SseService): an event stream, or the body of
    /// the inner service.
    #[derive(Debug)]
    pub struct SseBody<B> {
        #[pin]
        kind: SseBodyKind<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = SseBodyKindProjection]
    enum SseBodyKind<B> {
        Events { #[pin] body: EventBody },
        Inner { #[pin] body: B },
    }
}

impl<B> SseBody<B> {
    pub(super) fn events(body: EventBody) -> Self {
        Self { kind: SseBodyKind::Events { body } }
    }

    pub(super) fn inner(body: B) -> Self {
        Self { kind: SseBodyKind::Inner { body } }
    }
}

impl<B> Body for SseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            SseBodyKindProjection::Events { body } => body.poll_frame(cx).map_err(Into::into),
            SseBodyKindProjection::Inner { body } => body.poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            SseBodyKind::Events { body } => body.is_end_stream(),
            SseBodyKind::Inner { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            SseBodyKind::Events { body } => body.size_hint(),
            SseBodyKind::Inner { body } => body.size_hint(),
        }
    }
}

impl<B: Default> Default for SseBody<B> {
    fn default() -> Self {
        Self::inner(B::default())
    }
}
