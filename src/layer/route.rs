//! The rule by which a layer routes requests, and the path that a mounted handler sees.

use http::{
    Method, Request, Uri,
    uri::{self, PathAndQuery},
};

use crate::headers::AcceptHeader;

/// The URI of a request as it reached the layer.
///
/// It is in the extensions of each request whose handler is mounted at a
/// [`path_prefix`](super::SseLayer::path_prefix).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalUri(pub Uri);

/// The rule that decides which requests become event streams.
#[derive(Clone, Debug)]
pub(super) struct RouteRule {
    pub(super) path: RoutePath,
    /// With a path: whether the requests that exclude event streams go to the inner service.
    pub(super) check_accept: bool,
}

/// The decision of a rule about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Routing {
    /// The request goes to the handler, not to the inner service.
    pub(super) to_handler: bool,
    /// The decision depends on the request's `Accept`.
    pub(super) varies: bool,
}

impl RouteRule {
    pub(super) fn route<B>(&self, request: &Request<B>) -> Routing {
        // Neither asks for the resource: OPTIONS belongs to CORS, and CONNECT asks for a tunnel.
        let is_excluded = matches!(*request.method(), Method::OPTIONS | Method::CONNECT);
        if is_excluded || !self.path.matches(request.uri().path()) {
            return Routing { to_handler: false, varies: false };
        }
        let accept = || AcceptHeader::parse(request.headers());
        match self.path {
            RoutePath::Any => {
                // The clients of some protocols list both types for a POST that belongs to the inner service.
                let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
                Routing { to_handler: is_read && accept().asks_for_event_stream(), varies: true }
            }
            _ if self.check_accept => {
                Routing { to_handler: accept().allows_event_stream(), varies: true }
            }
            RoutePath::Exact(_) | RoutePath::Prefix(_) => {
                Routing { to_handler: true, varies: false }
            }
        }
    }
}

/// The paths that a rule applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RoutePath {
    Any,
    /// Exactly this path.
    Exact(Box<str>),
    /// This path, which does not end with a slash, and those below it.
    Prefix(Box<str>),
}

impl RoutePath {
    pub(super) fn exact(path: &str) -> Self {
        Self::Exact(format!("/{}", path.strip_prefix('/').unwrap_or(path)).into())
    }

    pub(super) fn prefix(path: &str) -> Self {
        let path = path.trim_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        Self::Prefix(format!("{slash}{path}").into())
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => path == &**exact,
            Self::Prefix(prefix) => below(prefix, path).is_some(),
        }
    }

    /// Returns the URI that the handler sees if it is mounted at a prefix, or `None` if it is not
    /// mounted.
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

/// Returns the rest of a path after the prefix, or `None` if it is not at or below the prefix.
fn below<'a>(prefix: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_matched_exactly() {
        for path in ["/events", "events"] {
            let route = RoutePath::exact(path);
            assert!(route.matches("/events"));
            assert!(!route.matches("/events/"));
            assert!(!route.matches("/events/1"));
        }
        assert!(RoutePath::exact("").matches("/"));
    }

    #[test]
    fn a_prefix_is_matched_by_segments_and_taken_off() {
        assert_eq!(RoutePath::prefix("events"), RoutePath::prefix("/events/"));
        let route = RoutePath::prefix("/events/");
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
        assert!(RoutePath::prefix("/").matches("/anything"));
    }
}
