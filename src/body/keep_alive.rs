//! Keep-alives: what a stream sends when it has nothing else to send.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    channel::Segment,
    event::{Event, EventData},
};

/// What a stream sends when it has sent nothing else for a while. So proxies keep the connection
/// open, and both ends notice when the other one is gone.
///
/// The default is a comment after 15 seconds. Browsers do not show comments to the page. A page
/// that must know that the stream is alive needs an event, which goes out with the comment or,
/// after [`without_comment`](Self::without_comment), in its place.
///
/// Every event that goes out restarts the time. A keep-alive never delays an event.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Event, KeepAlive};
///
/// let quiet = KeepAlive::every(Duration::from_secs(15));
/// let for_the_page = KeepAlive::every(Duration::from_secs(15)).event(Event::new("").with_type("alive"));
/// # let _ = (quiet, for_the_page);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[doc(alias = "heartbeat")]
pub struct KeepAlive {
    /// How long a stream must have sent nothing.
    every: Duration,
    comment: Option<EventData>,
    event: Option<Event>,
    /// The comment and the event, encoded once: a thousand idle streams send the same bytes.
    bytes: Bytes,
    /// The event's ID, if it has one.
    id: Option<Bytes>,
}

impl KeepAlive {
    /// Creates a keep-alive that sends a comment after this time without bytes. Zero turns it off.
    pub fn every(idle: Duration) -> Self {
        let bytes = Bytes::new();
        Self { every: idle, comment: None, event: None, bytes, id: None }.comment("keep-alive")
    }

    /// Sets the text of the comment. Defaults to `keep-alive`.
    pub fn comment(mut self, text: impl Into<EventData>) -> Self {
        self.comment = Some(text.into());
        self.encoded()
    }

    /// Leaves the comment out. Without an event the keep-alive is off.
    pub fn without_comment(mut self) -> Self {
        self.comment = None;
        self.encoded()
    }

    /// Sends an event too, which pages can listen for. By default there is no event.
    pub fn event(mut self, event: Event) -> Self {
        self.event = Some(event);
        self.encoded()
    }

    /// Returns how long a stream must have sent nothing, or `None` if the keep-alive is off.
    pub(super) fn idle(&self) -> Option<Duration> {
        (!self.every.is_zero() && !self.bytes.is_empty()).then_some(self.every)
    }

    /// Returns the bytes to send, together with an event that updates the client's last event ID.
    pub(super) fn segment(&self, refresh: Option<Segment>) -> Segment {
        match refresh {
            Some(refresh) => {
                let bytes = [&self.bytes[..], &refresh.bytes].concat().into();
                Segment { bytes, ..refresh }
            }
            None => Segment::uncounted(self.bytes.clone(), self.id.clone()),
        }
    }

    fn encoded(mut self) -> Self {
        let id = |event: &Event| event.id().map(|id| Bytes::copy_from_slice(id.as_bytes()));
        (self.bytes, self.id) = match (&self.event, &self.comment) {
            (None, None) => (Bytes::new(), None),
            (None, Some(comment)) => {
                (lines_of(&Event::default().with_comment(comment.clone())), None)
            }
            (Some(event), None) => (event.encode().to_bytes(), id(event)),
            (Some(event), Some(comment)) => {
                let both = event.clone().with_comment(comment.clone());
                (both.encode().to_bytes(), id(event))
            }
        };
        self
    }
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self::every(Duration::from_secs(15))
    }
}

/// Encodes an event without data as lines, without the empty line that would end it.
pub(super) fn lines_of(event: &Event) -> Bytes {
    let mut bytes = event.encode().to_bytes();
    bytes.truncate(bytes.len().saturating_sub(1));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_comment_an_event_or_both() {
        let every = KeepAlive::every(Duration::from_secs(1));
        let ping = Event::new("").with_type("ping");
        assert_eq!(every.bytes, ": keep-alive\n");
        assert_eq!(every.clone().comment("a\nb").bytes, ": a\n: b\n");
        assert_eq!(
            every.clone().event(ping.clone()).bytes,
            ": keep-alive\nevent: ping\ndata: \n\n"
        );
        assert_eq!(every.clone().event(ping).without_comment().bytes, "event: ping\ndata: \n\n");
        assert_eq!(every.without_comment().idle(), None);
        assert_eq!(KeepAlive::every(Duration::ZERO).idle(), None);
    }
}
