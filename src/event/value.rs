//! The event: its fields and setters.

use std::{fmt, hash, time::Duration};

use super::{EventData, EventId, EventType, FieldName, IntoEventId, IntoEventType, IntoFieldName};

/// One event of an event stream.
///
/// It is encoded in this order: comments, type, ID, reconnection time, data, custom fields.
///
/// A client dispatches an event only if it has data, which may be empty. Without data it still sets
/// the client's last event ID and reconnection time. Line ends in data, comments and values of
/// custom fields may be CR, LF or CRLF. Each of them ends one line, and the client receives it as
/// LF.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::Event;
///
/// let retry = Duration::from_secs(3);
/// let event = Event::new("two\r\nlines").with_type("note").with_id(7).with_retry(retry);
/// let expected = "event: note\nid: 7\nretry: 3000\ndata: two\ndata: lines\n\n";
/// assert_eq!(event.encode().to_bytes(), expected);
/// ```
#[derive(Clone, Default)]
pub struct Event {
    event_type: Option<EventType>,
    data: Option<EventData>,
    id: Option<EventId>,
    /// Boxed because few events have any of these.
    extra: Option<Box<ExtraFields>>,
}

/// Mutable access to the fields, so that a parser writes them in place.
///
/// To create a short text and move it right afterwards is slow: the processor stalls when it reads
/// a word that several smaller writes have just written (store forwarding).
#[derive(Debug)]
pub(crate) struct FieldsMut<'a> {
    pub(crate) event_type: &'a mut Option<EventType>,
    pub(crate) data: &'a mut Option<EventData>,
    pub(crate) id: &'a mut Option<EventId>,
}

#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct ExtraFields {
    /// The reconnection time, in milliseconds.
    retry: Option<u64>,
    comments: Vec<EventData>,
    fields: Vec<(FieldName, EventData)>,
}

impl Event {
    /// Creates an event of the type `message` with this data, which is text, a number, a `bool` or a `char`.
    ///
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

    /// Creates an event whose data is the value, formatted by its `Display`.
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

    /// Creates a comment, which clients ignore.
    ///
    /// Each line of the text becomes one line that starts with a colon.
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

    /// Sets the data. Replaces any data set before.
    #[inline]
    #[must_use]
    pub fn with_data(mut self, data: impl Into<EventData>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// Sets the type. Defaults to `message`. An empty type counts as `message` too.
    ///
    /// # Panics
    ///
    /// Panics if given a literal that contains a line end.
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn with_type(mut self, event_type: impl IntoEventType) -> Self {
        self.event_type = Some(event_type.into_event_type());
        self
    }

    /// Sets the ID. By default the event has no ID, and the client's last event ID stays unchanged.
    /// An empty ID resets it.
    ///
    /// # Panics
    ///
    /// Panics if given a literal that contains a control character.
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn with_id(mut self, id: impl IntoEventId) -> Self {
        self.id = Some(id.into_event_id());
        self
    }

    /// Removes the ID, for example that of another server: a hub gives its events IDs of its own.
    #[must_use]
    pub fn without_id(mut self) -> Self {
        self.id = None;
        self
    }

    /// Sets how long the client waits before it reconnects.
    ///
    /// It is sent in milliseconds; fractions of a millisecond are dropped.
    #[must_use]
    pub fn with_retry(mut self, reconnection_time: Duration) -> Self {
        let millis = u64::try_from(reconnection_time.as_millis()).unwrap_or(u64::MAX);
        self.extra.get_or_insert_default().retry = Some(millis);
        self
    }

    /// Adds a comment after the existing ones.
    #[must_use]
    pub fn with_comment(mut self, text: impl Into<EventData>) -> Self {
        self.extra.get_or_insert_default().comments.push(text.into());
        self
    }

    /// Adds a custom field after the existing ones. Each line of the value becomes one line with
    /// this name.
    ///
    /// Clients ignore fields that they do not know. Browsers ignore all custom fields.
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
    /// Panics if given a literal that is not a valid [`FieldName`].
    #[must_use]
    #[track_caller]
    pub fn with_field(mut self, name: impl IntoFieldName, value: impl Into<EventData>) -> Self {
        let field = (name.into_field_name(), value.into());
        self.extra.get_or_insert_default().fields.push(field);
        self
    }

    /// Returns the type under which a client dispatches the event: `message` if none was set, or if
    /// it is empty.
    #[must_use]
    pub fn event_type(&self) -> &EventType {
        static MESSAGE: EventType = EventType::MESSAGE;
        self.type_field().unwrap_or(&MESSAGE)
    }

    /// Returns the data, or an empty string if the event has no data: see [`Event::has_data`].
    #[must_use]
    pub fn data(&self) -> &str {
        self.data.as_ref().map_or("", EventData::as_str)
    }

    /// Returns whether the event has data, which may be empty. A client dispatches only such
    /// events.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.data.is_some()
    }

    /// Returns the ID of this event itself.
    ///
    /// An event without one leaves the client's last event ID unchanged.
    #[inline]
    #[must_use]
    pub fn id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    /// Returns the reconnection time, if the event sets one.
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

    /// Returns the event with its own copy of its data, if it shared a larger buffer.
    ///
    /// The data of a parsed event may be a slice of the chunk that contained it. The whole chunk
    /// then stays in memory as long as the event. Call this before you store a few small events of
    /// large chunks.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.data = self.data.map(EventData::detached);
        self
    }

    /// Returns mutable access to the fields, for a parser.
    #[inline]
    pub(crate) fn fields_mut(&mut self) -> FieldsMut<'_> {
        FieldsMut { event_type: &mut self.event_type, data: &mut self.data, id: &mut self.id }
    }

    /// Sets the reconnection time, in milliseconds, of an event without comments and custom fields.
    pub(crate) fn set_parsed_retry(&mut self, milliseconds: u64) {
        let extra = ExtraFields { retry: Some(milliseconds), ..ExtraFields::default() };
        self.extra = Some(Box::new(extra));
    }

    /// Returns the type if it is encoded: an empty type is not.
    #[inline]
    pub(crate) fn type_field(&self) -> Option<&EventType> {
        self.event_type.as_ref().filter(|event_type| !event_type.as_bytes().is_empty())
    }

    #[inline]
    pub(crate) fn data_field(&self) -> Option<&EventData> {
        self.data.as_ref()
    }

    /// Returns the data if no other field is set.
    #[inline]
    pub(crate) fn only_data(&self) -> Option<&EventData> {
        let has_more = self.event_type.is_some() || self.id.is_some() || self.extra.is_some();
        if has_more { None } else { self.data.as_ref() }
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

/// Events are equal if all their fields are. An event without a type equals one of the type
/// `message`.
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

/// Shows the fields that are set, including the data. Do not log events that contain secrets.
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
