//! Which paths a layer takes, and what a mounted handler sees of them.

use http::{
    Uri,
    uri::{self, PathAndQuery},
};

/// The URI of a request as it reached the layer, in the extensions of a request whose handler is
/// mounted below [`path_prefix`](super::SseLayer::path_prefix).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalUri(pub Uri);

/// A path as it was set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Any,
    /// Exactly this path.
    Path(Box<str>),
    /// This path, which does not end with a slash, and those below it.
    Prefix(Box<str>),
}

impl Route {
    pub(super) fn path(path: &str) -> Self {
        Self::Path(format!("/{}", path.strip_prefix('/').unwrap_or(path)).into())
    }

    pub(super) fn prefix(path: &str) -> Self {
        let path = path.trim_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        Self::Prefix(format!("{slash}{path}").into())
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Path(exactly) => path == &**exactly,
            Self::Prefix(prefix) => below(prefix, path).is_some(),
        }
    }

    /// Returns the URI that a mounted handler sees.
    pub(super) fn mounted(&self, uri: &Uri) -> Option<Uri> {
        let Self::Prefix(prefix) = self else { return None };
        let rest = below(prefix, uri.path())?;
        let slash = if rest.starts_with('/') { "" } else { "/" };
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut parts = uri::Parts::from(uri.clone());
        parts.path_and_query = Some(PathAndQuery::try_from(format!("{slash}{rest}{query}")).ok()?);
        Uri::from_parts(parts).ok()
    }
}

/// Returns the rest of a path at or below another.
fn below<'a>(prefix: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_matched_exactly() {
        for path in ["/events", "events"] {
            let route = Route::path(path);
            assert!(route.matches("/events"));
            assert!(!route.matches("/events/"));
            assert!(!route.matches("/events/1"));
        }
        assert!(Route::path("").matches("/"));
    }

    #[test]
    fn a_prefix_is_matched_by_segments_and_taken_off() {
        assert_eq!(Route::prefix("events"), Route::prefix("/events/"));
        let route = Route::prefix("/events/");
        for (uri, mounted) in [
            ("/events", "/"),
            ("/events?a=1", "/?a=1"),
            ("/events/", "/"),
            ("/events/7/x?a", "/7/x?a"),
            ("http://host:1/events/7", "http://host:1/7"),
        ] {
            let uri = Uri::from_static(uri);
            assert!(route.matches(uri.path()));
            assert_eq!(route.mounted(&uri).unwrap(), mounted);
        }
        assert!(!route.matches("/eventsource"));
        assert!(!route.matches("/"));
        assert!(Route::prefix("/").matches("/anything"));
    }
}
