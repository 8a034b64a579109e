//! Events and lines over the limit: which limit the error names, where the line or event starts,
//! and that the next event is read; wherever the bytes are cut.

use proptest::{collection::vec, prelude::*};
use tower_sse::EventParser;

use super::{Item, Outcome, cut, parse};

fn parser(event: usize, line: usize) -> EventParser {
    EventParser::new().max_event_bytes(event).max_line_bytes(line)
}

/// The data of the events of a stream, and its errors as `kind@offset`.
fn items(outcome: &Outcome) -> Vec<String> {
    let items = outcome.items.iter().filter_map(|items| match items {
        Item::Event(_, data, _) => Some(data.clone()),
        Item::TooLarge(error) if error.is_line() => Some(format!("line@{}", error.offset())),
        Item::TooLarge(error) => Some(format!("event@{}", error.offset())),
        _ => None,
    });
    items.collect()
}

#[test]
fn an_event_over_the_limit_is_an_error_and_the_next_one_is_read() {
    let rows: &[(&str, &[&str])] = &[
        ("data: 123456\n\n", &["123456"]),
        ("data: 1234567\n\ndata: ok\n\n", &["line@0", "ok"]),
        ("id: 1\ndata: 1234567\ndata: 2\n\ndata: ok\n\n", &["line@6", "ok"]),
        ("data: 12\ndata: 34\ndata\n\n", &["12\n34\n"]),
        ("data: 12\ndata: 34\ndata:\n\ndata: ok\n\n", &["event@0", "ok"]),
        (
            "data: ok\n\ndata: 12\r\ndata: 34\r\ndata: 5\r\n\r\ndata: ok\n\n",
            &["ok", "event@10", "ok"],
        ),
        ("\u{feff}\n\ndata: 1234567", &["line@5"]),
        (":23456789012\n:23456789012\n:23456789012\ndata: ok\n\n", &["ok"]),
        (":234567890123\ndata: lost\n\ndata: ok\n\n", &["line@0", "ok"]),
        ("data: 12\n: 345\n: 345\n: 345\n\ndata: ok\n\n", &["event@0", "ok"]),
        ("x: 3456789012\n\ndata: ok\n\n", &["line@0", "ok"]),
        ("data: 1234567\ndata: 1234567\ndata: 1234567\n\n\n\ndata: ok\n\n", &["line@0", "ok"]),
        ("data: ä漢\u{feff}\n\n", &["line@0"]),
    ];
    for (input, expected) in rows {
        let input = input.as_bytes();
        let whole = parse(parser(20, 12), [input]);
        assert_eq!(items(&whole), *expected, "{}", input.escape_ascii());
        assert_eq!(parse(parser(20, 12), cut(input, &[1])), whole);
        for at in 0..=input.len() {
            let (one, other) = input.split_at(at);
            assert_eq!(parse(parser(20, 12), [one, other]), whole, "split at {at}");
        }
    }
}

#[test]
fn an_event_that_is_too_large_sets_neither_id_nor_reconnection_time() {
    let input =
        b"id: 1\nretry: 1\ndata: a\n\nid: 2\ndata: 1234567\nid: 3\nretry: 3\n\ndata: ok\n\n";
    let outcome = parse(parser(100, 12), [&input[..]]);
    assert_eq!(outcome.last_event_id, "1");
    assert_eq!(outcome.reconnection_time, Some(1));
    assert_eq!(items(&outcome), ["a", "line@30", "ok"]);
}

#[test]
fn the_first_byte_over_the_limit_is_the_error() {
    let mut parser = parser(1 << 20, 12);
    parser.push("data: 123456");
    assert!(parser.next_event().is_none());
    parser.push("7");
    let error = parser.next_event().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the line that starts at byte 0 is longer than 12 bytes; raise `max_line_bytes` of the parser"
    );
    assert!(parser.next_event().is_none());
}

#[test]
fn a_limit_of_zero_is_no_panic() {
    let outcome = parse(parser(0, 0), [&b"data: x\n\n\n: \n\n"[..]]);
    assert_eq!(items(&outcome), ["line@0", "line@10"]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2048) })]

    #[test]
    fn where_the_bytes_are_cut_makes_no_difference(
        bytes in vec(proptest::sample::select(&b"\r\n\r\n\n::  ddaattaaiidx\xff\xc3\xa4\xef\xbb\xbf7"[..]), 0..120),
        lengths in vec(1..9_usize, 1..6),
        event in 0..30_usize,
        line in 0..20_usize,
    ) {
        let whole = parse(parser(event, line), [&bytes[..]]);
        prop_assert_eq!(&parse(parser(event, line), cut(&bytes, &lengths)), &whole);
        prop_assert_eq!(&parse(parser(event, line), cut(&bytes, &[1])), &whole);
        // Without limits the items are the same, up to the first one that is too large.
        let without = parse(EventParser::new(), [&bytes[..]]).items;
        let fine = whole.items.iter().take_while(|items| !matches!(items, Item::TooLarge(_)));
        for (items, expected) in fine.zip(&without) {
            prop_assert_eq!(items, expected);
        }
    }
}
