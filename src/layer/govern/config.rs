//! The layer and its settings.

use std::{sync::Arc, time::Duration};

use tower_layer::Layer;

use super::service::SseGovernService;
use crate::{
    admission::{Acceptor, limit_settings},
    body::{KeepAlive, Lifetime, StreamEnd},
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

/// The settings of a layer, which its responses share.
#[derive(Clone, Debug)]
pub(super) struct GovernConfig {
    /// The limits and the settings of the bodies.
    pub(super) acceptor: Acceptor<()>,
    /// How long an event may take to end once its stream has to.
    pub(super) event_timeout: Duration,
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
    /// shutdown the farewell of the [`Shutdown`] is used instead. Its grace period does not apply: the inner
    /// service is not asked to end.
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

    fn acceptor_mut(&mut self) -> &mut Acceptor<()> {
        &mut Arc::make_mut(&mut self.config).acceptor
    }
}

limit_settings!(SseGovern);

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
