//! Pieces of text from a server, as messages and logs show them.

use std::fmt::{self, Write as _};

/// The start of a text on one line: each run of white space, control characters and characters that
/// change the direction of text becomes one space, and the end is left out if the text is longer than `max` characters.
///
/// A text from a server can then neither flood a log nor control a terminal.
pub(crate) struct Excerpt<'a> {
    text: &'a str,
    max: usize,
}

impl<'a> Excerpt<'a> {
    pub(crate) fn new(text: &'a str, max: usize) -> Self {
        Self { text, max }
    }
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = 0;
        let mut is_after_space = false;
        for char in self.text.trim().chars() {
            let is_space = char.is_whitespace() || char.is_control() || is_direction(char);
            if is_space && is_after_space {
                continue;
            }
            if written == self.max {
                return f.write_char('…');
            }
            f.write_char(if is_space { ' ' } else { char })?;
            is_after_space = is_space;
            written += 1;
        }
        Ok(())
    }
}

/// Returns whether a character changes the direction of the text after it.
fn is_direction(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_line_without_control_characters() {
        for (text, max, expected) in [
            ("", 5, ""),
            (" a\r\n\t b ", 5, "a b"),
            ("\u{1b}[31mred\u{0}", 20, "[31mred"),
            ("abcdef", 5, "abcde…"),
            ("abcde  ", 5, "abcde"),
            ("äöüß", 2, "äö…"),
            ("a\u{202e}b\u{9b}c\u{7f}d", 9, "a b c d"),
        ] {
            assert_eq!(Excerpt::new(text, max).to_string().trim(), expected, "{text:?}");
        }
    }
}
