//! The handler: its closures, its settings, and the service that it is.

use std::{
    any::type_name,
    convert::Infallible,
    fmt,
    future::Future,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::future::HandlerFuture;
use crate::{
    BoxError,
    admission::{Entered, Entering, Entrance, Open, entrance_settings},
    body::{self, EventBody, StreamOptions, stream_settings},
    channel::EventSender,
    connect::{Accept, Connect, Refusal},
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
    EventChannelHandler { config: Arc::new(Config { handle, entrance: Entrance::new() }) }
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
    entrance: Entrance<()>,
}

type Handle<B> = dyn Fn(Request<B>, EventSender) -> body::BoxHandler + Send + Sync;

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
        self.entrance_mut().set_on_connect(on_connect);
        self
    }

    fn entrance_mut(&mut self) -> &mut Entrance<()> {
        &mut Arc::make_mut(&mut self.config).entrance
    }

    fn change(mut self, change: impl FnOnce(&mut StreamOptions)) -> Self {
        change(self.entrance_mut().options_mut());
        self
    }
}

entrance_settings!(EventChannelHandler<B>);
stream_settings!(EventChannelHandler<B>);

/// What a request is made a stream of.
pub(super) struct Handling<B> {
    config: Arc<Config<B>>,
    body: B,
}

impl<B: Send + 'static> Open<()> for Handling<B> {
    fn entrance(&self) -> &Entrance<()> {
        &self.config.entrance
    }

    fn without_on_connect(&self, connect: Connect) -> Accept {
        connect.accept()
    }

    fn open(self, entered: Entered<()>) -> EventBody {
        let Entered { request, head, accepted, options, target: () } = entered;
        let mut request = Request::from_parts(request, self.body);
        request.extensions_mut().insert(head);
        EventBody::with_handler(options, accepted, |events| (self.config.handle)(request, events))
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
        HandlerFuture(Entering::new(parts, Handling { config: self.config.clone(), body }))
    }
}

impl<B> Clone for EventChannelHandler<B> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone() }
    }
}

impl<B> Clone for Config<B> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), entrance: self.entrance.clone() }
    }
}

impl<B> fmt::Debug for EventChannelHandler<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventChannelHandler")
            .field("request_body", &format_args!("{}", type_name::<B>()))
            .field("entrance", &self.config.entrance)
            .finish_non_exhaustive()
    }
}
