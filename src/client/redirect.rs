//! Redirects, as [fetch](https://fetch.spec.whatwg.org/#http-redirect-fetch) follows them.

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

use super::{request::Request, url::url};

/// How many redirects are followed one after the other, as fetch does.
pub(super) const LIMIT: u32 = 20;

/// What is of the body, and goes with it.
const OF_THE_BODY: [HeaderName; 6] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_TYPE,
    TRANSFER_ENCODING,
];

/// What is meant for one origin alone.
const OF_THE_ORIGIN: [HeaderName; 4] = [AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION];

/// What a URL may not hold as it is, and users write all the same.
const NOT_IN_A_URL: &AsciiSet = &CONTROLS
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

/// Why a redirect was not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RedirectError {
    /// There were more than the limit.
    TooMany,
    /// There is no `Location`, or an empty one.
    NoLocation(StatusCode),
    /// There are several that differ.
    ManyLocations(StatusCode),
    /// `Location` is no URL that can be requested.
    BadLocation(String),
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "more than {LIMIT} redirects in a row"),
            Self::NoLocation(status) => write!(f, "a redirect ({status}) without a Location"),
            Self::ManyLocations(status) => {
                write!(f, "a redirect ({status}) with several Locations that differ")
            }
            Self::BadLocation(location) => {
                write!(f, "a redirect to {location:?}, which is no URL of http or https")
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

/// Makes the request that a redirect asks for of the one that was redirected.
///
/// A POST that is answered with 301 or 302, and any method but GET and HEAD that is answered with
/// 303, becomes a GET without a body. Beyond the origin go neither `Authorization` nor cookies.
pub(super) fn follow(request: &mut Request, head: &response::Parts) -> Result<(), RedirectError> {
    let mut locations = head.headers.get_all(LOCATION).iter();
    let location = locations.next().map(|value| value.as_bytes().trim_ascii());
    let location = location.filter(|location| !location.is_empty());
    let location = location.ok_or(RedirectError::NoLocation(head.status))?;
    if locations.any(|other| other.as_bytes().trim_ascii() != location) {
        return Err(RedirectError::ManyLocations(head.status));
    }
    let target = resolve(&request.head.uri, location).ok_or_else(|| {
        RedirectError::BadLocation(String::from_utf8_lossy(location).into_owned())
    })?;
    let becomes_get = match head.status.as_u16() {
        301 | 302 => request.head.method == Method::POST,
        303 => request.head.method != Method::GET && request.head.method != Method::HEAD,
        _ => false,
    };
    if becomes_get {
        request.head.method = Method::GET;
        request.body.clear();
        OF_THE_BODY.iter().for_each(|name| drop(request.head.headers.remove(name)));
    }
    if origin(&request.head.uri) != origin(&target) {
        OF_THE_ORIGIN.iter().for_each(|name| drop(request.head.headers.remove(name)));
    }
    request.head.uri = target;
    Ok(())
}

/// Scheme, host and port, those that go without saying included.
fn origin(uri: &Uri) -> (Option<&str>, Option<String>, Option<u16>) {
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let host = uri.host().map(str::to_ascii_lowercase);
    (uri.scheme_str(), host, uri.authority().map(|_| uri.port_u16().unwrap_or(default)))
}

/// Resolves a reference against the URL that it was found at, as
/// [RFC 3986, 5.2](https://www.rfc-editor.org/rfc/rfc3986#section-5.2) has it. The fragment is left
/// out, for it is never sent.
///
/// It goes beyond the RFC where browsers do and servers rely on it: tabs are skipped, what a URL may
/// not hold is percent-encoded, how many slashes there are before a host makes no difference, and a
/// scheme that is the base's own says nothing without two of them.
fn resolve(base: &Uri, location: &[u8]) -> Option<Uri> {
    let location: Vec<u8> = location.iter().copied().filter(|&byte| byte != b'\t').collect();
    let reference = percent_encode(&location, NOT_IN_A_URL).to_string();
    let reference = reference.split('#').next().unwrap_or_default();
    let (scheme, reference) = match split_scheme(reference) {
        Some((scheme, rest)) => (Some(http_scheme(scheme)?), rest),
        None => (None, reference),
    };
    let is_elsewhere = scheme.is_some() && scheme.as_ref() != base.scheme();
    if !reference.starts_with("//") && !is_elsewhere {
        let mut parts = base.clone().into_parts();
        parts.path_and_query = Some(merged(base, reference).parse().ok()?);
        return Uri::from_parts(parts).ok();
    }
    let rest = reference.trim_start_matches('/');
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let mut parts = Parts::default();
    parts.scheme = Some(scheme.or_else(|| base.scheme().cloned())?);
    parts.authority = Some(authority.parse().ok()?);
    parts.path_and_query = Some(absolute(path).parse().ok()?);
    url(Uri::from_parts(parts).ok()?)
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

/// A path of its own, with its query.
fn absolute(path: &str) -> String {
    let (path, query) = split_query(path);
    format!("{}{query}", without_dots(if path.is_empty() { "/" } else { path }))
}

/// A path as it is meant at the base, with its query.
fn merged(base: &Uri, reference: &str) -> String {
    let (path, query) = split_query(reference);
    if path.is_empty() {
        let own = base.query().filter(|_| query.is_empty());
        let own = own.map(|query| format!("?{query}")).unwrap_or_default();
        return format!("{}{own}{query}", base.path());
    }
    if path.starts_with('/') {
        return absolute(reference);
    }
    let folder = base.path().rfind('/').map_or("/", |slash| &base.path()[..=slash]);
    format!("{}{query}", without_dots(&format!("{folder}{path}")))
}

/// Splits before the question mark.
fn split_query(reference: &str) -> (&str, &str) {
    reference.split_at(reference.find('?').unwrap_or(reference.len()))
}

/// Removes the segments `.` and `..`.
fn without_dots(path: &str) -> String {
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
    fn references_are_resolved_as_the_rfc_has_it() {
        let base: Uri = "http://a/b/c/d;p?q".parse().unwrap();
        for (reference, expected) in [
            // RFC 3986, 5.4.1 and 5.4.2, but for those that http has no use for.
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
            // What servers send.
            ("https://other:8443/x?y=z", "https://other:8443/x?y=z"),
            ("//other:81/x", "http://other:81/x"),
            ("//other?x", "http://other/?x"),
            ("/a b/ä?c d", "http://a/a%20b/%C3%A4?c%20d"),
            ("x:y", ""),
            ("./x:y", "http://a/b/c/x:y"),
            ("HTTP://g/../x/./y", "http://g/x/y"),
            ("http://user:password@g/", "http://g/"),
            // As browsers read them.
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
        // Neither UTF-8 nor anything else that is to be known.
        assert_eq!(resolve(&base, b"/\xe4").unwrap(), "http://a/%E4");
    }

    #[test]
    fn what_cannot_be_requested_is_no_target() {
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

    #[test]
    fn an_origin_has_the_port_that_goes_without_saying() {
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
}
