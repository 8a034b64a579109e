//! Subscriptions: readers of a hub.

mod cursor;
mod open;
mod reader;
mod replay;
mod source;
mod transform;

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_core::Stream;
use http::{Extensions, HeaderMap};

pub(super) use self::source::Positions;
use self::{
    open::open,
    reader::ReaderHandle,
    source::{OpeningSource, SubscriptionSource},
};
use super::{
    entry::Entry,
    gap::{Lagged, Resumption},
    node::Node,
    selection::Selection,
    subscribe_error::SubscribeError,
};
use crate::{
    body::{AcceptedStream, EventBody, ExternalSource},
    event::{Event, EventId},
};

/// A reader of a [`Hub`](super::Hub). It is a stream of entries, for use in a handler, or becomes a
/// whole body with [`into_body`](Self::into_body).
///
/// A subscription has a position in the hub's log. It receives everything that is published on its
/// topics after that position, in the order of publication and without duplicates. Entries
/// superseded or expired before the reader reaches them are skipped. A reader that is too slow for
/// the history receives [`Lagged`]. A subscription buffers nothing: it takes references to at most 32
/// entries at a look, of 64 KiB together or one entry.
///
/// It ends
///
/// - after [`Lagged`], if the hub [evicts](super::Lagging::Evict) readers that lag;
/// - when the reader is [disconnected](super::Hub::disconnect);
/// - when all of its topics have [ended](super::Hub::finish) and everything is read. A pattern never
///   ends;
/// - when the last handle of the hub was dropped and everything is read.
///
/// It is no [`Stream`], so that [`EventBody::from_stream`](crate::EventBody::from_stream) does not
/// take it: the gap and the first ID would be lost. [`into_body`](Self::into_body) keeps them, and
/// [`into_stream`](Self::into_stream) is for combinators.
///
/// # Example
///
/// Some of the entries, each changed, as a body:
///
/// ```
/// use tower_sse::{Event, EventBody, Hub, hub::Selection};
///
/// # use http::HeaderMap;
/// async fn loud(hub: &Hub, room: &str, headers: &HeaderMap) -> Result<EventBody, tower_sse::BoxError> {
///     let room = hub.subscribe(Selection::new([room])?.last(50)).await?.positions_for(headers);
///     let visible = room.filter(|entry| entry.key() != Some("typing"));
///     Ok(visible.map(|entry| Event::new(entry.event().data().to_uppercase())).into_body())
/// }
/// ```
///
/// This does not compile:
///
/// ```compile_fail
/// # async fn f(hub: &tower_sse::Hub, orders: tower_sse::hub::Selection) -> Result<(), tower_sse::BoxError> {
/// let body = tower_sse::EventBody::from_stream(hub.subscribe(orders).await?);
/// # Ok(()) }
/// ```
#[must_use = "a subscription does nothing unless it is read or becomes a body"]
pub struct Subscription {
    /// The reader in the log. It leaves when the subscription is dropped.
    reader: ReaderHandle,
    /// How the body tells its client a position.
    positions: Positions,
}

impl Subscription {
    fn new(reader: ReaderHandle) -> Self {
        Self { reader, positions: Positions::Blocks }
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
    /// The body's [`StreamEnd`](crate::StreamEnd::extensions) has them as well. By default there are
    /// none, and `disconnect` does not see the reader until it is a body.
    pub fn extensions(self, extensions: Extensions) -> Self {
        self.reader.set_session(Arc::new(extensions));
        self
    }

    /// Chooses from the headers of the request how the body sends positions.
    ///
    /// A position is an event ID that does not belong to an event: the one at the start, and those that are sent
    /// with keep-alives. By default it is a block without data. That is not an event, but the
    /// [standard](https://html.spec.whatwg.org/multipage/server-sent-events.html#dispatchMessage) makes a client
    /// keep its ID. Firefox and WebKit do not. So a browser gets an event of the type `position` with empty data. An
    /// `EventSource` does not show it to the page unless the page listens to that type. Libraries that read event
    /// streams with `fetch` show events of all types.
    ///
    /// A request counts as a browser's if it accepts event streams only, and its `User-Agent` begins with `Mozilla/`.
    /// A hub's handler does this by itself. In a handler of a framework, call it whenever browsers may connect.
    pub fn positions_for(mut self, headers: &HeaderMap) -> Self {
        self.positions = Positions::of(headers);
        self
    }

    /// Keeps the entries for which the closure returns true.
    ///
    /// The subscription stays one: its body reports gaps, starts with an ID, and shares the bytes of
    /// entries with other readers. The client's ID also moves past entries that are left out, with
    /// the next keep-alive.
    ///
    /// The closure is called for each entry before it is given, while the subscription or its body
    /// is polled, so it must not block. If it panics, the body ends with an error.
    pub fn filter(mut self, filter: impl FnMut(&Entry) -> bool + Send + 'static) -> Self {
        self.reader.transform().filter(filter);
        self
    }

    /// Replaces the event of each entry by that which the closure returns. The entry keeps its ID,
    /// topic and key; an ID of the returned event is not used.
    ///
    /// A changed event is encoded for this reader alone. See [`filter`](Self::filter) for how the
    /// closure is called.
    pub fn map(mut self, map: impl FnMut(&Entry) -> Event + Send + 'static) -> Self {
        self.reader.transform().map(map);
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
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Polls for the next entry, for hand-written futures. See [`next`](Self::next).
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Entry, Lagged>>> {
        self.reader.poll_entry(cx)
    }

    /// Turns the subscription into a stream of entries, for combinators in a handler.
    ///
    /// A body that is made from the stream reports no gap and does not start with an ID. Use
    /// [`into_body`](Self::into_body) for that.
    pub fn into_stream(
        self,
    ) -> impl Stream<Item = Result<Entry, Lagged>> + Send + Sync + Unpin + 'static {
        EntryStream { subscription: self }
    }

    /// Turns the subscription into a body, which joins the entries that are ready and shares their
    /// bytes with other readers.
    ///
    /// The body starts with an event ID, so that a client that is disconnected before its first
    /// event can resume; or with the gap, if there is one. For a browser, call
    /// [`positions_for`](Self::positions_for) first. The [settings](EventBody) of a body
    /// apply. The [extensions](Self::extensions) are those of its
    /// [`StreamEnd`](crate::StreamEnd::extensions).
    pub fn into_body(self) -> EventBody {
        let mut accepted = AcceptedStream::without_request();
        match self.reader.session() {
            Some(session) => accepted.extensions = (*session).clone(),
            // `Hub::disconnect` and `Hub::sessions` see the reader from here on.
            None => self.reader.set_session(Arc::default()),
        }
        let source = Box::new(SubscriptionSource::new(self.reader, self.positions));
        EventBody::with_source(Arc::default(), accepted, source)
    }
}

/// Opens a subscription. It starts as the selection says, or after the event with the ID `last`.
pub(super) async fn subscribe(
    node: Arc<Node>,
    selection: Selection,
    last: Option<String>,
) -> Result<Subscription, SubscribeError> {
    open(node, selection, last, None).await.map(Subscription::new)
}

/// Opens a subscription as the source of a body. If that has to wait, the body waits. Returns `None`
/// if the reader would never get anything: all of its topics have ended, and it has everything.
pub(super) fn source(
    node: Arc<Node>,
    selection: Selection,
    last: Option<String>,
    session: Arc<Extensions>,
    positions: Positions,
) -> Result<Option<Box<dyn ExternalSource>>, SubscribeError> {
    node.check_limits(&selection)?;
    let mut opening = Box::pin(open(node, selection, last, Some(session)));
    // Most subscriptions do not wait. One that does is polled again by the body.
    let mut cx = Context::from_waker(Waker::noop());
    match opening.as_mut().poll(&mut cx) {
        Poll::Pending => Ok(Some(Box::new(OpeningSource::new(opening, positions)))),
        Poll::Ready(opened) => {
            let reader = opened?;
            let is_exhausted = reader.is_exhausted();
            Ok((!is_exhausted)
                .then(|| Box::new(SubscriptionSource::new(reader, positions)) as Box<_>))
        }
    }
}

/// The stream of a subscription.
struct EntryStream {
    subscription: Subscription,
}

impl Stream for EntryStream {
    type Item = Result<Entry, Lagged>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().subscription.poll_next(cx)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("at", &self.reader.cursor().at())
            .field("resumption", self.reader.resumption())
            .finish_non_exhaustive()
    }
}
