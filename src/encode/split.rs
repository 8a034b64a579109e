//! Splits text at line ends: CR, LF and CRLF.

use memchr::memchr2;

/// Returns the first line without its line end, and the text after the line end. Returns `None` if
/// the text contains no line end.
#[inline]
pub(super) fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr2(b'\r', b'\n', text)?;
    let line_end = if text[end..].starts_with(b"\r\n") { 2 } else { 1 };
    Some((&text[..end], &text[end + line_end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cr_lf_and_crlf_end_a_line_each() {
        for (text, expected) in [
            ("", None),
            ("a", None),
            ("\n", Some(("", ""))),
            ("a\rb", Some(("a", "b"))),
            ("a\nb", Some(("a", "b"))),
            ("a\r\nb", Some(("a", "b"))),
            ("a\n\rb", Some(("a", "\rb"))),
            ("a\r\r\nb", Some(("a", "\r\nb"))),
            ("a\r", Some(("a", ""))),
        ] {
            let expected =
                expected.map(|(line, rest): (&str, &str)| (line.as_bytes(), rest.as_bytes()));
            assert_eq!(split_line(text.as_bytes()), expected, "{text:?}");
        }
    }
}
