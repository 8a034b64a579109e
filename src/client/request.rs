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

    /// Returns whether the request goes to the origin of this URL.
    pub(super) fn has_origin_of(&self, url: &Uri) -> bool {
        origin(&self.head.uri) == origin(url)
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

/// Returns scheme, host and port, with the default port filled in.
pub(super) fn origin(uri: &Uri) -> (Option<&str>, Option<String>, Option<u16>) {
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let host = uri.host().map(str::to_ascii_lowercase);
    (uri.scheme_str(), host, uri.authority().map(|_| uri.port_u16().unwrap_or(default)))
}

/// Returns the URI if it is an http or https URL with a host, or says why it is not. Removes a user
/// and a password, because they must not be sent as part of the URI.
pub(super) fn http_url(uri: Uri) -> Result<Uri, &'static str> {
    const EXPECTED: &str = "expected an http or https URL with a host";
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority().filter(|authority| is_http && !authority.host().is_empty());
    let authority = authority.ok_or(EXPECTED)?.as_str();
    let host_and_port = authority.rsplit_once('@').map(|(_user, rest)| rest);
    if !has_valid_port(host_and_port.unwrap_or(authority)) {
        return Err("the port is not a number from 0 to 65535");
    }
    let Some(host_and_port) = host_and_port else { return Ok(uri) };
    let host_and_port = host_and_port.parse().map_err(|_| EXPECTED)?;
    let mut parts = uri.into_parts();
    parts.authority = Some(host_and_port);
    Uri::from_parts(parts).map_err(|_| EXPECTED)
}

/// Returns whether the port can be connected to. A port that is missing or empty is the default.
fn has_valid_port(host_and_port: &str) -> bool {
    // An IPv6 address has colons of its own.
    let after_address = host_and_port.rsplit(']').next().unwrap_or_default();
    let port = after_address.rsplit_once(':').map_or("", |(_host, port)| port);
    port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
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
    fn an_origin_includes_the_default_port() {
        let same = |one: &str, other: &str| {
            origin(&one.parse().unwrap()) == origin(&other.parse().unwrap())
        };
        assert!(same("http://a/x", "http://A:80/y"));
        assert!(same("https://a/", "https://a:443/"));
        assert!(same("/x", "/y"));
        assert!(!same("http://a/", "https://a/"));
        assert!(!same("http://a/", "http://a:81/"));
        assert!(!same("http://a/", "http://b/"));
    }

    #[test]
    fn a_url_has_a_host_and_no_user() {
        for (uri, expected) in [
            ("http://a", Some("http://a/")),
            ("HTTPS://a:1/b?c", Some("https://a:1/b?c")),
            ("http://[::1]:80/", Some("http://[::1]:80/")),
            ("http://user:password@a:1/b", Some("http://a:1/b")),
            ("http://a:/", Some("http://a:/")),
            ("http://a:65535/", Some("http://a:65535/")),
            ("http://a:65536/", None),
            ("http://a:99999/", None),
            ("http://user@a:99999/", None),
            ("http://[::1]:99999/", None),
            ("http://:80/", None),
            ("http://user@/", None),
            ("ftp://a/", None),
            ("a:80", None),
            ("a", None),
            ("/a", None),
        ] {
            let url = uri.parse().ok().and_then(|uri| http_url(uri).ok());
            let url = url.map(|uri| uri.to_string());
            assert_eq!(url.as_deref(), expected, "{uri}");
        }
        assert!(is_path(&"/a?b".parse().unwrap()));
        assert!(!is_path(&"a:80".parse().unwrap()));
    }
}
