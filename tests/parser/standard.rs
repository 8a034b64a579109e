//! Rows of input and expected events: one for each statement of the standard.

use tower_sse::EventParser;

use super::{Item, Outcome, cut, oracle::interpret, parse};

/// Type, data, and the last event ID at dispatch.
type Row = (&'static str, &'static [u8], &'static [(&'static str, &'static str, &'static str)]);

/// 9.2.5, and the UTF-8 decode of the Encoding standard.
const DECODING: &[Row] = &[
    // "Streams must be decoded using the UTF-8 decode algorithm."
    ("two, three and four bytes", "data: ä漢😀\n\n".as_bytes(), &[("message", "ä漢😀", "")]),
    ("type and id too", "event: ä\nid: 漢\ndata\n\n".as_bytes(), &[("ä", "", "漢")]),
    ("a byte that starts no character", b"data: a\xffb\n\n", &[("message", "a\u{fffd}b", "")]),
    ("a continuation alone", b"data: \x80\n\n", &[("message", "\u{fffd}", "")]),
    ("overlong, one each", b"data: \xc0\x80\n\n", &[("message", "\u{fffd}\u{fffd}", "")]),
    (
        "a surrogate, one each",
        b"data: \xed\xa0\x80\n\n",
        &[("message", "\u{fffd}\u{fffd}\u{fffd}", "")],
    ),
    (
        "beyond U+10FFFF",
        b"data: \xf4\x90\x80\x80\n\n",
        &[("message", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}", "")],
    ),
    ("a maximal part is one", b"data: \xf0\x9f\x98x\n\n", &[("message", "\u{fffd}x", "")]),
    ("a part, then a whole", b"data: \xe6\xbc\xe6\xbc\xa2\n\n", &[("message", "\u{fffd}漢", "")]),
    (
        "cut by a line end",
        b"data: \xe6\n\ndata: \xbc\n\n",
        &[("message", "\u{fffd}", ""), ("message", "\u{fffd}", "")],
    ),
    ("cut by a CR", b"data: \xf0\x9f\r\r", &[("message", "\u{fffd}", "")]),
    ("in a name it is another field", b"dat\xffa: x\ndata: y\n\n", &[("message", "y", "")]),
    ("in an id", b"id: \xff\ndata: y\n\n", &[("message", "y", "\u{fffd}")]),
    ("NUL is a character", b"data: a\0b\n\n", &[("message", "a\0b", "")]),
    // "The UTF-8 decode algorithm strips one leading UTF-8 Byte Order Mark (BOM), if any."
    ("one mark", "\u{feff}data: x\n\n".as_bytes(), &[("message", "x", "")]),
    (
        "one mark, not two",
        "\u{feff}\u{feff}data: x\n\ndata: y\n\n".as_bytes(),
        &[("message", "y", "")],
    ),
    ("leading, not later", "data: x\n\n\u{feff}data: y\n\n".as_bytes(), &[("message", "x", "")]),
    ("not within", "data: \u{feff}x\n\n".as_bytes(), &[("message", "\u{feff}x", "")]),
    ("a part of a mark", b"\xef\xbbdata: x\n\ndata: y\n\n", &[("message", "y", "")]),
    ("a mark and a line end", "\u{feff}\ndata: x\n\n".as_bytes(), &[("message", "x", "")]),
    ("a mark before a comment", "\u{feff}:\n\ndata: x\n\n".as_bytes(), &[("message", "x", "")]),
];

/// 9.2.6, lines.
const LINES: &[Row] = &[
    // "… a CRLF character pair, a single LF character not preceded by a CR character, and a single CR
    // character not followed by a LF character being the ways in which a line can end."
    ("LF", b"data: x\n\n", &[("message", "x", "")]),
    ("CR", b"data: x\r\r", &[("message", "x", "")]),
    ("CRLF", b"data: x\r\n\r\n", &[("message", "x", "")]),
    ("LF CR", b"data: x\n\r", &[("message", "x", "")]),
    ("CR CRLF", b"data: x\r\r\n", &[("message", "x", "")]),
    ("LF CRLF", b"data: x\n\r\n", &[("message", "x", "")]),
    ("CRLF CR", b"data: x\r\n\r", &[("message", "x", "")]),
    ("CRLF LF", b"data: x\r\n\n", &[("message", "x", "")]),
    ("CRLF alone ends no block", b"data: x\r\ndata: y\r\n\r\n", &[("message", "x\ny", "")]),
    ("a LF after a CR ends no line", b"data: x\r\ndata: y\n\n", &[("message", "x\ny", "")]),
    (
        "all kinds",
        b"data:1\rdata:2\ndata:3\r\ndata:4\r\r\ndata:5\n\r",
        &[("message", "1\n2\n3\n4", ""), ("message", "5", "")],
    ),
    (
        "all kinds in one event",
        b"data: a\ndata: b\rdata: c\r\ndata: d\r\r",
        &[("message", "a\nb\nc\nd", "")],
    ),
    (
        "no other ends one",
        "data: a\u{b}b\u{c}c\u{85}d\u{2028}e\u{2029}f\n\n".as_bytes(),
        &[("message", "a\u{b}b\u{c}c\u{85}d\u{2028}e\u{2029}f", "")],
    ),
    ("a CR at the end is enough", b"data: x\r\n\r", &[("message", "x", "")]),
    (
        "a LF after the last CR starts no line",
        b"data: x\r\r\ndata: y\r\r\n",
        &[("message", "x", ""), ("message", "y", "")],
    ),
    // "Lines must be processed, in the order they are received".
    (
        "in order",
        b"data: 1\n\ndata: 2\n\ndata: 3\n\n",
        &[("message", "1", ""), ("message", "2", ""), ("message", "3", "")],
    ),
    // "If the line is empty (a blank line): Dispatch the event, as defined below."
    ("blank lines alone", b"\n\n\r\r\r\n\r\n", &[]),
    (
        "blank lines before and between",
        b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n",
        &[("message", "a", ""), ("message", "b", "")],
    ),
    (
        "blank lines before and after",
        b"\n\ndata: x\n\n\n\n\ndata: y\n\n",
        &[("message", "x", ""), ("message", "y", "")],
    ),
    ("a space is not blank", b"data: x\n \n\n", &[("message", "x", "")]),
    // "If the line starts with a U+003A COLON character (:): Ignore the line."
    ("a comment", b": hi\ndata: x\n:\n:::\n\n", &[("message", "x", "")]),
    ("comments around data", b": one\ndata: a\n: two\n\n", &[("message", "a", "")]),
    ("a comment and a blank line", b": a comment\n\ndata: x\n\n", &[("message", "x", "")]),
    ("nothing at all", b"", &[]),
    ("a comment of a field", b":data: x\n\n", &[]),
    ("a comment ends no block", b"data: x\n:\ndata: y\n\n", &[("message", "x\ny", "")]),
    // "Collect the characters on the line before the first U+003A COLON character (:), and let field
    // be that string."
    ("the first colon", b"data:a:b: c\n\n", &[("message", "a:b: c", "")]),
    ("all before it", b"data : x\n data: y\ndata: z\n\n", &[("message", "z", "")]),
    // "If value starts with a U+0020 SPACE character, remove it from value."
    ("a space is removed", b"data: x\n\n", &[("message", "x", "")]),
    ("no space is fine", b"data:x\n\n", &[("message", "x", "")]),
    ("one space alone", b"data:  x \n\n", &[("message", " x ", "")]),
    ("only a space", b"data: \n\n", &[("message", "", "")]),
    ("two spaces", b"data:  \n\n", &[("message", " ", "")]),
    ("none, one and two", b"data:a\ndata: b\ndata:  c\n\n", &[("message", "a\nb\n c", "")]),
    ("none and one alone", b"data:\n\ndata: \n\n", &[("message", "", ""), ("message", "", "")]),
    ("a tab is no space", b"data:\tx\n\n", &[("message", "\tx", "")]),
    ("nor is a no-break space", "data:\u{a0}x\n\n".as_bytes(), &[("message", "\u{a0}x", "")]),
    ("of a type too", b"event:  x\ndata\n\n", &[(" x", "", "")]),
    ("of an id too", b"id:  7\ndata\n\n", &[("message", "", " 7")]),
    // "Otherwise, … using the whole line as the field name, and the empty string as the field value."
    ("data without a colon", b"data\n\n", &[("message", "", "")]),
    ("two of them", b"data\ndata\n\n", &[("message", "\n", "")]),
    ("event without a colon", b"event: a\nevent\ndata: x\n\n", &[("message", "x", "")]),
    (
        "id without a colon",
        b"id: 1\ndata\n\nid\ndata\n\n",
        &[("message", "", "1"), ("message", "", "")],
    ),
    // "Once the end of the file is reached, any pending data must be discarded. (If the file ends in
    // the middle of an event, before the final empty line, the incomplete event is not dispatched.)"
    ("no end of the block", b"data: x\n\ndata: y\n", &[("message", "x", "")]),
    ("no end of the line", b"data: x", &[]),
    (
        "an id of a block without end",
        b"id: 1\ndata: x\n\nid: 2\ndata: y\n",
        &[("message", "x", "1")],
    ),
];

/// 9.2.6, fields.
const FIELDS: &[Row] = &[
    // "Field names must be compared literally, with no case folding performed."
    ("no case folding", b"DATA: x\nData: x\nEvent: x\nID: x\ndata: y\n\n", &[("message", "y", "")]),
    ("no longer names", b"datax: x\nevents: x\nids: x\ndata: y\n\n", &[("message", "y", "")]),
    ("no shorter names", b"dat: x\neven: x\ni: x\ndata: y\n\n", &[("message", "y", "")]),
    // "Set the event type buffer to the field value."
    ("a type", b"event: a\ndata: x\n\n", &[("a", "x", "")]),
    ("the last type", b"event: a\nevent: b\ndata: x\n\n", &[("b", "x", "")]),
    ("after the data too", b"data: x\nevent: a\n\n", &[("a", "x", "")]),
    // "Append the field value to the data buffer, then append a single LF to the data buffer."
    ("lines are joined", b"data: a\ndata: b\ndata: c\n\n", &[("message", "a\nb\nc", "")]),
    ("with others between", b"data: a\nid: 1\ndata: b\nx: y\ndata: c\n\n", &[("message", "a\nb\nc", "1")]),
    ("an empty line of data", b"data: a\ndata:\ndata: b\n\n", &[("message", "a\n\nb", "")]),
    ("an empty first line", b"data:\ndata: a\n\n", &[("message", "\na", "")]),
    ("JSON", b"data: {\"a\": [1, 2]}\n\n", &[("message", "{\"a\": [1, 2]}", "")]),
    ("too long to be stored without an allocation", b"data: 0123456789012345678901234567890123456789\n\n", &[("message", "0123456789012345678901234567890123456789", "")]),
    ("several long lines", b"data: 0123456789012345678901234567890123456789\ndata: abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\n\n", &[("message", "0123456789012345678901234567890123456789\nabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", "")]),
    // "If the field value does not contain U+0000 NULL, then set the last event ID buffer to the field
    // value. Otherwise, ignore the field."
    ("an id", b"id: 7\ndata: x\n\n", &[("message", "x", "7")]),
    ("the last id", b"id: 7\nid: 8\ndata: x\n\n", &[("message", "x", "8")]),
    ("an id with NUL", b"id: 7\ndata: x\n\nid: 8\09\ndata: y\n\n", &[("message", "x", "7"), ("message", "y", "7")]),
    ("an id with NUL after one without", b"id: 7\nid: \0\ndata: x\n\n", &[("message", "x", "7")]),
    ("an empty id", b"id: 7\ndata: x\n\nid:\ndata: y\n\n", &[("message", "x", "7"), ("message", "y", "")]),
    ("an id of controls", b"id: \t\x01\x7f\ndata: x\n\n", &[("message", "x", "\t\x01\x7f")]),
    ("a long id and a long type", b"id: 0123456789012345678901234567890123456789\nevent: abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\ndata: x\n\ndata: y\n\n", &[("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", "x", "0123456789012345678901234567890123456789"), ("message", "y", "0123456789012345678901234567890123456789")]),
    // "Otherwise: The field is ignored."
    ("unknown fields", b"x: y\nz\ndata: x\n\nfoo: bar\n\n", &[("message", "x", "")]),
    ("unknown fields in one event", b"foo: bar\nbaz\ndata: a\nDATA: b\n\n", &[("message", "a", "")]),
];

/// 9.2.6, dispatch.
const DISPATCH: &[Row] = &[
    // "Set the last event ID string of the event source to the value of the last event ID buffer. The
    // buffer does not get reset, so the last event ID string of the event source remains set to this
    // value until the next time it is set by the server."
    ("sticky", b"id: 7\ndata: x\n\ndata: y\n\n", &[("message", "x", "7"), ("message", "y", "7")]),
    ("set by a block without data", b"id: 7\n\ndata: x\n\n", &[("message", "x", "7")]),
    ("reset by a block without data", b"id: 7\ndata: x\n\nid\n\ndata: y\n\n", &[("message", "x", "7"), ("message", "y", "")]),
    // "If the data buffer is an empty string, set the data buffer and the event type buffer to the
    // empty string and return."
    ("no data, no event", b"event: a\n\nid: 7\n\nretry: 1\n\n", &[]),
    ("a type without data is forgotten", b"event: a\n\ndata: x\n\n", &[("message", "x", "")]),
    ("blocks without data are skipped", b"event: a\n\nid: 1\n\nretry: 1\n\ndata: b\n\n", &[("message", "b", "1")]),
    // "If the data buffer's last character is a LF, then remove the last character."
    ("one line end is removed", b"data: x\ndata:\n\n", &[("message", "x\n", "")]),
    ("one line of each", b"data: a\n\ndata: b\ndata:\n\n", &[("message", "a", ""), ("message", "b\n", "")]),
    ("empty data is data", b"data:\n\n", &[("message", "", "")]),
    // "Initialize event's type attribute to "message" … If the event type buffer has a value other
    // than the empty string, change the type".
    ("message", b"data: x\n\n", &[("message", "x", "")]),
    ("message by name", b"event: message\ndata: x\n\n", &[("message", "x", "")]),
    ("an empty type", b"event:\ndata: x\n\n", &[("message", "x", "")]),
    ("no type and an empty type", b"data: a\n\nevent:\ndata: b\n\n", &[("message", "a", ""), ("message", "b", "")]),
    ("all fields", b"event: greeting\ndata: hello\nid: 1\nretry: 10\n\n", &[("greeting", "hello", "1")]),
    ("two lines of one event", b"data: first\ndata: second\n\n", &[("message", "first\nsecond", "")]),
    ("two events", b"data: one\n\ndata: two\n\n", &[("message", "one", ""), ("message", "two", "")]),
    // "Set the data buffer and the event type buffer to the empty string."
    ("a type applies to one event", b"event: a\ndata: x\n\ndata: y\n\n", &[("a", "x", ""), ("message", "y", "")]),
    ("data belongs to one event", b"data: x\n\ndata: y\n\n", &[("message", "x", ""), ("message", "y", "")]),
    // The examples of the standard.
    ("its first", b"data: YHOO\ndata: +2\ndata: 10\n\n", &[("message", "YHOO\n+2\n10", "")]),
    ("its second", b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n", &[("message", "first event", "1"), ("message", "second event", "")]),
    ("its third", b"data\n\ndata\ndata\n\ndata:", &[("message", "", ""), ("message", "\n", "")]),
    ("its fourth", b"data:test\n\ndata: test\n\n", &[("message", "test", ""), ("message", "test", "")]),
];

/// "If the field value consists of only ASCII digits, then interpret the field value as an integer in
/// base ten, and set the event stream's reconnection time to that integer. Otherwise, ignore the
/// field."
const RETRY: &[(&[u8], Option<u64>)] = &[
    (b"retry: 1500\n\n", Some(1500)),
    (b"retry:1500\n", Some(1500)),
    (b"retry: 007\n", Some(7)),
    (b"retry: 0\n", Some(0)),
    (b"retry: 1\nretry: 2\n", Some(2)),
    (b"retry: 1\nretry: x\n", Some(1)),
    (b"retry: 99999999999999999999\n", Some(u64::MAX)),
    (b"retry: 18446744073709551615\n", Some(u64::MAX)),
    (b"retry: 18446744073709551614\n", Some(u64::MAX - 1)),
    (b"retry: 00000000000000000000000000000000001\n", Some(1)),
    (b"retry: +5\n", None),
    (b"retry: -5\n", None),
    (b"retry:  5\n", None),
    (b"retry: 5 \n", None),
    (b"retry: 7\n", Some(7)),
    (b"retry: +7\n", None),
    (b"retry: 7 \n", None),
    (b"retry: -7\n", None),
    (b"retry: 5s\n", None),
    (b"retry: 0x10\n", None),
    (b"retry: 1.5\n", None),
    (b"retry: \xd9\xa3\n", None),
    (b"retry\n", None),
    (b"retry:\n", None),
    (b"Retry: 5\n", None),
    (b"retry: 5", None),
];

fn rows() -> impl Iterator<Item = &'static Row> {
    [DECODING, LINES, FIELDS, DISPATCH].into_iter().flatten()
}

/// Parses whole, byte by byte, and split at every position, which must make no difference.
#[track_caller]
fn everywhere(name: &str, input: &[u8]) -> Outcome {
    let whole = parse(EventParser::new(), [input]);
    assert_eq!(parse(EventParser::new(), cut(input, &[1])), whole, "{name}: byte by byte");
    assert_eq!(parse(EventParser::new(), cut(input, &[1, 0])), whole, "{name}: with empty chunks");
    for at in 0..=input.len() {
        let (one, other) = input.split_at(at);
        assert_eq!(parse(EventParser::new(), [one, other]), whole, "{name}: split at {at}");
    }
    assert_eq!(whole, interpret(input), "{name}: the oracle");
    whole
}

fn events(outcome: &Outcome) -> Vec<(&str, &str, &str)> {
    let events = outcome.items.iter().filter_map(|items| match items {
        Item::Event(event_type, data, id) => {
            Some((event_type.as_str(), data.as_str(), id.as_str()))
        }
        _ => None,
    });
    events.collect()
}

#[test]
fn every_sentence_of_the_standard_holds() {
    for (name, input, expected) in rows() {
        assert_eq!(events(&everywhere(name, input)), *expected, "{name}");
    }
    assert!(rows().count() > 80);
}

#[test]
fn every_row_holds_with_each_kind_of_line_end() {
    for (name, input, expected) in rows().filter(|row| !row.1.contains(&b'\r')) {
        for line_end in ["\r", "\r\n"] {
            let parts: Vec<_> = input.split(|&byte| byte == b'\n').collect();
            let input = parts.join(line_end.as_bytes());
            assert_eq!(events(&everywhere(name, &input)), *expected, "{name} with {line_end:?}");
        }
    }
}

#[test]
fn all_rows_hold_one_after_the_other_in_one_stream() {
    let mut input = Vec::new();
    for (_, row, _) in rows() {
        input.extend_from_slice(row);
        input.extend_from_slice(b"\n\n");
    }
    everywhere("all", &input);
}

#[test]
fn a_reconnection_time_is_digits_of_any_length() {
    for (input, expected) in RETRY {
        let outcome = everywhere("retry", input);
        assert_eq!(outcome.reconnection_time, *expected, "{}", input.escape_ascii());
    }
}

#[test]
fn comments_fields_and_blocks_without_data_are_items_on_request() {
    let input = b": hi\nid: 7\n\nretry: 5\n\nevent: x\n\nfoo: bar\nbaz\ndata: y\n:\n\nid: 8\nretry: 1\n\ndata: cut";
    let outcome = everywhere("items", input);
    let block = |id: Option<&str>, retry| Item::Block(id.map(str::to_owned), retry);
    let expected = [
        Item::Comment(" hi".into()),
        block(Some("7"), None),
        block(None, Some(5)),
        Item::Field("foo".into(), "bar".into()),
        Item::Field("baz".into(), String::new()),
        Item::Comment(String::new()),
        Item::Event("message".into(), "y".into(), "7".into()),
        block(Some("8"), Some(1)),
    ];
    assert_eq!(outcome.items, expected);
    assert_eq!(outcome.unfinished.as_deref(), Some("cut"));
}
