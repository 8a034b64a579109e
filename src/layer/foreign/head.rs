//! The heads of requests to another service, and of its responses.

use http::{
    HeaderMap, Request,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
    request,
};

use crate::headers::{add_stream_headers, is_event_stream, split_unquoted};

/// Copies the head of a request.
pub(in crate::layer) fn copy_head(head: &request::Parts, with_extensions: bool) -> request::Parts {
    let (mut copy, ()) = Request::new(()).into_parts();
    copy.method = head.method.clone();
    copy.uri = head.uri.clone();
    copy.version = head.version;
    copy.headers = head.headers.clone();
    if with_extensions {
        copy.extensions = head.extensions.clone();
    }
    copy
}

/// Returns whether a response with these headers is an event stream, with any parameters.
pub(in crate::layer) fn is_event_stream_head(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE);
    let media_type = media_type.and_then(|it| split_unquoted(it.as_bytes(), b';').next());
    media_type.is_some_and(is_event_stream)
}

/// Prepares the headers of an event stream. Blocks are inserted, so its length is not known, unless it is encoded.
pub(in crate::layer) fn prepare_headers(headers: &mut HeaderMap, is_encoded: bool) {
    if !is_encoded {
        headers.remove(CONTENT_LENGTH);
    }
    add_stream_headers(headers);
}
