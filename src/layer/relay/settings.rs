//! The settings of a relay, which its responses share.

use std::{fmt, sync::Arc, time::Duration};

use http::HeaderMap;

use super::{error::RelayError, upstream::UpstreamConfig};
use crate::{
    admission::Acceptor, catch_panic::catch_and_log, connect::Refusal, event::Event,
    headers::AcceptHeader,
};

/// How long the head of a response waits for a client that asks for an event stream.
const COMMIT_WITHIN: Duration = Duration::from_secs(5);

/// The settings, which the responses share.
#[derive(Clone)]
pub(super) struct RelayConfig {
    /// The limits and the settings of the bodies.
    pub(super) acceptor: Acceptor<()>,
    /// `None` for the rule that depends on the request.
    pub(super) commit: Option<Commit>,
    pub(super) error_event: Option<Arc<ErrorEvent>>,
    pub(super) error_response: Option<Arc<ErrorResponse>>,
    pub(super) upstream: Arc<UpstreamConfig>,
}

/// Until when the head of a response waits for the upstream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Commit {
    Within(Duration),
    Never,
}

pub(super) type ErrorEvent = dyn Fn(&RelayError) -> Option<Event> + Send + Sync;
pub(super) type ErrorResponse = dyn Fn(&RelayError) -> Refusal + Send + Sync;

impl RelayConfig {
    pub(super) fn new(acceptor: Acceptor<()>) -> Self {
        let upstream = Arc::default();
        Self { acceptor, commit: None, error_event: None, error_response: None, upstream }
    }

    /// Returns how long the head of the response to this request waits for the upstream.
    pub(super) fn commit_within(&self, headers: &HeaderMap) -> Option<Duration> {
        match self.commit {
            Some(Commit::Within(within)) => Some(within),
            Some(Commit::Never) => None,
            None => AcceptHeader::parse(headers).asks_for_event_stream().then_some(COMMIT_WITHIN),
        }
    }

    pub(super) fn error_event(&self, error: &RelayError) -> Option<Event> {
        let error_event = self.error_event.as_ref()?;
        let mut event = None;
        catch_and_log("error_event", || event = error_event(error));
        event
    }

    /// Returns the response that the application has for a failure, if it has one.
    pub(super) fn error_response(&self, error: &RelayError) -> Option<Refusal> {
        let error_response = self.error_response.as_ref()?;
        let mut response = None;
        catch_and_log("error_response", || response = Some(error_response(error)));
        response
    }
}

impl fmt::Debug for RelayConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayConfig")
            .field("acceptor", &self.acceptor)
            .field("commit", &self.commit)
            .finish_non_exhaustive()
    }
}
