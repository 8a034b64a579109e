//! The example `echo`.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{decode, process::Example};

#[tokio::test]
async fn echo_streams_exactly_its_script() {
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
    // A script can be streamed any number of times.
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
async fn echo_reports_which_event_and_which_field_is_wrong() {
    let echo = Example::start("echo", &[]).await;
    for (script, error) in [
        (
            json!([{}, {}, {}, {"type": "ab\nc"}]),
            "event 3: type: invalid event type: line feed at byte 2; remove it",
        ),
        (
            json!([{"type": "\r"}]),
            "event 0: type: invalid event type: carriage return at byte 0; remove it",
        ),
        (
            json!([{"id": "a\u{0}"}]),
            "event 0: id: invalid event ID: control character 0x00 at byte 1; remove it",
        ),
        (
            json!([{"fields": [["a:b", ""]]}]),
            "event 0: fields: invalid field name: colon at byte 1; remove it",
        ),
        (
            json!([{"fields": [["data", ""]]}]),
            "event 0: fields: invalid field name: `data` is a field of the standard; \
             set it with `Event::with_data`",
        ),
        (
            json!([{"fields": [["", ""]]}]),
            "event 0: fields: invalid field name: it is empty; use at least one character",
        ),
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
