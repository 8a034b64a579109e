//! Refused responses: those that are not an event stream.

use std::{
    fmt::{self, Write as _},
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, Uri, response};

use super::retry_after;
use crate::{excerpt::Excerpt, stream::Unexpected};

/// How many bytes of a body are kept.
const MAX_BODY_BYTES: usize = 64 << 10;

/// How many characters of a body a message shows.
const MAX_SHOWN: usize = 1024;

/// Headers that a message shows. Their values are not secret, and they help to find the cause.
const SHOWN_HEADERS: [&str; 4] =
    ["retry-after", retry_after::RETRY_AFTER_MS, "x-request-id", "request-id"];

/// A response that is not an event stream: its head, and the start of its body.
///
/// [`EventSourceError::refused`](super::EventSourceError::refused) returns it, and
/// [`Reconnection::stop_on`](super::Reconnection::stop_on) gets it.
///
/// [`Display`](fmt::Display) shows the reason, the URL without its query, headers that help to find
/// the cause (`Retry-After`, `retry-after-ms`, `x-request-id` and `request-id`), and the first 1,024
/// characters of the body, if it is text. [`Debug`](fmt::Debug) shows no value of other headers,
/// because they may be secrets.
pub struct RefusedResponse {
    reason: Unexpected,
    status: StatusCode,
    headers: HeaderMap,
    url: Uri,
    redirects: u32,
    body: Bytes,
    is_complete: bool,
}

impl RefusedResponse {
    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the URL that gave this response: the target of the last redirect, if there was one.
    #[must_use]
    pub fn url(&self) -> &Uri {
        &self.url
    }

    /// Returns the number of redirects that led to the URL.
    #[must_use]
    pub fn redirects(&self) -> u32 {
        self.redirects
    }

    /// Returns the start of the body, as received. Reading stops after 64 KiB, 5 s after the head, or
    /// at the [header timeout](super::EventSource::header_timeout).
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns whether [`body`](Self::body) is the whole body.
    #[must_use]
    pub fn is_body_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns whether another attempt may help: the status is 408 (request timeout), 429 (too many
    /// requests) or 5xx, and the server does not send `x-should-retry: false`, as servers of language
    /// models do if a quota is used up.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        let temporary = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        let is_useless = self.headers.get("x-should-retry").is_some_and(|value| value == "false");
        !is_useless && (self.status.is_server_error() || temporary.contains(&self.status))
    }

    /// Returns the delay that the server asks for: see [`retry_after`](super::retry_after()).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after::retry_after(&self.headers)
    }

    /// Returns the delay that the server asks for, by this clock.
    pub(super) fn retry_after_at(&self, now: SystemTime) -> Option<Duration> {
        retry_after::retry_after_at(&self.headers, now)
    }

    pub(super) fn has_unexpected_status(&self) -> bool {
        matches!(self.reason, Unexpected::Status(_))
    }
}

impl fmt::Display for RefusedResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.reason, WithoutQuery(&self.url))?;
        match self.redirects {
            0 => {}
            1 => f.write_str(", after 1 redirect")?,
            count => write!(f, ", after {count} redirects")?,
        }
        for name in SHOWN_HEADERS {
            for value in self.headers.get_all(name) {
                let value = String::from_utf8_lossy(value.as_bytes());
                write!(f, ", {name}: {}", Excerpt::new(&value, 100))?;
            }
        }
        f.write_char(')')?;
        let text = text(&self.body);
        if text.is_some_and(|text| !text.trim().is_empty()) {
            write!(f, ": {}", Excerpt::new(text.unwrap_or_default(), MAX_SHOWN))?;
        }
        Ok(())
    }
}

impl fmt::Debug for RefusedResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.keys().map(|name| name.as_str()).collect();
        f.debug_struct("RefusedResponse")
            .field("reason", &format_args!("{self}"))
            .field("header_names", &names)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Returns the body as text, if it is UTF-8. A character that is cut off at the end is left out.
fn text(body: &[u8]) -> Option<&str> {
    match std::str::from_utf8(body) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&body[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

/// A URL without its query, which may contain tokens.
pub(super) struct WithoutQuery<'a>(pub(super) &'a Uri);

impl fmt::Display for WithoutQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(scheme), Some(authority)) = (self.0.scheme(), self.0.authority()) {
            write!(f, "{scheme}://{authority}")?;
        }
        f.write_str(self.0.path())
    }
}

/// A refused response whose body is being read.
pub(super) struct PendingRefusal {
    pub(super) reason: Unexpected,
    pub(super) head: response::Parts,
    pub(super) url: Uri,
    pub(super) redirects: u32,
    read: BytesMut,
}

impl PendingRefusal {
    pub(super) fn new(reason: Unexpected, head: response::Parts, url: Uri, redirects: u32) -> Self {
        Self { reason, head, url, redirects, read: BytesMut::new() }
    }

    /// Handles a chunk of the body. Returns whether more may be read.
    pub(super) fn handle_chunk(&mut self, chunk: &[u8]) -> bool {
        let room = MAX_BODY_BYTES - self.read.len();
        self.read.extend_from_slice(&chunk[..chunk.len().min(room)]);
        chunk.len() <= room
    }

    /// Handles the end of the body, or of the time to read it.
    pub(super) fn finish(self, is_complete: bool) -> RefusedResponse {
        RefusedResponse {
            reason: self.reason,
            status: self.head.status,
            headers: self.head.headers,
            url: self.url,
            redirects: self.redirects,
            body: self.read.freeze(),
            is_complete,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn refused(body: &[u8], headers: &[(&str, &str)]) -> RefusedResponse {
        let mut response = Response::builder().status(529);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let head = response.body(()).unwrap().into_parts().0;
        let url = "https://models.example/chat?key=secret".parse().unwrap();
        let reason = Unexpected::Status(head.status);
        let mut pending = PendingRefusal::new(reason, head, url, 1);
        let is_complete = pending.handle_chunk(body);
        pending.finish(is_complete)
    }

    #[test]
    fn a_message_has_the_words_of_the_server_and_no_secret() {
        let headers =
            [("retry-after", "30"), ("set-cookie", "session=secret"), ("x-key", "secret")];
        let refused = refused(b"{\"error\":\n\"over\x1b[1mloaded\"}", &headers);
        assert_eq!(
            refused.to_string(),
            "the status is 529, not 200 (https://models.example/chat, after 1 redirect, \
             retry-after: 30): {\"error\": \"over [1mloaded\"}"
        );
        let debug = format!("{refused:?}");
        assert!(!debug.contains("secret"), "{debug}");
        assert!(debug.contains("set-cookie") && debug.contains("loaded"), "{debug}");
    }

    #[test]
    fn a_body_is_kept_to_its_limit_and_shown_if_it_is_text() {
        let big = "ä".repeat(40 << 10);
        let long = refused(big.as_bytes(), &[]);
        assert_eq!((long.body().len(), long.is_body_complete()), (64 << 10, false));
        assert!(long.to_string().ends_with("ä…"), "{long}");
        let binary = refused(b"\xff\xfe\x00", &[]);
        assert!(binary.to_string().ends_with(')'), "{binary}");
        assert!(binary.is_body_complete());
    }
}
