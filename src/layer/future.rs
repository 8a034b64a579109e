//! The response of one of the two.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, HeaderValue, Response, header::VARY};
use pin_project_lite::pin_project;

use super::body::SseBody;
use crate::{body::EventBody, shutdown::Shutdown};

pin_project! {
    /// The future of an [`SseService`](super::SseService)'s response.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<F, H> {
        #[pin]
        answer: Answer<F, H>,
        varies: bool,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = AnswerProjection]
    enum Answer<F, H> {
        Inner { #[pin] future: F },
        Events { #[pin] future: H, shutdown: Option<Shutdown> },
        Refused { response: Option<Box<Response<EventBody>>> },
    }
}

impl<F, H> ResponseFuture<F, H> {
    pub(super) fn inner(future: F, varies: bool) -> Self {
        Self { answer: Answer::Inner { future }, varies }
    }

    pub(super) fn events(future: H, shutdown: Option<Shutdown>, varies: bool) -> Self {
        Self { answer: Answer::Events { future, shutdown }, varies }
    }

    pub(super) fn refused(response: Response<EventBody>, varies: bool) -> Self {
        Self { answer: Answer::Refused { response: Some(Box::new(response)) }, varies }
    }
}

impl<F, H, B, E> Future for ResponseFuture<F, H>
where
    F: Future<Output = Result<Response<B>, E>>,
    H: Future<Output = Result<Response<EventBody>, Infallible>>,
{
    type Output = Result<Response<SseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match this.answer.project() {
            AnswerProjection::Inner { future } => ready!(future.poll(cx))?.map(SseBody::inner),
            AnswerProjection::Events { future, shutdown } => match ready!(future.poll(cx)) {
                Ok(response) => response.map(|body| {
                    SseBody::events(match shutdown {
                        Some(shutdown) => body.with_shutdown(shutdown),
                        None => body,
                    })
                }),
                Err(never) => match never {},
            },
            AnswerProjection::Refused { response } => {
                response.take().expect("not polled after it was ready").map(SseBody::events)
            }
        };
        if *this.varies {
            vary_by_accept(response.headers_mut());
        }
        Poll::Ready(Ok(response))
    }
}

/// Tells caches that the answer depends on `Accept`, unless it is told already.
fn vary_by_accept(headers: &mut HeaderMap) {
    let told =
        headers.get_all(VARY).iter().flat_map(|value| value.as_bytes().split(|&b| b == b','));
    let mut told = told.map(<[u8]>::trim_ascii);
    if !told.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept")) {
        headers.append(VARY, HeaderValue::from_static("accept"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vary_is_added_once() {
        for (before, after) in [
            (vec![], vec!["accept"]),
            (vec!["origin"], vec!["origin", "accept"]),
            (vec!["origin, Accept"], vec!["origin, Accept"]),
            (vec!["*"], vec!["*"]),
            (vec!["accept-encoding"], vec!["accept-encoding", "accept"]),
        ] {
            let values = before.into_iter().map(|value| (VARY, HeaderValue::from_static(value)));
            let mut headers = HeaderMap::new();
            values.for_each(|(name, value)| {
                headers.append(name, value);
            });
            vary_by_accept(&mut headers);
            assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), after);
        }
    }
}
