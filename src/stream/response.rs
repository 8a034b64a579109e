//! The check that a response is an event stream.

use std::{error::Error, fmt};

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
    response,
};

use crate::{
    excerpt::Excerpt,
    exclusive::Exclusive,
    headers::{self, split_unquoted},
};

/// How many characters of a header a message shows.
const MAX_SHOWN: usize = 100;

/// The reason why a response is not an event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unexpected {
    Status(StatusCode),
    /// The last content type, or `None` if the response has none.
    ContentType(Option<HeaderValue>),
    /// The body is encoded, for example compressed.
    Encoding(HeaderValue),
}

/// Checks the head of a response by the
/// [standard](https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model).
///
/// The status must be 200 and the content type `text/event-stream`, in any case and with any
/// parameters. The standard leaves it to fetch to decode the body. This crate does not decode, so a
/// body with a content encoding is an error too. `accepts` decides about other content types, and about a
/// response that has none.
pub(crate) fn check(
    status: StatusCode,
    headers: &HeaderMap,
    accepts: impl FnOnce(Option<&HeaderValue>) -> bool,
) -> Result<(), Unexpected> {
    if status != StatusCode::OK {
        return Err(Unexpected::Status(status));
    }
    let content_types = headers.get_all(CONTENT_TYPE);
    if !is_event_stream(content_types.iter().map(HeaderValue::as_bytes)) {
        let last = content_types.iter().next_back();
        if !accepts(last) {
            return Err(Unexpected::ContentType(last.cloned()));
        }
    }
    content_encoding(headers).map_or(Ok(()), |it| Err(Unexpected::Encoding(it.clone())))
}

/// Decides as [fetch](https://fetch.spec.whatwg.org/#concept-header-extract-mime-type) does: of
/// several content types, in one header or in several, the last valid one counts.
fn is_event_stream<'a>(headers: impl Iterator<Item = &'a [u8]>) -> bool {
    let content_types = headers.flat_map(|value| split_unquoted(value, b','));
    let essences =
        content_types.filter_map(|content_type| split_unquoted(content_type, b';').next());
    let last = essences.filter(|essence| is_essence(essence)).last();
    last.is_some_and(headers::is_event_stream)
}

/// Returns whether the text is a type and a subtype. `*/*` is not a type, and fetch ignores it.
fn is_essence(text: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let mut parts = text.split(|&byte| byte == b'/');
    let two = [parts.next(), parts.next()].map(Option::unwrap_or_default);
    parts.next().is_none()
        && two.iter().all(|part| !part.is_empty() && part.iter().all(is_token))
        && text != b"*/*"
}

/// Returns the encoding of a body that is encoded, for example compressed.
pub(crate) fn content_encoding(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get_all(CONTENT_ENCODING).iter().find(|value| is_encoded(value))
}

fn is_encoded(value: &HeaderValue) -> bool {
    let mut codings = split_unquoted(value.as_bytes(), b',');
    codings.any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => match status.canonical_reason() {
                Some(reason) => write!(f, "the status is {} {reason}, not 200", status.as_str()),
                // `Display` of a status would write `<unknown status code>`.
                None => write!(f, "the status is {}, not 200", status.as_str()),
            },
            Self::ContentType(None) => {
                f.write_str("the content type is missing, not text/event-stream")
            }
            Self::ContentType(Some(value)) => {
                let value = String::from_utf8_lossy(value.as_bytes());
                let value = Excerpt::new(&value, MAX_SHOWN).to_string();
                write!(f, "the content type is {value:?}, not text/event-stream")
            }
            Self::Encoding(value) => {
                let value = String::from_utf8_lossy(value.as_bytes());
                let value = Excerpt::new(&value, MAX_SHOWN).to_string();
                write!(f, "the content encoding is {value:?}: decode the body before it is read")
            }
        }
    }
}

/// The error of a response that is not an event stream. It gives the response back.
pub struct UnexpectedResponse<B> {
    reason: Unexpected,
    /// Boxed, to keep the `Result` small.
    head: Box<response::Parts>,
    /// It is only given back, so that the error is `Sync` with every body, as `?` often needs it.
    body: Exclusive<B>,
}

impl<B> UnexpectedResponse<B> {
    pub(super) fn new(reason: Unexpected, response: Response<B>) -> Self {
        let (head, body) = response.into_parts();
        Self { reason, head: Box::new(head), body: Exclusive::new(body) }
    }

    /// Returns the status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// Returns the headers of the response.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Returns the response. Nothing of its body has been read.
    #[must_use]
    pub fn into_response(self) -> Response<B> {
        Response::from_parts(*self.head, self.body.into_inner())
    }
}

impl<B> fmt::Debug for UnexpectedResponse<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnexpectedResponse").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<B> fmt::Display for UnexpectedResponse<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an event stream: {}", self.reason)
    }
}

impl<B> Error for UnexpectedResponse<B> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_has_any_case_and_any_parameters() {
        let is_event_stream = |value: &str| is_event_stream([value.as_bytes()].into_iter());
        for fine in [
            "text/event-stream",
            "Text/Event-Stream",
            "text/event-stream;charset=utf-8",
            " text/event-stream ; charset=UTF-8; x=y",
            "text/html, text/event-stream",
            "text/event-stream, ",
            "text/event-stream, */*, none, a/b/c, /",
            r#"text/event-stream;x="\",text/html""#,
        ] {
            assert!(is_event_stream(fine), "{fine}");
        }
        for wrong in [
            "",
            "text/html",
            "text/event-streams",
            "text/event",
            "x; text/event-stream",
            "text/event-stream, text/html",
            r#"text/event-stream;x="\\",text/html"#,
        ] {
            assert!(!is_event_stream(wrong), "{wrong}");
        }
    }

    #[test]
    fn all_headers_of_a_name_count() {
        for (name, values, is_fine) in [
            ("content-type", &["text/html", "text/event-stream"][..], true),
            ("content-type", &["text/event-stream", ""], true),
            ("content-type", &["text/event-stream", "text/html"], false),
            ("content-encoding", &["", "identity", "Identity, ,"], true),
            ("content-encoding", &["identity", "gzip"], false),
            ("content-encoding", &["identity, br"], false),
        ] {
            let mut headers = HeaderMap::new();
            if name != "content-type" {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            }
            for value in values {
                headers.append(name, HeaderValue::from_static(value));
            }
            assert_eq!(
                check(StatusCode::OK, &headers, |_| false).is_ok(),
                is_fine,
                "{name} {values:?}"
            );
        }
    }
}
