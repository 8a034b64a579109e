//! The requests that a source sends.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method, Request};
use tower_sse::{EventId, EventParser, EventSource, Reconnection, Update};

use crate::support::mock::{Answer, Mock, reported};

#[tokio::test(start_paused = true)]
async fn a_get_has_accept_and_no_empty_last_event_id() {
    let mock = Mock::new([Answer::Stays("data: x\n\n")]);
    mock.source().next_event().await.unwrap().unwrap();
    let asked = &mock.asked()[0];
    assert_eq!((&asked.method, asked.uri.as_str()), (&Method::GET, "http://server/events"));
    assert_eq!(asked.header("accept"), Some("text/event-stream"));
    assert_eq!(asked.header("cache-control"), Some("no-cache"));
    assert_eq!(asked.header("last-event-id"), None);
    assert_eq!(asked.headers.len(), 2);
    assert!(asked.body.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_is_sent_again_unchanged() {
    let mock = Mock::new([Answer::Ends("id: ä\ndata: x\n\n"), Answer::Stays("data: y\n\n")]);
    let request = Request::post("http://server/chat")
        .header("content-type", "application/json")
        .header("accept", "text/event-stream, */*;q=0.1")
        .header("last-event-id", "7")
        .body(r#"{"stream":true}"#)
        .unwrap();
    let mut source =
        EventSource::request(mock.clone(), request).reconnection(Reconnection::resilient());
    assert_eq!(source.last_event_id().unwrap(), &"7");
    source.next_event().await.unwrap().unwrap();
    source.next_event().await.unwrap().unwrap();
    let asked = mock.asked();
    for (asked, id) in asked.iter().zip(["7", "ä"]) {
        assert_eq!(asked.method, Method::POST);
        assert_eq!(asked.body, r#"{"stream":true}"#);
        assert_eq!(asked.header("content-type"), Some("application/json"));
        assert_eq!(asked.header("accept"), Some("text/event-stream, */*;q=0.1"));
        assert_eq!(asked.header("last-event-id"), Some(id));
    }
    assert_eq!(asked.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_uri_is_the_first_item() {
    let mock = Mock::new([]);
    let source = EventSource::get(mock.clone(), "http://server/ not a uri");
    assert_eq!(reported(source).await, ["fatal: invalid URI"]);
    // The service gets no request for an invalid URI.
    for uri in ["server:8080", "server", "ftp://server/"] {
        let source = EventSource::get(mock.clone(), uri);
        assert_eq!(reported(source).await, ["fatal: invalid URI"], "{uri}");
        let request = Request::get(uri).body("").unwrap();
        let error = EventSource::request(mock.clone(), request).next_event().await;
        let error = error.unwrap().unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "expected an http or https URL with a host", "{uri}");
    }
    assert!(mock.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_path_is_enough_for_an_in_process_service_and_user_info_is_removed() {
    for (uri, asked) in [
        ("/events?x", "/events?x"),
        ("HTTP://server", "http://server/"),
        ("https://user:secret@server:8443/events", "https://server:8443/events"),
    ] {
        let mock = Mock::new([Answer::Stays("")]);
        assert_eq!(reported(EventSource::get(mock.clone(), uri)).await, ["opened 1"]);
        assert_eq!(mock.asked()[0].uri, asked);
        assert!(mock.asked().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_header_provider_is_called_for_each_attempt() {
    let mock = Mock::new([Answer::Ends("id: 1\ndata: x\n\n"), Answer::Refused, Answer::Stays("")]);
    let asked_with = Arc::new(Mutex::new(Vec::new()));
    let record = asked_with.clone();
    let source = mock.source().headers(move |attempt| {
        let id = attempt.last_event_id.map(|id| id.to_string());
        record.lock().unwrap().push((attempt.number, id));
        async move {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            let mut headers = HeaderMap::new();
            headers.insert("authorization", format!("Bearer {}", attempt.number).try_into()?);
            headers.append("x-many", HeaderValue::from_static("1"));
            headers.append("x-many", HeaderValue::from_static("2"));
            Ok(headers)
        }
    });
    reported(source).await;
    let one = Some("1".to_owned());
    assert_eq!(*asked_with.lock().unwrap(), [(1, None), (2, one.clone()), (3, one)]);
    let asked = mock.asked();
    let tokens: Vec<_> = asked.iter().map(|asked| asked.header("authorization").unwrap()).collect();
    assert_eq!(tokens, ["Bearer 1", "Bearer 2", "Bearer 3"]);
    assert_eq!(asked[0].headers.get_all("x-many").iter().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_header_provider_that_fails_is_a_failed_attempt() {
    let mock = Mock::new([Answer::Stays("data: x\n\n")]);
    let policy = Reconnection::resilient().jitter(0.0);
    let source = mock.source().reconnection(policy).headers(|attempt| async move {
        if attempt.number == 1 {
            return Err("no token".into());
        }
        Ok(HeaderMap::new())
    });
    let expected = ["again 2 in 1000: the header provider failed", "opened 2", "event x"];
    assert_eq!(reported(source).await, expected);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_no_header_can_carry_is_omitted_and_reported() {
    let mock = Mock::new([Answer::Ends("id: a\u{1}b\ndata: x\n\n"), Answer::Stays("")]);
    let mut updates = mock.source().updates();
    let id = loop {
        if let Update::LastEventIdOmitted(id) = updates.next().await.unwrap().unwrap() {
            break id;
        }
    };
    assert_eq!(id, "a\u{1}b");
    let Some(Ok(Update::Opened(_))) = updates.next().await else { panic!() };
    assert_eq!(mock.ids(), [None, None]);
    assert_eq!(updates.get_ref().last_event_id().unwrap(), &"a\u{1}b");
}

/// A server that responds with 431 to its own long ID would end the source otherwise.
#[tokio::test(start_paused = true)]
async fn an_id_that_is_too_long_for_a_header_is_omitted_and_reported() {
    for (length, is_sent) in [(8 << 10, true), ((8 << 10) + 1, false)] {
        let id = "x".repeat(length);
        let event: &'static str = Box::leak(format!("id: {id}\ndata: x\n\n").into_boxed_str());
        let mock = Mock::new([Answer::Ends(event), Answer::Stays("id: 2\ndata: y\n\n")]);
        let reported = reported(mock.source()).await;
        assert_eq!(
            reported.iter().any(|reported| reported.starts_with("LastEventIdOmitted")),
            !is_sent
        );
        assert_eq!(reported.last().unwrap(), "event y");
        assert_eq!(mock.ids(), [None, Some(id).filter(|_| is_sent)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_starts_with_the_given_id_even_one_that_only_a_parser_makes() {
    let mut parser = EventParser::new();
    parser.push("id: a\tb\u{80}\n\n");
    assert!(parser.next_event().is_none());
    let received: EventId = parser.last_event_id().unwrap().clone();
    let mock = Mock::new([Answer::Stays("data\n\n")]);
    mock.source().with_last_event_id(received).next_event().await.unwrap().unwrap();
    assert_eq!(mock.ids(), [Some("a\tb\u{80}".to_owned())]);
    let mock = Mock::new([Answer::Stays("data\n\n")]);
    mock.source().with_last_event_id("").next_event().await.unwrap().unwrap();
    assert_eq!(mock.ids(), [None]);
}
