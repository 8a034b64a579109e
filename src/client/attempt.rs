//! A connection attempt: per-attempt headers, the request, and redirects.

use std::task::{Context, Poll, ready};

use http::{HeaderMap, Response, Uri, response};

use super::{
    redirect::{self, ReconnectTo, RedirectError},
    request::RequestTemplate,
    transport::{BoxFuture, Transport},
};
use crate::{BoxError, stream::BoxChunks, trace::AttemptSpan};

/// The steps of an attempt. A redirect leads back from `Call` to `Ready`.
enum Step {
    /// Waits for the header provider.
    Headers(BoxFuture<HeaderMap>),
    /// Waits until the service is ready.
    Ready,
    /// Waits for the response.
    Call(BoxFuture<Response<BoxChunks>>),
}

/// An attempt whose response head has not arrived yet.
pub(super) struct PendingAttempt {
    step: Step,
    /// The request that is sent next, with the headers of this attempt.
    request: RequestTemplate,
    /// The same request without the headers of this attempt. Later attempts may start from it.
    base_request: RequestTemplate,
    /// Whether each redirect so far was permanent.
    is_permanent: bool,
    reconnect_to: ReconnectTo,
    /// The request that later attempts start from, if a redirect changed it.
    next_request: Option<RequestTemplate>,
    pub(super) span: AttemptSpan,
}

/// Why an attempt got no response.
pub(super) enum AttemptError {
    /// The header provider failed.
    Headers(BoxError),
    /// The service failed, or failed to become ready.
    Connect(BoxError),
}

impl PendingAttempt {
    pub(super) fn new(
        request: RequestTemplate,
        headers: Option<BoxFuture<HeaderMap>>,
        reconnect_to: ReconnectTo,
        span: AttemptSpan,
    ) -> Self {
        Self {
            step: headers.map_or(Step::Ready, Step::Headers),
            base_request: request.clone(),
            request,
            is_permanent: true,
            reconnect_to,
            next_request: None,
            span,
        }
    }

    /// Returns the URL of the request that was sent last.
    pub(super) fn url(&self) -> &Uri {
        &self.request.head.uri
    }

    /// Polls for the response. After [`redirect`](Self::redirect) it is the one of the next
    /// request.
    pub(super) fn poll(
        &mut self,
        transport: &mut dyn Transport,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<BoxChunks>, AttemptError>> {
        let Self { step, request, span, .. } = self;
        span.enter(|| {
            loop {
                match step {
                    Step::Headers(headers) => {
                        let headers = ready!(headers.as_mut().poll(cx));
                        request.set_headers(headers.map_err(AttemptError::Headers)?);
                        *step = Step::Ready;
                    }
                    Step::Ready => {
                        ready!(transport.poll_ready(cx)).map_err(AttemptError::Connect)?;
                        *step = Step::Call(transport.call(request.to_http()));
                    }
                    Step::Call(response) => {
                        let response = ready!(response.as_mut().poll(cx));
                        let response = response.map_err(AttemptError::Connect)?;
                        span.responded(response.status().as_u16());
                        return Poll::Ready(Ok(response));
                    }
                }
            }
        })
    }

    /// Follows the redirect of a response: the next poll sends the new request. Returns whether it has
    /// another method: the server has taken the first request.
    pub(super) fn redirect(&mut self, head: &response::Parts) -> Result<bool, RedirectError> {
        let method = self.request.head.method.clone();
        let url = self.request.head.uri.clone();
        redirect::follow(&mut self.request, head)?;
        redirect::follow(&mut self.base_request, head)?;
        if !self.request.has_origin_of(&url) {
            // The headers of this attempt are for its origin only.
            self.request = self.base_request.clone();
        }
        self.is_permanent &= redirect::is_permanent(head.status);
        let is_remembered = match self.reconnect_to {
            ReconnectTo::Original => false,
            ReconnectTo::PermanentTarget => self.is_permanent,
            ReconnectTo::LastTarget => true,
        };
        if is_remembered {
            self.next_request = Some(self.base_request.clone());
        }
        self.step = Step::Ready;
        Ok(self.request.head.method != method)
    }

    /// Takes the request that later attempts start from, if a redirect changed it.
    pub(super) fn take_next_request(&mut self) -> Option<RequestTemplate> {
        self.next_request.take()
    }
}
