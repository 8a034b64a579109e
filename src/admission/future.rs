//! The future of a handler's response.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, Method, Response, request};

use super::{
    acceptor::{Decision, MakeStream},
    commit::Committing,
    head::PendingHead,
    limits::{Permits, count_refusal},
};
use crate::{
    body::{EventBody, EventStreamResponse},
    catch_panic::{CatchPanic, catch_panic},
    connect::{Accept, Refusal},
};

const ON_CONNECT: &str = "on_connect";

/// The future of a handler's response. It is ready at its first poll unless `on_connect` waits for
/// something, or the head waits for the first event
/// ([`commit_within`](crate::EventChannelHandler::commit_within)).
///
/// `B` is the body of the request. `T` is the parameter of the [`Accept`] that `on_connect`
/// returns.
#[must_use = "futures do nothing unless awaited"]
pub struct HandlerFuture<B, T = ()> {
    state: ResponseState<B, T>,
    /// What is told of the response's head.
    head: PendingHead,
    /// The request was a `HEAD`, so the response has no body, accepted or refused.
    is_head: bool,
}

enum ResponseState<B, T> {
    Ready(Box<Response<EventBody>>),
    /// `on_connect` has not decided yet.
    Deciding(Deciding<B, T>),
    /// The stream has no event yet.
    Committing(Box<(HeaderMap, Committing)>),
    Done,
}

struct Deciding<B, T> {
    decision: CatchPanic<Decision<T>>,
    permits: Permits,
    stream: StreamParts<B, T>,
}

/// The parts that the stream is made from when the request is accepted.
struct StreamParts<B, T> {
    handler: Arc<dyn MakeStream<B, T>>,
    body: B,
}

impl<B, T: Default> HandlerFuture<B, T> {
    pub(crate) fn new(
        request: request::Parts,
        body: B,
        handler: Arc<dyn MakeStream<B, T>>,
    ) -> Self {
        let is_head = request.method == Method::HEAD;
        let stream = StreamParts { handler, body };
        let mut head = PendingHead::new(&request);
        let state = ResponseState::new(request, stream, &mut head);
        Self { state, head, is_head }
    }
}

impl<B, T: Default> ResponseState<B, T> {
    fn new(request: request::Parts, stream: StreamParts<B, T>, head: &mut PendingHead) -> Self {
        let acceptor = stream.handler.acceptor();
        let (connect, permits) = match acceptor.begin(request, head) {
            Ok(begun) => begun,
            Err(refusal) => return Self::ready(refusal.into_response()),
        };
        let Some(on_connect) = &acceptor.on_connect else {
            let accept = connect.accept().with_target(T::default());
            return stream.begin(accept, permits, head);
        };
        match head.span().enter(|| catch_panic(ON_CONNECT, || on_connect(connect))) {
            Ok(decision) => {
                let decision = CatchPanic::new(ON_CONNECT, decision);
                Self::Deciding(Deciding { decision, permits, stream })
            }
            Err(panicked) => stream.respond(Err(panicked.into()), permits, head),
        }
    }
}

impl<B, T> ResponseState<B, T> {
    fn ready(response: Response<EventBody>) -> Self {
        Self::Ready(Box::new(response))
    }
}

impl<B, T> StreamParts<B, T> {
    /// Goes on after the decision of `on_connect`.
    fn respond(
        self,
        decision: Decision<T>,
        permits: Permits,
        head: &PendingHead,
    ) -> ResponseState<B, T> {
        match decision {
            Ok(accept) => self.begin(accept, permits, head),
            Err(refusal) => {
                count_refusal(ON_CONNECT);
                ResponseState::ready(refusal.into_response())
            }
        }
    }

    /// Makes the stream of a request that was accepted.
    fn begin(self, accept: Accept<T>, permits: Permits, head: &PendingHead) -> ResponseState<B, T> {
        let Self { handler, body } = self;
        let refused = |refusal: Refusal| ResponseState::ready(refusal.into_response());
        let (headers, admitted) = match handler.acceptor().admit(accept, permits, head) {
            Ok(admitted) => admitted,
            Err(refusal) => return refused(refusal),
        };
        // A HEAD request.
        let Some(admitted) = admitted else {
            return ResponseState::ready(with_headers(headers, EventBody::head()));
        };
        match (handler.make_stream(body, admitted), handler.acceptor().commit_within) {
            (Ok(stream), None) => ResponseState::ready(with_headers(headers, stream)),
            (Ok(stream), Some(within)) => {
                ResponseState::Committing(Box::new((headers, Committing::new(stream, within))))
            }
            (Err(refusal), _) => refused(refusal),
        }
    }
}

fn with_headers(headers: HeaderMap, stream: EventBody) -> Response<EventBody> {
    let mut response = Response::new(stream);
    *response.headers_mut() = headers;
    EventStreamResponse::mark(response.extensions_mut());
    response
}

impl<B, T> Future for HandlerFuture<B, T> {
    type Output = Result<Response<EventBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let ResponseState::Deciding(deciding) = &mut this.state {
            let polled = this.head.span().enter(|| Pin::new(&mut deciding.decision).poll(cx));
            let decision = ready!(polled).unwrap_or_else(|panicked| Err(panicked.into()));
            if let ResponseState::Deciding(Deciding { permits, stream, .. }) =
                mem::replace(&mut this.state, ResponseState::Done)
            {
                this.state = stream.respond(decision, permits, &this.head);
            }
        }
        let response = match &mut this.state {
            ResponseState::Committing(committing) => {
                let (headers, committing) = &mut **committing;
                let committed = ready!(Pin::new(committing).poll(cx));
                let headers = mem::take(headers);
                this.state = ResponseState::Done;
                committed.map_or_else(|refused| refused, |it| with_headers(headers, it))
            }
            state => match mem::replace(state, ResponseState::Done) {
                ResponseState::Ready(response) => *response,
                _ => panic!("`HandlerFuture` polled after completion"),
            },
        };
        this.head.done(&response);
        Poll::Ready(Ok(if this.is_head { response.map(|_| EventBody::head()) } else { response }))
    }
}

/// No field is pinned: the hook's future is boxed, and the request's body is only moved.
impl<B, T> Unpin for HandlerFuture<B, T> {}

impl<B, T> fmt::Debug for HandlerFuture<B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            ResponseState::Ready(_) => "ready",
            ResponseState::Deciding(_) => "deciding",
            ResponseState::Committing(_) => "committing",
            ResponseState::Done => "done",
        };
        f.debug_tuple("HandlerFuture").field(&format_args!("{state}")).finish()
    }
}
