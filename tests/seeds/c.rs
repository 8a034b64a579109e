//! cl-sse, client: what it reads, which ours reads by the standard, and its demo.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::sleep;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tower_sse::{
    BoxError, Event, EventParser, EventSource, EventStream, Parsed, SseLayer, event_channel_handler,
};

use super::{
    SECOND,
    support::{decode, http::get},
};

/// The events of a stream: type and data.
fn read(input: &'static str) -> Vec<(String, String)> {
    let mut parser = EventParser::new();
    parser.push(input);
    let events = std::iter::from_fn(|| parser.next_event());
    let parts = |event: Event| (event.event_type().as_str().to_owned(), event.data().to_owned());
    events.map(|event| parts(event.unwrap())).collect()
}

fn messages<const N: usize>(data: [&str; N]) -> Vec<(String, String)> {
    data.map(|data| ("message".to_owned(), data.to_owned())).into()
}

#[test]
fn c1_what_is_read_is_what_was_sent() {
    let sent = Event::new("a\nb").with_type("t").with_id(7).with_retry(Duration::from_secs(3));
    let mut parser = EventParser::new();
    parser.push(sent.encode().to_bytes());
    assert_eq!(parser.next_event().unwrap().unwrap(), sent);
}

#[tokio::test]
async fn c2_a_stream_of_events_and_none_at_the_end() {
    let mut events = EventStream::new(Full::new(Bytes::from("data: a\n\ndata: b\n\n")));
    for data in ["a", "b"] {
        assert_eq!(events.next().await.unwrap().unwrap().data(), data);
    }
    assert!(events.next().await.is_none());
    assert!(events.next().await.is_none());
}

#[test]
fn c3_every_line_end_and_all_of_them_mixed() {
    assert_eq!(read("data: a\ndata: b\rdata: c\r\ndata: d\r\r"), messages(["a\nb\nc\nd"]));
}

#[test]
fn c4_a_lone_cr_ends_a_line_at_once() {
    let mut parser = EventParser::new();
    parser.push("data: a\r\r");
    assert_eq!(parser.next_event().unwrap().unwrap().data(), "a");
}

#[test]
fn c5_blank_lines_are_skipped() {
    assert_eq!(read("\n\n\ndata: a\n\n\n\n\ndata: b\n\n"), messages(["a", "b"]));
}

#[test]
fn c6_comments_are_skipped_and_can_be_had() {
    assert_eq!(read(": one\ndata: a\n: two\n\n"), messages(["a"]));
    let mut parser = EventParser::new();
    parser.push(": one\n");
    assert_eq!(parser.next_item().unwrap().unwrap(), Parsed::Comment(" one".into()));
}

#[test]
fn c7_a_line_without_a_colon_is_a_name() {
    assert_eq!(read("data\n\n"), messages([""]));
}

#[test]
fn c8_one_leading_space_is_removed() {
    assert_eq!(read("data:a\ndata: b\ndata:  c\n\n"), messages(["a\nb\n c"]));
}

#[test]
fn c9_only_data_joins_else_the_last_one_wins() {
    let mut parser = EventParser::new();
    parser.push("event: a\nid: 1\ndata: x\nevent: b\nid: 2\nretry: 1\nretry: 2\ndata: y\n\n");
    let event = parser.next_event().unwrap().unwrap();
    let expected =
        Event::new("x\ny").with_type("b").with_id(2).with_retry(Duration::from_millis(2));
    assert_eq!(event, expected);
}

#[test]
fn c10_the_last_line_end_of_data_is_removed() {
    assert_eq!(read("data: a\n\ndata: b\ndata:\n\n"), messages(["a", "b\n"]));
}

#[test]
fn c11_an_event_without_data_is_skipped_and_is_not_the_end() {
    assert_eq!(read("event: a\n\nid: 1\n\nretry: 1\n\ndata: b\n\n"), messages(["b"]));
}

#[test]
fn c12_data_alone_is_an_event_with_empty_data() {
    assert_eq!(read("data:\n\ndata: \n\n"), messages(["", ""]));
}

#[test]
fn c13_an_unfinished_event_at_the_end_is_discarded_and_can_be_asked_for() {
    let mut parser = EventParser::new();
    parser.push("data: a\n\ndata: b\n");
    assert_eq!(parser.next_event().unwrap().unwrap().data(), "a");
    assert!(parser.next_event().is_none());
    assert_eq!(parser.unfinished().unwrap().data(), "b");
}

#[test]
fn c14_the_default_type_is_message() {
    assert_eq!(read("data: a\n\nevent:\ndata: b\n\n"), messages(["a", "b"]));
}

#[test]
fn c15_ids_are_sticky_and_one_with_nul_is_ignored() {
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
fn c16_a_reconnection_time_is_ascii_digits_and_nothing_else() {
    for (line, expected) in [
        ("retry: 7\n", Some(7)),
        ("retry: +7\n", None),
        ("retry: 7 \n", None),
        ("retry: -7\n", None),
    ] {
        let mut parser = EventParser::new();
        parser.push(line);
        assert!(parser.next_event().is_none());
        assert_eq!(parser.reconnection_time(), expected.map(Duration::from_millis), "{line:?}");
    }
}

#[test]
fn c17_unknown_fields_are_discarded() {
    assert_eq!(read("foo: bar\nbaz\ndata: a\nDATA: b\n\n"), messages(["a"]));
}

#[test]
fn c18_one_leading_byte_order_mark_is_removed_also_when_it_is_split() {
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

#[tokio::test(start_paused = true)]
async fn c19_http_reconnects_and_limits() {
    let server = event_channel_handler(|request: Request<Full<Bytes>>, events| async move {
        let last = request.headers().get("last-event-id");
        let n: u64 = last.map_or(Ok(0), |last| last.to_str()?.parse().map_err(BoxError::from))?;
        events.send(Event::new("x".repeat(100))).await?;
        events.send(Event::new(n + 1).with_id(n + 1)).await?;
        Ok(())
    });
    let mut source = EventSource::get(server, "/events").max_event_bytes(50);
    for n in 1..=3 {
        let error = source.next_event().await.unwrap().unwrap_err();
        assert_eq!(error.as_too_large().unwrap().limit(), 50);
        assert_eq!(source.next_event().await.unwrap().unwrap().data(), n.to_string());
    }
}

/// Of its parse tests: a stream of several events, of several lines, with comments, fields that are
/// set twice, and what is at the end.
#[test]
fn c22_its_five_parse_tests() {
    let one = read("event: greeting\ndata: hello\nid: 1\nretry: 10\n\n");
    assert_eq!(one, [("greeting".to_owned(), "hello".to_owned())]);
    assert_eq!(read("data: first\ndata: second\n\n"), messages(["first\nsecond"]));
    assert_eq!(read(": a comment\n\ndata: x\n\n"), messages(["x"]));
    assert_eq!(read("data: one\n\ndata: two\n\n"), messages(["one", "two"]));
    assert_eq!(read(""), []);
}

#[tokio::test(start_paused = true)]
async fn c23_a_page_ten_events_two_seconds_apart_a_hang_up_and_the_client_comes_back() {
    let hello = event_channel_handler(|_, events| async move {
        for n in 0..10 {
            events.send(Event::new(format!("Hello World! {n}"))).await?;
            sleep(2 * SECOND).await;
        }
        Ok(())
    })
    .retry(3 * SECOND);
    let pages = service_fn(|request: Request<()>| async move {
        Ok::<_, BoxError>(Response::new(match request.uri().path() {
            "/" => "index".to_owned(),
            "/sse" => "page".to_owned(),
            path => panic!("{path} reached the pages"),
        }))
    });
    let demo = ServiceBuilder::new().layer(SseLayer::new(hello).path("/events")).service(pages);
    for (path, text) in [("/", "index"), ("/sse", "page")] {
        let response = demo.clone().oneshot(get(path)).await.unwrap();
        let bytes =
            http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        assert_eq!(bytes, text);
    }
    for _ in ["the browser", "the browser, back again"] {
        let started = tokio::time::Instant::now();
        let response = demo.clone().oneshot(get("/events")).await.unwrap();
        let bytes =
            http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        assert_eq!(started.elapsed().as_secs(), 20);
        assert!(bytes.starts_with(b": connected\nretry: 3000\n\n"));
        let data: Vec<_> = decode(bytes).into_iter().map(|(_, data, _)| data).collect();
        assert_eq!(data, (0..10).map(|n| format!("Hello World! {n}")).collect::<Vec<_>>());
    }
}
