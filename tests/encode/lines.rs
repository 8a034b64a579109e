//! The lines of an encoded event: their order, their spaces and their line ends.

use std::time::Duration;

use tower_sse::{Event, EventType, FieldName};

use crate::support::{SECOND, decode, wire};

#[test]
fn an_event_has_type_data_id_retry_comments_and_fields() {
    let event = Event::new("d")
        .with_type("t")
        .with_id("i")
        .with_retry(3 * SECOND)
        .with_comment("c")
        .with_field("f", "v");
    assert_eq!(wire(event), ": c\nevent: t\nid: i\nretry: 3000\ndata: d\nf: v\n\n");
}

#[test]
fn events_are_encoded_as_in_the_transcripts_of_cl_sse() {
    assert_eq!(wire(Event::comment("This is a comment")), ": This is a comment\n\n");
    assert_eq!(wire(Event::new("abc").with_type("myevent")), "event: myevent\ndata: abc\n\n");
    assert_eq!(
        wire(Event::new("y").with_type("x").with_id(1).with_retry(Duration::from_millis(23))),
        "event: x\nid: 1\nretry: 23\ndata: y\n\n"
    );
}

#[test]
fn every_field_is_encoded_in_one_way_only() {
    assert_eq!(wire(Event::default().with_id("")), "id: \n\n");
    assert_eq!(wire(Event::new("x").with_type("")), "data: x\n\n");
    assert_eq!(wire(Event::new(" x")), "data:  x\n\n");
    assert_eq!(Event::new("x"), Event::new("x").with_type(EventType::MESSAGE));
    assert_eq!(Event::new("x"), Event::new("x").with_type(""));
    assert_eq!(wire(Event::default().with_retry(SECOND / 1001)), "retry: 0\n\n");
    let late = Event::new("x").with_type("t").encode().with_id(7);
    assert_eq!(late.to_bytes(), "id: 7\nevent: t\ndata: x\n\n");
    for name in ["ID", "Data", " ", "a b", "retry2"] {
        assert_eq!(
            wire(Event::default().with_field(FieldName::try_from(name).unwrap(), "v")),
            format!("{name}: v\n\n")
        );
    }
}

#[test]
fn an_explicit_empty_id_resets_the_last_event_id() {
    let events = [Event::new("a").with_id(7), Event::new("b"), Event::new("c").with_id("")];
    let bytes = events.map(wire).concat();
    assert!(bytes.ends_with(b"id: \ndata: c\n\n"));
    let ids: Vec<_> = decode(bytes).into_iter().map(|(_, _, id)| id).collect();
    assert_eq!(ids, [Some("7".into()), Some("7".into()), None]);
}

#[test]
fn empty_data_is_one_line_and_an_event_without_data_is_not_dispatched() {
    assert_eq!(wire(Event::new("")), "data: \n\n");
    assert_eq!(decode(wire(Event::new(""))), [("message".into(), String::new(), None)]);

    let id_only = Event::default().with_id(7);
    let retry_only = Event::default().with_retry(SECOND);
    assert_eq!(wire(&id_only), "id: 7\n\n");
    assert_eq!(wire(&retry_only), "retry: 1000\n\n");
    let decoded = decode([id_only, retry_only, Event::new("x")].map(wire).concat());
    assert_eq!(decoded, [("message".into(), "x".into(), Some("7".into()))]);

    let event = Event::new("").with_type("empty");
    assert_eq!(wire(&event), "event: empty\ndata: \n\n");
    assert_eq!(decode(wire(&event)), [("empty".into(), String::new(), None)]);
}

#[test]
fn cr_lf_and_crlf_each_end_one_line_of_data() {
    for (data, lines) in [("a\rb", "a\nb"), ("a\nb", "a\nb"), ("a\r\nb", "a\nb"), ("\n\r", "\n\n")]
    {
        let decoded = decode(wire(Event::new(data)));
        assert_eq!(decoded, [("message".into(), lines.into(), None)], "{data:?}");
    }
    let injected = decode(wire(Event::new("a\rdata: b\revent: evil\r\rdata: c")));
    assert_eq!(injected.len(), 1);
    assert_eq!(injected[0].0, "message");

    assert_eq!(wire(Event::new("a\r\nb\rc\nd")), "data: a\ndata: b\ndata: c\ndata: d\n\n");
}

#[test]
fn line_ends_at_the_end_of_data_are_kept() {
    for data in ["\n", "a\n", "a\n\n\n", "\n\na", "\n\n"] {
        assert_eq!(decode(wire(Event::new(data))), [("message".into(), data.into(), None)]);
    }

    assert_eq!(wire(Event::new("a\n\n")), "data: a\ndata: \ndata: \n\n");
    assert_eq!(decode(wire(Event::new("a\n\n"))), [("message".into(), "a\n\n".into(), None)]);
}

#[test]
fn retry_is_a_duration_in_whole_milliseconds() {
    for (retry, digits) in [
        (3 * SECOND, "3000".to_owned()),
        (Duration::from_micros(1999), "1".to_owned()),
        (Duration::ZERO, "0".to_owned()),
        (Duration::MAX, u64::MAX.to_string()),
    ] {
        let event = Event::default().with_retry(retry);
        assert_eq!(wire(event), format!("retry: {digits}\n\n"));
    }
}

#[test]
fn custom_fields_keep_their_order_and_their_values_are_split_into_lines() {
    let event = Event::new("x").with_field("b", 1).with_field("a", "2\n3").with_field("b", "");
    assert_eq!(wire(event), "data: x\nb: 1\na: 2\na: 3\nb: \n\n");
}

#[test]
fn a_comment_has_one_line_for_each_line_of_its_text() {
    assert_eq!(wire(Event::comment("a\nb\r\nc\rd")), ": a\n: b\n: c\n: d\n\n");
    assert_eq!(wire(Event::comment("")), ": \n\n");
    assert_eq!(decode(wire(Event::comment("a\ndata: b\n\ndata: c"))), []);
}
