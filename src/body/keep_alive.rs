//! What is sent when nothing else is.

use std::time::Duration;

use bytes::Bytes;

use crate::event::{Event, EventData};

/// What goes out when nothing has left for a while: so that proxies keep the connection open, and
/// both ends notice when the other is gone.
///
/// A comment by default, which keeps proxies content and which browsers do not show to the page. A
/// page that wants to know that the stream is alive needs an event, which goes out with the comment
/// or, after [`without_comment`](Self::without_comment), in its place.
///
/// Every event that leaves puts it off; it never delays one. The default is a comment every 15
/// seconds.
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
    every: Duration,
    comment: Option<EventData>,
    event: Option<Event>,
    /// Encoded when it is set up, since it is what a thousand idle streams send.
    bytes: Bytes,
}

impl KeepAlive {
    /// Sends a comment when nothing has left for so long. Zero is off.
    pub fn every(idle: Duration) -> Self {
        Self { every: idle, comment: None, event: None, bytes: Bytes::new() }.comment("keep-alive")
    }

    /// Sets the text of the comment. Default is `keep-alive`.
    pub fn comment(mut self, text: impl Into<EventData>) -> Self {
        self.comment = Some(text.into());
        self.encoded()
    }

    /// Leaves the comment out. Without an event that is off.
    pub fn without_comment(mut self) -> Self {
        self.comment = None;
        self.encoded()
    }

    /// Sends an event as well, which pages can listen for.
    pub fn event(mut self, event: Event) -> Self {
        self.event = Some(event);
        self.encoded()
    }

    /// How long nothing must have left; none if it is off.
    pub(super) fn idle(&self) -> Option<Duration> {
        (!self.every.is_zero() && !self.bytes.is_empty()).then_some(self.every)
    }

    pub(super) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The id that the client has from then on, if the event sets one.
    pub(super) fn id(&self) -> Option<Bytes> {
        self.event.as_ref()?.id().map(|id| Bytes::copy_from_slice(id.as_bytes()))
    }

    fn encoded(mut self) -> Self {
        let event = match (&self.event, &self.comment) {
            (None, None) => {
                self.bytes = Bytes::new();
                return self;
            }
            (event, None) => event.clone().unwrap_or_default(),
            (event, Some(comment)) => {
                event.clone().unwrap_or_default().with_comment(comment.clone())
            }
        };
        self.bytes = event.encode().to_bytes();
        self
    }
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self::every(Duration::from_secs(15))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_comment_an_event_or_both() {
        let every = KeepAlive::every(Duration::from_secs(1));
        let ping = Event::new("").with_type("ping");
        assert_eq!(every.bytes, ": keep-alive\n\n");
        assert_eq!(every.clone().comment("a\nb").bytes, ": a\n: b\n\n");
        assert_eq!(
            every.clone().event(ping.clone()).bytes,
            ": keep-alive\nevent: ping\ndata: \n\n"
        );
        assert_eq!(every.clone().event(ping).without_comment().bytes, "event: ping\ndata: \n\n");
        assert_eq!(every.without_comment().idle(), None);
        assert_eq!(KeepAlive::every(Duration::ZERO).idle(), None);
    }
}
