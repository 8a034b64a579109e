//! The handler: its closure, its settings, and its service.

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

use crate::{
    BoxError,
    admission::{Acceptor, Admitted, HandlerFuture, MakeStream, acceptor_settings},
    body::{
        BodyOptions, BoxHandler, EventBody, HandlerOptions, HandlerSettings, body_settings,
        handler_settings,
    },
    channel::EventSender,
    connect::{Accept, Connect, Refusal},
};

/// Makes a service that answers each request with an event stream of the events that the closure
/// sends.
///
/// The closure is called once for each accepted request, with the request and the stream's sender,
/// when the server first polls the response's body. Its future runs inside the body. See the
/// [module docs](crate::handler).
///
/// In most places all types are inferred. Name the type of the request's body if the closure uses
/// the body, or if the handler is not passed to a server in the same function:
/// `|request: Request<Incoming>, events|`.
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
    let call: Arc<HandlerFn<B>> =
        Arc::new(move |request, events| Box::pin(handler(request, events)));
    EventChannelHandler {
        config: Arc::new(HandlerConfig {
            call,
            acceptor: Acceptor::new(),
            settings: HandlerSettings::default(),
        }),
    }
}

/// A service that answers each request with an event stream, made by [`event_channel_handler`].
///
/// It is cheap to clone. The body of the requests is its only type parameter, so it can be named,
/// stored, and configured step by step.
#[must_use = "a handler does nothing unless a server calls it"]
pub struct EventChannelHandler<B> {
    /// Shared with the futures of its responses. A setting copies it if it is shared.
    config: Arc<HandlerConfig<B>>,
}

struct HandlerConfig<B> {
    /// Calls the closure.
    call: Arc<HandlerFn<B>>,
    /// The hook, the limits and the settings of the bodies.
    acceptor: Acceptor<()>,
    /// The settings of the handlers and their buffers.
    settings: HandlerSettings,
}

type HandlerFn<B> = dyn Fn(Request<B>, EventSender) -> BoxHandler + Send + Sync;

impl<B> EventChannelHandler<B> {
    /// Sets the hook that accepts or refuses each request before anything is sent. By default every
    /// request is accepted.
    ///
    /// If it accepts, it can add headers to the response, and extensions for the handler. It can
    /// refuse with any response. If it returns an error, for example by `?`, or panics, the
    /// response is a 500 and the handler does not run. See [`connect`](crate::connect).
    ///
    /// # Cancel safety
    ///
    /// If the client leaves while the hook runs, the hook's future is dropped.
    pub fn on_connect<F, Fut>(mut self, on_connect: F) -> Self
    where
        F: Fn(Connect) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Accept, Refusal>> + Send + 'static,
    {
        self.acceptor_mut().set_on_connect(on_connect);
        self
    }

    fn acceptor_mut(&mut self) -> &mut Acceptor<()> {
        &mut Arc::make_mut(&mut self.config).acceptor
    }

    /// Takes all settings of the handler and its bodies from `options`. It replaces settings that
    /// were made before, so call it first. From [`BodyOptions`] it takes the settings of the
    /// bodies, and sets those of the handler back to their defaults.
    pub fn options(self, options: impl Into<HandlerOptions>) -> Self {
        let HandlerOptions { body, handler } = options.into();
        self.change_body(|own| *own = body).change_handler(|own| *own = handler)
    }

    fn change_body(mut self, change: impl FnOnce(&mut BodyOptions)) -> Self {
        change(self.acceptor_mut().options_mut());
        self
    }

    fn change_handler(mut self, change: impl FnOnce(&mut HandlerSettings)) -> Self {
        change(&mut Arc::make_mut(&mut self.config).settings);
        self
    }
}

acceptor_settings!(EventChannelHandler<B>);
body_settings!(EventChannelHandler<B>);
handler_settings!(EventChannelHandler<B>);

impl<B: Send + 'static> MakeStream<B, ()> for HandlerConfig<B> {
    fn acceptor(&self) -> &Acceptor<()> {
        &self.acceptor
    }

    fn make_stream(&self, body: B, admitted: Admitted<()>) -> Result<EventBody, Refusal> {
        let Admitted { request, head, accepted, options, target: (), .. } = admitted;
        let mut request = Request::from_parts(request, body);
        request.extensions_mut().insert(head);
        Ok(EventBody::with_handler(options, self.settings, accepted, |events| {
            let call = self.call.clone();
            Box::new(move || call(request, events))
        }))
    }
}

impl<B: Send + 'static> Service<Request<B>> for EventChannelHandler<B> {
    type Response = Response<EventBody>;
    type Error = Infallible;
    type Future = HandlerFuture<B>;

    /// Always returns ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> HandlerFuture<B> {
        let (parts, body) = request.into_parts();
        HandlerFuture::new(parts, body, self.config.clone())
    }
}

impl<B> Clone for EventChannelHandler<B> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone() }
    }
}

impl<B> Clone for HandlerConfig<B> {
    fn clone(&self) -> Self {
        Self { call: self.call.clone(), acceptor: self.acceptor.clone(), settings: self.settings }
    }
}

impl<B> fmt::Debug for EventChannelHandler<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventChannelHandler")
            .field("request_body", &format_args!("{}", type_name::<B>()))
            .field("acceptor", &self.config.acceptor)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use http::Extensions;
    use tokio::time::Instant;

    use super::*;
    use crate::{EndReason, Event, LastEventId};

    const SECOND: Duration = Duration::from_secs(1);

    #[derive(Clone)]
    struct Tenant(&'static str);

    #[tokio::test(start_paused = true)]
    async fn a_hook_that_replaces_the_extensions_changes_neither_resumption_nor_deadline() {
        let start = Instant::now();
        let (tell, mut ends) = tokio::sync::mpsc::unbounded_channel();
        let mut handler = event_channel_handler(|request: Request<()>, events| async move {
            let last_event_id = request.extensions().get::<LastEventId>().unwrap();
            let Tenant(name) = request.extensions().get().unwrap();
            events.send(Event::new(format!("{name}, after {last_event_id}"))).await?;
            pending().await
        })
        .on_connect(move |mut connect| async move {
            connect.extensions_mut().insert(Tenant("old"));
            connect.extensions_mut().clear();
            *connect.extensions_mut() = Extensions::new();
            assert_eq!(connect.last_event_id().unwrap(), &"7");
            let deadline = (start + 60 * SECOND).into_std();
            Ok(connect.accept().deadline(deadline).extension(Tenant("new")))
        })
        .on_disconnect(move |end| drop(tell.send(end)))
        .without_keep_alive();

        let request = Request::get("/").header("last-event-id", "7").body(()).unwrap();
        let mut body = handler.call(request).await.unwrap().into_body();
        let chunk = body.next_chunk().await.unwrap().unwrap();
        assert_eq!(chunk, ": connected\ndata: new, after 7\n\n");
        assert!(body.next_chunk().await.is_none());
        assert_eq!(start.elapsed(), 60 * SECOND);

        let end = ends.try_recv().unwrap();
        assert_eq!(end.reason(), EndReason::Expired);
        assert_eq!(end.extensions().get::<LastEventId>().unwrap(), &"7");
        assert_eq!(end.extensions().get::<Tenant>().unwrap().0, "new");
    }
}
