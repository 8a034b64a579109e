//! Redirects, followed as [fetch](https://fetch.spec.whatwg.org/#http-redirect-fetch) does.

use std::{error::Error, fmt};

use http::{
    Method, StatusCode, Uri,
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
        CONTENT_TYPE, COOKIE, HOST, HeaderName, LOCATION, PROXY_AUTHORIZATION, TRANSFER_ENCODING,
    },
    response,
    uri::{Parts, Scheme},
};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use super::request::{RequestTemplate, http_url, origin};
use crate::excerpt::Excerpt;

/// How many characters of a location a message shows.
const MAX_SHOWN: usize = 200;

/// How many redirects one attempt follows at most, as in fetch.
pub(super) const LIMIT: u32 = 20;

/// Headers that describe the body. They are removed with it.
const BODY_HEADERS: [HeaderName; 6] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_TYPE,
    TRANSFER_ENCODING,
];

/// Headers that must not leave the origin.
const ORIGIN_HEADERS: [HeaderName; 4] = [AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION];

/// Bytes that are not valid in a URL, but appear in the `Location` of real servers.
const NOT_IN_URL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The URL to reconnect to, if a connection was reached through redirects.
///
/// The default is the original URL, as in browsers: a redirect may lead to another server by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReconnectTo {
    /// The URL of the source, or of the request that
    /// [`reconnect_with`](super::EventSource::reconnect_with) has returned last.
    #[default]
    Original,
    /// The last target that was reached through permanent redirects (301, 308) only. The original
    /// URL is not tried again, even if the target stops answering.
    PermanentTarget,
    /// The target of the last redirect. If it has another origin, `Authorization`,
    /// `Proxy-Authorization`, `Host` and cookies of the source's request stay removed, and the
    /// headers of the [header provider](super::EventSource::headers) are not sent there.
    LastTarget,
}

/// Why a redirect was not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RedirectError {
    /// There were more than [`LIMIT`] redirects.
    TooMany,
    /// The `Location` is missing or empty.
    NoLocation(StatusCode),
    /// There are several different `Location` headers.
    ManyLocations(StatusCode),
    /// The `Location` is not a URL that can be requested.
    BadLocation(String),
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "more than {LIMIT} redirects in a row"),
            Self::NoLocation(status) => write!(f, "a redirect ({status}) without a Location"),
            Self::ManyLocations(status) => {
                write!(f, "a redirect ({status}) with several different Locations")
            }
            Self::BadLocation(location) => {
                write!(f, "a redirect to {location:?}, which is not an http or https URL")
            }
        }
    }
}

impl Error for RedirectError {}

pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

pub(super) fn is_permanent(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 308)
}

/// Changes a request into the one that a redirect asks for.
///
/// After 301 and 302 a POST becomes a GET without a body; after 303 every method but GET and HEAD
/// does. If the target has another origin, the headers of [`ORIGIN_HEADERS`] are removed.
pub(super) fn follow(
    request: &mut RequestTemplate,
    head: &response::Parts,
) -> Result<(), RedirectError> {
    let mut locations = head.headers.get_all(LOCATION).iter();
    let location = locations.next().map(|value| value.as_bytes().trim_ascii());
    let location = location.filter(|location| !location.is_empty());
    let location = location.ok_or(RedirectError::NoLocation(head.status))?;
    if locations.any(|other| other.as_bytes().trim_ascii() != location) {
        return Err(RedirectError::ManyLocations(head.status));
    }
    let target = resolve(&request.head.uri, location)
        .ok_or_else(|| RedirectError::BadLocation(shown(&String::from_utf8_lossy(location))))?;
    let becomes_get = match head.status.as_u16() {
        301 | 302 => request.head.method == Method::POST,
        303 => request.head.method != Method::GET && request.head.method != Method::HEAD,
        _ => false,
    };
    if becomes_get {
        request.head.method = Method::GET;
        request.body.clear();
        BODY_HEADERS.iter().for_each(|name| drop(request.head.headers.remove(name)));
    }
    if origin(&request.head.uri) != origin(&target) {
        ORIGIN_HEADERS.iter().for_each(|name| drop(request.head.headers.remove(name)));
    }
    request.head.uri = target;
    Ok(())
}

/// Returns a location for a message: its start, without user, query and fragment, which may be
/// secrets.
fn shown(location: &str) -> String {
    let end = location.find(['?', '#']).unwrap_or(location.len());
    let location = &location[..end];
    let authority = location.find("//").map_or(0, |slashes| slashes + 2);
    let path = location[authority..].find('/').map_or(location.len(), |slash| authority + slash);
    let host = location[..path].rfind('@').map_or(authority, |at| (at + 1).max(authority));
    let shown = format!("{}{}", &location[..authority], &location[host..]);
    Excerpt::new(&shown, MAX_SHOWN).to_string()
}

/// Resolves a reference against a base URL, as in
/// [RFC 3986, 5.2](https://www.rfc-editor.org/rfc/rfc3986#section-5.2). The fragment is removed,
/// because it is never sent.
///
/// Servers rely on some rules of browsers that the RFC does not have, so these apply too. Tabs are
/// skipped. Invalid bytes are percent-encoded. Before a host, any number of slashes counts as two.
/// A scheme without slashes is ignored if it is the scheme of the base.
fn resolve(base: &Uri, location: &[u8]) -> Option<Uri> {
    let location: Vec<u8> = location.iter().copied().filter(|&byte| byte != b'\t').collect();
    let reference = percent_encode(&location, NOT_IN_URL).to_string();
    let reference = reference.split('#').next().unwrap_or_default();
    let (scheme, reference) = match split_scheme(reference) {
        Some((scheme, rest)) => (Some(http_scheme(scheme)?), rest),
        None => (None, reference),
    };
    let is_elsewhere = scheme.is_some() && scheme.as_ref() != base.scheme();
    if !reference.starts_with("//") && !is_elsewhere {
        let mut parts = base.clone().into_parts();
        parts.path_and_query = Some(resolve_path(base, reference).parse().ok()?);
        return Uri::from_parts(parts).ok();
    }
    let rest = reference.trim_start_matches('/');
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let mut parts = Parts::default();
    parts.scheme = Some(scheme.or_else(|| base.scheme().cloned())?);
    parts.authority = Some(authority.parse().ok()?);
    parts.path_and_query = Some(normalize(path).parse().ok()?);
    http_url(Uri::from_parts(parts).ok()?).ok()
}

fn split_scheme(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some((scheme, rest))
}

fn http_scheme(scheme: &str) -> Option<Scheme> {
    [Scheme::HTTP, Scheme::HTTPS].into_iter().find(|http| http == scheme)
}

/// Normalizes a path that starts at the root, and keeps its query.
fn normalize(path: &str) -> String {
    let (path, query) = split_query(path);
    format!("{}{query}", remove_dots(if path.is_empty() { "/" } else { path }))
}

/// Resolves a reference without scheme and authority into a path, with its query.
fn resolve_path(base: &Uri, reference: &str) -> String {
    let (path, query) = split_query(reference);
    if path.is_empty() {
        let own = base.query().filter(|_| query.is_empty());
        let own = own.map(|query| format!("?{query}")).unwrap_or_default();
        return format!("{}{own}{query}", base.path());
    }
    if path.starts_with('/') {
        return normalize(reference);
    }
    let folder = base.path().rfind('/').map_or("/", |slash| &base.path()[..=slash]);
    format!("{}{query}", remove_dots(&format!("{folder}{path}")))
}

/// Splits a reference before its first question mark.
fn split_query(reference: &str) -> (&str, &str) {
    reference.split_at(reference.find('?').unwrap_or(reference.len()))
}

/// Resolves the segments `.` and `..` of a path.
fn remove_dots(path: &str) -> String {
    let mut segments = Vec::new();
    let mut ends_with_slash = false;
    for segment in path.split('/').skip(1) {
        ends_with_slash = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let end = if ends_with_slash && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_as_in_the_rfc() {
        let base: Uri = "http://a/b/c/d;p?q".parse().unwrap();
        for (reference, expected) in [
            // RFC 3986, 5.4.1 and 5.4.2, except the examples that make no sense for http.
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            (";x", "http://a/b/c/;x"),
            ("g;x?y#s", "http://a/b/c/g;x?y"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/../h", "http://a/b/c/h"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            // From real servers.
            ("https://other:8443/x?y=z", "https://other:8443/x?y=z"),
            ("//other:81/x", "http://other:81/x"),
            ("//other?x", "http://other/?x"),
            ("/a b/ä?c d", "http://a/a%20b/%C3%A4?c%20d"),
            ("x:y", ""),
            ("./x:y", "http://a/b/c/x:y"),
            ("HTTP://g/../x/./y", "http://g/x/y"),
            ("http://user:password@g/", "http://g/"),
            // Accepted by browsers only.
            ("http:g", "http://a/b/c/g"),
            ("http:/g", "http://a/g"),
            ("http:///g/x", "http://g/x"),
            ("///g", "http://g/"),
            ("https:g", "https://g/"),
            ("https:/g/x", "https://g/x"),
            ("\t/a\tb", "http://a/ab"),
        ] {
            let resolved = resolve(&base, reference.as_bytes()).map(|uri| uri.to_string());
            assert_eq!(resolved.unwrap_or_default(), expected, "{reference}");
        }
        let here: Uri = "/events?x".parse().unwrap();
        assert_eq!(resolve(&here, b"/other").unwrap(), "/other");
        assert_eq!(resolve(&here, b"other").unwrap(), "/other");
        assert_eq!(resolve(&here, b"http:/a").unwrap(), "http://a/");
        // Bytes that are not UTF-8.
        assert_eq!(resolve(&base, b"/\xe4").unwrap(), "http://a/%E4");
    }

    #[test]
    fn a_location_is_shown_without_secrets() {
        for (location, expected) in [
            ("ftp://user:secret@host/x?token#fragment", "ftp://host/x"),
            ("http://user:secret@host:99999", "http://host:99999"),
            ("//user@host/a@b", "//host/a@b"),
            ("mailto:a@b", "b"),
            ("/a#access_token=secret", "/a"),
            ("", ""),
        ] {
            assert_eq!(shown(location), expected, "{location}");
        }
        assert!(shown(&format!("ftp://{}", "x".repeat(60_000))).len() < 300);
    }

    #[test]
    fn a_location_that_cannot_be_requested_is_invalid() {
        let base: Uri = "http://a/".parse().unwrap();
        for wrong in [
            "ftp://a/",
            "http://",
            "https:",
            "data:x",
            "javascript:x",
            "//",
            "//:80/",
            "http://b\u{fc}cher/",
        ] {
            assert_eq!(resolve(&base, wrong.as_bytes()), None, "{wrong}");
        }
    }
}
