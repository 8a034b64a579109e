//! Subscriptions: readers of a hub.

mod cursor;
mod reader;
mod source;

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use http::Extensions;

use self::{reader::ReaderHandle, source::SubscriptionSource};
use super::{
    entry::Entry,
    gap::{Lagged, Resumption},
    node::Node,
    selection::Selection,
};
use crate::{
    body::{AcceptedStream, EventBody, ExternalSource},
    event::EventId,
};

/// A reader of a [`Hub`](super::Hub). It is a stream of entries, for use in a handler, or becomes a
/// whole body with [`into_body`](Self::into_body).
///
/// A subscription has a position in the hub's log. It receives everything that is published on its
/// topics after that position, in the order of publication and without duplicates. Entries
/// superseded before the reader reaches them are skipped. A reader that is too slow for the history
/// receives [`Lagged`]. A subscription buffers nothing.
///
/// The stream ends
///
/// - after [`Lagged`], if the hub [evicts](super::Lagging::Evict) readers that lag;
/// - when the reader is [disconnected](super::Hub::disconnect);
/// - when the last handle of the hub was dropped and everything is read.
///
/// # Example
///
/// A snapshot, then everything that has changed since. Subscribe first, then take the snapshot, so
/// that no change is lost in between:
///
/// ```
/// use tower_sse::{Event, Hub, event_channel_handler, hub::Selection};
///
/// let hub = Hub::new();
/// let handler = event_channel_handler::<_, _, ()>(move |_request, events| {
///     let hub = hub.clone();
///     async move {
///         let mut orders = hub.subscribe(Selection::new(["orders"])?);
///         let snapshot = Event::new("all orders").with_id(orders.position());
///         events.send(snapshot).await?;
///         while let Some(entry) = orders.next().await {
///             events.send(entry?).await?;
///         }
///         Ok(())
///     }
/// });
/// # let _ = handler;
/// ```
#[must_use = "a subscription does nothing unless it is read or becomes a body"]
pub struct Subscription {
    /// The reader in the log. It leaves when the subscription is dropped.
    reader: ReaderHandle,
}

impl Subscription {
    /// Adds a reader that starts at the head of the log, or after the event with the ID `last`.
    pub(super) fn new(node: Arc<Node>, selection: Selection, last: Option<&str>) -> Self {
        Self { reader: ReaderHandle::new(node, selection, last) }
    }

    /// Returns how the subscription started: new, complete, or with a [`Gap`](super::Gap).
    ///
    /// A body reports a gap itself. A handler must do so.
    #[must_use]
    pub fn resumption(&self) -> &Resumption {
        self.reader.resumption()
    }

    /// Returns an ID from which everything not yet read can be resumed.
    ///
    /// While the subscription reads the [state](Selection::with_state), this is the start of the
    /// history.
    #[must_use]
    pub fn position(&self) -> EventId {
        self.reader.position()
    }

    /// Sets the extensions that [`Hub::disconnect`](super::Hub::disconnect) passes to its
    /// predicate.
    ///
    /// By default there are none, and `disconnect` does not see the reader until it is a body.
    pub fn extensions(self, extensions: Extensions) -> Self {
        self.reader.set_session(Arc::new(extensions));
        self
    }

    /// Waits for the next entry. Returns `None` when nothing more will come.
    ///
    /// # Errors
    ///
    /// Returns [`Lagged`] if entries were removed from the history before this reader had read
    /// them. Then the stream ends, or continues with the oldest retained entry, as the hub's
    /// [`Lagging`](super::Lagging) says.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe. If the future is dropped, no entry is lost.
    pub async fn next(&mut self) -> Option<Result<Entry, Lagged>> {
        poll_fn(|cx| self.reader.poll_entry(cx)).await
    }

    /// Turns the subscription into a body, which joins the entries that are ready and shares their
    /// bytes with other readers.
    ///
    /// The body starts with an event ID, so that a client that is disconnected before its first
    /// event can resume; or with the gap, if there is one. The [settings](EventBody) of a body
    /// apply.
    pub fn into_body(self) -> EventBody {
        let source = self.into_source(Arc::new(Extensions::new()));
        EventBody::with_source(Arc::default(), AcceptedStream::without_request(), source)
    }

    pub(super) fn into_source(self, extensions: Arc<Extensions>) -> Box<dyn ExternalSource> {
        self.reader.set_session(extensions);
        Box::new(SubscriptionSource::new(self.reader))
    }
}

impl Stream for Subscription {
    type Item = Result<Entry, Lagged>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().reader.poll_entry(cx)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("position", &self.reader.cursor().at())
            .field("resumption", self.reader.resumption())
            .finish_non_exhaustive()
    }
}
