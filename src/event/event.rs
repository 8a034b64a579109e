//! The event itself: its fields, and the setters that cannot make it wrong.

use std::{fmt, hash, time::Duration};

use super::{EventData, EventId, EventType, FieldName, IntoEventId, IntoEventType, IntoFieldName};

/// One event of an event stream.
///
/// It goes out in this order: comments, type, id, reconnection time, data, custom fields. A client
/// dispatches an event that has data, be it empty; without data the block still sets the last event
/// ID and the reconnection time, and nothing is dispatched. Line ends in data, comments and the
/// values of custom fields may be CR, LF or CRLF: each ends one line, and arrives as one LF.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::Event;
///
/// let event = Event::new("two\r\nlines").with_type("note").with_id(7).with_retry(Duration::from_secs(3));
/// assert_eq!(event.encode().to_bytes(), "event: note\nid: 7\nretry: 3000\ndata: two\ndata: lines\n\n");
/// ```
#[derive(Clone, Default)]
pub struct Event {
    event_type: Option<EventType>,
    data: Option<EventData>,
    id: Option<EventId>,
    /// What few events have.
    extra: Option<Box<Extra>>,
}

/// What a parser fills in where it is, rather than make it and move it: right after it was written,
/// short text is slow to move, for a processor waits where it reads a word that several writes have
/// written.
#[derive(Debug)]
pub(crate) struct Slots<'a> {
    pub(crate) event_type: &'a mut Option<EventType>,
    pub(crate) data: &'a mut Option<EventData>,
    pub(crate) id: &'a mut Option<EventId>,
}

#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Extra {
    /// Whole milliseconds, as they go out.
    retry: Option<u64>,
    comments: Vec<EventData>,
    fields: Vec<(FieldName, EventData)>,
}

impl Event {
    /// Creates an event of the type `message` with this data: text, or an integer.
    /// [`Event::display`] takes other values.
    ///
    /// ```
    /// use tower_sse::Event;
    ///
    /// assert_eq!(Event::new("hello").data(), "hello");
    /// assert_eq!(Event::new(7).data(), "7");
    /// ```
    #[inline]
    #[must_use]
    pub fn new(data: impl Into<EventData>) -> Self {
        Self::default().with_data(data)
    }

    /// Creates an event whose data is the value, displayed.
    ///
    /// ```
    /// use tower_sse::Event;
    ///
    /// assert_eq!(Event::display(1.5).data(), "1.5");
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the value's `Display` returns an error, as [`ToString::to_string`] does.
    #[must_use]
    pub fn display(value: impl fmt::Display) -> Self {
        Self { data: Some(EventData::display(&value)), ..Self::default() }
    }

    /// Creates a comment, which clients skip: one line beginning with a colon for each line of the
    /// text.
    ///
    /// ```
    /// use tower_sse::Event;
    ///
    /// assert_eq!(Event::comment("still here").encode().to_bytes(), ": still here\n\n");
    /// ```
    #[must_use]
    pub fn comment(text: impl Into<EventData>) -> Self {
        Self::default().with_comment(text)
    }

    /// Sets the data, in place of any there was.
    #[inline]
    #[must_use]
    pub fn with_data(mut self, data: impl Into<EventData>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// Sets the type. An empty one is as none: the event is a `message`.
    ///
    /// # Panics
    ///
    /// Panics if given a literal that holds a line end.
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn with_type(mut self, event_type: impl IntoEventType) -> Self {
        self.event_type = Some(event_type.into_event_type());
        self
    }

    /// Sets the id. An empty one resets the client's last event ID.
    ///
    /// # Panics
    ///
    /// Panics if given a literal that holds a control character.
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn with_id(mut self, id: impl IntoEventId) -> Self {
        self.id = Some(id.into_event_id());
        self
    }

    /// Tells the client how long to wait before it reconnects, in whole milliseconds; what is below
    /// one is cut off.
    #[must_use]
    pub fn with_retry(mut self, reconnection_time: Duration) -> Self {
        let millis = u64::try_from(reconnection_time.as_millis()).unwrap_or(u64::MAX);
        self.extra.get_or_insert_default().retry = Some(millis);
        self
    }

    /// Adds a comment, after those there are.
    #[must_use]
    pub fn with_comment(mut self, text: impl Into<EventData>) -> Self {
        self.extra.get_or_insert_default().comments.push(text.into());
        self
    }

    /// Adds a custom field, after those there are; one line of that name for each line of the
    /// value.
    ///
    /// Clients that do not know it ignore it, browsers always.
    ///
    /// ```
    /// use tower_sse::Event;
    ///
    /// let event = Event::new("x").with_field("trace", "4bf92f");
    /// assert_eq!(event.encode().to_bytes(), "data: x\ntrace: 4bf92f\n\n");
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if given a literal that cannot be a [`FieldName`].
    #[must_use]
    #[track_caller]
    pub fn with_field(mut self, name: impl IntoFieldName, value: impl Into<EventData>) -> Self {
        let field = (name.into_field_name(), value.into());
        self.extra.get_or_insert_default().fields.push(field);
        self
    }

    /// Returns the type a client dispatches the event under: `message` if none was set, or an empty
    /// one.
    #[must_use]
    pub fn event_type(&self) -> &EventType {
        static MESSAGE: EventType = EventType::MESSAGE;
        self.type_field().unwrap_or(&MESSAGE)
    }

    /// Returns the data; the empty string if there is none, see [`Event::has_data`].
    #[must_use]
    pub fn data(&self) -> &str {
        self.data.as_ref().map_or("", EventData::as_str)
    }

    /// Returns whether there is data, be it empty: whether a client dispatches the event.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.data.is_some()
    }

    /// Returns the id of this event itself. A client's last event ID stays as it is over events
    /// without one.
    #[inline]
    #[must_use]
    pub fn id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    /// Returns the reconnection time.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.retry_millis().map(Duration::from_millis)
    }

    /// Returns the comments, in the order in which they were added.
    pub fn comments(&self) -> impl Iterator<Item = &str> {
        self.comment_lines().iter().map(EventData::as_str)
    }

    /// Returns the custom fields, in the order in which they were added.
    pub fn fields(&self) -> impl Iterator<Item = (&FieldName, &str)> {
        self.custom_fields().iter().map(|(name, value)| (name, value.as_str()))
    }

    /// Returns the event with text of its own: what it shares with a larger buffer is copied.
    ///
    /// A parsed event's data may be a part of the chunk that it came in, which lives as long as the
    /// event. Whoever keeps a few small events of large chunks detaches them.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.data = self.data.map(EventData::detached);
        self
    }

    /// Returns where a parser puts what it finds.
    #[inline]
    pub(crate) fn slots(&mut self) -> Slots<'_> {
        Slots { event_type: &mut self.event_type, data: &mut self.data, id: &mut self.id }
    }

    /// Sets the reconnection time that a parser has found, in milliseconds.
    pub(crate) fn receive_retry(&mut self, milliseconds: u64) {
        self.extra = Some(Box::new(Extra { retry: Some(milliseconds), ..Extra::default() }));
    }

    /// Returns the type if it makes a line.
    #[inline]
    pub(crate) fn type_field(&self) -> Option<&EventType> {
        self.event_type.as_ref().filter(|event_type| !event_type.as_bytes().is_empty())
    }

    #[inline]
    pub(crate) fn data_field(&self) -> Option<&EventData> {
        self.data.as_ref()
    }

    #[inline]
    pub(crate) fn retry_millis(&self) -> Option<u64> {
        self.extra.as_ref().and_then(|extra| extra.retry)
    }

    #[inline]
    pub(crate) fn comment_lines(&self) -> &[EventData] {
        self.extra.as_ref().map_or(&[], |extra| &extra.comments)
    }

    #[inline]
    pub(crate) fn custom_fields(&self) -> &[(FieldName, EventData)] {
        self.extra.as_ref().map_or(&[], |extra| &extra.fields)
    }
}

impl<T: Into<EventData>> From<T> for Event {
    fn from(data: T) -> Self {
        Self::new(data)
    }
}

/// Events are equal if their fields are. One without a type equals one of the type `message`.
impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.event_type() == other.event_type()
            && self.data == other.data
            && self.id == other.id
            && self.retry_millis() == other.retry_millis()
            && self.comment_lines() == other.comment_lines()
            && self.custom_fields() == other.custom_fields()
    }
}

impl Eq for Event {}

impl hash::Hash for Event {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.event_type().hash(state);
        self.data.hash(state);
        self.id.hash(state);
        self.retry_millis().hash(state);
        self.comment_lines().hash(state);
        self.custom_fields().hash(state);
    }
}

/// Shows the fields that are set. Data is shown: do not log events that hold secrets.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Event");
        shown.field("event_type", self.event_type());
        if let Some(data) = &self.data {
            shown.field("data", data);
        }
        if let Some(id) = &self.id {
            shown.field("id", id);
        }
        if let Some(retry) = self.retry() {
            shown.field("retry", &retry);
        }
        if let Some(extra) = &self.extra {
            shown.field("comments", &extra.comments).field("fields", &extra.fields);
        }
        shown.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use super::*;

    #[test]
    fn no_type_an_empty_one_and_message_are_equal() {
        let hash = |event: &Event| {
            std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one(event)
        };
        let plain = Event::new("x");
        for other in [plain.clone().with_type(""), plain.clone().with_type("message")] {
            assert_eq!(plain, other);
            assert_eq!(hash(&plain), hash(&other));
            assert_eq!(other.event_type(), "message");
        }
        assert_ne!(plain, plain.clone().with_type("other"));
    }

    #[test]
    fn empty_data_is_not_no_data() {
        assert_ne!(Event::new(""), Event::default());
        assert!(Event::new("").has_data());
        assert!(!Event::comment("x").has_data());
    }

    #[test]
    fn retry_is_cut_to_whole_milliseconds() {
        assert_eq!(
            Event::default().with_retry(Duration::from_nanos(1_999_999)).retry_millis(),
            Some(1)
        );
        assert_eq!(Event::default().with_retry(Duration::from_nanos(1)).retry_millis(), Some(0));
        assert_eq!(Event::default().with_retry(Duration::MAX).retry_millis(), Some(u64::MAX));
    }

    #[test]
    fn comments_and_fields_keep_their_order() {
        let event = Event::default()
            .with_comment("a")
            .with_field("x", 1)
            .with_comment("b")
            .with_field("x", 2);
        assert_eq!(event.comments().collect::<Vec<_>>(), ["a", "b"]);
        let fields: Vec<_> = event.fields().map(|(name, value)| (name.as_str(), value)).collect();
        assert_eq!(fields, [("x", "1"), ("x", "2")]);
    }
}
