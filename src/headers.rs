//! The headers of event streams: the ones that are sent, and how `Accept` and other lists are read.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
        TRANSFER_ENCODING,
    },
};

/// The media type of event streams.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";

/// The request header that carries a client's last event ID.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The headers of a response that is an event stream.
///
/// The last two keep caches and proxies from storing, changing or buffering it.
pub(crate) const RESPONSE_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM)),
    (CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform")),
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
];

/// Headers that say how a body is sent. The server sets them. Those of another response, for example if all of its
/// headers were copied, would break the stream.
const FRAMING_HEADERS: [HeaderName; 4] =
    [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING];

/// Makes the headers of an application those of an event stream: adds what is missing, and removes
/// [`FRAMING_HEADERS`].
pub(crate) fn prepare_stream_headers(headers: &mut HeaderMap) {
    FRAMING_HEADERS.iter().for_each(|name| drop(headers.remove(name)));
    add_stream_headers(headers);
}

/// Adds the [headers of an event stream](RESPONSE_HEADERS) that are missing.
pub(crate) fn add_stream_headers(headers: &mut HeaderMap) {
    for (name, value) in RESPONSE_HEADERS {
        headers.entry(name).or_insert(value);
    }
}

/// Returns whether a media type, without its parameters, is that of event streams.
pub(crate) fn is_event_stream(media_type: &[u8]) -> bool {
    media_type.eq_ignore_ascii_case(EVENT_STREAM.as_bytes())
}

/// Splits a header's value at a separator, except inside of quoted strings, and trims the parts.
///
/// The separator is `,` for a [list] and `;` for [parameters]. A list may have empty elements,
/// which the caller ignores. In a [quoted string] a backslash escapes the next byte; outside of one
/// it has no meaning. A quoted string that is not closed lasts to the end of the value.
///
/// [list]: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1
/// [parameters]: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.6
/// [quoted string]: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.4
pub(crate) fn split_unquoted(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    value
        .split(move |&byte| {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = is_quoted,
                b'"' => is_quoted = !is_quoted,
                _ => {}
            }
            byte == separator && !is_quoted
        })
        .map(<[u8]>::trim_ascii)
}

/// A quality (`q`) in thousandths.
type Quality = u16;

/// The qualities that the `Accept` headers of a request give to event streams, by
/// [RFC 9110, 12.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AcceptHeader {
    /// The quality of a range that names `text/event-stream`.
    event_stream: Option<Quality>,
    /// The quality of `text/*`.
    any_text: Option<Quality>,
    /// The quality of `*/*`.
    anything: Option<Quality>,
    /// The highest quality among the ranges that name another type.
    other: Quality,
    /// Whether the request has no `Accept` header, so that it accepts everything.
    is_absent: bool,
}

impl AcceptHeader {
    pub(crate) fn parse(headers: &HeaderMap) -> Self {
        let is_absent = !headers.contains_key(ACCEPT);
        let mut accept = Self { is_absent, ..Self::default() };
        media_ranges(headers).for_each(|range| accept.add(range));
        accept
    }

    /// Returns whether the request asks for an event stream: it names the type, and prefers no
    /// other type that it names.
    pub(crate) fn asks_for_event_stream(&self) -> bool {
        self.event_stream.is_some_and(|quality| quality > 0 && quality >= self.other)
    }

    /// Returns whether the request accepts an event stream at all. The most specific range decides.
    pub(crate) fn allows_event_stream(&self) -> bool {
        let quality = self.event_stream.or(self.any_text).or(self.anything);
        self.is_absent || quality.is_some_and(|quality| quality > 0)
    }

    fn add(&mut self, range: &[u8]) {
        let mut parts = split_unquoted(range, b';');
        let Some(media_type) = parts.next().filter(|media_type| !media_type.is_empty()) else {
            return;
        };
        let quality = match parts.find_map(quality_parameter) {
            None => 1000,
            // A range with an invalid quality is ignored.
            Some(value) => match parse_quality(value) {
                Some(quality) => quality,
                None => return,
            },
        };
        let known = if is_event_stream(media_type) {
            &mut self.event_stream
        } else if media_type.eq_ignore_ascii_case(b"text/*") {
            &mut self.any_text
        } else if media_type == b"*/*" {
            &mut self.anything
        } else {
            if !media_type.ends_with(b"/*") {
                self.other = self.other.max(quality);
            }
            return;
        };
        *known = (*known).max(Some(quality));
    }
}

/// Returns whether a request accepts `text/event-stream` and nothing else, as an `EventSource` in a
/// browser does.
pub(crate) fn is_event_source(headers: &HeaderMap) -> bool {
    let mut ranges = media_ranges(headers);
    ranges.next().is_some_and(is_event_stream) && ranges.next().is_none()
}

/// Returns whether a request is that of an `EventSource` in a browser.
#[cfg(feature = "hub")]
pub(crate) fn is_browser(headers: &HeaderMap) -> bool {
    let agent =
        headers.get(http::header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    is_event_source(headers) && agent.starts_with(b"Mozilla/")
}

/// Returns the media ranges of all `Accept` headers, with their parameters.
fn media_ranges(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(ACCEPT).into_iter();
    let ranges = values.flat_map(|value| split_unquoted(value.as_bytes(), b','));
    ranges.filter(|range| !range.is_empty())
}

/// Returns the value of a parameter if its name is `q`.
fn quality_parameter(parameter: &[u8]) -> Option<&[u8]> {
    let (name, value) = parameter.split_at(parameter.iter().position(|&byte| byte == b'=')?);
    name.trim_ascii().eq_ignore_ascii_case(b"q").then(|| value[1..].trim_ascii())
}

/// Reads `0` to `1` with at most three decimals.
fn parse_quality(value: &[u8]) -> Option<Quality> {
    let (whole, decimals) = match value {
        [whole] | [whole, b'.'] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut quality = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    for (place, digit) in [100, 10, 1].into_iter().zip(decimals) {
        quality += place * Quality::from(char::from(*digit).to_digit(10)? as u8);
    }
    (quality <= 1000).then_some(quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| (ACCEPT, HeaderValue::from_str(value).unwrap()));
        let mut headers = HeaderMap::new();
        values.for_each(|(name, value)| {
            headers.append(name, value);
        });
        headers
    }

    fn parse(values: &[&str]) -> AcceptHeader {
        AcceptHeader::parse(&request(values))
    }

    #[test]
    fn lists_are_split_outside_of_quoted_strings() {
        for (value, parts) in [
            ("", &[""][..]),
            ("a", &["a"]),
            (" a ,\tb,, c", &["a", "b", "", "c"]),
            (r#""a,b",c"#, &[r#""a,b""#, "c"]),
            (r#"x="a,b" , c"#, &[r#"x="a,b""#, "c"]),
            // An escaped quote does not close the string, an escaped backslash escapes nothing.
            (r#""a\",b",c"#, &[r#""a\",b""#, "c"]),
            (r#""a\\",b"#, &[r#""a\\""#, "b"]),
            (r#""a\\\",b""#, &[r#""a\\\",b""#]),
            (r#""a\,b",c"#, &[r#""a\,b""#, "c"]),
            // Outside of a quoted string a backslash is no escape.
            (r"a\,b", &[r"a\", "b"]),
            (r#"\"a,b",c"#, &[r#"\"a,b""#, "c"]),
            (r#""a"\,"b,c""#, &[r#""a"\"#, r#""b,c""#]),
            // A string that is not closed lasts to the end.
            (r#"a,"b,c"#, &["a", r#""b,c"#]),
            (r#"a,"b,c\"#, &["a", r#""b,c\"#]),
            ("a;b,c", &["a;b", "c"]),
        ] {
            let split: Vec<_> = split_unquoted(value.as_bytes(), b',').collect();
            let expected: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
            assert_eq!(split, expected, "{value}");
        }
        let parameters: Vec<_> = split_unquoted(br#"a/b; x="1;2" ;q=0"#, b';').collect();
        assert_eq!(parameters, [&b"a/b"[..], br#"x="1;2""#, b"q=0"]);
    }

    #[test]
    fn a_request_asks_if_it_names_the_type_and_prefers_no_other() {
        for (accept, asks) in [
            ("text/event-stream", true),
            ("TEXT/Event-Stream", true),
            ("text/event-stream;charset=utf-8", true),
            ("text/event-stream; q=0.001", true),
            ("text/event-stream;q=0", false),
            ("text/event-stream;q=0.000", false),
            ("text/html, text/event-stream", true),
            ("text/html, text/event-stream;q=0.9", false),
            ("text/html;q=0.8, text/event-stream;q=0.9", true),
            ("application/json, text/event-stream", true),
            ("*/*, text/event-stream;q=0.1", true),
            ("text/*, text/event-stream;q=0.1", true),
            ("*/*", false),
            ("text/*", false),
            ("text/html", false),
            ("", false),
            (",,", false),
            ("text/event-streams", false),
            (r#"text/html;x="a, text/event-stream""#, false),
            (r#"text/html;x="\", text/event-stream", text/event-stream;q=0.5"#, false),
            ("text/event-stream;q=1.001", false),
            ("text/event-stream;q=2", false),
            ("text/event-stream;q=", false),
            ("text/event-stream;q=0.1234", false),
            ("text/event-stream ; Q = 0.5", true),
            ("text/html;q=x, text/event-stream;q=0.5", true),
        ] {
            assert_eq!(parse(&[accept]).asks_for_event_stream(), asks, "{accept}");
        }
        assert!(!parse(&[]).asks_for_event_stream());
        let accept = parse(&["text/html;q=0.5", "text/event-stream;q=0.5"]);
        assert!(accept.asks_for_event_stream());
    }

    #[test]
    fn a_request_allows_what_it_does_not_exclude() {
        for (accept, allows) in [
            ("*/*", true),
            ("text/*;q=0.1", true),
            ("text/html, text/event-stream;q=0.1", true),
            ("text/html", false),
            ("*/*, text/event-stream;q=0", false),
            ("text/event-stream, */*;q=0", true),
            ("*/*, text/*;q=0", false),
            ("", false),
        ] {
            assert_eq!(parse(&[accept]).allows_event_stream(), allows, "{accept}");
        }
        assert!(parse(&[]).allows_event_stream());
    }

    #[test]
    fn an_event_source_accepts_nothing_else() {
        for (accept, is_so) in [
            (&["text/event-stream"][..], true),
            (&[" Text/Event-Stream "], true),
            (&["text/event-stream,"], true),
            (&["", "text/event-stream"], true),
            (&["text/event-stream;q=0.5"], false),
            (&["text/event-stream;charset=utf-8"], false),
            (&["text/event-stream, */*"], false),
            (&["text/event-stream", "text/html;q=x"], false),
            (&["text/event-stream", "text/event-stream"], false),
            (&["*/*"], false),
            (&[""], false),
            (&[], false),
        ] {
            assert_eq!(is_event_source(&request(accept)), is_so, "{accept:?}");
        }
    }
}
