//! The layer and its settings.

use std::{hash::Hash, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{service::SseGovernService, settings::GovernConfig};
use crate::{
    admission::Acceptor,
    body::{KeepAlive, Lifetime, StreamEnd},
    connect::Connect,
    delay_range::DelayRange,
    shutdown::{Farewell, Shutdown},
};

/// How long an event may take to end once its stream has to.
const EVENT_TIMEOUT: Duration = Duration::from_secs(1);

/// A layer that gives the event streams of the inner service the settings of ours. See the
/// [module docs](crate::layer::govern).
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is applied"]
pub struct SseGovern {
    config: Arc<GovernConfig>,
}

impl SseGovern {
    /// Creates a layer with the default settings: a keep-alive comment after 15 seconds, and nothing else.
    pub fn new() -> Self {
        let mut acceptor = Acceptor::new();
        acceptor.options_mut().greeting = false;
        Self { config: Arc::new(GovernConfig { acceptor, event_timeout: EVENT_TIMEOUT }) }
    }

    /// Sets what a stream sends when it has sent nothing else for a while. Defaults to a comment after 15
    /// seconds.
    pub fn keep_alive(mut self, keep_alive: KeepAlive) -> Self {
        self.acceptor_mut().options_mut().keep_alive = Some(keep_alive);
        self
    }

    /// Turns keep-alives off.
    pub fn without_keep_alive(mut self) -> Self {
        self.acceptor_mut().options_mut().keep_alive = None;
        self
    }

    /// Sets how long a stream may last. Defaults to no limit, and zero is no limit either. See
    /// [`BodyOptions::max_lifetime`](crate::BodyOptions::max_lifetime).
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.acceptor_mut().options_mut().max_lifetime = Lifetime::new(lifetime);
        self
    }

    /// Sets what a stream sends before it ends because of its lifetime. By default it sends nothing. At a
    /// shutdown the farewell of the [`Shutdown`] is used instead. Grace periods do not apply, neither of this
    /// farewell nor of a shutdown: the inner service cannot be told that its stream ends.
    pub fn farewell(mut self, farewell: Farewell) -> Self {
        self.acceptor_mut().options_mut().farewell = Some(farewell);
        self
    }

    /// Ends the streams when this shutdown starts, and refuses new ones. By default no shutdown does. See
    /// [`shutdown`](crate::shutdown).
    pub fn shutdown(mut self, shutdown: &Shutdown) -> Self {
        self.acceptor_mut().options_mut().shutdown = Some(shutdown.clone());
        self
    }

    /// Sets the hook that receives how each stream ended. See
    /// [`BodyOptions::on_disconnect`](crate::BodyOptions::on_disconnect). The extensions are those of the
    /// request as it came to this layer.
    pub fn on_disconnect(
        mut self,
        on_disconnect: impl Fn(StreamEnd) + Send + Sync + 'static,
    ) -> Self {
        self.acceptor_mut().options_mut().on_disconnect = Some(Arc::new(on_disconnect));
        self
    }

    /// Sets how long an event that has begun may go on once its stream has to end. Defaults to a second. After
    /// that the stream ends with an error.
    pub fn event_timeout(mut self, timeout: Duration) -> Self {
        Arc::make_mut(&mut self.config).event_timeout = timeout;
        self
    }

    /// Limits how many streams of this layer and its clones may be open. In axum, all routes of a layer share the
    /// limit. Defaults to no limit.
    ///
    /// A place is taken when the inner service has answered with a stream. If all are taken, the answer is dropped,
    /// and the client gets that of
    /// [`EventChannelHandler::max_streams`](crate::EventChannelHandler::max_streams).
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.acceptor_mut().set_max_streams(streams);
        self
    }

    /// Limits how many streams with the same key may be open, for example of one address. Each call adds a limit
    /// with its own keys. A request without a key is not limited.
    ///
    /// The key is read from the request as it came to this layer. So a layer that finds out the user, and puts it
    /// into the extensions, has to be around this one; in axum that is a later `.layer`.
    pub fn max_streams_per<F, K>(mut self, key: F, streams: usize) -> Self
    where
        F: Fn(&Connect) -> Option<K> + Send + Sync + 'static,
        K: Hash + Eq + Clone + Send + Sync + 'static,
    {
        self.acceptor_mut().add_max_streams_per(key, streams);
        self
    }

    /// Sets how long refused clients should wait. Defaults to 5 to 15 seconds. See
    /// [`EventChannelHandler::retry_after`](crate::EventChannelHandler::retry_after).
    pub fn retry_after(mut self, delay: impl Into<DelayRange>) -> Self {
        self.acceptor_mut().set_retry_after(delay.into());
        self
    }

    fn acceptor_mut(&mut self) -> &mut Acceptor<()> {
        &mut Arc::make_mut(&mut self.config).acceptor
    }
}

impl Default for SseGovern {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for SseGovern {
    type Service = SseGovernService<S>;

    fn layer(&self, inner: S) -> SseGovernService<S> {
        SseGovernService::new(inner, self.config.clone())
    }
}
