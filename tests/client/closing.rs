//! How a source ends.

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use tower_sse::{BoxError, EventSource, client::ReadyState};

use crate::support::mock::{Answer, Mock, body};

struct Unready<S> {
    service: S,
    panics: bool,
}

impl<S: tower::Service<R>, R> tower::Service<R> for Unready<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), S::Error>> {
        assert!(!self.panics, "on purpose");
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.service.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn close_ends_the_source_and_drops_the_connection_at_once() {
    let (alive, gone) = tokio::sync::oneshot::channel::<()>();
    let hold = futures_util::stream::once(async move {
        let _alive = alive;
        std::future::pending().await
    });
    let mock = Mock::new([Answer::Body(body(["data: x\n\n"], hold))]);
    let mut source = mock.source();
    assert_eq!(source.ready_state(), ReadyState::Connecting);
    source.next_event().await.unwrap().unwrap();
    assert_eq!(source.ready_state(), ReadyState::Open);
    // The source is polled once more, so that it waits for the body.
    assert!(futures_util::FutureExt::now_or_never(source.next_event()).is_none());
    source.close();
    assert!(gone.await.is_err(), "the body was dropped");
    assert_eq!(mock.copies(), 1, "the service was dropped");
    assert_eq!(source.ready_state(), ReadyState::Closed);
    for _ in 0..3 {
        assert!(source.next_event().await.is_none());
        assert!(source.next_update().await.is_none());
    }
}

/// A task that reads many sources may catch the panic and go on polling.
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_application_is_passed_on_once_and_ends_the_source() {
    for place in ["provider", "its future", "ready", "call", "future", "body"] {
        let panics = move |here| assert!(place != here, "on purpose");
        let open = move || {
            let body = futures_util::stream::poll_fn(move |_| {
                panics("body");
                std::task::Poll::Pending::<Option<std::io::Result<Frame<Bytes>>>>
            });
            let response = Response::builder().header("content-type", "text/event-stream");
            response.body(StreamBody::new(body)).map_err(BoxError::from)
        };
        let service = tower::service_fn(move |_: http::Request<Full<Bytes>>| {
            panics("call");
            async move {
                panics("future");
                open()
            }
        });
        let service = Unready { service, panics: place == "ready" };
        let mut source = EventSource::get(service, "/events").headers(move |_| {
            panics("provider");
            async move {
                panics("its future");
                Ok(HeaderMap::new())
            }
        });
        let polled = std::panic::AssertUnwindSafe(source.next_event()).catch_unwind().await;
        assert!(polled.is_err(), "{place}");
        assert_eq!(source.ready_state(), ReadyState::Closed);
        source.reconnect();
        for _ in 0..2 {
            assert!(source.next_event().await.is_none(), "{place}");
            assert!(source.next_update().await.is_none(), "{place}");
        }
    }
}
