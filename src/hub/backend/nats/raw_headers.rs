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

/// Returns whether the client can read these headers. If a consumer delivers others, the client
/// disconnects, again and again.
pub(super) fn are_readable(headers: &str) -> bool {
    let Ok(bytes) = BASE64_STANDARD.decode(headers) else { return false };
    let Ok(text) = std::str::from_utf8(&bytes) else { return false };
    let Some(rest) = text.strip_prefix("NATS/1.0") else { return false };
    let mut lines = rest.lines();
    // A status is for messages of the server.
    if lines.next().is_some_and(|status| !status.trim().is_empty()) {
        return false;
    }
    let mut is_first = true;
    lines.filter(|line| !line.is_empty()).all(|line| {
        let continues = !is_first && line.starts_with(char::is_whitespace);
        is_first = false;
        let name = line.split_once(':').map(|(name, _)| name);
        continues || name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_graphic()))
    })
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

    #[test]
    fn headers_that_the_client_cannot_read_are_found() {
        let is_readable = |text: &[u8]| are_readable(&BASE64_STANDARD.encode(text));
        for fine in ["NATS/1.0\r\n\r\n", "NATS/1.0\r\nA: b\r\n c\r\nB:\r\n\r\n"] {
            assert!(is_readable(fine.as_bytes()), "{fine:?}");
        }
        for wrong in [
            &b""[..],
            b"NATS/1.0\r\nA: \xff\r\n\r\n",
            b"NATS/1.0\r\nno colon\r\n\r\n",
            b"NATS/1.0\r\nA b: c\r\n\r\n",
            b"NATS/1.0\r\n c: d\r\n\r\n",
            b"NATS/1.0 503\r\n\r\n",
        ] {
            assert!(!is_readable(wrong), "{wrong:?}");
        }
        assert!(!are_readable("%"));
    }
}
