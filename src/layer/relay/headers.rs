//! The headers that a relay leaves out.

use http::{
    HeaderMap, HeaderName,
    header::{
        ACCEPT_ENCODING, CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
};

use crate::headers::split_unquoted;

/// Headers that are for one connection only, and those that such headers name
/// ([RFC 9110, 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)).
const HOP_BY_HOP: [HeaderName; 9] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Prepares the headers of a request. The answer to one that is `committed` to an event stream must not be encoded,
/// because its head has gone out by then.
pub(super) fn prepare_request(headers: &mut HeaderMap, committed: bool) {
    remove_hop_by_hop(headers);
    if committed {
        headers.remove(ACCEPT_ENCODING);
    }
}

/// Removes the headers that are for one connection only.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .into_iter()
        .flat_map(|value| split_unquoted(value.as_bytes(), b','))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn headers_of_one_connection_are_removed() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "X-One, close,, é"),
            ("x-one", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("x-two", "2"),
            ("accept-encoding", "gzip"),
        ] {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        prepare_request(&mut headers, false);
        let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-two", "accept-encoding"]);
        prepare_request(&mut headers, true);
        assert_eq!(headers.len(), 1);
    }
}
