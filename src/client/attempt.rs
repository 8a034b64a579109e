//! A connection attempt: per-attempt headers, the request, and redirects.

use std::task::{Context, Poll, ready};

use http::{HeaderMap, Response, response};

use super::{
    redirect::{self, ReconnectTo, RedirectError},
    request::RequestTemplate,
    transport::{BoxFuture, Transport},
};
use crate::{BoxError, stream::BoxChunks};

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
    ) -> Self {
        Self {
            step: headers.map_or(Step::Ready, Step::Headers),
            base_request: request.clone(),
            request,
            is_permanent: true,
            reconnect_to,
            next_request: None,
        }
    }

    /// Polls for the response. After [`redirect`](Self::redirect) it is the one of the next
    /// request.
    pub(super) fn poll(
        &mut self,
        transport: &mut dyn Transport,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<BoxChunks>, AttemptError>> {
        loop {
            match &mut self.step {
                Step::Headers(headers) => {
                    let headers = ready!(headers.as_mut().poll(cx));
                    self.request.set_headers(headers.map_err(AttemptError::Headers)?);
                    self.step = Step::Ready;
                }
                Step::Ready => {
                    ready!(transport.poll_ready(cx)).map_err(AttemptError::Connect)?;
                    self.step = Step::Call(transport.call(self.request.to_http()));
                }
                Step::Call(response) => {
                    return response.as_mut().poll(cx).map_err(AttemptError::Connect);
                }
            }
        }
    }

    /// Follows the redirect of a response: the next poll sends the new request.
    pub(super) fn redirect(&mut self, head: &response::Parts) -> Result<(), RedirectError> {
        redirect::follow(&mut self.request, head)?;
        redirect::follow(&mut self.base_request, head)?;
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
        Ok(())
    }

    /// Takes the request that later attempts start from, if a redirect changed it.
    pub(super) fn take_next_request(&mut self) -> Option<RequestTemplate> {
        self.next_request.take()
    }
}
