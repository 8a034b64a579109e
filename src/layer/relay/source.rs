//! An upstream as the source of a body.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    error::RelayError,
    settings::RelayConfig,
    upstream::{Passed, Upstream},
};
use crate::{
    body::ExternalSource,
    channel::{ChannelEnd, Polled, Segment},
    lifecycle::AbortReason,
};

/// The events of an upstream, and the event that reports its failure.
pub(super) struct RelaySource {
    upstream: Upstream,
    config: Arc<RelayConfig>,
    /// How the source has ended. `Some` once the error event was returned.
    end: Option<ChannelEnd>,
}

impl RelaySource {
    pub(super) fn new(upstream: Upstream, config: Arc<RelayConfig>) -> Self {
        Self { upstream, config, end: None }
    }

    fn failed(&mut self, error: RelayError) -> Polled {
        let event = self.config.error_event(&error);
        let end = ChannelEnd::Failed(Arc::new(error));
        match event {
            Some(event) => {
                self.end = Some(end);
                let bytes = event.encode().to_bytes();
                // It is no event of the upstream.
                Polled::Segment(Segment::uncounted(bytes, None))
            }
            None => Polled::End(end),
        }
    }
}

impl ExternalSource for RelaySource {
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Polled {
        if let Some(end) = &self.end {
            return Polled::End(end.clone());
        }
        match self.upstream.poll_passed(cx) {
            Poll::Pending => Polled::Empty,
            Poll::Ready(Some(Ok(Passed { bytes, events }))) => {
                Polled::Segment(Segment { bytes, events, ..Segment::default() })
            }
            Poll::Ready(Some(Err(error))) => self.failed(error),
            Poll::Ready(None) => Polled::End(ChannelEnd::Closed),
        }
    }

    /// There is no batch window.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Polled {
        self.poll_item(cx)
    }

    fn refresh(&mut self) -> Option<Segment> {
        None
    }

    /// The upstream may complete its stream.
    fn has_grace(&self) -> bool {
        true
    }

    fn close(&mut self) -> bool {
        self.upstream.close();
        // After the error event, the stream ends with the error.
        self.end.is_none()
    }

    fn outcome(&mut self) -> Option<ChannelEnd> {
        let of_upstream = |outcome| match outcome {
            Ok(()) => ChannelEnd::Closed,
            Err(error) => ChannelEnd::Failed(Arc::new(error)),
        };
        self.end.clone().or_else(|| self.upstream.outcome().map(of_upstream))
    }

    fn abort_reason(&mut self) -> Option<AbortReason> {
        None
    }
}
