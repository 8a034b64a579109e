//! The last event ID of a client that reconnects.

use std::{borrow::Cow, error::Error, fmt, str};

use http::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;

use crate::{
    event::{EventId, InvalidEventId},
    headers::LAST_EVENT_ID,
};

/// The ID of the last event that a client received, which it sends when it reconnects.
///
/// An event channel handler finds it in the extensions of its request, an `on_connect` hook in
/// [`Connect::last_event_id`](crate::Connect::last_event_id). The handler of a framework calls
/// [`from_headers`](Self::from_headers).
///
/// A browser that reconnects by itself sends the header `Last-Event-ID`. A page that opens a new
/// stream cannot set the header, but can put the ID into the query: see
/// [`from_query`](Self::from_query).
///
/// The ID comes from the client: check it before you rely on it.
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

/// The longest ID that is accepted, in bytes.
const MAX_BYTES: usize = 8 << 10;

impl LastEventId {
    /// The names of the query parameter.
    const PARAMETERS: [&'static str; 3] = ["last_event_id", "lastEventId", "Last-Event-ID"];

    /// Reads the header `Last-Event-ID` as UTF-8.
    ///
    /// Returns `None` if there is no such header or it is empty. Of several, the first counts.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidLastEventId`] if the value is not UTF-8, or longer than 8 KiB.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, InvalidLastEventId> {
        let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
        Self::from_bytes(value.as_bytes(), IdLocation::Header)
    }

    /// Reads the query parameter `last_event_id`, `lastEventId` or `Last-Event-ID`.
    ///
    /// Returns `None` if there is no such parameter or it is empty. Of several, the first counts.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidLastEventId`] if the decoded value is not UTF-8, is longer than 8 KiB, or
    /// contains NUL, CR or LF, which no ID can.
    pub fn from_query(uri: &Uri) -> Result<Option<Self>, InvalidLastEventId> {
        let parameters = uri.query().unwrap_or_default().split('&');
        let mut parameters = parameters.filter_map(|parameter| parameter.split_once('='));
        match parameters.find(|(name, _)| Self::PARAMETERS.contains(name)) {
            None => Ok(None),
            Some((_, value)) => {
                let value = value.replace('+', " ");
                Self::from_bytes(&Cow::from(percent_decode_str(&value)), IdLocation::Query)
            }
        }
    }

    /// Returns the ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the ID as an [`EventId`].
    #[must_use]
    pub fn as_event_id(&self) -> &EventId {
        &self.0
    }

    fn from_bytes(bytes: &[u8], location: IdLocation) -> Result<Option<Self>, InvalidLastEventId> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let id = match str::from_utf8(bytes) {
            // A stream keeps its ID as long as it is open.
            _ if bytes.len() > MAX_BYTES => Err(LastEventIdFault::TooLong(bytes.len())),
            Ok(text) => EventId::received(text).map_err(LastEventIdFault::Id),
            Err(error) => Err(LastEventIdFault::NotUtf8(error.valid_up_to())),
        };
        id.map(|id| Some(Self(id))).map_err(|fault| InvalidLastEventId { location, fault })
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

/// The error of a last event ID that cannot be the ID of an event.
///
/// An event channel handler and a hub's handler answer it with a 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidLastEventId {
    location: IdLocation,
    fault: LastEventIdFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdLocation {
    Header,
    Query,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum LastEventIdFault {
    /// Not UTF-8 at this byte.
    NotUtf8(usize),
    /// It has this number of bytes.
    TooLong(usize),
    Id(InvalidEventId),
}

impl fmt::Display for InvalidLastEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.location {
            IdLocation::Header => "header Last-Event-ID: ",
            IdLocation::Query => "last event ID in the query: ",
        })?;
        match &self.fault {
            LastEventIdFault::NotUtf8(at) => write!(f, "not UTF-8 at byte {at}"),
            LastEventIdFault::TooLong(bytes) => {
                write!(f, "{bytes} bytes, at most {MAX_BYTES} are allowed")
            }
            LastEventIdFault::Id(error) => error.fmt(f),
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
    fn a_long_id_is_refused() {
        assert!(from_header(&[b'x'; MAX_BYTES]).unwrap().is_some());
        let error = from_header(&[b'x'; MAX_BYTES + 1]).unwrap_err();
        let text = "header Last-Event-ID: 8193 bytes, at most 8192 are allowed";
        assert_eq!(error.to_string(), text);
        let uri = format!("/?last_event_id={}", "%61".repeat(MAX_BYTES + 1)).parse().unwrap();
        let error = LastEventId::from_query(&uri).unwrap_err();
        let text = "last event ID in the query: 8193 bytes, at most 8192 are allowed";
        assert_eq!(error.to_string(), text);
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
        assert_eq!(error.to_string(), "last event ID in the query: not UTF-8 at byte 2");
        let error = from("/?last_event_id=a%0Adata").unwrap_err();
        assert_eq!(
            error.to_string(),
            "last event ID in the query: invalid event ID: line feed at byte 1; remove it"
        );
    }
}
