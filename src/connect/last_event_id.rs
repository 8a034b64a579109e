//! Where a client that comes back wants to go on.

use std::{borrow::Cow, error::Error, fmt, str};

use http::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;

use crate::event::{EventId, InvalidEventId};

/// The id of the last event that a client has received, as it tells when it reconnects.
///
/// An event channel handler finds it in the extensions of its request; a handler of a framework
/// asks [`from_headers`](Self::from_headers). Browsers send it as the header `Last-Event-ID` when
/// they reconnect by themselves; a page that opens a stream anew can only put it in the query,
/// where [`from_query`](Self::from_query) looks. It is what the client says: check it before you
/// believe it.
///
/// ```
/// use http::HeaderMap;
/// use tower_sse::LastEventId;
///
/// let mut headers = HeaderMap::new();
/// assert_eq!(LastEventId::from_headers(&headers)?, None);
///
/// headers.insert("last-event-id", "7".parse()?);
/// let last = LastEventId::from_headers(&headers)?.unwrap();
/// assert_eq!(last.as_str().parse(), Ok(7));
/// # Ok::<(), tower_sse::BoxError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LastEventId(EventId);

impl LastEventId {
    const PARAMETERS: [&'static str; 3] = ["last_event_id", "lastEventId", "Last-Event-ID"];

    /// Reads the header `Last-Event-ID`, the first if there are several, as UTF-8. An empty one is
    /// none.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidLastEventId`] if the value is not UTF-8.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, InvalidLastEventId> {
        let Some(value) = headers.get("last-event-id") else { return Ok(None) };
        Self::from_bytes(value.as_bytes(), Place::Header)
    }

    /// Reads the first of the query parameters `last_event_id`, `lastEventId` and `Last-Event-ID`
    /// that there is. An empty one is none.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidLastEventId`] if the value, decoded, is not UTF-8, or holds what no id can:
    /// NUL, CR or LF.
    pub fn from_query(uri: &Uri) -> Result<Option<Self>, InvalidLastEventId> {
        let parameters = uri.query().unwrap_or_default().split('&');
        let mut parameters = parameters.filter_map(|parameter| parameter.split_once('='));
        match parameters.find(|(name, _)| Self::PARAMETERS.contains(name)) {
            None => Ok(None),
            Some((_, value)) => {
                let value = value.replace('+', " ");
                Self::from_bytes(&Cow::from(percent_decode_str(&value)), Place::Query)
            }
        }
    }

    /// Returns the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the id as that of an event.
    #[must_use]
    pub fn as_event_id(&self) -> &EventId {
        &self.0
    }

    fn from_bytes(bytes: &[u8], place: Place) -> Result<Option<Self>, InvalidLastEventId> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let id = match str::from_utf8(bytes) {
            Ok(text) => EventId::received(text).map_err(Fault::Id),
            Err(error) => Err(Fault::NotUtf8(error.valid_up_to())),
        };
        id.map(|id| Some(Self(id))).map_err(|fault| InvalidLastEventId { place, fault })
    }
}

impl fmt::Display for LastEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl AsRef<str> for LastEventId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<LastEventId> for EventId {
    fn from(last: LastEventId) -> Self {
        last.0
    }
}

impl PartialEq<str> for LastEventId {
    fn eq(&self, other: &str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<&str> for LastEventId {
    fn eq(&self, other: &&str) -> bool {
        self.0 == **other
    }
}

/// The error of a `Last-Event-ID` that cannot be the id of an event. An event channel handler
/// answers it with a 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidLastEventId {
    place: Place,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Header,
    Query,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    NotUtf8(usize),
    Id(InvalidEventId),
}

impl fmt::Display for InvalidLastEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.place {
            Place::Header => "header Last-Event-ID: ",
            Place::Query => "last event id in the query: ",
        })?;
        match &self.fault {
            Fault::NotUtf8(at) => write!(f, "not UTF-8 at byte {at}"),
            Fault::Id(error) => error.fmt(f),
        }
    }
}

impl Error for InvalidLastEventId {}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn from_header(value: &[u8]) -> Result<Option<LastEventId>, InvalidLastEventId> {
        let value = HeaderValue::from_bytes(value).unwrap();
        LastEventId::from_headers(&HeaderMap::from_iter([(
            "last-event-id".parse().unwrap(),
            value,
        )]))
    }

    #[test]
    fn the_header_is_read_as_utf_8_bytes() {
        assert_eq!(from_header("ä\u{1f600}".as_bytes()).unwrap().unwrap(), "ä\u{1f600}");
        assert_eq!(from_header(b"a\tb").unwrap().unwrap(), "a\tb");
        assert_eq!(from_header(b"").unwrap(), None);
        let error = from_header(b"ab\xff").unwrap_err();
        assert_eq!(error.to_string(), "header Last-Event-ID: not UTF-8 at byte 2");
    }

    #[test]
    fn the_query_has_three_names_for_it() {
        let from = |uri: &'static str| LastEventId::from_query(&Uri::from_static(uri));
        for uri in
            ["/?last_event_id=%C3%A4+b", "/?a=1&lastEventId=%C3%A4+b", "/?Last-Event-ID=ä%20b"]
        {
            assert_eq!(
                LastEventId::from_query(&uri.parse().unwrap()).unwrap().unwrap(),
                "ä b",
                "{uri}"
            );
        }
        assert_eq!(from("/?last_event_id=").unwrap(), None);
        assert_eq!(from("/events").unwrap(), None);
        assert_eq!(from("/?last_event_id").unwrap(), None);
        let error = from("/?last_event_id=ab%FF").unwrap_err();
        assert_eq!(error.to_string(), "last event id in the query: not UTF-8 at byte 2");
        let error = from("/?last_event_id=a%0Adata").unwrap_err();
        assert_eq!(
            error.to_string(),
            "last event id in the query: invalid event ID: line feed at byte 1; remove it"
        );
    }
}
