//! The request that is sent at each attempt.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CACHE_CONTROL},
    request,
};

use crate::{
    event::EventId,
    headers::{EVENT_STREAM, LAST_EVENT_ID},
};

/// The longest id that is sent. Servers refuse heads that are much larger, with a status that would
/// end a source: one id, and it could never connect again.
const LONGEST_ID: usize = 8 << 10;

/// A request that can be sent again: its body is bytes.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) head: request::Parts,
    pub(super) body: Bytes,
}

impl Default for Request {
    fn default() -> Self {
        Self::new(http::Request::new(Bytes::new())).0
    }
}

impl Request {
    /// Makes a request of what was given, with the headers that the standard wants unless they are
    /// set; without the last event ID that it may have had, which is returned.
    pub(super) fn new(request: http::Request<Bytes>) -> (Self, Option<EventId>) {
        let (mut head, body) = request.into_parts();
        let headers = &mut head.headers;
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static(EVENT_STREAM));
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
        let id = headers.remove(LAST_EVENT_ID);
        let id = id
            .and_then(|value| EventId::received(std::str::from_utf8(value.as_bytes()).ok()?).ok());
        (Self { head, body }, id)
    }

    /// Makes what is sent.
    pub(super) fn to_http(&self) -> http::Request<Bytes> {
        http::Request::from_parts(self.head.clone(), self.body.clone())
    }

    /// Sets these headers in place of those of the same name.
    pub(super) fn set_headers(&mut self, headers: HeaderMap) {
        let mut name = None;
        for (next, value) in headers {
            // One without a name is another value of the name before.
            if let Some(next) = next {
                self.head.headers.insert(&next, value);
                name = Some(next);
            } else if let Some(name) = &name {
                self.head.headers.append(name, value);
            }
        }
    }

    /// Sets the last event ID, if there is one. Returns whether a header can carry it: line ends and
    /// most controls it cannot, nor too much of anything, and such an id is left out.
    pub(super) fn set_last_event_id(&mut self, id: Option<&EventId>) -> bool {
        self.head.headers.remove(LAST_EVENT_ID);
        let Some(id) = id else { return true };
        if id.as_bytes().len() > LONGEST_ID {
            return false;
        }
        let value = HeaderValue::from_bytes(id.as_bytes());
        value.map(|value| self.head.headers.insert(LAST_EVENT_ID, value)).is_ok()
    }
}
