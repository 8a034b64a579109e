//! Rust source as tokens: identifiers, `::` and single characters. Comments, strings and test code
//! are left out.

/// Returns the tokens of the code, without the items under `#[cfg(test)]`.
pub(crate) fn code_tokens(text: &str) -> Vec<&str> {
    without_tests(&tokens(text))
}

fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = if let Some(len) = skipped(rest) {
            len
        } else {
            let len = match first {
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            tokens.push(&rest[..len]);
            len
        };
        rest = &rest[len..];
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the length of the space, comment, literal or lifetime at the start of the text, or `None`
/// if the text starts with something else.
fn skipped(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    if first.is_whitespace() {
        return Some(first.len_utf8());
    }
    let until = |end: &str| text.find(end).map_or(text.len(), |at| at + end.len());
    if text.starts_with("//") {
        return Some(until("\n"));
    }
    if text.starts_with("/*") {
        return Some(until("*/"));
    }
    for prefix in ["", "b", "r", "br"] {
        let Some(literal) = text.strip_prefix(prefix) else { continue };
        let hashes = literal.len() - literal.trim_start_matches('#').len();
        let is_raw = prefix.ends_with('r');
        if literal[hashes..].starts_with('"') && (is_raw || hashes == 0) {
            let start = prefix.len() + hashes + 1;
            return Some(start + string_len(&text[start..], is_raw, hashes));
        }
    }
    (first == '\'').then(|| quote_len(text))
}

/// Returns the length of a string's content and its end.
fn string_len(content: &str, is_raw: bool, hashes: usize) -> usize {
    if is_raw {
        let end = format!("\"{}", "#".repeat(hashes));
        return content.find(&end).map_or(content.len(), |at| at + end.len());
    }
    let mut is_escaped = false;
    for (at, c) in content.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    content.len()
}

/// Returns the length of a character or a lifetime, which start with the same quote.
fn quote_len(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        // The escaped character itself may be a quote.
        Some((_, '\\')) => text[3..].find('\'').map_or(text.len(), |at| 3 + at + 1),
        Some(_) if chars.next().is_some_and(|(_, c)| c == '\'') => {
            chars.next().map_or(text.len(), |(at, _)| at)
        }
        _ => text[1..].find(|c| !is_word(c)).map_or(text.len(), |at| 1 + at),
    }
}

/// Removes each `#[cfg(test)]` with the item after it.
fn without_tests<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].starts_with(&TEST) {
            at += TEST.len();
            at += item_len(&tokens[at..]);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// Returns the number of tokens of the item at the start: to its `;`, or to the end of its braces.
fn item_len(tokens: &[&str]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "{" => depth += 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

#[test]
fn comments_literals_and_tests_are_left_out() {
    for (text, expected) in [
        ("a::b /* c */ d // e\nf", "a :: b d f"),
        (r#"x("a::b \" c", b"d", '"', '\'', 'y')"#, "x ( , , , , )"),
        (r##"x(r"\", r#"a " b"#)"##, "x ( , )"),
        ("fn f<'a>(x: &'a str) {}", "fn f < > ( x : & str ) { }"),
        ("#[cfg(test)] mod tests { mod x {} } use y;", "use y ;"),
        ("#[cfg(test)] use x; use y;", "use y ;"),
        ("#[cfg(feature)] use x;", "# [ cfg ( feature ) ] use x ;"),
    ] {
        assert_eq!(code_tokens(text).join(" "), expected, "{text}");
    }
}
