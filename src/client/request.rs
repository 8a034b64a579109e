//! The request that is sent at each attempt, and which URIs can be requested.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Uri,
    header::{ACCEPT, CACHE_CONTROL},
    request,
};

use crate::{
    event::EventId,
    headers::{EVENT_STREAM, LAST_EVENT_ID},
};

/// The longest last event ID that is sent, in bytes. Servers refuse much larger heads with a status
/// that ends the source: a single long ID would keep it from ever connecting again.
const MAX_ID_BYTES: usize = 8 << 10;

/// A request that can be sent several times, because its body is in memory.
#[derive(Clone, Debug)]
pub(super) struct RequestTemplate {
    pub(super) head: request::Parts,
    pub(super) body: Bytes,
}

impl Default for RequestTemplate {
    fn default() -> Self {
        Self::new(http::Request::new(Bytes::new())).0
    }
}

impl RequestTemplate {
    /// Creates a template from a request. Sets the headers that the standard asks for, unless the
    /// request has them. Removes its last event ID and returns it.
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

    /// Returns a request to send.
    pub(super) fn to_http(&self) -> http::Request<Bytes> {
        http::Request::from_parts(self.head.clone(), self.body.clone())
    }

    /// Sets these headers. They replace all headers of the same name.
    pub(super) fn set_headers(&mut self, headers: HeaderMap) {
        let mut name = None;
        for (next, value) in headers {
            // An item without a name is another value of the name before it.
            if let Some(next) = next {
                self.head.headers.insert(&next, value);
                name = Some(next);
            } else if let Some(name) = &name {
                self.head.headers.append(name, value);
            }
        }
    }

    /// Sets the last event ID, or removes it. Returns `false` if a header cannot carry this ID: it
    /// is too long, or has line ends or other control characters. The ID is omitted then.
    pub(super) fn set_last_event_id(&mut self, id: Option<&EventId>) -> bool {
        self.head.headers.remove(LAST_EVENT_ID);
        let Some(id) = id else { return true };
        if id.as_bytes().len() > MAX_ID_BYTES {
            return false;
        }
        let value = HeaderValue::from_bytes(id.as_bytes());
        value.map(|value| self.head.headers.insert(LAST_EVENT_ID, value)).is_ok()
    }
}

/// Returns the URI if it is an http or https URL with a host. Removes a user and a password,
/// because they must not be sent as part of the URI.
pub(super) fn http_url(uri: Uri) -> Option<Uri> {
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority().filter(|authority| is_http && !authority.host().is_empty())?;
    let Some((_user, rest)) = authority.as_str().rsplit_once('@') else { return Some(uri) };
    let rest = rest.parse().ok()?;
    let mut parts = uri.into_parts();
    parts.authority = Some(rest);
    Uri::from_parts(parts).ok()
}

/// Returns whether the URI is a path without an authority. Only a service in the same process can
/// answer it.
pub(super) fn is_path(uri: &Uri) -> bool {
    uri.scheme().is_none() && uri.authority().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_no_user() {
        for (uri, expected) in [
            ("http://a", Some("http://a/")),
            ("HTTPS://a:1/b?c", Some("https://a:1/b?c")),
            ("http://[::1]:80/", Some("http://[::1]:80/")),
            ("http://user:password@a:1/b", Some("http://a:1/b")),
            ("http://:80/", None),
            ("http://user@/", None),
            ("ftp://a/", None),
            ("a:80", None),
            ("a", None),
            ("/a", None),
        ] {
            let url = uri.parse().ok().and_then(http_url).map(|uri| uri.to_string());
            assert_eq!(url.as_deref(), expected, "{uri}");
        }
        assert!(is_path(&"/a?b".parse().unwrap()));
        assert!(!is_path(&"a:80".parse().unwrap()));
    }
}
