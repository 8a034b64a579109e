//! What an `Accept` header says of event streams: [RFC 9110, 12.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1).

use http::{HeaderMap, header::ACCEPT};

/// A quality in thousandths.
type Quality = u16;

/// What the `Accept` headers of a request say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Accepted {
    /// Of a range that names `text/event-stream`.
    explicit: Option<Quality>,
    /// Of `text/*`.
    any_text: Option<Quality>,
    /// Of `*/*`.
    anything: Option<Quality>,
    /// The highest of the ranges that name another type.
    other: Quality,
    /// There is no such header, which accepts everything.
    absent: bool,
}

impl Accepted {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut accepted = Self { absent: true, ..Self::default() };
        for value in headers.get_all(ACCEPT) {
            accepted.absent = false;
            for range in split(value.as_bytes(), b',') {
                accepted.add(range);
            }
        }
        accepted
    }

    /// Returns whether it asks for an event stream: no type that it names is preferred to that.
    pub(super) fn asks_for_events(&self) -> bool {
        self.explicit.is_some_and(|quality| quality > 0 && quality >= self.other)
    }

    /// Returns whether it takes an event stream at all. The most specific range decides.
    pub(super) fn takes_events(&self) -> bool {
        let quality = self.explicit.or(self.any_text).or(self.anything);
        self.absent || quality.is_some_and(|quality| quality > 0)
    }

    fn add(&mut self, range: &[u8]) {
        let mut parts = split(range, b';');
        let Some(media_type) = parts.next().filter(|media_type| !media_type.is_empty()) else {
            return;
        };
        let mut quality = 1000;
        for parameter in parts {
            if let Some(value) = value_of_q(parameter) {
                // A range whose quality nobody can read says nothing.
                let Some(read) = parse_quality(value) else { return };
                quality = read;
                break;
            }
        }
        let known = if media_type.eq_ignore_ascii_case(b"text/event-stream") {
            &mut self.explicit
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

fn value_of_q(parameter: &[u8]) -> Option<&[u8]> {
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

/// Splits at a separator outside of quoted strings, and trims the pieces.
fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |&byte| {
        let was_escaped = std::mem::take(&mut escaped);
        match byte {
            b'\\' if quoted && !was_escaped => escaped = true,
            b'"' if !was_escaped => quoted = !quoted,
            _ => {}
        }
        byte == separator && !quoted
    })
    .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&str]) -> Accepted {
        let values = values.iter().map(|value| (ACCEPT, HeaderValue::from_str(value).unwrap()));
        let mut headers = HeaderMap::new();
        values.for_each(|(name, value)| {
            headers.append(name, value);
        });
        Accepted::of(&headers)
    }

    #[test]
    fn asking_is_naming_it_and_nothing_better() {
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
            assert_eq!(of(&[accept]).asks_for_events(), asks, "{accept}");
        }
        assert!(!of(&[]).asks_for_events());
        assert!(of(&["text/html;q=0.5", "text/event-stream;q=0.5"]).asks_for_events());
    }

    #[test]
    fn taking_is_not_excluding_it() {
        for (accept, takes) in [
            ("*/*", true),
            ("text/*;q=0.1", true),
            ("text/html, text/event-stream;q=0.1", true),
            ("text/html", false),
            ("*/*, text/event-stream;q=0", false),
            ("text/event-stream, */*;q=0", true),
            ("*/*, text/*;q=0", false),
            ("", false),
        ] {
            assert_eq!(of(&[accept]).takes_events(), takes, "{accept}");
        }
        assert!(of(&[]).takes_events());
    }
}
