//! The service that calls the handler or the inner service.

use std::{
    convert::Infallible,
    task::{Context, Poll, ready},
};

use http::{Method, Request, Response};
use tower_service::Service;

use super::{
    body::SseBody,
    future::ResponseFuture,
    route::{OriginalUri, RouteRule},
};
use crate::{
    admission::{default_retry_after, refuse_at_shutdown},
    body::EventBody,
    shutdown::Shutdown,
};

/// The service of an [`SseLayer`](super::SseLayer). See the [module docs](crate::layer).
#[derive(Clone, Debug)]
pub struct SseService<S, H> {
    inner: S,
    handler: H,
    rule: RouteRule,
    /// Ends the handler's streams, in place of the handler's own shutdown.
    shutdown: Option<Shutdown>,
}

impl<S, H> SseService<S, H> {
    pub(super) fn new(inner: S, handler: H, rule: RouteRule, shutdown: Option<Shutdown>) -> Self {
        Self { inner, handler, rule, shutdown }
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Drops the handler and returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, H, ReqBody, ResBody> Service<Request<ReqBody>> for SseService<S, H>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    H: Service<Request<ReqBody>, Response = Response<EventBody>, Error = Infallible>,
{
    type Response = Response<SseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, H::Future>;

    /// Returns ready when both the handler and the inner service are, because the request that
    /// comes next may go to either.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        match ready!(self.handler.poll_ready(cx)) {
            Ok(()) => self.inner.poll_ready(cx),
            Err(never) => match never {},
        }
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let routing = self.rule.route(&request);
        if !routing.to_handler {
            return ResponseFuture::inner(self.inner.call(request), routing.varies);
        }
        if let Some(mounted) = self.rule.path.mounted(request.uri()) {
            let original = std::mem::replace(request.uri_mut(), mounted);
            request.extensions_mut().insert(OriginalUri(original));
        }
        let shutdown = self.shutdown.as_ref();
        if let Some(shutdown) = shutdown.filter(|shutdown| shutdown.is_started()) {
            // A HEAD response has no body, so the client has nothing to reconnect to.
            if request.method() != Method::HEAD {
                let refusal =
                    refuse_at_shutdown(request.headers(), shutdown, default_retry_after());
                return ResponseFuture::refused(refusal.into_http_response(), routing.varies);
            }
        }
        ResponseFuture::events(self.handler.call(request), shutdown.cloned(), routing.varies)
    }
}
