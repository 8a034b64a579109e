//! The request to end a stream.

use tokio::time::Instant;

/// A shutdown's request that a stream ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopRequest {
    /// When `EventSender::ending` completes.
    pub(crate) begin: Instant,
    /// When the stream ends, unless it has ended by itself before.
    pub(crate) end: Instant,
    /// Whether the stream ends without a farewell.
    pub(crate) silent: bool,
}

impl StopRequest {
    /// Merges a later request into the pending one: the earlier end applies, and a silent end stays
    /// silent.
    pub(crate) fn merge_into(self, pending: &mut Option<Box<Self>>) {
        let silent = self.silent || pending.as_ref().is_some_and(|before| before.silent);
        match pending {
            Some(before) if before.end < self.end => before.silent = silent,
            pending => *pending = Some(Box::new(Self { silent, ..self })),
        }
    }
}
