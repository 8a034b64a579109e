//! The service around another one.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Request, Response, request};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_service::Service;

use super::{settings::GovernConfig, source::ForeignSource};
use crate::{
    BoxError,
    body::{EventBody, EventStreamResponse},
    layer::{
        body::SseBody,
        foreign::{copy_head, is_event_stream_head, prepare_headers},
    },
    stream::{body_chunks, content_encoding},
};

/// The service of an [`SseGovern`](super::SseGovern).
#[derive(Clone, Debug)]
pub struct SseGovernService<S> {
    inner: S,
    config: Arc<GovernConfig>,
}

impl<S> SseGovernService<S> {
    pub(super) fn new(inner: S, config: Arc<GovernConfig>) -> Self {
        Self { inner, config }
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for SseGovernService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<SseBody<ResBody>>;
    type Error = S::Error;
    type Future = SseGovernFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (parts, body) = request.into_parts();
        // The response to a HEAD request has no body.
        let needs_extensions = self.config.acceptor.needs_extensions();
        let kept =
            (parts.method != Method::HEAD).then(|| Box::new(copy_head(&parts, needs_extensions)));
        let future = self.inner.call(Request::from_parts(parts, body));
        SseGovernFuture {
            future,
            request: kept,
            begun: Instant::now(),
            config: self.config.clone(),
        }
    }
}

pin_project! {
    /// The response future of an [`SseGovernService`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct SseGovernFuture<F> {
        #[pin]
        future: F,
        // The request, without its body. `None` if the response has no body.
        request: Option<Box<request::Parts>>,
        begun: Instant,
        config: Arc<GovernConfig>,
    }
}

impl<F, B, E> Future for SseGovernFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<SseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.future.poll(cx))?;
        Poll::Ready(Ok(match this.request.take() {
            Some(request) if is_event_stream_head(response.headers()) => {
                govern(*request, *this.begun, response, this.config)
            }
            _ => response.map(SseBody::inner),
        }))
    }
}

fn govern<B>(
    request: request::Parts,
    begun: Instant,
    response: Response<B>,
    config: &GovernConfig,
) -> Response<SseBody<B>>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (options, accepted) = match config.acceptor.admit_foreign(request, None) {
        Ok(admitted) => admitted.into_stream(begun, None),
        // The response of the inner service is dropped, and its work with it.
        Err(refusal) => return refusal.into_http_response().map(SseBody::events),
    };
    let (mut head, body) = response.into_parts();
    let is_encoded = content_encoding(&head.headers).is_some();
    prepare_headers(&mut head.headers, is_encoded);
    let source = ForeignSource::new(body_chunks(body), is_encoded, config.event_timeout);
    EventStreamResponse::mark(&mut head.extensions);
    let body = EventBody::with_source(options, accepted, Box::new(source));
    Response::from_parts(head, SseBody::events(body))
}
