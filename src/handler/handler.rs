//! The handler: its closures, its settings, and the service that it is.

use std::{
    any::type_name,
    convert::Infallible,
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, HeaderMap, Method, Request, Response};
use tower_service::Service;

use super::future::HandlerFuture;
use crate::{
    BoxError,
    admission::{Admission, Permits, refused},
    body::{self, Accepted, EventBody, StreamOptions, stream_settings},
    channel::EventSender,
    connect::{Accept, AcceptParts, Connect, InvalidLastEventId, LastEventId, Refusal},
    spread::Spread,
    trace::Span,
};

/// Makes a service that answers each request with an event stream, filled by what the closure
/// sends.
///
/// The closure is called for each accepted request, with the request and the stream's sender, when
/// the server first polls the response's body; its future runs inside the body. See the [module
/// docs](crate::handler).
///
/// In most places everything is inferred. A closure that looks into the request's body, or a
/// handler whose server is not in sight, names the body's type: `|request: Request<Incoming>,
/// events|`.
///
/// ```
/// use tower_sse::{Event, EventChannelHandler, event_channel_handler};
///
/// // One handler for servers with different bodies.
/// fn echo_path<B: Send + 'static>() -> EventChannelHandler<B> {
///     event_channel_handler(|request, events| async move {
///         events.send(Event::new(request.uri().path())).await?;
///         Ok(())
///     })
/// }
/// # let _ = echo_path::<()>();
/// ```
pub fn event_channel_handler<F, Fut, B>(handler: F) -> EventChannelHandler<B>
where
    F: Fn(Request<B>, EventSender) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    B: Send + 'static,
{
    let handler = Arc::new(handler);
    let handle: Arc<Handle<B>> = Arc::new(move |request, events| {
        let handler = handler.clone();
        Box::pin(async move { handler(request, events).await })
    });
    EventChannelHandler {
        config: Arc::new(Config {
            handle,
            on_connect: None,
            options: Arc::new(StreamOptions::new()),
            admission: Admission::new(),
            last_event_id_from_query: true,
        }),
    }
}

/// A service that answers each request with an event stream, made by [`event_channel_handler`].
///
/// Cloning it is cheap. It is generic over the request's body alone, so it can be named, stored,
/// and set up step by step.
#[must_use = "a handler does nothing unless a server calls it"]
pub struct EventChannelHandler<B> {
    config: Arc<Config<B>>,
}

pub(super) struct Config<B> {
    handle: Arc<Handle<B>>,
    on_connect: Option<Arc<OnConnect>>,
    options: Arc<StreamOptions>,
    admission: Admission,
    last_event_id_from_query: bool,
}

type Handle<B> = dyn Fn(Request<B>, EventSender) -> body::BoxHandler + Send + Sync;
type Connecting = Pin<Box<dyn Future<Output = Result<Accept, Refusal>> + Send>>;
pub(super) type OnConnect = dyn Fn(Connect) -> Connecting + Send + Sync;

impl<B> EventChannelHandler<B> {
    /// Sets the hook that decides each request before anything is sent: it accepts, with headers
    /// and session state, or refuses with any response. Default is to accept.
    ///
    /// An error in it, by `?`, and a panic are a 500; neither runs the handler. See
    /// [`connect`](crate::connect).
    ///
    /// # Cancel safety
    ///
    /// The hook is dropped where it awaits if the client leaves meanwhile.
    pub fn on_connect<F, Fut>(mut self, on_connect: F) -> Self
    where
        F: Fn(Connect) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Accept, Refusal>> + Send + 'static,
    {
        self.config_mut().on_connect = Some(Arc::new(move |connect| Box::pin(on_connect(connect))));
        self
    }

    /// Leaves the query alone: a last event ID is taken from the header only. Default is to look
    /// into the query as well, see [`LastEventId::from_query`].
    pub fn without_last_event_id_query(mut self) -> Self {
        self.config_mut().last_event_id_from_query = false;
        self
    }

    /// Limits how many streams of this handler may be open, over all its clones. Default is no
    /// limit.
    ///
    /// Who comes while it is reached is sent away for a while, see
    /// [`retry_after`](Self::retry_after): browsers by a stream that holds a `retry` and ends,
    /// others by a 503. Nobody is evicted. A place is taken before `on_connect` runs, and given
    /// back where the body is dropped, or whatever else there is of the request by then. `HEAD`
    /// takes none.
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.config_mut().admission.set_max_streams(streams);
        self
    }

    /// Limits how many streams with the same key may be open: of one address, or of one user.
    /// Each call adds a limit, with keys of its own.
    ///
    /// The key is asked for before `on_connect`. If it is not known then, because that is what
    /// finds out who it is, it is asked for again when `on_connect` has accepted; a request without
    /// a key then is not limited by it.
    ///
    /// Who comes while it is reached is sent away as by [`max_streams`](Self::max_streams), but
    /// others than browsers by a 429.
    ///
    /// ```
    /// use tower_sse::{Connect, event_channel_handler};
    ///
    /// #[derive(Clone, PartialEq, Eq, Hash)]
    /// struct User(u64);
    ///
    /// let handler = event_channel_handler::<_, _, ()>(|_, _events| async { Ok(()) })
    ///     .on_connect(|connect: Connect| async move { Ok(connect.accept().extension(User(7))) })
    ///     .max_streams(10_000)
    ///     .max_streams_per(|connect| connect.extensions().get::<User>().cloned(), 6);
    /// # let _ = handler;
    /// ```
    pub fn max_streams_per<F, K>(mut self, key: F, streams: usize) -> Self
    where
        F: Fn(&Connect) -> Option<K> + Send + Sync + 'static,
        K: Hash + Eq + Clone + Send + Sync + 'static,
    {
        self.config_mut().admission.add_max_streams_per(key, streams);
        self
    }

    /// Sets how long those are sent away for whom there is no place, and those who come during a
    /// [shutdown](crate::shutdown) whose farewell has no `retry`: browsers by `retry`, others by
    /// `Retry-After`. Drawn for each. Default is 5 to 15 seconds.
    pub fn retry_after(mut self, spread: impl Into<Spread>) -> Self {
        self.config_mut().admission.set_away(spread.into());
        self
    }

    fn change(mut self, change: impl FnOnce(&mut StreamOptions)) -> Self {
        change(Arc::make_mut(&mut self.config_mut().options));
        self
    }

    fn config_mut(&mut self) -> &mut Config<B> {
        Arc::make_mut(&mut self.config)
    }
}

stream_settings!(EventChannelHandler<B>);

impl<B> Config<B> {
    fn last_event_id(&self, connect: &Connect) -> Result<Option<LastEventId>, InvalidLastEventId> {
        match LastEventId::from_headers(connect.headers())? {
            None if self.last_event_id_from_query => LastEventId::from_query(connect.uri()),
            last_event_id => Ok(last_event_id),
        }
    }
}

impl<B: Send + 'static> Config<B> {
    /// Makes the stream of a request that was accepted, if there is a place for it.
    pub(super) fn accept(
        &self,
        accept: Accept,
        body: B,
        mut permits: Permits,
    ) -> Result<Response<EventBody>, Refusal> {
        let is_head = accept.connect().method() == Method::HEAD;
        if !is_head {
            // It may have started while `on_connect` decided.
            self.admission.check(accept.connect(), self.options.shutdown_handle())?;
            self.admission.enter_keyed(&mut permits, accept.connect())?;
        }
        let AcceptParts { request: parts, head, deadline, target: () } = accept.into_parts();
        let headers = HeaderMap::clone(head.headers());
        let event_body = if is_head {
            EventBody::default()
        } else {
            let session = if self.options.has_on_disconnect() {
                parts.extensions.clone()
            } else {
                Extensions::new()
            };
            let last_event_id = parts.extensions.get().map(LastEventId::as_str);
            let accepted = Accepted {
                span: Span::of_request(&parts, last_event_id),
                extensions: session,
                deadline: deadline.map(Into::into),
                permits: permits.into_guard(),
            };
            let mut request = Request::from_parts(parts, body);
            request.extensions_mut().insert(head);
            EventBody::with_handler(self.options.clone(), accepted, |events| {
                (self.handle)(request, events)
            })
        };
        let mut response = Response::new(event_body);
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// Looks at a request before `on_connect` does.
    fn enter(&self, connect: &mut Connect) -> Result<Permits, Refusal> {
        if let Some(last_event_id) = self.last_event_id(connect).map_err(|error| {
            refused("last_event_id");
            Refusal::bad_request(error)
        })? {
            connect.extensions_mut().insert(last_event_id);
        }
        // No stream follows, so it takes no place.
        if connect.method() == Method::HEAD {
            return Ok(Permits::default());
        }
        self.admission.enter(connect, self.options.shutdown_handle())
    }
}

impl<B: Send + 'static> Service<Request<B>> for EventChannelHandler<B> {
    type Response = Response<EventBody>;
    type Error = Infallible;
    type Future = HandlerFuture<B>;

    /// Is always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> HandlerFuture<B> {
        let (parts, body) = request.into_parts();
        let is_head = parts.method == Method::HEAD;
        let mut connect = Connect::new(parts);
        let permits = match self.config.enter(&mut connect) {
            Ok(permits) => permits,
            Err(refusal) => return HandlerFuture::ready(refusal.into_response(), is_head),
        };
        match &self.config.on_connect {
            Some(on_connect) => {
                let config = self.config.clone();
                HandlerFuture::connecting(on_connect.as_ref(), connect, body, config, permits)
            }
            None => {
                let accepted = self.config.accept(connect.accept(), body, permits);
                HandlerFuture::ready(accepted.unwrap_or_else(Refusal::into_response), is_head)
            }
        }
    }
}

impl<B> Clone for EventChannelHandler<B> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone() }
    }
}

impl<B> Clone for Config<B> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
            on_connect: self.on_connect.clone(),
            options: self.options.clone(),
            admission: self.admission.clone(),
            last_event_id_from_query: self.last_event_id_from_query,
        }
    }
}

impl<B> fmt::Debug for EventChannelHandler<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventChannelHandler")
            .field("request_body", &format_args!("{}", type_name::<B>()))
            .field("on_connect", &self.config.on_connect.is_some())
            .field("options", &self.config.options)
            .field("admission", &self.config.admission)
            .finish_non_exhaustive()
    }
}
