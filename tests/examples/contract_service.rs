//! The example `contract_service`, as the harness of the contract tests calls it.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    harness::{Answer, Harness},
    support::process::{Example, PATIENCE},
};

/// The running example, and the path of a stream that it reads.
struct Service {
    example: Example,
    location: String,
}

impl Service {
    async fn start(harness: &Harness, parameters: Value) -> Self {
        let example = Example::start("contract_service", &[]).await;
        let mut body = json!({
            "tag": "a test",
            "streamUrl": harness.url("/stream"),
            "callbackUrl": harness.url("/callback"),
            "initialDelayMs": 0,
            "readTimeoutMs": null,
        });
        body.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
        let reply = example.post("/", body.to_string()).await;
        assert_eq!(reply.status(), StatusCode::CREATED);
        let location = reply.header("location").to_owned();
        Self { example, location }
    }

    async fn command(&self, command: &str) -> StatusCode {
        self.example.post(&self.location, json!({ "command": command }).to_string()).await.status()
    }
}

fn event(event_type: &str, data: &str, id: &str) -> Value {
    json!({"kind": "event", "event": {"type": event_type, "data": data, "id": id}})
}

#[tokio::test]
async fn contract_service_reports_its_capabilities() {
    let service = Example::start("contract_service", &[]).await;
    let reply = service.get("/").await;
    assert_eq!(reply.status(), StatusCode::OK);
    let reply: Value = serde_json::from_str(&reply.text().await).unwrap();
    let capabilities = reply["capabilities"].as_array().unwrap();
    assert_eq!(capabilities.len(), 9);
    for wrong in [
        "",
        "{}",
        "[]",
        r#"{"streamUrl": 1, "callbackUrl": ""}"#,
        r#"{"streamUrl": "http://x y", "callbackUrl": "http://x"}"#,
    ] {
        assert_eq!(service.post("/", wrong).await.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
    for missing in ["/streams/7", "/streams/0", "/streams/abc", "/streams/-1"] {
        let reply = service.post(missing, r#"{"command": "restart"}"#).await;
        assert_eq!(reply.status(), StatusCode::NOT_FOUND);
        let reply = service.send(Request::delete(missing)).await;
        assert_eq!(reply.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn contract_service_posts_events_and_comments_in_order_and_strips_a_byte_order_mark() {
    let chunks: &[&[u8]] = &[
        b"\xef",
        b"\xbb\xbf: a comment\n",
        b"id: 1\nevent: t\ndata: a\r",
        b"\ndata: b\r\r",
        b":\ndata: c\n\nid\ndata: d\n\n",
    ];
    let mut harness = Harness::start([Answer::Holds(chunks)]).await;
    let service = Service::start(&harness, json!({})).await;
    let expected = [
        json!({"kind": "comment", "comment": " a comment"}),
        event("t", "a\nb", "1"),
        json!({"kind": "comment", "comment": ""}),
        event("message", "c", "1"),
        event("message", "d", ""),
    ];
    for (n, expected) in (1..).zip(expected) {
        assert_eq!(harness.callback(n).await, expected);
    }
    let (head, _) = harness.request().await;
    assert_eq!(head.method, "GET");
    assert_eq!(head.headers["accept"], "text/event-stream");
    assert_eq!(head.headers["cache-control"], "no-cache");
    assert!(!head.headers.contains_key("last-event-id"));
    assert_eq!(service.command("listen").await, StatusCode::ACCEPTED);
    assert_eq!(service.command("dance").await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn contract_service_sends_method_body_headers_and_last_event_id_at_every_attempt() {
    for method in ["POST", "REPORT"] {
        let mut harness = Harness::start([Answer::Ends(&[b"id: b\ndata: x\n\n"])]).await;
        let parameters = json!({
            "method": method, "body": r#"{"hello": "world"}"#, "lastEventId": "a",
            "headers": {"content-type": "application/json; charset=utf-8", "x-name": "value"},
        });
        let _service = Service::start(&harness, parameters).await;
        for id in ["a", "b"] {
            let (head, body) = harness.request().await;
            assert_eq!(head.method.as_str(), method);
            assert_eq!(head.headers["content-type"], "application/json; charset=utf-8");
            assert_eq!(head.headers["x-name"], "value");
            assert_eq!(head.headers["last-event-id"], id);
            assert_eq!(body, r#"{"hello": "world"}"#);
        }
        assert_eq!(harness.callback(1).await, event("message", "x", "b"));
    }
}

#[tokio::test]
async fn contract_service_reports_a_read_timeout_and_reconnects() {
    let mut harness =
        Harness::start([Answer::Holds(&[b"data: a\n\n"]), Answer::Holds(&[b"data: b\n\n"])]).await;
    let _service = Service::start(&harness, json!({"readTimeoutMs": 300})).await;
    assert_eq!(harness.callback(1).await, event("message", "a", ""));
    let error = json!({"kind": "error", "error": "no bytes received for 300ms"});
    assert_eq!(harness.callback(2).await, error);
    assert_eq!(harness.callback(3).await, event("message", "b", ""));
}

#[tokio::test]
async fn contract_service_restarts_without_an_error() {
    let mut harness =
        Harness::start([Answer::Holds(&[b"id: 1\ndata: a\n\n"]), Answer::Holds(&[b"data: b\n\n"])])
            .await;
    let service = Service::start(&harness, json!({"initialDelayMs": null})).await;
    assert_eq!(harness.callback(1).await, event("message", "a", "1"));
    assert_eq!(service.command("restart").await, StatusCode::ACCEPTED);
    assert_eq!(harness.callback(2).await, event("message", "b", "1"));
    harness.request().await;
    assert_eq!(harness.request().await.0.headers["last-event-id"], "1");
}

#[tokio::test]
async fn contract_service_sends_no_request_after_204_and_after_its_end() {
    let mut harness = Harness::start([Answer::Status(204, &[]), Answer::Holds(&[])]).await;
    let service = Service::start(&harness, json!({})).await;
    harness.request().await;
    harness.nothing_comes().await;
    let reply = service.example.send(Request::delete(&service.location)).await;
    assert_eq!(reply.status(), StatusCode::NO_CONTENT);
    assert_eq!(service.command("restart").await, StatusCode::NOT_FOUND);

    let mut harness = Harness::start([Answer::Holds(&[b"data: a\n\n"])]).await;
    let service = Service::start(&harness, json!({})).await;
    harness.callback(1).await;
    harness.request().await;
    service.example.send(Request::delete(&service.location)).await;
    harness.nothing_comes().await;
    // The connection may break before the response arrives.
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request =
        Request::delete(format!("http://{}/", service.example.addr)).body(Full::default());
    let _ = timeout(PATIENCE, client.request(request.unwrap())).await.expect("an end");
}

#[tokio::test]
async fn contract_service_reports_invalid_redirects() {
    for status in [301, 307] {
        for headers in [&[][..], &[("location", "")]] {
            let mut harness = Harness::start([Answer::Status(status, headers)]).await;
            let _service = Service::start(&harness, json!({})).await;
            let callback = harness.callback(1).await;
            assert_eq!(callback["kind"], "error", "{callback}");
            assert!(
                callback["error"].as_str().unwrap().contains("without a Location"),
                "{callback}"
            );
        }
        let mut harness = Harness::start([
            Answer::Status(status, &[("location", "/there")]),
            Answer::Holds(&[b"data: a\n\n"]),
        ])
        .await;
        let _service = Service::start(&harness, json!({})).await;
        assert_eq!(harness.callback(1).await, event("message", "a", ""));
        harness.request().await;
        assert_eq!(harness.request().await.0.uri.path(), "/there");
    }
}
