//! The stream of all that happens to a source.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use super::{error::EventSourceError, source::EventSource, update::Update};

/// The stream that [`EventSource::updates`] makes.
#[must_use = "a stream does nothing unless it is polled"]
#[derive(Debug)]
pub struct Updates {
    source: EventSource,
}

impl Updates {
    pub(super) fn new(source: EventSource) -> Self {
        Self { source }
    }

    /// Returns the source, to look at its last event ID.
    pub fn get_ref(&self) -> &EventSource {
        &self.source
    }

    /// Returns the source, to close it.
    pub fn get_mut(&mut self) -> &mut EventSource {
        &mut self.source
    }
}

impl Stream for Updates {
    type Item = Result<Update, EventSourceError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.source.poll_update(cx)
    }
}
