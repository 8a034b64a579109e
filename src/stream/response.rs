//! Whether a response is an event stream.

use std::{error::Error, fmt};

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

/// Why a response is no event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unexpected {
    Status(StatusCode),
    /// None if there is no content type.
    ContentType(Option<HeaderValue>),
    Encoding(HeaderValue),
}

/// Checks a head as the
/// [standard](https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model)
/// has it: the status is 200, and the content type `text/event-stream`, in any case and with any
/// parameters. A body in an encoding that nobody has undone is none either.
pub(crate) fn check(status: StatusCode, headers: &HeaderMap) -> Result<(), Unexpected> {
    if status != StatusCode::OK {
        return Err(Unexpected::Status(status));
    }
    let content_types = headers.get_all(CONTENT_TYPE);
    if !is_event_stream(content_types.iter().map(HeaderValue::as_bytes)) {
        return Err(Unexpected::ContentType(content_types.iter().next_back().cloned()));
    }
    let encoding = headers.get_all(CONTENT_ENCODING).iter().find(|value| is_encoded(value));
    encoding.map_or(Ok(()), |encoding| Err(Unexpected::Encoding(encoding.clone())))
}

/// Decides as [fetch](https://fetch.spec.whatwg.org/#concept-header-extract-mime-type) does: of
/// several content types, in one header or in many, the last counts that is one.
fn is_event_stream<'a>(headers: impl Iterator<Item = &'a [u8]>) -> bool {
    let essences = headers
        .flat_map(split)
        .map(|value| value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii());
    let last = essences.filter(|essence| is_essence(essence)).last();
    last.is_some_and(|essence| essence.eq_ignore_ascii_case(b"text/event-stream"))
}

/// Splits a list at its commas, but for those in quotes.
fn split(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    list.split(move |&byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_quoted,
            b'"' => is_quoted = !is_quoted,
            _ => {}
        }
        byte == b',' && !is_quoted
    })
}

/// Whether it is a type and a subtype, and not `*/*`, which says nothing.
fn is_essence(text: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let mut parts = text.split(|&byte| byte == b'/');
    let two = [parts.next(), parts.next()].map(Option::unwrap_or_default);
    parts.next().is_none()
        && two.iter().all(|part| !part.is_empty() && part.iter().all(is_token))
        && text != b"*/*"
}

fn is_encoded(value: &HeaderValue) -> bool {
    let mut codings = value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    codings.any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the status is {status}, not 200"),
            Self::ContentType(None) => {
                f.write_str("there is no content type, where text/event-stream was expected")
            }
            Self::ContentType(Some(value)) => {
                let value = String::from_utf8_lossy(value.as_bytes());
                write!(f, "the content type is {value:?}, not text/event-stream")
            }
            Self::Encoding(value) => {
                let value = String::from_utf8_lossy(value.as_bytes());
                write!(f, "the content encoding is {value:?}, which nothing has undone")
            }
        }
    }
}

/// The error of a response that is no event stream. It gives the response back.
pub struct UnexpectedResponse<B> {
    pub(super) reason: Unexpected,
    pub(super) response: Box<Response<B>>,
}

impl<B> UnexpectedResponse<B> {
    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Returns the response, whose body was not touched.
    #[must_use]
    pub fn into_response(self) -> Response<B> {
        *self.response
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
            assert_eq!(check(StatusCode::OK, &headers).is_ok(), is_fine, "{name} {values:?}");
        }
    }
}
