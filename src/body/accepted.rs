//! What is known of a stream when it was accepted.

use http::Extensions;
use tokio::time::Instant;

use crate::trace::Span;

/// What a stream is accepted with, besides its settings and its handler.
pub(crate) struct AcceptedStream {
    /// The session.
    pub(crate) extensions: Extensions,
    /// When it must have ended.
    pub(crate) deadline: Option<Instant>,
    /// What keeps its places, where their number is limited.
    pub(crate) permits: Option<Box<dyn Send + Sync>>,
    pub(crate) span: Span,
}

impl AcceptedStream {
    pub(crate) fn without_request() -> Self {
        Self {
            extensions: Extensions::new(),
            deadline: None,
            permits: None,
            span: Span::without_request(),
        }
    }
}
