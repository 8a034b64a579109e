//! The settings that the responses of a layer share.

use std::time::Duration;

use crate::admission::Acceptor;

/// The settings of a layer, which its responses share.
#[derive(Clone, Debug)]
pub(super) struct GovernConfig {
    /// The limits and the settings of the bodies.
    pub(super) acceptor: Acceptor<()>,
    /// How long an event may take to end once its stream has to.
    pub(super) event_timeout: Duration,
}
