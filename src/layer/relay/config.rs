//! The layer and its settings.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    error::RelayError,
    events::RelayEvents,
    service::{SseRelayFuture, SseRelayService},
    settings::{Commit, RelayConfig},
    upstream::{Upstream, UpstreamConfig, send},
};
use crate::{
    BoxError,
    admission::Acceptor,
    connect::Refusal,
    event::Event,
    layer::{body::SseBody, foreign::foreign_settings},
    shutdown::Farewell,
};

/// A layer that passes on the event streams of an upstream: another server, reached through a client. See the
/// [module docs](crate::layer::relay).
#[derive(Clone)]
#[must_use = "a relay does nothing unless it is called"]
pub struct SseRelay {
    config: Arc<RelayConfig>,
}

impl SseRelay {
    /// Creates a relay with the default settings.
    pub fn new() -> Self {
        let mut acceptor = Acceptor::new();
        acceptor.options_mut().greeting = false;
        Self { config: Arc::new(RelayConfig::new(acceptor)) }
    }

    /// Sets how long the head of a response waits for the head of the upstream's answer. If it comes in time, its
    /// status and headers are passed on. After that the response is a 200 and an event stream, which gets keep-alives
    /// while the upstream is silent. Zero commits at once.
    ///
    /// Defaults to 5 seconds for requests whose `Accept` asks for an event stream, such as those of a browser's
    /// `EventSource`. All other requests wait for the upstream. If it is set, it applies to every request but `HEAD`.
    ///
    /// Clients of language models do not ask for an event stream, so set it for their requests, but only for those to
    /// which the upstream answers with one: any other answer that comes later is
    /// [an error](RelayError::UnexpectedResponse).
    pub fn commit_within(self, within: Duration) -> Self {
        self.change(|config| config.commit = Some(Commit::Within(within)))
    }

    /// Lets the heads of all responses wait for the upstream.
    pub fn without_commit(self) -> Self {
        self.change(|config| config.commit = Some(Commit::Never))
    }

    /// Limits the time from [`send`](Self::send) to the first byte of an event stream; for an answer that is no event
    /// stream, to its head. Defaults to 5 minutes, and zero is no limit.
    pub fn first_byte_timeout(self, timeout: Duration) -> Self {
        self.change_upstream(|upstream| upstream.first_byte_timeout = no_limit_if_zero(timeout))
    }

    /// Limits how long an event stream may send nothing, neither an event nor a comment, after its first byte. Time
    /// in which the client does not read does not count. Defaults to 5 minutes, and zero is no limit.
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        self.change_upstream(|upstream| upstream.idle_timeout = no_limit_if_zero(timeout))
    }

    /// Sets the maximum size of an event, in bytes. Defaults to 16 MiB. An event that is not complete yet is held
    /// back, so this is what a stream may keep in memory; twice that with [`inspect`](Self::inspect) or
    /// [`until`](Self::until).
    pub fn max_event_bytes(self, bytes: usize) -> Self {
        self.change_upstream(|upstream| upstream.max_event_bytes = bytes)
    }

    /// Sets which event is the last one of a complete stream. It is passed on, and later events are not. A stream that
    /// ends without it [was cut short](RelayError::Incomplete). Without a rule, a stream is complete unless it ends
    /// inside an event. With several, the first event that matches one of them is the last. A last event whose empty
    /// line is missing counts as well.
    ///
    /// HTTP shows that a connection was lost. But many servers end the stream as usual after a failure, and then only
    /// the last event shows that it is complete.
    pub fn until(self, is_last: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Self {
        self.change_upstream(|upstream| upstream.is_last.push(Arc::new(is_last)))
    }

    /// Sets the data of the last event of a complete stream, for example `[DONE]`. White space around both does not
    /// count. See [`until`](Self::until).
    pub fn until_data(self, data: impl Into<String>) -> Self {
        let data = data.into();
        self.until(move |event| event.data().trim() == data.trim())
    }

    /// Sets the type of the last event of a complete stream, for example `message_stop`. See [`until`](Self::until).
    pub fn until_type(self, event_type: impl Into<String>) -> Self {
        let event_type = event_type.into();
        self.until(move |event| event.event_type() == event_type.as_str())
    }

    /// Sets a function that sees each event before it goes out, for example to count the tokens. By default events are
    /// not parsed. A second function is called after the first.
    ///
    /// It runs where the body is polled, so it must not block. Blocks without data are passed on unseen.
    /// [`on_disconnect`](Self::on_disconnect) says whether the stream was complete. Neither is called for an answer that
    /// is not an event stream, and the hook not if the client leaves before the head. For one request, set it on a clone
    /// of the relay, which is cheap:
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicU64, Ordering::Relaxed}};
    /// use tower_sse::SseRelay;
    ///
    /// # let relay = SseRelay::new();
    /// # let user = "ann".to_owned();
    /// let tokens = Arc::new(AtomicU64::new(0));
    /// let relay = relay
    ///     .clone()
    ///     .inspect({
    ///         let tokens = tokens.clone();
    ///         move |_| _ = tokens.fetch_add(1, Relaxed)
    ///     })
    ///     .on_disconnect(move |end| println!("{user}: {} tokens, {}", tokens.load(Relaxed), end.reason()));
    /// # let _ = relay;
    /// ```
    pub fn inspect(self, inspect: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.change_upstream(|upstream| upstream.inspect.push(Arc::new(inspect)))
    }

    /// Sets the event that is sent when the upstream fails after the response has begun. Then the body ends with an
    /// error. By default, and for `None`, there is no event. A browser's `EventSource` reconnects either way.
    ///
    /// Do not send the text of the error: it may contain internal addresses. It is logged anyway.
    pub fn error_event(
        self,
        event: impl Fn(&RelayError) -> Option<Event> + Send + Sync + 'static,
    ) -> Self {
        self.change(|config| config.error_event = Some(Arc::new(event)))
    }

    /// Sets the response to a failure before the response has begun. By default it is a 504 after
    /// [`FirstByteTimeout`](RelayError::FirstByteTimeout), and a 502 otherwise. A browser's `EventSource` does not
    /// reconnect after these, so by default it gets a 200 and a stream with only `retry`: see
    /// [`retry_after`](Self::retry_after). This function replaces that too; it can use [`Refusal::retry_later`].
    pub fn error_response(
        self,
        response: impl Fn(&RelayError) -> Refusal + Send + Sync + 'static,
    ) -> Self {
        self.change(|config| config.error_response = Some(Arc::new(response)))
    }

    /// Sets what a stream sends before it ends because of its lifetime. By default it sends nothing. At a
    /// shutdown the farewell of the [`Shutdown`](crate::Shutdown) is used instead, and its grace period applies:
    /// an upstream that ends within it completes its stream.
    pub fn farewell(mut self, farewell: Farewell) -> Self {
        self.acceptor_mut().options_mut().farewell = Some(farewell);
        self
    }

    /// Sends one request through a service, and passes on the answer. A failure is a response too.
    ///
    /// In axum, return the response. See the examples `relay` and `llm`.
    ///
    /// ```
    /// use http::{Request, Response};
    /// use tower_sse::SseRelay;
    /// # use http_body_util::Full;
    /// # use bytes::Bytes;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
    /// # let client = tower::service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, std::convert::Infallible>(
    /// #     Response::builder().header("content-type", "text/event-stream").body(Full::<Bytes>::from("data: hi\n\n")).unwrap()) });
    /// let request = Request::get("http://upstream.internal/events").body(Full::default())?;
    /// let response = SseRelay::new().send(client, request).await;
    /// assert_eq!(response.headers()["content-type"], "text/event-stream");
    /// # Ok(()) }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the request is given up.
    pub fn send<S, ReqBody, ResBody>(
        &self,
        service: S,
        request: Request<ReqBody>,
    ) -> impl Future<Output = Response<SseBody<ResBody>>> + Send + use<S, ReqBody, ResBody>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        ReqBody: Send + 'static,
        ResBody: Body<Data = Bytes> + Send + 'static,
        ResBody::Error: Into<BoxError>,
    {
        let response = SseRelayFuture::new(&self.config, service, request);
        async {
            let Ok(response) = response.await;
            response
        }
    }

    /// Sends one request through a service, and returns the events of the answer, for example for a
    /// [run](crate::hub::runs), which goes on if its client leaves.
    ///
    /// If a model may refuse with a status that the client should get, wait for the first event in a handler of your
    /// framework, and start the run with it.
    ///
    /// Of the settings these apply: the time limits, [`max_event_bytes`](Self::max_event_bytes), [`until`](Self::until)
    /// and [`inspect`](Self::inspect). The request is sent when the first event is asked for.
    ///
    /// ```
    /// # #[cfg(feature = "hub")] mod example {
    /// # use http::{Request, Response};
    /// # use http_body_util::Full;
    /// # use bytes::Bytes;
    /// use tower_sse::{SseRelay, hub::runs::{Run, Runs, StartRunError}};
    ///
    /// # type Client = tower::util::BoxCloneService<Request<Full<Bytes>>, Response<Full<Bytes>>, tower_sse::BoxError>;
    /// async fn ask(
    ///     runs: Runs,
    ///     client: Client,
    ///     request: Request<Full<Bytes>>,
    /// ) -> Result<Run, StartRunError> {
    ///     let relay = SseRelay::new().until_data("[DONE]");
    ///     let run = runs.start("ann", move |events, mut stop| async move {
    ///         let mut upstream = relay.events(client, request);
    ///         // At its end, and if the run is stopped, the request to the model is dropped.
    ///         while let Some(event) = tokio::select! {
    ///             event = upstream.next() => event,
    ///             () = stop.requested() => None,
    ///         } {
    ///             // The hub gives IDs of its own.
    ///             events.send(event?.without_id()).await?;
    ///         }
    ///         Ok(())
    ///     });
    ///     run.await
    /// }
    /// # }
    /// ```
    pub fn events<S, ReqBody, ResBody>(&self, service: S, request: Request<ReqBody>) -> RelayEvents
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        ReqBody: Send + 'static,
        ResBody: Body<Data = Bytes> + Send + 'static,
        ResBody::Error: Into<BoxError>,
    {
        let (mut head, body) = request.into_parts();
        super::headers::prepare_request(&mut head.headers, true);
        let request = Request::from_parts(head, body);
        RelayEvents::new(Upstream::collecting(send(service, request), &self.config.upstream))
    }

    fn change(mut self, change: impl FnOnce(&mut RelayConfig)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    fn change_upstream(self, change: impl FnOnce(&mut UpstreamConfig)) -> Self {
        self.change(|config| change(Arc::make_mut(&mut config.upstream)))
    }

    fn acceptor_mut(&mut self) -> &mut Acceptor<()> {
        &mut Arc::make_mut(&mut self.config).acceptor
    }
}

foreign_settings!(SseRelay);

fn no_limit_if_zero(timeout: Duration) -> Option<Duration> {
    Some(timeout).filter(|timeout| !timeout.is_zero())
}

impl Default for SseRelay {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for SseRelay {
    type Service = SseRelayService<S>;

    fn layer(&self, inner: S) -> SseRelayService<S> {
        SseRelayService::new(inner, self.config.clone())
    }
}

impl fmt::Debug for SseRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseRelay").field("config", &self.config).finish_non_exhaustive()
    }
}
