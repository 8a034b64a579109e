//! The future of a handler's response.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, Method, Response, request};
use tokio::time::Instant;

use super::{
    acceptor::{Decision, MakeStream},
    commit::Committing,
    head::PendingHead,
    limits::{Blocked, FullLimit, Permits, count_refusal},
};
use crate::{
    body::{EventBody, EventStreamResponse},
    catch_panic::{CatchPanic, catch_panic},
    connect::{Accept, Connect, Refusal},
    timer::{LazyTimer, saturating_add},
};

const ON_CONNECT: &str = "on_connect";

/// How long a request waits for a place. A page that reloads opens its new stream a moment before the server has
/// noticed the end of the old one.
const PLACE_WAIT: Duration = Duration::from_millis(50);

/// The future of a handler's response. It is ready at its first poll unless `on_connect` waits for
/// something, a limit on streams is reached, or the head waits for the first event
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
    /// There is no place for the stream.
    Waiting(Box<Waiting<B, T>>),
    /// `on_connect` has not decided yet.
    Deciding(Deciding<B, T>),
    /// The stream has no event yet.
    Committing(Box<(HeaderMap, Committing)>),
    Done,
}

struct Waiting<B, T> {
    phase: Phase<T>,
    full: FullLimit,
    permits: Permits,
    stream: StreamParts<B, T>,
    /// How long the request waits.
    until: Instant,
    timer: LazyTimer,
}

/// A request before `on_connect`, or after it.
enum Phase<T> {
    Before(Connect),
    After(Accept<T>),
}

impl<T> Phase<T> {
    fn connect(&self) -> &Connect {
        match self {
            Self::Before(connect) => connect,
            Self::After(accept) => accept.connect(),
        }
    }
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
        match stream.handler.acceptor().begin(request, head) {
            Ok(connect) => stream.acquire(Phase::Before(connect), Permits::default(), head, None),
            Err(refusal) => Self::refused(refusal),
        }
    }
}

impl<B, T> ResponseState<B, T> {
    fn ready(response: Response<EventBody>) -> Self {
        Self::Ready(Box::new(response))
    }

    fn refused(refusal: Refusal) -> Self {
        Self::ready(refusal.into_http_response())
    }
}

impl<B, T: Default> StreamParts<B, T> {
    /// Takes the permits of the request, and goes on. If there is no place, it waits for one, until the given time
    /// if it has waited before.
    fn acquire(
        self,
        phase: Phase<T>,
        mut permits: Permits,
        head: &PendingHead,
        until: Option<Instant>,
    ) -> ResponseState<B, T> {
        match self.handler.acceptor().acquire(&mut permits, phase.connect()) {
            Ok(()) => match phase {
                Phase::Before(connect) => self.decide(connect, permits, head),
                Phase::After(accept) => self.begin(accept, permits, head),
            },
            Err(Blocked::Refused(refusal)) => ResponseState::refused(refusal),
            Err(Blocked::Full(full)) => ResponseState::Waiting(Box::new(Waiting {
                phase,
                full,
                permits,
                stream: self,
                until: until.unwrap_or_else(|| saturating_add(Instant::now(), PLACE_WAIT)),
                timer: LazyTimer::default(),
            })),
        }
    }

    /// Asks `on_connect`.
    fn decide(self, connect: Connect, permits: Permits, head: &PendingHead) -> ResponseState<B, T> {
        let Some(on_connect) = &self.handler.acceptor().on_connect else {
            return self.begin(connect.accept().with_target(T::default()), permits, head);
        };
        match head.span().enter(|| catch_panic(ON_CONNECT, || on_connect(connect))) {
            Ok(decision) => {
                let decision = CatchPanic::new(ON_CONNECT, decision);
                ResponseState::Deciding(Deciding { decision, permits, stream: self })
            }
            Err(panicked) => self.respond(Err(panicked.into()), permits, head),
        }
    }

    /// Goes on after the decision of `on_connect`.
    fn respond(
        self,
        decision: Decision<T>,
        permits: Permits,
        head: &PendingHead,
    ) -> ResponseState<B, T> {
        match decision {
            // The shutdown may have started meanwhile, and the hook may have added keys.
            Ok(accept) => self.acquire(Phase::After(accept), permits, head, None),
            Err(refusal) => {
                count_refusal(ON_CONNECT);
                ResponseState::refused(refusal)
            }
        }
    }

    /// Makes the stream of a request that was accepted.
    fn begin(self, accept: Accept<T>, permits: Permits, head: &PendingHead) -> ResponseState<B, T> {
        let Self { handler, body } = self;
        let (headers, admitted) = handler.acceptor().admit(accept, permits, head);
        // A HEAD request.
        let Some(admitted) = admitted else {
            return ResponseState::ready(with_headers(headers, EventBody::head()));
        };
        match (handler.make_stream(body, admitted), handler.acceptor().commit_within) {
            (Ok(stream), None) => ResponseState::ready(with_headers(headers, stream)),
            (Ok(stream), Some(within)) => {
                ResponseState::Committing(Box::new((headers, Committing::new(stream, within))))
            }
            (Err(refusal), _) => ResponseState::refused(refusal),
        }
    }
}

fn with_headers(headers: HeaderMap, stream: EventBody) -> Response<EventBody> {
    let mut response = Response::new(stream);
    *response.headers_mut() = headers;
    EventStreamResponse::mark(response.extensions_mut());
    response
}

impl<B, T: Default> Waiting<B, T> {
    /// Goes on with a place, or refuses the request after the wait.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        if self.full.poll(&mut self.permits, cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        // Without a runtime, there is no time to wait for.
        if self.timer.poll_at(self.until, cx).is_some_and(|polled| polled.is_pending()) {
            return Poll::Pending;
        }
        let acceptor = self.stream.handler.acceptor();
        Poll::Ready(Err(acceptor.refuse_full(self.phase.connect(), &self.full)))
    }
}

impl<B, T: Default> HandlerFuture<B, T> {
    /// Polls until there is a response, or a stream whose head waits.
    fn poll_decision(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let head = &self.head;
            self.state = match &mut self.state {
                ResponseState::Waiting(waiting) => {
                    let outcome = ready!(waiting.poll(cx));
                    match (mem::replace(&mut self.state, ResponseState::Done), outcome) {
                        (ResponseState::Waiting(waiting), Ok(())) => {
                            let Waiting { phase, permits, stream, until, .. } = *waiting;
                            stream.acquire(phase, permits, head, Some(until))
                        }
                        (_, Err(refusal)) => ResponseState::refused(refusal),
                        (other, Ok(())) => other,
                    }
                }
                ResponseState::Deciding(deciding) => {
                    let polled = head.span().enter(|| Pin::new(&mut deciding.decision).poll(cx));
                    let decision = ready!(polled).unwrap_or_else(|panicked| Err(panicked.into()));
                    match mem::replace(&mut self.state, ResponseState::Done) {
                        ResponseState::Deciding(Deciding { permits, stream, .. }) => {
                            stream.respond(decision, permits, head)
                        }
                        other => other,
                    }
                }
                _ => return Poll::Ready(()),
            };
        }
    }
}

impl<B, T: Default> Future for HandlerFuture<B, T> {
    type Output = Result<Response<EventBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        ready!(this.poll_decision(cx));
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
            ResponseState::Waiting(_) => "waiting",
            ResponseState::Deciding(_) => "deciding",
            ResponseState::Committing(_) => "committing",
            ResponseState::Done => "done",
        };
        f.debug_tuple("HandlerFuture").field(&format_args!("{state}")).finish()
    }
}
