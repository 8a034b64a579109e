//! The handler: its closures, its settings, and the service that it is.

use std::{
    any::type_name,
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, HeaderMap, Method, Request, Response, request};
use tower_service::Service;

use super::future::HandlerFuture;
use crate::{
    BoxError,
    body::{self, EventBody, StreamOptions, stream_settings},
    channel::EventSender,
    connect::{Accept, Connect, InvalidLastEventId, LastEventId, Refusal, ResponseHead},
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
    fn last_event_id(
        &self,
        parts: &request::Parts,
    ) -> Result<Option<LastEventId>, InvalidLastEventId> {
        match LastEventId::from_headers(&parts.headers)? {
            None if self.last_event_id_from_query => LastEventId::from_query(&parts.uri),
            last_event_id => Ok(last_event_id),
        }
    }
}

impl<B: Send + 'static> Config<B> {
    /// Makes the stream of a request that was accepted.
    pub(super) fn accept(
        &self,
        parts: request::Parts,
        head: ResponseHead,
        body: B,
    ) -> Response<EventBody> {
        let headers = HeaderMap::clone(head.headers());
        let event_body = if parts.method == Method::HEAD {
            EventBody::default()
        } else {
            let session = if self.options.has_on_disconnect() {
                parts.extensions.clone()
            } else {
                Extensions::new()
            };
            let mut request = Request::from_parts(parts, body);
            request.extensions_mut().insert(head);
            EventBody::with_handler(self.options.clone(), session, |events| {
                (self.handle)(request, events)
            })
        };
        let mut response = Response::new(event_body);
        *response.headers_mut() = headers;
        response
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
        let (mut parts, body) = request.into_parts();
        let is_head = parts.method == Method::HEAD;
        match self.config.last_event_id(&parts) {
            Ok(Some(last_event_id)) => {
                parts.extensions.insert(last_event_id);
            }
            Ok(None) => {}
            Err(error) => {
                return HandlerFuture::ready(Refusal::bad_request(error).into_response(), is_head);
            }
        }
        match &self.config.on_connect {
            Some(on_connect) => {
                let connect = Connect::new(parts);
                HandlerFuture::connecting(on_connect.as_ref(), connect, body, self.config.clone())
            }
            None => {
                let head = ResponseHead::new(HeaderMap::new());
                HandlerFuture::ready(self.config.accept(parts, head, body), is_head)
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
            .finish_non_exhaustive()
    }
}
