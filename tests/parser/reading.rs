//! How the parser is used: chunk by chunk, with its items, its sticky IDs and its reset.

use std::time::Duration;

use tower_sse::{Event, EventParser, parse::Parsed};

#[test]
fn an_event_is_returned_with_the_byte_that_ends_it() {
    for input in ["data: x\n\n", "data: x\r\r", "data: x\r\n\r", "data: x\n\r"] {
        let mut parser = EventParser::new();
        let (last, before) = input.as_bytes().split_last().unwrap();
        parser.push(before.to_vec());
        assert!(parser.next_event().is_none(), "{input:?}");
        parser.push(vec![*last]);
        assert_eq!(parser.next_event().unwrap().unwrap().data(), "x", "{input:?}");
    }
}

#[test]
fn chunks_are_read_in_their_order() {
    let mut parser = EventParser::new();
    parser.push("data: 1\n\n");
    parser.push("data: 2\n\n");
    assert_eq!(parser.next_event().unwrap().unwrap().data(), "1");
    parser.push("data: 3\n\n");
    assert_eq!(parser.next_event().unwrap().unwrap().data(), "2");
    assert_eq!(parser.next_event().unwrap().unwrap().data(), "3");
}

#[test]
fn a_reset_forgets_the_stream_and_keeps_the_last_event_id_and_the_reconnection_time() {
    let mut parser = EventParser::new().with_last_event_id(3);
    assert_eq!(parser.last_event_id().unwrap(), &"3");
    for before in
        ["id: 7\nretry: 9\n\nid: 8\ndata: lost", "data: x\r", "event: y\n", "\u{feff}", "dat"]
    {
        parser.push(before);
        while parser.next_event().is_some() {}
        parser.reset();
        assert_eq!(parser.last_event_id().unwrap(), &"7");
        assert_eq!(parser.reconnection_time().unwrap().as_millis(), 9);
        parser.push("\u{feff}data: a\n\n");
        let event = parser.next_event().unwrap().unwrap();
        assert_eq!((event.event_type().as_str(), event.data(), event.id()), ("message", "a", None));
        assert_eq!(parser.last_event_id().unwrap(), &"7", "an event without id does not clear it");
        parser.reset();
    }
}

#[test]
fn an_encoded_event_is_parsed_to_the_same_event() {
    let sent = Event::new("a\nb").with_type("t").with_id(7).with_retry(Duration::from_secs(3));
    let mut parser = EventParser::new();
    parser.push(sent.encode().to_bytes());
    assert_eq!(parser.next_event().unwrap().unwrap(), sent);
}

#[test]
fn comments_are_items_of_their_own() {
    let mut parser = EventParser::new();
    parser.push(": one\n");
    assert_eq!(parser.next_item().unwrap().unwrap(), Parsed::Comment(" one".into()));
}

#[test]
fn only_data_is_joined_and_of_other_fields_the_last_one_wins() {
    let mut parser = EventParser::new();
    parser.push("event: a\nid: 1\ndata: x\nevent: b\nid: 2\nretry: 1\nretry: 2\ndata: y\n\n");
    let event = parser.next_event().unwrap().unwrap();
    let expected =
        Event::new("x\ny").with_type("b").with_id(2).with_retry(Duration::from_millis(2));
    assert_eq!(event, expected);
}

#[test]
fn an_unfinished_event_is_discarded_and_can_be_read() {
    let mut parser = EventParser::new();
    parser.push("data: a\n\ndata: b\n");
    assert_eq!(parser.next_event().unwrap().unwrap().data(), "a");
    assert!(parser.next_event().is_none());
    assert_eq!(parser.unfinished().unwrap().data(), "b");
}

#[test]
fn ids_are_sticky_and_one_with_nul_is_ignored() {
    let mut parser = EventParser::new();
    parser.push("id: 1\ndata: a\n\ndata: b\n\nid: 2\0\ndata: c\n\nid\ndata: d\n\n");
    for (own, last) in
        [(Some("1"), Some("1")), (None, Some("1")), (None, Some("1")), (Some(""), None)]
    {
        let event = parser.next_event().unwrap().unwrap();
        assert_eq!(event.id().map(|id| id.as_str()), own);
        assert_eq!(parser.last_event_id().map(|id| id.as_str()), last);
    }
}

#[test]
fn one_leading_byte_order_mark_is_removed_wherever_it_is_split() {
    let bytes = "\u{feff}data: a\n\n".as_bytes();
    for at in 0..bytes.len() {
        let mut parser = EventParser::new();
        let mut data = None;
        for chunk in [&bytes[..at], &bytes[at..]] {
            parser.push(chunk.to_vec());
            data = data.or_else(|| parser.next_event());
        }
        assert_eq!(data.unwrap().unwrap().data(), "a", "split at {at}");
    }
}
