//! One attempt: the headers of the moment, the request, and the redirects that it is led along.

use std::task::{Context, Poll, ready};

use http::{HeaderMap, Response, response};

use super::{
    redirect::{self, RedirectError},
    request::Request,
    source::ReconnectTo,
    transport::{BoxFuture, Transport},
};
use crate::{BoxError, stream::BoxChunks};

/// How far an attempt is.
enum Step {
    /// The header provider is asked.
    Headers(BoxFuture<HeaderMap>),
    /// The service is to be ready.
    Ready,
    /// The service is called.
    Call(BoxFuture<Response<BoxChunks>>),
}

/// An attempt, until its response head is there.
pub(super) struct Attempt {
    step: Step,
    request: Request,
    /// The same without the headers that are of this attempt alone.
    lasting: Request,
    /// How many redirects were followed.
    pub(super) redirects: u32,
    /// Whether all of them were permanent ones.
    permanent: bool,
    reconnect_to: ReconnectTo,
    /// What the next attempt begins with, if it is something else than this one did.
    next: Option<Request>,
}

/// What an attempt failed at.
pub(super) enum Failed {
    Headers(BoxError),
    Connect(BoxError),
}

impl Attempt {
    pub(super) fn new(
        request: Request,
        headers: Option<BoxFuture<HeaderMap>>,
        reconnect_to: ReconnectTo,
    ) -> Self {
        let step = headers.map_or(Step::Ready, Step::Headers);
        let lasting = request.clone();
        Self { step, request, lasting, redirects: 0, permanent: true, reconnect_to, next: None }
    }

    /// Polls for the response, of the last request if there were redirects.
    pub(super) fn poll(
        &mut self,
        transport: &mut dyn Transport,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<BoxChunks>, Failed>> {
        loop {
            match &mut self.step {
                Step::Headers(headers) => {
                    let headers = ready!(headers.as_mut().poll(cx)).map_err(Failed::Headers)?;
                    self.request.set_headers(headers);
                    self.step = Step::Ready;
                }
                Step::Ready => {
                    ready!(transport.poll_ready(cx)).map_err(Failed::Connect)?;
                    self.step = Step::Call(transport.call(self.request.to_http()));
                }
                Step::Call(response) => return response.as_mut().poll(cx).map_err(Failed::Connect),
            }
        }
    }

    /// Goes where a response points to.
    pub(super) fn redirect(&mut self, head: &response::Parts) -> Result<(), RedirectError> {
        redirect::follow(&mut self.request, head)?;
        redirect::follow(&mut self.lasting, head)?;
        self.redirects += 1;
        self.permanent &= redirect::is_permanent(head.status);
        let remembered = match self.reconnect_to {
            ReconnectTo::Original => false,
            ReconnectTo::PermanentTarget => self.permanent,
            ReconnectTo::LastTarget => true,
        };
        if remembered {
            self.next = Some(self.lasting.clone());
        }
        self.step = Step::Ready;
        Ok(())
    }

    /// What the next attempt begins with, if this one was led elsewhere for longer.
    pub(super) fn take_next(&mut self) -> Option<Request> {
        self.next.take()
    }
}
