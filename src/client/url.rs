//! What can be requested.

use http::Uri;

/// Returns a URL of http or https that names a host, without a user and a password, which are not to
/// be sent as they are; none if it is something else.
pub(super) fn url(uri: Uri) -> Option<Uri> {
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority().filter(|authority| is_http && !authority.host().is_empty())?;
    let Some((_user, rest)) = authority.as_str().rsplit_once('@') else { return Some(uri) };
    let rest = rest.parse().ok()?;
    let mut parts = uri.into_parts();
    parts.authority = Some(rest);
    Uri::from_parts(parts).ok()
}

/// Whether it names nobody to ask: a path, for a service in the same process.
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
            let url = uri.parse().ok().and_then(url).map(|uri| uri.to_string());
            assert_eq!(url.as_deref(), expected, "{uri}");
        }
        assert!(is_path(&"/a?b".parse().unwrap()));
        assert!(!is_path(&"a:80".parse().unwrap()));
    }
}
