//! The inner service and the handler, side by side.

use std::{
    convert::Infallible,
    task::{Context, Poll, ready},
};

use http::{Method, Request, Response};
use tower_service::Service;

use super::{body::SseBody, future::ResponseFuture, layer::Rule, path::OriginalUri};
use crate::{
    admission::{default_away, refuse_at_shutdown},
    body::EventBody,
    shutdown::Shutdown,
};

/// The service of an [`SseLayer`](super::SseLayer). See the [module docs](crate::layer).
#[derive(Clone, Debug)]
pub struct SseService<S, H> {
    inner: S,
    handler: H,
    rule: Rule,
    shutdown: Option<Shutdown>,
}

impl<S, H> SseService<S, H> {
    pub(super) fn new(inner: S, handler: H, rule: Rule, shutdown: Option<Shutdown>) -> Self {
        Self { inner, handler, rule, shutdown }
    }

    /// Returns the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service, and drops the handler.
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

    /// Is ready when both are, since it is not known yet which of them the request is for.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        match ready!(self.handler.poll_ready(cx)) {
            Ok(()) => self.inner.poll_ready(cx),
            Err(never) => match never {},
        }
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let verdict = self.rule.judge(&request);
        if !verdict.events {
            return ResponseFuture::inner(self.inner.call(request), verdict.varies);
        }
        if let Some(mounted) = self.rule.route.mounted(request.uri()) {
            let original = std::mem::replace(request.uri_mut(), mounted);
            request.extensions_mut().insert(OriginalUri(original));
        }
        let shutdown = self.shutdown.as_ref();
        if let Some(shutdown) = shutdown.filter(|shutdown| shutdown.is_started()) {
            // What has no body has nothing to come back for.
            if request.method() != Method::HEAD {
                let refusal = refuse_at_shutdown(request.headers(), shutdown, default_away());
                return ResponseFuture::refused(refusal.into_response(), verdict.varies);
            }
        }
        ResponseFuture::events(self.handler.call(request), shutdown.cloned(), verdict.varies)
    }
}
