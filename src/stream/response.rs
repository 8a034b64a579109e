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
    let content_type = headers.get(CONTENT_TYPE);
    if !content_type.is_some_and(|value| is_event_stream(value.as_bytes())) {
        return Err(Unexpected::ContentType(content_type.cloned()));
    }
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            Err(Unexpected::Encoding(encoding.clone()))
        }
        _ => Ok(()),
    }
}

fn is_event_stream(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
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
        for fine in [
            "text/event-stream",
            "Text/Event-Stream",
            "text/event-stream;charset=utf-8",
            " text/event-stream ; charset=UTF-8; x=y",
        ] {
            assert!(is_event_stream(fine.as_bytes()), "{fine}");
        }
        for wrong in ["", "text/html", "text/event-streams", "text/event", "x; text/event-stream"] {
            assert!(!is_event_stream(wrong.as_bytes()), "{wrong}");
        }
    }
}
