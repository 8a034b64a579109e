//! The response future of `SseService`.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{
    HeaderMap, HeaderValue, Response,
    header::{ACCEPT, VARY},
};
use pin_project_lite::pin_project;

use super::body::SseBody;
use crate::{body::EventBody, headers::split_unquoted, shutdown::Shutdown};

pin_project! {
    /// The response future of an [`SseService`](super::SseService).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<F, H> {
        #[pin]
        source: ResponseSource<F, H>,
        // The response depends on the request's `Accept`.
        varies: bool,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = ResponseSourceProjection]
    enum ResponseSource<F, H> {
        Inner { #[pin] future: F },
        Events { #[pin] future: H, shutdown: Option<Shutdown> },
        Refused { response: Option<Box<Response<EventBody>>> },
    }
}

impl<F, H> ResponseFuture<F, H> {
    pub(super) fn inner(future: F, varies: bool) -> Self {
        Self { source: ResponseSource::Inner { future }, varies }
    }

    pub(super) fn events(future: H, shutdown: Option<Shutdown>, varies: bool) -> Self {
        Self { source: ResponseSource::Events { future, shutdown }, varies }
    }

    pub(super) fn refused(response: Response<EventBody>, varies: bool) -> Self {
        Self { source: ResponseSource::Refused { response: Some(Box::new(response)) }, varies }
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
        let mut response = match this.source.project() {
            ResponseSourceProjection::Inner { future } => {
                ready!(future.poll(cx))?.map(SseBody::inner)
            }
            ResponseSourceProjection::Events { future, shutdown } => {
                match ready!(future.poll(cx)) {
                    Ok(response) => response.map(|body| {
                        SseBody::events(match shutdown {
                            Some(shutdown) => body.with_shutdown(shutdown),
                            None => body,
                        })
                    }),
                    Err(never) => match never {},
                }
            }
            ResponseSourceProjection::Refused { response } => response
                .take()
                .expect("`ResponseFuture` is not polled after completion")
                .map(SseBody::events),
        };
        if *this.varies {
            vary_by_accept(response.headers_mut());
        }
        Poll::Ready(Ok(response))
    }
}

/// Adds `Vary: Accept`, so that caches keep both responses apart, unless the header says it
/// already.
fn vary_by_accept(headers: &mut HeaderMap) {
    let accept = ACCEPT.as_str().as_bytes();
    let is_said = headers
        .get_all(VARY)
        .into_iter()
        .flat_map(|value| split_unquoted(value.as_bytes(), b','))
        .any(|name| name == b"*" || name.eq_ignore_ascii_case(accept));
    if !is_said {
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
