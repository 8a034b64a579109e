//! What the examples do, as processes: each is started on a port of its own and talked to over a
//! socket.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use http::{Request, StatusCode, Version};
use serde_json::{Value, json};
use support::{
    Decoded, decode,
    process::{Example, PATIENCE, Reply, send},
};

/// Asserts that a stream opens with a greeting, and decodes it.
#[track_caller]
fn events(text: &str) -> Vec<Decoded> {
    assert!(text.starts_with(": connected\n"), "{text}");
    decode(text.to_owned())
}

fn event(event_type: &str, data: impl Into<String>, id: Option<u32>) -> Decoded {
    (event_type.into(), data.into(), id.map(|id| id.to_string()))
}

fn ticks(count: u32) -> Vec<Decoded> {
    (0..count).map(|n| event("tick", format!("tick {n}"), Some(n))).collect()
}

/// A client that reads the beginning of a stream, then stops reading, and stays.
fn stalled(example: &Example, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(example.addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut head = [0; 12];
    socket.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    socket
}

/// Takes `/path: reason after n events` apart.
#[track_caller]
fn after_events<'a>(line: &'a str, before: &str) -> &'a str {
    let count = line.strip_prefix(before).and_then(|rest| rest.strip_suffix(" events"));
    count.unwrap_or_else(|| panic!("{line}"))
}

#[tokio::test]
async fn demo_counts_ends_and_goes_on_behind_the_last_event_id() {
    let demo = Example::start("demo", &["--count", "3", "--every", "10ms"]).await;
    let page = demo.get("/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.text().await, include_str!("../examples/demo.html"));

    let hello = |range: std::ops::RangeInclusive<u32>| -> Vec<_> {
        range.map(|n| event("my-custom-event", format!("Hello World! {n}"), Some(n))).collect()
    };
    let reply = demo.get("/events").await;
    reply.assert_event_stream();
    let text = reply.text().await;
    assert!(text.starts_with(": connected\nretry: 1000\n\n"), "{text}");
    assert_eq!(events(&text), hello(1..=3));

    let again = demo.send(Request::get("/events").header("last-event-id", "3")).await;
    assert_eq!(events(&again.text().await), hello(4..=6));
    let by_query = demo.get("/events?last_event_id=10").await;
    assert_eq!(events(&by_query.text().await), hello(11..=13));
    for (id, first) in [("nonsense", 1), ("-1", 1)] {
        let reply = demo.send(Request::get("/events").header("last-event-id", id)).await;
        assert_eq!(events(&reply.text().await), hello(first..=first + 2), "{id}");
    }
    let last = u64::MAX.to_string();
    let reply = demo.send(Request::get("/events").header("last-event-id", last)).await;
    assert_eq!(events(&reply.text().await), []);
}

#[tokio::test]
async fn demo_sends_ten_events_by_default_and_a_number_each_time() {
    let demo = Example::start("demo", &["--every", "0s"]).await;
    let sent = events(&demo.get("/events").await.text().await);
    assert_eq!(sent.len(), 10);
    assert_eq!(sent[9], event("my-custom-event", "Hello World! 10", Some(10)));
}

/// Interrupts an example with a stream open, and returns what the stream gives after that, up to its
/// clean end.
#[cfg(unix)]
async fn interrupted(example: Example, mut open: Reply) -> String {
    // Whatever it is, the stream has begun.
    open.blocks(1).await;
    example.interrupt();
    let rest = open.text().await;
    assert!(example.ended_well().await);
    rest
}

#[cfg(unix)]
#[tokio::test]
async fn every_example_ends_on_ctrl_c_with_a_farewell() {
    let hour: &[&str] = &["--every", "1h"];
    for (name, args, path) in [
        ("demo", hour, "/events"),
        ("counter", hour, "/counter"),
        ("ring", hour, "/"),
        ("auth", &[], "/events"),
        ("axum", &[], "/ticks"),
        ("hyper", &[], "/ticks"),
        ("warp", &[], "/ticks"),
        ("channel", &[], "/thread"),
        ("channel", &[], "/stream"),
        ("hub", &[], "/events?topic=a"),
        ("dashboard", &[], "/events"),
    ] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let example = Example::start(name, args).await;
            let request = Request::get(path).header("authorization", "Bearer token-of-ann");
            let open = send(example.addr, version, request, Default::default()).await;
            open.assert_event_stream();
            let rest = interrupted(example, open).await;
            // From one second on, to five.
            let retry = rest.strip_suffix("\n\n").and_then(|rest| rest.rsplit("retry: ").next());
            let retry: u32 = retry.unwrap().parse().unwrap_or_else(|_| panic!("{name}: {rest:?}"));
            assert!((1000..=5000).contains(&retry), "{name}: {rest:?}");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn echo_says_goodbye_in_the_middle_of_a_script() {
    let echo = Example::start("echo", &[]).await;
    let script = r#"[{"data": "a"}, {"data": "b", "delay_ms": 3600000}]"#;
    let kept: Value =
        serde_json::from_str(&echo.post("/events", script).await.text().await).unwrap();
    let open = echo.get(kept["url"].as_str().unwrap()).await;
    let rest = interrupted(echo, open).await;
    assert!(rest.starts_with("retry: "), "{rest}");
}

#[cfg(unix)]
#[tokio::test]
async fn llm_finishes_its_answers_before_it_ends() {
    let llm = Example::start("llm", &["--every", "50ms"]).await;
    let question = json!({
        "model": "parrot",
        "stream": true,
        "messages": [{"role": "user", "content": "one two three four five"}],
    });
    let open = llm.post("/v1/chat/completions", question.to_string()).await;
    let rest = interrupted(llm, open).await;
    assert!(rest.contains("five") && rest.ends_with("data: [DONE]\n\n"), "{rest}");
}

#[cfg(unix)]
#[tokio::test]
async fn shutdown_ends_in_each_mode_with_each_server() {
    let bye = |rest: &str| rest.contains("event: bye\nretry: ");
    for server in ["axum", "hyper"] {
        for (mode, finishes, says) in
            [("now", false, false), ("farewell", false, true), ("finish", true, true)]
        {
            let example = Example::start("shutdown", &["--server", server, "--mode", mode]).await;
            let open = example.get("/ticks").await;
            let rest = interrupted(example, open).await;
            assert_eq!(rest.contains("data: finished\n\n"), finishes, "{server} {mode}: {rest}");
            assert_eq!(bye(&rest), says, "{server} {mode}: {rest}");
        }
        // The pace lasts for ten seconds, and nobody has to wait for it.
        let mut example =
            Example::start("shutdown", &["--server", server, "--mode", "paced"]).await;
        let mut open = Vec::new();
        for _ in 0..20 {
            let mut reply = example.get("/ticks").await;
            reply.blocks(1).await;
            open.push(reply);
        }
        example.interrupt();
        assert_eq!(example.line().await, "20 streams are open");
        example.interrupt();
        let mut silent = 0;
        for reply in open {
            silent += usize::from(!bye(&reply.text().await));
        }
        assert!(silent > 0, "{server}: all twenty were told at once");
        assert!(example.ended_well().await);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_client_that_has_stopped_reading_keeps_no_example_from_ending() {
    for name in ["axum", "hyper"] {
        let mut example = Example::start(name, &[]).await;
        let stalled = stalled(&example, "/numbers");
        // Until the sockets are full.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        example.interrupt();
        let line = example.line().await;
        assert_ne!(after_events(&line, "/numbers: shut_down after "), "0");
        assert!(example.ended_well().await);
        drop(stalled);
    }
}

#[tokio::test]
async fn hyper_serves_http_1_and_http_2_on_one_port() {
    let mut hyper = Example::start("hyper", &[]).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let get = |path| send(hyper.addr, version, Request::get(path), Default::default());
        let mut reply = get("/ticks").await;
        assert_eq!(reply.head.version, version);
        reply.assert_event_stream();
        assert_eq!(events(&reply.blocks(3).await), ticks(2));
        drop(reply);
        let elsewhere = get("/").await;
        assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
        assert_eq!(elsewhere.text().await, "try /ticks and /numbers\n");
        let line = hyper.line().await;
        assert!(after_events(&line, "/ticks: client_gone after ").parse::<u32>().unwrap() >= 2);
    }
}

#[tokio::test]
async fn hyper_sends_as_many_numbers_as_the_client_takes() {
    let hyper = Example::start("hyper", &[]).await;
    let text = hyper.get("/numbers").await.blocks(1001).await;
    let expected: Vec<_> = (0..1000).map(|n: u32| event("message", n.to_string(), None)).collect();
    assert_eq!(events(&text), expected);
}

#[tokio::test]
async fn hyper_cuts_a_client_that_has_stopped_reading() {
    let mut hyper = Example::start("hyper", &["--write-timeout", "500ms"]).await;
    let mut idle = hyper.get("/ticks").await;
    let socket = stalled(&hyper, "/numbers");
    let line = hyper.line().await;
    assert_ne!(after_events(&line, "/numbers: client_gone after "), "0");
    assert_eq!(events(&idle.blocks(3).await), ticks(2));
    drop(socket);
}

#[tokio::test]
async fn axum_cuts_a_client_that_has_stopped_reading() {
    let mut axum = Example::start("axum", &["--write-timeout", "500ms"]).await;
    let socket = stalled(&axum, "/numbers");
    let line = axum.line().await;
    assert_ne!(after_events(&line, "/numbers: client_gone after "), "0");
    drop(socket);
}

#[tokio::test]
async fn axum_has_a_route_a_handler_and_a_layer() {
    let axum = Example::start("axum", &[]).await;
    let mut route = axum.get("/ticks").await;
    route.assert_event_stream();
    assert_eq!(events(&route.blocks(2).await), ticks(1));

    // One path, by `Accept`.
    let page = axum.get("/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("vary"), "accept");
    assert!(page.text().await.starts_with("<!doctype html>"));
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let page = axum.send(Request::get("/").header("accept", browser)).await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let mut stream = axum.send(Request::get("/").header("accept", "text/event-stream")).await;
    stream.assert_event_stream();
    assert_eq!(stream.header("vary"), "accept");
    assert_eq!(events(&stream.blocks(2).await), ticks(1));

    // Over the whole router, by path.
    let clock = axum.get("/clock").await;
    clock.assert_event_stream();
    let clock = events(&clock.text().await);
    assert_eq!(clock.len(), 1);
    assert!(clock[0].1.parse::<u64>().unwrap() > 1_700_000_000, "{clock:?}");

    // A handler below the layer is not taken over.
    let request = Request::get("/rooms/kitchen").header("accept", "text/event-stream");
    let room = axum.send(request.header("last-event-id", "2")).await;
    room.assert_event_stream();
    assert_eq!(room.header("x-room"), "open");
    let expected: Vec<_> =
        (3..5).map(|n| event("message", format!("kitchen {n}"), Some(n))).collect();
    assert_eq!(events(&room.text().await), expected);
    let all = axum.get("/rooms/kitchen").await.text().await;
    assert_eq!(events(&all).len(), 5);
    let attic = axum.get("/rooms/attic").await;
    assert_eq!(attic.status(), StatusCode::NOT_FOUND);
    assert_eq!(attic.text().await, "there is no attic");
    let invalid = Request::get("/rooms/kitchen").header("last-event-id", &b"\xff"[..]);
    let invalid = axum.send(invalid).await;
    assert_eq!(invalid.status(), StatusCode::BAD_REQUEST);
    assert_eq!(invalid.text().await, "header Last-Event-ID: not UTF-8 at byte 0");
}

#[tokio::test]
async fn warp_has_streams_beside_its_filters_and_inside() {
    let warp = Example::start("warp", &[]).await;
    let hello = warp.get("/hello").await;
    assert_eq!(hello.status(), StatusCode::OK);
    assert_eq!(hello.text().await, "hello");
    let mut beside = warp.get("/ticks").await;
    beside.assert_event_stream();
    assert_eq!(events(&beside.blocks(2).await), ticks(1));
    let inside = warp.get("/countdown/3").await;
    inside.assert_event_stream();
    let expected: Vec<_> =
        (0..=3).rev().map(|n: u32| event("message", n.to_string(), None)).collect();
    assert_eq!(events(&inside.text().await), expected);
    assert_eq!(warp.get("/elsewhere").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn ring_sends_twenty_events_and_logs_the_end() {
    let mut ring = Example::start("ring", &["--every", "10ms"]).await;
    let reply = ring.get("/whatever").await;
    reply.assert_event_stream();
    let sent = events(&reply.text().await);
    assert_eq!(sent.len(), 20);
    let mut ids = std::collections::HashSet::new();
    for (event_type, data, id) in sent {
        assert_eq!((&*event_type, &*data), ("foo", r#"{"foo":"bar"}"#));
        let id = uuid::Uuid::parse_str(&id.unwrap()).unwrap();
        assert_eq!(id.get_version_num(), 4);
        assert!(ids.insert(id));
    }
    assert_eq!(ring.line().await, "client disconnected: finished");

    let mut ring = Example::start("ring", &[]).await;
    ring.get("/").await.blocks(2).await;
    assert_eq!(ring.line().await, "client disconnected: client_gone");
}

#[tokio::test]
async fn counter_counts_down_says_close_and_counts_up() {
    let counter = Example::start("counter", &["--every", "10ms"]).await;
    let reply = counter.get("/").await;
    reply.assert_event_stream();
    let mut expected: Vec<_> =
        (0..=10).rev().map(|n: u32| event("count", n.to_string(), None)).collect();
    expected.push(event("close", "", None));
    assert_eq!(events(&reply.text().await), expected);

    let text = counter.get("/counter").await.text().await;
    let expected: Vec<_> = (0..10).map(|n: u32| event("counter", n.to_string(), None)).collect();
    assert_eq!(events(&text), expected);
}

#[tokio::test]
async fn auth_refuses_without_a_token_and_knows_who_it_was() {
    let mut auth = Example::start("auth", &[]).await;
    for authorization in [None, Some("Bearer of-bad-news"), Some("Basic token-of-ann"), Some("x")] {
        let mut request = Request::get("/events");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let reply = auth.send(request).await;
        assert_eq!(reply.status(), StatusCode::UNAUTHORIZED, "{authorization:?}");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(reply.text().await, "who are you?\n");
    }
    for user in ["ann", "bob"] {
        let authorization = format!("Bearer token-of-{user}");
        let request = Request::get("/events").header("authorization", authorization);
        let mut reply = auth.send(request).await;
        reply.assert_event_stream();
        let first = event("hello", format!("hello {user}"), None);
        assert_eq!(events(&reply.blocks(2).await), [first]);
        drop(reply);
        assert_eq!(auth.line().await, format!("{user}: connected"));
        let line = auth.line().await;
        assert_ne!(after_events(&line, &format!("{user}: client_gone after ")), "0");
    }
}

fn prompt(stream: bool) -> String {
    let message = json!({"role": "user", "content": "Hello there\nfriend"});
    json!({"model": "parrot", "stream": stream, "messages": [message]}).to_string()
}

const ANSWER: &str = "You said: Hello there\nfriend";

#[tokio::test]
async fn llm_streams_chunks_as_openai_does() {
    let llm = Example::start("llm", &["--every", "1ms"]).await;
    let reply = llm.post("/v1/chat/completions", prompt(true)).await;
    reply.assert_event_stream();
    let text = reply.text().await;
    assert!(text.starts_with("data: {"), "{text}");
    let mut sent = decode(text);
    assert_eq!(sent.pop(), Some(event("message", "[DONE]", None)));

    let chunks: Vec<Value> =
        sent.iter().map(|(_, data, _)| serde_json::from_str(data).unwrap()).collect();
    let id = chunks[0]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("chatcmpl-"), "{id}");
    let created = chunks[0]["created"].as_u64().unwrap();
    let choices: Vec<Value> = chunks
        .into_iter()
        .map(|mut chunk| {
            let choice = chunk["choices"][0].take();
            let rest = json!({"id": id, "object": "chat.completion.chunk", "created": created,
                "model": "parrot", "choices": [null]});
            assert_eq!(chunk, rest);
            choice
        })
        .collect();
    let choice = |delta, finish_reason: Option<&str>| json!({"index": 0, "delta": delta, "finish_reason": finish_reason});
    let mut expected = vec![choice(json!({"role": "assistant", "content": ""}), None)];
    for word in ANSWER.split_inclusive(' ') {
        expected.push(choice(json!({"content": word}), None));
    }
    expected.push(choice(json!({}), Some("stop")));
    assert_eq!(choices, expected);
}

#[tokio::test]
async fn llm_answers_whole_without_stream_and_refuses_what_is_no_request() {
    let llm = Example::start("llm", &["--every", "1ms"]).await;
    let reply = llm.post("/v1/chat/completions", prompt(false)).await;
    assert_eq!(reply.header("content-type"), "application/json");
    let completion: Value = serde_json::from_str(&reply.text().await).unwrap();
    assert_eq!(completion["object"], "chat.completion");
    assert_eq!(completion["model"], "parrot");
    let message = json!({"role": "assistant", "content": ANSWER});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    assert_eq!(completion["choices"], json!([choice]));

    let reply = llm.post("/v1/chat/completions", "{}").await;
    assert_eq!(reply.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(reply.text().await.contains("missing field `model`"));
}

#[tokio::test]
async fn llm_finishes_and_saves_an_answer_whose_client_has_left() {
    let llm = Example::start("llm", &["--every", "100ms"]).await;
    let mut reply = llm.post("/v1/chat/completions", prompt(true)).await;
    let first = decode(reply.blocks(1).await);
    drop(reply);
    let first: Value = serde_json::from_str(&first[0].1).unwrap();
    let saved = format!("/v1/chat/completions/{}", first["id"].as_str().unwrap());
    // It is not finished yet: the model needs 100 ms for each of five words.
    let deadline = std::time::Instant::now() + PATIENCE;
    let completion = loop {
        let reply = llm.get(&saved).await;
        if reply.status() == StatusCode::OK {
            break reply.text().await;
        }
        assert_eq!(reply.status(), StatusCode::NOT_FOUND);
        assert!(std::time::Instant::now() < deadline, "it was never saved");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let completion: Value = serde_json::from_str(&completion).unwrap();
    assert_eq!(completion["id"], first["id"]);
    assert_eq!(completion["choices"][0]["message"]["content"], ANSWER);
}

#[tokio::test]
async fn channel_streams_from_a_channel_and_from_a_thread() {
    let channel = Example::start("channel", &[]).await;
    for source in ["stream", "thread"] {
        let reply = channel.get(&format!("/{source}")).await;
        reply.assert_event_stream();
        let name = if source == "stream" { "channel" } else { "thread" };
        let expected: Vec<_> =
            (0..5).map(|n| event("message", format!("from a {name}: {n}"), None)).collect();
        assert_eq!(events(&reply.text().await), expected);
    }
}

#[tokio::test]
async fn echo_streams_exactly_what_it_was_told_to() {
    let echo = Example::start("echo", &[]).await;
    let script = json!([
        {"type": "greeting", "id": "1", "data": "hello\nworld"},
        {"comment": "two\nlines", "delay_ms": 5},
        {"data": "", "retry_ms": 1500, "fields": [["trace", "4bf92f"], ["trace", "a\nb"]]},
        {"id": ""},
        {"type": null, "data": "after"},
        {"type": "message", "data": "bye", "id": "ä"},
    ]);
    let reply = echo.post("/events", script.to_string()).await;
    assert_eq!(reply.status(), StatusCode::ACCEPTED);
    assert_eq!(reply.header("content-type"), "application/json");
    let reply: Value = serde_json::from_str(&reply.text().await).unwrap();
    let url = reply["url"].as_str().unwrap();
    // As often as one likes.
    for _ in 0..2 {
        let reply = echo.get(url).await;
        reply.assert_event_stream();
        let text = reply.text().await;
        assert_eq!(
            text,
            "event: greeting\nid: 1\ndata: hello\ndata: world\n\n\
             : two\n: lines\n\n\
             retry: 1500\ndata: \ntrace: 4bf92f\ntrace: a\ntrace: b\n\n\
             id: \n\n\
             data: after\n\n\
             event: message\nid: ä\ndata: bye\n\n"
        );
        let sent: Vec<_> = decode(text).into_iter().map(|(kind, data, _)| (kind, data)).collect();
        let expected = [
            ("greeting", "hello\nworld"),
            ("message", ""),
            ("message", "after"),
            ("message", "bye"),
        ];
        assert_eq!(sent, expected.map(|(kind, data)| (kind.to_owned(), data.to_owned())));
    }
}

#[tokio::test]
async fn echo_says_which_event_and_which_field_is_wrong() {
    let echo = Example::start("echo", &[]).await;
    for (script, error) in [
        (
            json!([{}, {}, {}, {"type": "ab\nc"}]),
            "event 3: type: invalid event type: line feed at byte 2",
        ),
        (json!([{"type": "\r"}]), "event 0: type: invalid event type: carriage return at byte 0"),
        (
            json!([{"id": "a\u{0}"}]),
            "event 0: id: invalid event id: control character 0x00 at byte 1",
        ),
        (
            json!([{"fields": [["a:b", ""]]}]),
            "event 0: fields: invalid field name: colon at byte 1",
        ),
        (
            json!([{"fields": [["data", ""]]}]),
            "event 0: fields: invalid field name: it is one of the standard's own fields",
        ),
        (json!([{"fields": [["", ""]]}]), "event 0: fields: invalid field name: it is empty"),
        (
            json!([{"fields": "x"}]),
            "event 0: fields: invalid type: string \"x\", expected a sequence",
        ),
        (json!([{"data": 1}]), "event 0: data: invalid type: integer `1`, expected a string"),
        (json!([{"id": 1}]), "event 0: id: invalid type: integer `1`, expected a string"),
        (json!([{"retry_ms": -1}]), "event 0: retry_ms: invalid value: integer `-1`, expected u64"),
        (
            json!([{"delay_ms": "1s"}]),
            "event 0: delay_ms: invalid type: string \"1s\", expected u64",
        ),
        (
            json!([{"comment": true}]),
            "event 0: comment: invalid type: boolean `true`, expected a string",
        ),
        (json!([{"data": "x", "color": "red"}]), "event 0: color: unknown field"),
        (json!([{}, 7]), "event 1: not an object"),
    ] {
        let reply = echo.post("/events", script.to_string()).await;
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST, "{script}");
        assert_eq!(reply.text().await, error, "{script}");
    }
    for body in ["", "{}", "[", "7"] {
        let reply = echo.post("/events", body).await;
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST, "{body}");
        assert!(reply.text().await.starts_with("the body is not a JSON array: "), "{body}");
    }
}

#[tokio::test]
async fn echo_keeps_the_latest_hundred_scripts_of_at_most_a_megabyte() {
    let echo = Example::start("echo", &[]).await;
    let mut urls = Vec::new();
    for n in 0..101 {
        let reply = echo.post("/events", format!(r#"[{{"data": "{n}"}}]"#)).await;
        let reply: Value = serde_json::from_str(&reply.text().await).unwrap();
        urls.push(reply["url"].as_str().unwrap().to_owned());
    }
    assert_eq!(echo.get(&urls[0]).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(echo.get(&urls[1]).await.text().await, "data: 1\n\n");
    assert_eq!(echo.get(&urls[100]).await.text().await, "data: 100\n\n");
    assert_eq!(echo.get("/events/7").await.status(), StatusCode::NOT_FOUND);

    let large = format!(r#"[{{"data": "{}"}}]"#, "x".repeat(1 << 20));
    let reply = echo.post("/events", large).await;
    assert_eq!(reply.status(), StatusCode::PAYLOAD_TOO_LARGE);
}
