//! Headers as the server returns them with a stored message: Base64 of their text.

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// Returns the first value with a name. The result is that of the client for a message that a
/// consumer delivers, or the fingerprints would differ.
pub(super) fn find(headers: &str, name: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(headers).ok()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((found, value)) = line.split_once(':') else { continue };
        if found != name {
            continue;
        }
        // A value may go on in lines that start with white space.
        let mut value = value.trim_start().to_owned();
        for more in lines.by_ref().take_while(|line| line.starts_with(char::is_whitespace)) {
            value.push_str(more);
        }
        value.truncate(value.trim_end().len());
        return Some(value);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in(text: &str) -> Option<String> {
        find(&BASE64_STANDARD.encode(text), "Nats-Msg-Id")
    }

    #[test]
    fn the_first_value_is_found() {
        for (text, value) in [
            ("NATS/1.0\r\nNats-Msg-Id: a b \r\n\r\n", Some("a b")),
            ("NATS/1.0\r\nA: b\r\nNats-Msg-Id:1\r\nNats-Msg-Id: 2\r\n\r\n", Some("1")),
            ("NATS/1.0\r\nNats-Msg-Id: 1\r\n 2\r\n\r\n", Some("1 2")),
            ("NATS/1.0\r\nnats-msg-id: 1\r\n\r\n", None),
            ("NATS/1.0\r\n\r\n", None),
            ("", None),
        ] {
            assert_eq!(find_in(text).as_deref(), value, "{text:?}");
        }
        assert_eq!(find("%", "a"), None);
    }
}
