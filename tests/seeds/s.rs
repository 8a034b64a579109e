//! cl-sse, server: events on the wire.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt as _;
use tower::service_fn;
use tower_sse::{
    BoxError, Buffer, Event, EventBody, EventId, EventType, FieldName, event_channel,
    event_channel_handler,
};

use super::{
    SECOND,
    support::{
        decode,
        http::{Server, call, get},
        read_text,
    },
    wire,
};

#[tokio::test(start_paused = true)]
async fn s1_events_and_comments_are_sent() {
    let handler = event_channel_handler(|_, events| async move {
        events.send(Event::comment("a comment")).await?;
        events.send(Event::new("data").with_type("type")).await?;
        Ok(())
    })
    .without_greeting();
    let text = read_text(call(&handler, get("/")).await.into_body()).await;
    assert_eq!(text, ": a comment\n\nevent: type\ndata: data\n\n");
}

#[test]
fn s3_the_type_is_optional() {
    assert_eq!(wire(Event::new("x")), "data: x\n\n");
    assert_eq!(Event::new("x").event_type(), "message");
}

#[test]
fn s4_data_is_split_at_crlf_cr_and_lf() {
    assert_eq!(wire(Event::new("a\r\nb\rc\nd")), "data: a\ndata: b\ndata: c\ndata: d\n\n");
}

#[test]
fn s5_empty_data_has_its_line_and_is_dispatched() {
    let event = Event::new("").with_type("empty");
    assert_eq!(wire(&event), "event: empty\ndata: \n\n");
    assert_eq!(decode(wire(&event)), [("empty".into(), String::new(), None)]);
}

#[test]
fn s6_newlines_at_the_end_stay() {
    assert_eq!(wire(Event::new("a\n\n")), "data: a\ndata: \ndata: \n\n");
    assert_eq!(decode(wire(Event::new("a\n\n"))), [("message".into(), "a\n\n".into(), None)]);
}

#[test]
fn s7_an_id_is_a_string_or_an_integer() {
    assert_eq!(wire(Event::new("x").with_id("seven")), "id: seven\ndata: x\n\n");
    assert_eq!(wire(Event::new("x").with_id(7_u8)), "id: 7\ndata: x\n\n");
    let id = EventId::try_from(String::from("at run time")).unwrap();
    assert_eq!(wire(Event::new("x").with_id(id)), "id: at run time\ndata: x\n\n");
}

#[test]
fn s8_retry_is_a_duration_in_whole_milliseconds() {
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
fn s9_custom_fields_keep_their_order_and_their_names_are_checked() {
    let event = Event::new("x").with_field("b", 1).with_field("a", "2\n3").with_field("b", "");
    assert_eq!(wire(event), "data: x\nb: 1\na: 2\na: 3\nb: \n\n");
    for name in ["", "a:b", "a\nb", "a\rb", "data", "event", "id", "retry", "\u{feff}a"] {
        assert!(FieldName::try_from(name).is_err(), "{name:?}");
    }
}

#[test]
fn s11_a_newline_in_type_id_or_field_name_cannot_be_built() {
    for newline in ["\n", "\r", "\r\n"] {
        let text = format!("a{newline}data: b");
        assert_eq!(EventType::try_from(&text).unwrap_err().position(), Some(1));
        assert_eq!(EventId::try_from(&text).unwrap_err().position(), Some(1));
        assert_eq!(FieldName::try_from(&text).unwrap_err().position(), Some(1));
    }
}

#[test]
fn s13_a_comment_is_one_line_for_each_line_of_its_text() {
    assert_eq!(wire(Event::comment("a\nb\r\nc\rd")), ": a\n: b\n: c\n: d\n\n");
    assert_eq!(wire(Event::comment("")), ": \n\n");
    assert_eq!(decode(wire(Event::comment("a\ndata: b\n\ndata: c"))), []);
}

#[tokio::test]
async fn s14_what_was_sent_is_delivered_without_being_asked() {
    // In process: ready at the very next poll.
    let (events, receiver) = event_channel(Buffer::default());
    let mut body = EventBody::from(receiver).without_greeting();
    assert!(body.next_chunk().now_or_never().is_none());
    events.try_send(Event::new("x")).unwrap();
    assert_eq!(body.next_chunk().now_or_never().unwrap().unwrap().unwrap(), "data: x\n\n");

    // On a socket: each is there before the next is sent.
    let (events, receiver) = event_channel(Buffer::default());
    let body = Arc::new(Mutex::new(Some(EventBody::from(receiver))));
    let server = Server::start(service_fn(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async { Ok::<_, BoxError>(body.into_response()) }
    }))
    .await;
    let mut client = server.get_raw("/").await;
    for n in 0..10 {
        events.send(Event::new(format!("number {n}"))).await.unwrap();
        client.until(&format!("data: number {n}\n\n")).await;
    }
}

#[test]
fn s16_the_three_transcripts() {
    assert_eq!(wire(Event::comment("This is a comment")), ": This is a comment\n\n");
    assert_eq!(wire(Event::new("abc").with_type("myevent")), "event: myevent\ndata: abc\n\n");
    assert_eq!(
        wire(Event::new("y").with_type("x").with_id(1).with_retry(Duration::from_millis(23))),
        "event: x\nid: 1\nretry: 23\ndata: y\n\n"
    );
}
