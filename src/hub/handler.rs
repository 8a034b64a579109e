//! The service that streams topics.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::{handle::Hub, selection::Selection};
use crate::{
    admission::{Entered, Entering, Entrance, Open, entrance_settings},
    body::{EventBody, StreamOptions, stream_settings},
    connect::{Accept, Connect, LastEventId, Refusal},
};

/// A service that answers each request with an event stream of topics, made by
/// [`Hub::handler`].
///
/// It has the settings of an [`EventChannelHandler`](crate::EventChannelHandler). What is about a
/// handler and its buffer ([`buffer`](Self::buffer), [`spawn_handler`](Self::spawn_handler),
/// [`send_timeout`](Self::send_timeout)) has no effect: a reader holds nothing. At a shutdown, and when
/// its lifetime is over, a stream ends when that begins: there is nothing to finish, its client resumes.
///
/// Cloning it is cheap, and it serves requests with any body, which it drops.
#[must_use = "a handler does nothing unless a server calls it"]
#[derive(Clone)]
pub struct HubHandler {
    config: Arc<Config>,
}

#[derive(Clone)]
struct Config {
    hub: Hub,
    entrance: Entrance<Selection>,
}

impl Hub {
    /// Makes a service that answers each request with an event stream of topics.
    ///
    /// `on_connect` selects the topics of a request, by [`accept().topics(…)`](Accept::topics) or
    /// [`accept().subscribe(…)`](Accept::subscribe). A request with a last event ID resumes after
    /// that event.
    ///
    /// ```
    /// use tower_sse::Hub;
    ///
    /// let hub = Hub::new();
    /// let orders = hub.handler(|connect| async move { connect.accept().topics(["orders"]) });
    /// # let _ = orders;
    /// ```
    ///
    /// An answer without topics does not compile:
    ///
    /// ```compile_fail
    /// # let hub = tower_sse::Hub::new();
    /// let orders = hub.handler(|connect| async move { Ok(connect.accept()) });
    /// ```
    pub fn handler<F, Fut>(&self, on_connect: F) -> HubHandler
    where
        F: Fn(Connect) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Accept<Selection>, Refusal>> + Send + 'static,
    {
        HubHandler::new(self.clone(), on_connect)
    }
}

impl HubHandler {
    fn new<F, Fut>(hub: Hub, on_connect: F) -> Self
    where
        F: Fn(Connect) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Accept<Selection>, Refusal>> + Send + 'static,
    {
        let mut entrance = Entrance::new();
        entrance.set_on_connect(on_connect);
        Self { config: Arc::new(Config { hub, entrance }) }
    }

    fn entrance_mut(&mut self) -> &mut Entrance<Selection> {
        &mut Arc::make_mut(&mut self.config).entrance
    }

    fn change(mut self, change: impl FnOnce(&mut StreamOptions)) -> Self {
        change(self.entrance_mut().options_mut());
        self
    }
}

entrance_settings!(HubHandler);
stream_settings!(HubHandler);

impl<B> Service<Request<B>> for HubHandler {
    type Response = Response<EventBody>;
    type Error = Infallible;
    type Future = HubFuture;

    /// Is always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> HubFuture {
        let (parts, _) = request.into_parts();
        HubFuture(Entering::new(parts, Opening(self.config.clone())))
    }
}

struct Opening(Arc<Config>);

impl Open<Selection> for Opening {
    fn entrance(&self) -> &Entrance<Selection> {
        &self.0.entrance
    }

    /// Never comes to it: there is an `on_connect`, always.
    fn without_on_connect(&self, connect: Connect) -> Accept<Selection> {
        connect.accept().subscribe(Selection::default())
    }

    fn open(self, entered: Entered<Selection>) -> EventBody {
        let Entered { request, accepted, options, target, .. } = entered;
        let hub = &self.0.hub;
        let subscription = match request.extensions.get::<LastEventId>() {
            Some(last) => hub.resume(target, last),
            None => hub.subscribe(target),
        };
        let extensions = Arc::new(request.extensions);
        EventBody::with_feed(options, accepted, |control| {
            subscription.into_feed(extensions, control)
        })
    }
}

/// The future of a [`HubHandler`]'s response.
#[must_use = "futures do nothing unless awaited"]
pub struct HubFuture(Entering<Selection, Opening>);

impl Future for HubFuture {
    type Output = Result<Response<EventBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.get_mut().0).poll(cx)
    }
}

impl fmt::Debug for HubHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubHandler")
            .field("entrance", &self.config.entrance)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HubFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HubFuture").field(&self.0).finish()
    }
}
