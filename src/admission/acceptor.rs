//! The steps of a request before its stream: last event ID, limits, `on_connect`.

use std::{fmt, future::Future, hash::Hash, pin::Pin, sync::Arc, time::Duration};

use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, header::ALLOW, request};

use tokio::time::Instant;

use super::{
    head::PendingHead,
    limits::{Blocked, FullLimit, Permits, StreamLimits, count_refusal},
};
use crate::{
    body::{AcceptedStream, BodyOptions, EventBody, Route},
    catch_panic::catch_and_log,
    connect::{
        Accept, AcceptParts, Connect, InvalidLastEventId, LastEventId, Refusal, ResponseHead,
    },
    delay_range::DelayRange,
    metrics,
    trace::Span,
};

/// The `on_connect` hook, limits and settings of a handler.
///
/// `T` is the target of its [`Accept`]s: what the streams consist of.
pub(crate) struct Acceptor<T> {
    /// Without a hook, each request is accepted with the default target.
    pub(super) on_connect: Option<Arc<OnConnect<T>>>,
    /// Shared with the streams. A setting copies them if they are shared.
    options: Arc<BodyOptions>,
    limits: StreamLimits,
    last_event_id_from_query: bool,
    /// How long the head of a response waits for the first event. Never zero.
    pub(super) commit_within: Option<Duration>,
    /// The methods of the requests that may become streams.
    methods: Arc<[Method]>,
    /// The label of the metrics of the stream of a request, in place of that of the settings.
    route_of: Option<Arc<RouteOf>>,
}

type RouteOf = dyn Fn(&Connect) -> Option<Route> + Send + Sync;

pub(super) type Decision<T> = Result<Accept<T>, Refusal>;
type BoxDecision<T> = Pin<Box<dyn Future<Output = Decision<T>> + Send>>;
type OnConnect<T> = dyn Fn(Connect) -> BoxDecision<T> + Send + Sync;

/// A handler: it makes the streams of the requests that its acceptor admits.
///
/// `B` is the body of the requests, `T` the target of an [`Accept`].
pub(crate) trait MakeStream<B, T>: Send + Sync {
    fn acceptor(&self) -> &Acceptor<T>;

    /// Makes the stream, or refuses the request after all.
    fn make_stream(&self, body: B, admitted: Admitted<T>) -> Result<EventBody, Refusal>;
}

/// A request that was accepted and is within the limits, and the parts of its stream.
pub(crate) struct Admitted<T> {
    /// Its extensions contain the last event ID, for the handler.
    pub(crate) request: request::Parts,
    /// The last event ID that the client sent. It is not read back from the extensions, because the
    /// application may have put another one there.
    #[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "only a hub resumes by itself"))]
    pub(crate) last_event_id: Option<LastEventId>,
    pub(crate) head: ResponseHead,
    pub(crate) accepted: AcceptedStream,
    pub(crate) options: Arc<BodyOptions>,
    pub(crate) target: T,
}

/// A request that another service answers, and that is within the limits.
pub(crate) struct AdmittedForeign {
    connect: Connect,
    permits: Permits,
    options: Arc<BodyOptions>,
    route: Option<Route>,
}

impl AdmittedForeign {
    /// Returns the settings of the stream and the facts about it. The head of its response goes out now.
    pub(crate) fn into_stream(
        self,
        begun: Instant,
        head: Option<&PendingHead>,
    ) -> (Arc<BodyOptions>, AcceptedStream) {
        let AcceptParts { request, last_event_id, .. } = self.connect.accept().into_parts();
        metrics::head_done(self.route.as_ref(), begun);
        let span = Span::of_request(
            &request,
            last_event_id.as_ref().map(LastEventId::as_str),
            self.route.as_deref(),
            head.map(PendingHead::span),
        );
        let accepted = AcceptedStream {
            span,
            extensions: match self.options.on_disconnect {
                Some(_) => request.extensions,
                None => Extensions::new(),
            },
            deadline: None,
            permits: self.permits.into_guard(),
            route: self.route,
            begun,
        };
        (self.options, accepted)
    }
}

impl<T: 'static> Acceptor<T> {
    pub(crate) fn new() -> Self {
        Self {
            on_connect: None,
            options: Arc::new(BodyOptions::new()),
            limits: StreamLimits::new(),
            last_event_id_from_query: true,
            commit_within: None,
            methods: [Method::GET, Method::HEAD, Method::POST].into(),
            route_of: None,
        }
    }

    pub(crate) fn set_on_connect<F, Fut>(&mut self, on_connect: F)
    where
        F: Fn(Connect) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Decision<T>> + Send + 'static,
    {
        self.on_connect = Some(Arc::new(move |connect| Box::pin(on_connect(connect))));
    }
}

impl<T> Acceptor<T> {
    pub(crate) fn set_last_event_id_from_query(&mut self, from_query: bool) {
        self.last_event_id_from_query = from_query;
    }

    pub(crate) fn set_max_streams(&mut self, max: usize) {
        self.limits.set_max_streams(max);
    }

    pub(crate) fn add_max_streams_per<F, K>(&mut self, key: F, max: usize)
    where
        F: Fn(&Connect) -> Option<K> + Send + Sync + 'static,
        K: Hash + Eq + Clone + Send + Sync + 'static,
    {
        self.limits.add_max_streams_per(key, max);
    }

    pub(crate) fn set_retry_after(&mut self, delay: DelayRange) {
        self.limits.set_retry_after(delay);
    }

    /// Refuses a request that may succeed later, as the limits on streams do. `by` names the cause.
    pub(crate) fn refuse_for_now(
        &self,
        headers: &HeaderMap,
        status: StatusCode,
        by: &'static str,
    ) -> Refusal {
        self.limits.refuse_for_now(headers, status, by)
    }

    pub(crate) fn set_methods(&mut self, methods: impl IntoIterator<Item = Method>) {
        self.methods = methods.into_iter().collect();
    }

    /// Refuses a request with another method.
    fn check_method(&self, method: &Method) -> Result<(), Refusal> {
        if self.methods.contains(method) {
            return Ok(());
        }
        count_refusal("method");
        let allowed: Vec<_> = self.methods.iter().map(Method::as_str).collect();
        let allowed = HeaderValue::try_from(allowed.join(", "))?;
        Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED).header(ALLOW, allowed))
    }

    pub(crate) fn set_route_of(
        &mut self,
        route_of: impl Fn(&Connect) -> Option<Route> + Send + Sync + 'static,
    ) {
        self.route_of = Some(Arc::new(route_of));
    }

    /// Returns the label of the metrics of a request's stream.
    fn route(&self, connect: &Connect) -> Option<Route> {
        let mut route = None;
        if let Some(route_of) = &self.route_of {
            catch_and_log("route_of", || route = route_of(connect));
        }
        route.or_else(|| self.options.route.clone())
    }

    pub(crate) fn set_commit_within(&mut self, within: Duration) {
        self.commit_within = Some(within).filter(|within| !within.is_zero());
    }

    pub(crate) fn options_mut(&mut self) -> &mut BodyOptions {
        Arc::make_mut(&mut self.options)
    }

    /// Prepares a request for `on_connect`: checks the method, and reads the last event ID.
    pub(super) fn begin(
        &self,
        request: request::Parts,
        head: &mut PendingHead,
    ) -> Result<Connect, Refusal> {
        self.check_method(&request.method)?;
        let last_event_id = self.read_last_event_id(&request).map_err(|error| {
            count_refusal("last_event_id");
            Refusal::bad_request(error)
        })?;
        let connect = Connect::new(request, last_event_id);
        head.set_route(self.route(&connect), connect.last_event_id());
        Ok(connect)
    }

    /// Takes the permits that a request does not have yet. Keys may be known only after `on_connect`, so this is
    /// called before it and after it. A `HEAD` request needs none, because no stream follows.
    pub(super) fn acquire(&self, permits: &mut Permits, connect: &Connect) -> Result<(), Blocked> {
        match connect.method() == Method::HEAD {
            true => Ok(()),
            false => self.limits.acquire(permits, connect, self.options.shutdown.as_ref()),
        }
    }

    /// Refuses a request for which there is no place.
    pub(super) fn refuse_full(&self, connect: &Connect, full: &FullLimit) -> Refusal {
        self.limits.refuse_full(connect.headers(), full)
    }

    /// Returns whether the streams need the extensions of their requests.
    pub(crate) fn needs_extensions(&self) -> bool {
        self.options.on_disconnect.is_some() || self.limits.has_keys() || self.route_of.is_some()
    }

    /// Admits a request that another service answers with a stream: takes the permits. The last event ID is the
    /// business of that service, so an invalid one is no reason to refuse.
    pub(crate) fn admit_foreign(
        &self,
        request: request::Parts,
        head: Option<&mut PendingHead>,
    ) -> Result<AdmittedForeign, Refusal> {
        let last_event_id = self.read_last_event_id(&request).unwrap_or_default();
        let connect = Connect::new(request, last_event_id);
        let route = self.route(&connect);
        if let Some(head) = head {
            head.set_route(route.clone(), connect.last_event_id());
        }
        let mut permits = Permits::default();
        self.acquire(&mut permits, &connect).map_err(|blocked| match blocked {
            Blocked::Refused(refusal) => refusal,
            Blocked::Full(full) => self.refuse_full(&connect, &full),
        })?;
        Ok(AdmittedForeign { connect, permits, options: self.options.clone(), route })
    }

    fn read_last_event_id(
        &self,
        request: &request::Parts,
    ) -> Result<Option<LastEventId>, InvalidLastEventId> {
        match LastEventId::from_headers(&request.headers)? {
            None if self.last_event_id_from_query => LastEventId::from_query(&request.uri),
            last_event_id => Ok(last_event_id),
        }
    }

    /// Completes a request that was accepted for the handler.
    ///
    /// Returns the headers of the response, and the admitted request unless it is a `HEAD`.
    pub(super) fn admit(
        &self,
        accept: Accept<T>,
        permits: Permits,
        head: &PendingHead,
    ) -> (HeaderMap, Option<Admitted<T>>) {
        let is_head = accept.connect().method() == Method::HEAD;
        let AcceptParts { mut request, last_event_id, head: response_head, deadline, target } =
            accept.into_parts();
        let headers = HeaderMap::clone(response_head.headers());
        if is_head {
            return (headers, None);
        }
        // It is put there after `on_connect`, which can no longer remove it.
        if let Some(last_event_id) = &last_event_id {
            request.extensions.insert(last_event_id.clone());
        }
        let session = if self.options.on_disconnect.is_some() {
            request.extensions.clone()
        } else {
            Extensions::new()
        };
        let span = Span::of_request(
            &request,
            last_event_id.as_ref().map(LastEventId::as_str),
            head.route().map(|route| &**route),
            Some(head.span()),
        );
        let accepted = AcceptedStream {
            span,
            extensions: session,
            deadline: deadline.map(Into::into),
            permits: permits.into_guard(),
            route: head.route().cloned(),
            begun: head.begun(),
        };
        let options = self.options.clone();
        let head = response_head;
        (headers, Some(Admitted { request, last_event_id, head, accepted, options, target }))
    }
}

impl<T> Clone for Acceptor<T> {
    fn clone(&self) -> Self {
        Self {
            on_connect: self.on_connect.clone(),
            options: self.options.clone(),
            limits: self.limits.clone(),
            last_event_id_from_query: self.last_event_id_from_query,
            commit_within: self.commit_within,
            methods: self.methods.clone(),
            route_of: self.route_of.clone(),
        }
    }
}

impl<T> fmt::Debug for Acceptor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("on_connect", &self.on_connect.is_some())
            .field("options", &self.options)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
