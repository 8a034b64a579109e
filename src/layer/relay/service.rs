//! The service of a relay, and the future of its responses.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::{
    error::RelayError,
    headers::{prepare_request, remove_hop_by_hop},
    settings::RelayConfig,
    source::RelaySource,
    upstream::{SentRequest, Upstream, boxed, is_stream_status, send},
};
use crate::{
    BoxError,
    admission::{AdmittedForeign, PendingHead, count_refusal},
    body::{AcceptedStream, BodyOptions, EventBody, EventStreamResponse},
    layer::{
        body::SseBody,
        foreign::{copy_head, is_event_stream_head, prepare_headers},
    },
    stream::{box_chunks, content_encoding},
    timer::{LazyTimer, saturating_add},
    trace,
};

/// The name of a failed relay in logs and metrics.
const UPSTREAM: &str = "upstream";

/// The service of an [`SseRelay`](super::SseRelay).
#[derive(Clone, Debug)]
pub struct SseRelayService<S> {
    inner: S,
    config: Arc<RelayConfig>,
}

impl<S> SseRelayService<S> {
    pub(super) fn new(inner: S, config: Arc<RelayConfig>) -> Self {
        Self { inner, config }
    }

    /// Returns a reference to the service that reaches the upstream.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the service that reaches the upstream.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the service that reaches the upstream.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for SseRelayService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    ReqBody: Send + 'static,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<SseBody<ResBody>>;
    type Error = Infallible;
    type Future = SseRelayFuture<ResBody>;

    /// Always returns ready. The future waits until the inner service is ready, so the time limits cover that wait.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        SseRelayFuture::new(&self.config, self.inner.clone(), request)
    }
}

/// The future of a relayed response. It never fails: a failure of the upstream is a response too.
#[must_use = "futures do nothing unless awaited"]
pub struct SseRelayFuture<B> {
    state: RelayState<B>,
}

enum RelayState<B> {
    Refused(Box<Response<EventBody>>),
    Sent(Box<SentRelay<B>>),
    Done,
}

/// A request that the upstream has not answered.
struct SentRelay<B> {
    response: SentRequest<B>,
    config: Arc<RelayConfig>,
    /// The headers of the request.
    headers: HeaderMap,
    /// `None` for a request whose response has no body.
    admitted: Option<AdmittedForeign>,
    head: PendingHead,
    /// When the head goes out in any case.
    commit_at: Option<Instant>,
    /// Until when the first byte has to come.
    first_byte_deadline: Option<Instant>,
    timer: LazyTimer,
}

impl<B> SseRelayFuture<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    pub(super) fn new<S, ReqBody>(
        config: &Arc<RelayConfig>,
        service: S,
        request: Request<ReqBody>,
    ) -> Self
    where
        S: Service<Request<ReqBody>, Response = Response<B>> + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        ReqBody: Send + 'static,
    {
        let (mut head, body) = request.into_parts();
        let mut pending = PendingHead::new(&head);
        let headers = head.headers.clone();
        let mut admitted = None;
        let mut commit_within = None;
        if head.method != Method::HEAD {
            let kept = copy_head(&head, config.acceptor.needs_extensions());
            match config.acceptor.admit_foreign(kept, Some(&mut pending)) {
                Ok(it) => admitted = Some(it),
                Err(refusal) => {
                    let response = refusal.into_http_response();
                    pending.end(response.status());
                    let state = RelayState::Refused(Box::new(response));
                    return Self { state };
                }
            }
            commit_within = config.commit_within(&headers);
        }
        prepare_request(&mut head.headers, commit_within.is_some());
        let sent = SentRelay {
            response: send(service, Request::from_parts(head, body)),
            config: config.clone(),
            headers,
            admitted,
            head: pending,
            commit_at: commit_within.map(|within| saturating_add(Instant::now(), within)),
            first_byte_deadline: config.upstream.first_byte_limit(),
            timer: LazyTimer::default(),
        };
        Self { state: RelayState::Sent(Box::new(sent)) }
    }
}

impl<B> Future for SseRelayFuture<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<SseBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let answer = match &mut this.state {
            RelayState::Sent(sent) => Some(ready!(sent.poll_answer(cx))),
            RelayState::Refused(_) | RelayState::Done => None,
        };
        let response = match (std::mem::replace(&mut this.state, RelayState::Done), answer) {
            (RelayState::Sent(sent), Some(answer)) => sent.respond(answer),
            (RelayState::Refused(response), _) => response.map(SseBody::events),
            _ => panic!("`SseRelayFuture` polled after completion"),
        };
        Poll::Ready(Ok(response))
    }
}

/// How a wait for the upstream has ended.
enum Answer<B> {
    Response(Response<B>),
    /// The head of the response cannot wait any longer.
    Late,
    Failed(RelayError),
}

impl<B> SentRelay<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Answer<B>> {
        match Pin::new(&mut self.response).poll(cx) {
            Poll::Ready(Ok(Ok(response))) => return Poll::Ready(Answer::Response(response)),
            Poll::Ready(Ok(Err(error))) => {
                return Poll::Ready(Answer::Failed(RelayError::Service(error)));
            }
            Poll::Ready(Err(panicked)) => {
                return Poll::Ready(Answer::Failed(RelayError::Service(panicked.into())));
            }
            Poll::Pending => {}
        }
        let first = self.first_byte_deadline.into_iter().chain(self.commit_at).min();
        // Without a runtime, there is no time to wait for.
        match first.and_then(|first| self.timer.poll_at(first, cx)) {
            Some(Poll::Ready(())) if first == self.first_byte_deadline => {
                Poll::Ready(Answer::Failed(RelayError::FirstByteTimeout))
            }
            Some(Poll::Ready(())) => Poll::Ready(Answer::Late),
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }

    /// Makes the response, and ends the span of its head.
    fn respond(self: Box<Self>, answer: Answer<B>) -> Response<SseBody<B>> {
        let Self { response, config, headers, admitted, mut head, first_byte_deadline, .. } = *self;
        let response = match (answer, admitted) {
            (Answer::Failed(error), _) => fail(&config, &headers, &error),
            (Answer::Response(response), admitted) => {
                let (mut parts, body) = response.into_parts();
                remove_hop_by_hop(&mut parts.headers);
                let is_stream = is_stream_status(parts.status)
                    && is_event_stream_head(&parts.headers)
                    && content_encoding(&parts.headers).is_none();
                match admitted.filter(|_| is_stream) {
                    None => Response::from_parts(parts, SseBody::inner(body)),
                    Some(admitted) => {
                        prepare_headers(&mut parts.headers, false);
                        EventStreamResponse::mark(&mut parts.extensions);
                        let chunks = box_chunks(body);
                        let upstream =
                            Upstream::open(chunks, &config.upstream, first_byte_deadline);
                        let stream = admitted.into_stream(head.begun(), Some(&head));
                        let body = relayed(upstream, config, stream);
                        Response::from_parts(parts, SseBody::events(body))
                    }
                }
            }
            (Answer::Late, Some(admitted)) => {
                let response = boxed(response);
                let upstream = Upstream::waiting(response, &config.upstream, first_byte_deadline);
                let mut stream = admitted.into_stream(head.begun(), Some(&head));
                if stream.0.keep_alive.is_some() {
                    // The client, and proxies, see at once that there is a stream.
                    Arc::make_mut(&mut stream.0).greeting = true;
                }
                relayed(upstream, config, stream).into_http_response().map(SseBody::events)
            }
            // Only requests that were admitted are committed.
            (Answer::Late, None) => Response::new(SseBody::events(EventBody::default())),
        };
        head.end(response.status());
        response
    }
}

fn relayed(
    upstream: Upstream,
    config: Arc<RelayConfig>,
    (options, accepted): (Arc<BodyOptions>, AcceptedStream),
) -> EventBody {
    let source = RelaySource::new(upstream, config);
    EventBody::with_source(options, accepted, Box::new(source))
}

/// Answers that the upstream has failed.
fn fail<B>(config: &RelayConfig, headers: &HeaderMap, error: &RelayError) -> Response<SseBody<B>> {
    trace::relay_failed(error);
    let refusal = match config.error_response(error) {
        Some(refusal) => {
            count_refusal(UPSTREAM);
            refusal
        }
        None => {
            let status = match error {
                RelayError::FirstByteTimeout => StatusCode::GATEWAY_TIMEOUT,
                _ => StatusCode::BAD_GATEWAY,
            };
            config.acceptor.refuse_for_now(headers, status, UPSTREAM)
        }
    };
    refusal.into_http_response().map(SseBody::events)
}

impl<B> fmt::Debug for SseRelayFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseRelayFuture").finish_non_exhaustive()
    }
}
