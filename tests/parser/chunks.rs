//! The parser agrees with the oracle on any bytes, wherever they are cut.

use proptest::{collection::vec, prelude::*};
use tower_sse::EventParser;

use super::{cut, oracle::interpret, parse};

/// Bytes made of pieces that a parser could get wrong.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&[u8]; 44] = [
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"\r\r",
        b"\r\n\r\n",
        b"\n\r",
        b"data",
        b"data:",
        b"data: ",
        b"event: ",
        b"event:",
        b"id: ",
        b"id",
        b"retry: ",
        b"retry:12",
        b":",
        b": comment",
        b" ",
        b"x",
        b"xy z",
        b"7",
        b"\0",
        b"\t",
        b"\xef\xbb\xbf",
        b"\xef",
        b"\xbb",
        b"\xbf",
        b"\xff",
        b"\xc3\xa4",
        b"\xc3",
        b"\xa4",
        b"\xe6\xbc\xa2",
        b"\xe6\xbc",
        b"\xf0\x9f\x98\x80",
        b"\xf0\x9f",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"\xf4\x90",
        b"DATA: ",
        b"foo: bar",
        b"dat",
        b"da",
        b"0123456789012345678901234567890123456789",
    ];
    let piece = prop_oneof![
        12 => proptest::sample::select(&PIECES[..]).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..6),
        1 => vec(Just(b'x'), 0..200),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Long lines of data, of valid and of invalid UTF-8, between other pieces.
fn long_lines() -> impl Strategy<Value = Vec<u8>> {
    const LETTERS: [&[u8]; 6] = [
        b"x",
        "\u{e4}".as_bytes(),
        "\u{6f22}".as_bytes(),
        "\u{1f600}".as_bytes(),
        b"\xff",
        b"\xe6\xbc",
    ];
    let run = (proptest::sample::select(&LETTERS[..]), 1..5_000_usize)
        .prop_map(|(letter, times)| letter.repeat(times));
    let line = vec(run, 1..5).prop_map(|runs| [b"data: ", &runs.concat()[..]].concat());
    vec(prop_oneof![1 => line, 1 => bytes()], 1..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn the_parser_agrees_with_the_oracle_on_long_lines(bytes in long_lines(), lengths in vec(1..3_000_usize, 1..6), limit in 4_000..20_000_usize) {
        let expected = interpret(&bytes);
        prop_assert_eq!(&parse(EventParser::new(), [&bytes[..]]), &expected);
        prop_assert_eq!(&parse(EventParser::new(), cut(&bytes, &lengths)), &expected);
        let limited = || EventParser::new().max_event_bytes(limit).max_line_bytes(limit);
        let whole = parse(limited(), [&bytes[..]]);
        prop_assert_eq!(&parse(limited(), cut(&bytes, &lengths)), &whole);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn the_parser_agrees_with_the_oracle(bytes in bytes(), lengths in vec(0..9_usize, 1..6)) {
        prop_assume!(lengths.iter().any(|&length| length > 0));
        let expected = interpret(&bytes);
        prop_assert_eq!(&parse(EventParser::new(), [&bytes[..]]), &expected);
        prop_assert_eq!(&parse(EventParser::new(), cut(&bytes, &lengths)), &expected);
        prop_assert_eq!(&parse(EventParser::new(), cut(&bytes, &[1])), &expected);
    }

    #[test]
    fn the_parser_agrees_with_the_oracle_on_any_bytes(bytes in vec(any::<u8>(), 0..300), lengths in vec(1..40_usize, 1..4)) {
        let expected = interpret(&bytes);
        prop_assert_eq!(&parse(EventParser::new(), cut(&bytes, &lengths)), &expected);
    }

    #[test]
    fn chunks_may_be_pushed_all_at_once(bytes in bytes(), lengths in vec(1..9_usize, 1..6)) {
        let mut parser = EventParser::new();
        for chunk in cut(&bytes, &lengths) {
            parser.push(chunk.to_vec());
        }
        let mut items = Vec::new();
        while let Some(item) = parser.next_item() {
            items.push(super::to_item(item, &parser));
        }
        prop_assert_eq!(items, interpret(&bytes).items);
    }

    #[test]
    fn chunks_may_be_pushed_while_others_are_read(bytes in bytes(), lengths in vec(1..9_usize, 1..6)) {
        let mut parser = EventParser::new();
        let mut items = Vec::new();
        for (at, chunk) in cut(&bytes, &lengths).into_iter().enumerate() {
            parser.push(chunk.to_vec());
            if at % 2 == 1 {
                items.extend(parser.next_item().map(|item| super::to_item(item, &parser)));
            }
        }
        while let Some(item) = parser.next_item() {
            items.push(super::to_item(item, &parser));
        }
        prop_assert_eq!(items, interpret(&bytes).items);
    }

    #[test]
    fn next_event_returns_the_events_among_all_items(bytes in bytes(), lengths in vec(1..9_usize, 1..6)) {
        let mut parser = EventParser::new();
        let mut events = Vec::new();
        for chunk in cut(&bytes, &lengths) {
            parser.push(chunk.to_vec());
            while let Some(event) = parser.next_event() {
                let event = event.unwrap();
                let id = super::last_event_id(&parser);
                events.push(super::Item::Event(event.event_type().as_str().into(), event.data().into(), id));
            }
        }
        let items = interpret(&bytes).items;
        let expected: Vec<_> = items.into_iter().filter(|items| matches!(items, super::Item::Event(..))).collect();
        prop_assert_eq!(events, expected);
    }
}
