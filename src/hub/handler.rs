//! The service that streams topics, and the answer that subscribes to them.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode};
use tower_service::Service;

use super::{
    disconnect::Labels, handle::Hub, selection::Selection, subscription::Positions, topic::Topic,
};
use crate::{
    admission::{Acceptor, Admitted, HandlerFuture, MakeStream, acceptor_settings},
    body::{BodyOptions, EventBody, body_settings},
    connect::{Accept, Connect, Refusal},
    invalid_topic::InvalidTopic,
};

/// A service that answers each request with an event stream of topics, made by
/// [`Hub::handler`].
///
/// It has the settings of a body ([`BodyOptions`]) and of `on_connect`. At a shutdown, and at the
/// end of its lifetime, a stream ends without a grace period: nothing has to be finished, and the
/// client resumes.
///
/// It is cheap to clone. It serves requests with any body, which it drops.
#[must_use = "a handler does nothing unless a server calls it"]
#[derive(Clone)]
pub struct HubHandler {
    /// Shared with the futures of its responses. A setting copies it if it is shared.
    config: Arc<HubHandlerConfig>,
}

#[derive(Clone)]
struct HubHandlerConfig {
    /// The hub that the streams read.
    hub: Hub,
    /// The hook, the limits and the settings of the bodies.
    acceptor: Acceptor<Selection>,
}

/// The future of a [`HubHandler`]'s response.
pub type HubFuture = HandlerFuture<(), Selection>;

impl Hub {
    /// Makes a service that answers each request with an event stream of topics.
    ///
    /// If all topics of a request have [ended](Self::finish), and nothing is left to send, the answer
    /// is a 204: a browser then does not reconnect. A selection that exceeds a limit of the hub is
    /// refused with status 400. While the hub is [full](super::SubscribeError::is_full), clients are
    /// refused as they are at [`max_streams`](HubHandler::max_streams).
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
        let mut acceptor = Acceptor::new();
        acceptor.set_on_connect(on_connect);
        HubHandler { config: Arc::new(HubHandlerConfig { hub: self.clone(), acceptor }) }
    }
}

impl HubHandler {
    fn acceptor_mut(&mut self) -> &mut Acceptor<Selection> {
        &mut Arc::make_mut(&mut self.config).acceptor
    }

    /// Takes all settings of the bodies from `options`. It replaces settings that were made before,
    /// so call it first.
    pub fn options(self, options: BodyOptions) -> Self {
        self.change_body(|own| *own = options)
    }

    fn change_body(mut self, change: impl FnOnce(&mut BodyOptions)) -> Self {
        change(self.acceptor_mut().options_mut());
        self
    }
}

acceptor_settings!(HubHandler);
body_settings!(HubHandler);

impl MakeStream<(), Selection> for HubHandlerConfig {
    fn acceptor(&self) -> &Acceptor<Selection> {
        &self.acceptor
    }

    fn make_stream(&self, (): (), admitted: Admitted<Selection>) -> Result<EventBody, Refusal> {
        let Admitted { request, last_event_id, accepted, options, target, .. } = admitted;
        let last = last_event_id.map(|id| id.as_str().to_owned());
        let headers = request.headers;
        let session = Arc::new(request.extensions);
        match self.hub.source(target, last, session, Positions::of(&headers)) {
            Ok(Some(source)) => Ok(EventBody::with_source(options, accepted, source)),
            // Nothing will ever come. A browser stays away after a 204.
            Ok(None) => Err(Refusal::stop()),
            Err(error) if error.is_full() => Err(self.acceptor.refuse_for_now(
                &headers,
                StatusCode::SERVICE_UNAVAILABLE,
                "max_named_topics",
            )),
            Err(error) => Err(Refusal::bad_request(error)),
        }
    }
}

impl<B> Service<Request<B>> for HubHandler {
    type Response = Response<EventBody>;
    type Error = Infallible;
    type Future = HubFuture;

    /// Always returns ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> HubFuture {
        let (parts, _body) = request.into_parts();
        HandlerFuture::new(parts, (), self.config.clone())
    }
}

impl fmt::Debug for HubHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubHandler")
            .field("acceptor", &self.config.acceptor)
            .finish_non_exhaustive()
    }
}

// These are inherent methods, so that an application calls them without importing a trait. They
// stand here because `connect` is below the hub, and exists without it.
impl Accept {
    /// Subscribes the stream to these topics, for [`Hub::handler`](super::Hub::handler).
    ///
    /// ```
    /// # use tower_sse::{Accept, Connect, Refusal, hub::Selection};
    /// // The topics that the client wrote into the query: `?orders&news`.
    /// # async fn on_connect(connect: Connect) -> Result<Accept<Selection>, Refusal> {
    /// let query = connect.uri().query().unwrap_or_default().to_owned();
    /// connect.accept().topics(query.split('&'))
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns a [`Refusal`] with status 400 if a topic is invalid, or if there are no topics or
    /// too many.
    pub fn topics<I>(self, topics: I) -> Result<Accept<Selection>, Refusal>
    where
        I: IntoIterator,
        I::Item: TryInto<Topic>,
        <I::Item as TryInto<Topic>>::Error: Into<InvalidTopic>,
    {
        let topics = Selection::new(topics).and_then(|topics| {
            if topics.is_empty() { Err(InvalidTopic::NONE) } else { Ok(topics) }
        });
        topics.map(|topics| self.subscribe(topics)).map_err(Refusal::bad_request)
    }

    /// Subscribes the stream to these topics and patterns, for
    /// [`Hub::handler`](super::Hub::handler).
    pub fn subscribe(self, topics: Selection) -> Accept<Selection> {
        self.with_target(topics)
    }
}

impl<T> Accept<T> {
    /// Adds a label, by which [`Hub::disconnect_label`](super::Hub::disconnect_label) ends the stream:
    /// for example, that of a user or of a session. A stream may have several.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        Labels::add(self.extensions_mut(), label.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Extensions;
    use tokio::time::Instant;

    use super::*;
    use crate::{Event, LastEventId};

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_hook_that_replaces_the_extensions_changes_neither_resumption_nor_deadline() {
        let start = Instant::now();
        let hub = Hub::new();
        let first = hub.publish("orders", Event::new("first")).await.unwrap();
        hub.publish("orders", Event::new("second")).await.unwrap();
        let mut handler = hub
            .handler(move |mut connect| async move {
                *connect.extensions_mut() = Extensions::new();
                let other = LastEventId::from_query(&"/?last_event_id=other".parse()?)?;
                let accept = connect.accept().extension(other.unwrap());
                accept.deadline((start + MINUTE).into_std()).topics(["orders"])
            })
            .without_keep_alive();

        let request = Request::get("/").header("last-event-id", first.id.as_str());
        let mut body = handler.call(request.body(()).unwrap()).await.unwrap().into_body();
        let mut text = Vec::new();
        while let Some(chunk) = body.next_chunk().await {
            text.extend(chunk.unwrap());
        }
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("data: second\n"), "{text}");
        assert!(!text.contains("data: first\n") && !text.contains("event: gap"), "{text}");
        assert_eq!(start.elapsed(), MINUTE);
    }
}
