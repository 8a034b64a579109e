//! The layer and its settings.

use std::{sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{service::SseGovernService, settings::GovernConfig};
use crate::{admission::Acceptor, layer::foreign::foreign_settings, shutdown::Farewell};

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

    /// Sets what a stream sends before it ends because of its lifetime. By default it sends nothing. At a
    /// shutdown the farewell of the [`Shutdown`](crate::Shutdown) is used instead. Grace periods do not apply, neither of this
    /// farewell nor of a shutdown: the inner service cannot be told that its stream ends.
    pub fn farewell(mut self, farewell: Farewell) -> Self {
        self.acceptor_mut().options_mut().farewell = Some(farewell);
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

foreign_settings!(SseGovern);

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
