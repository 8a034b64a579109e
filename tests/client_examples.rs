//! What the examples do that read a stream, as processes: `sse_cat`, `relay`, `contract_service`,
//! `reqwest`.
#![cfg(feature = "hyper-client")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::Write as _,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response, StatusCode, request};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use support::{
    http::Server,
    process::{Example, PATIENCE, Process, executable},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What a server answers to a request for a stream.
enum Answer {
    /// These chunks and an end.
    Ends(&'static [&'static [u8]]),
    /// These chunks, and silence.
    Holds(&'static [&'static [u8]]),
    Status(u16, &'static [(&'static str, &'static str)]),
}

/// A server of streams that also takes callbacks, as the contract tests are one.
struct Harness {
    server: Server,
    requests: UnboundedReceiver<(request::Parts, Bytes)>,
    callbacks: UnboundedReceiver<(String, Value)>,
}

#[derive(Clone)]
struct Senders {
    requests: UnboundedSender<(request::Parts, Bytes)>,
    callbacks: UnboundedSender<(String, Value)>,
}

impl Harness {
    /// Answers in this order, and then holds.
    async fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let script: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(script.into_iter().collect()));
        let (request_sender, requests) = unbounded_channel();
        let (callback_sender, callbacks) = unbounded_channel();
        let senders = Senders { requests: request_sender, callbacks: callback_sender };
        let server = Server::start(tower::service_fn(move |request| {
            let (script, senders) = (script.clone(), senders.clone());
            async move { Ok::<_, Infallible>(serve(request, &script, senders).await) }
        }));
        Self { server: server.await, requests, callbacks }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    async fn request(&mut self) -> (request::Parts, Bytes) {
        timeout(PATIENCE, self.requests.recv()).await.expect("a request").unwrap()
    }

    /// The next callback, which must have this number.
    async fn callback(&mut self, number: u32) -> Value {
        let (path, value) =
            timeout(PATIENCE, self.callbacks.recv()).await.expect("a callback").unwrap();
        assert_eq!(path, format!("/callback/{number}"), "{value}");
        value
    }

    async fn nothing_comes(&mut self) {
        let wait = Duration::from_millis(500);
        assert!(timeout(wait, self.requests.recv()).await.is_err(), "a request");
    }
}

async fn serve(
    request: Request<Incoming>,
    script: &Mutex<VecDeque<Answer>>,
    senders: Senders,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    if head.uri.path().starts_with("/callback") {
        senders
            .callbacks
            .send((head.uri.path().to_owned(), serde_json::from_slice(&body).unwrap()))
            .unwrap();
        return response(202, &[], stream::empty());
    }
    senders.requests.send((head, body)).unwrap();
    let answer = script.lock().unwrap().pop_front().unwrap_or(Answer::Holds(&[]));
    let frames = |chunks: &'static [&'static [u8]]| {
        stream::iter(chunks).map(|chunk| Ok(Frame::data(Bytes::from_static(chunk)))).then(
            |frame| async {
                // Each a write of its own.
                tokio::time::sleep(Duration::from_millis(5)).await;
                frame
            },
        )
    };
    let event_stream = &[("content-type", "text/event-stream")];
    match answer {
        Answer::Ends(chunks) => response(200, event_stream, frames(chunks)),
        Answer::Holds(chunks) => {
            response(200, event_stream, frames(chunks).chain(stream::pending()))
        }
        Answer::Status(status, headers) => response(status, headers, stream::empty()),
    }
}

fn response(
    status: u16,
    headers: &[(&str, &str)],
    frames: impl futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + 'static,
) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(StreamBody::new(frames).boxed_unsync()).unwrap()
}

/// Runs `sse_cat` to its end: the lines of its output, and whether it ended well.
async fn cat(args: &[&str], input: &'static [u8]) -> (Vec<String>, bool) {
    let (lines, ended_well, _) = cat_with_errors(args, input).await;
    (lines, ended_well)
}

/// The same, and its standard error.
async fn cat_with_errors(args: &[&str], input: &'static [u8]) -> (Vec<String>, bool, String) {
    let mut command = Command::new(executable("sse_cat"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    });
    let output = timeout(PATIENCE, running).await.expect("its end").unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    (text.lines().map(str::to_owned).collect(), output.status.success(), errors)
}

const OPENED: &str = r#"{"opened":{"status":200,"attempt":1}}"#;
const CLOSED: &str = r#"{"closed":true}"#;

#[tokio::test]
async fn sse_cat_prints_events_with_the_last_event_id_and_what_happens_between() {
    let chunks: &[&[u8]] =
        &[b": hi\nid: 1\nevent: t\ndata: a\"\ndata: b\n\n", b"data: c\n\n", b"data: half"];
    let harness = Harness::start([
        Answer::Ends(chunks),
        Answer::Status(503, &[]),
        Answer::Ends(&[b"retry: 1\ndata: d\n\nid:\ndata: e\n\n"]),
        Answer::Status(204, &[]),
    ]);
    let harness = harness.await;
    let (lines, ended_well) = cat(&[&harness.url("/"), "--comments"], b"").await;
    let expected = [
        OPENED,
        r#"{"comment":" hi"}"#,
        r#"{"event":"t","data":"a\"\nb","id":"1"}"#,
        r#"{"event":"message","data":"c","id":"1"}"#,
    ];
    assert_eq!(lines[..4], expected);
    let again = |line: &str| -> (u64, u64, String) {
        let line: Value = serde_json::from_str(line).unwrap();
        let again = &line["reconnecting"];
        let cause = again["cause"].as_str().unwrap().to_owned();
        (again["attempt"].as_u64().unwrap(), again["delay_ms"].as_u64().unwrap(), cause)
    };
    let (attempt, delay, cause) = again(&lines[4]);
    assert_eq!((attempt, cause.as_str()), (2, "the stream ended"));
    assert!((100..=1000).contains(&delay));
    let (attempt, _, cause) = again(&lines[5]);
    assert_eq!(attempt, 3);
    assert_eq!(cause, "not an event stream: the status is 503 Service Unavailable, not 200");
    let expected = [
        r#"{"opened":{"status":200,"attempt":3}}"#,
        r#"{"event":"message","data":"d","id":"1"}"#,
        r#"{"event":"message","data":"e","id":""}"#,
    ];
    assert_eq!(lines[6..9], expected);
    assert_eq!(again(&lines[9]).0, 4);
    assert_eq!(lines[10..], [CLOSED]);
    assert!(ended_well);
}

#[tokio::test]
async fn sse_cat_sends_what_it_is_told_to() {
    let mut harness = Harness::start([Answer::Holds(&[b"data: x\n\ndata: y\n\n"])]).await;
    let url = harness.url("/chat?x=1");
    let args = [
        &url,
        "--header",
        "X-One: a: b",
        "--header",
        "x-two:c",
        "--method",
        "REPORT",
        "--body",
        "hello",
        "--last-event-id",
        "7",
        "--max-events",
        "1",
    ];
    let (lines, ended_well) = cat(&args, b"").await;
    assert_eq!(lines, [OPENED, r#"{"event":"message","data":"x","id":"7"}"#, CLOSED]);
    assert!(ended_well);
    let (head, body) = harness.request().await;
    assert_eq!((head.method.as_str(), head.uri.to_string().as_str()), ("REPORT", "/chat?x=1"));
    assert_eq!(head.headers["x-one"], "a: b");
    assert_eq!(head.headers["x-two"], "c");
    assert_eq!(head.headers["last-event-id"], "7");
    assert_eq!(body, "hello");
}

#[tokio::test]
async fn sse_cat_ends_badly_at_a_fatal_error() {
    let harness = Harness::start([Answer::Status(200, &[("content-type", "text/html")])]).await;
    let (lines, ended_well) = cat(&[&harness.url("/")], b"").await;
    let error = r#"{"error":"not an event stream: the content type is \"text/html\", not text/event-stream"}"#;
    assert_eq!((lines, ended_well), (vec![error.to_owned()], false));

    let (lines, ended_well) = cat(&["http://", "--no-reconnect"], b"").await;
    assert!(lines.len() == 1 && lines[0].starts_with(r#"{"error":""#) && !ended_well, "{lines:?}");
    for wrong in ["localhost:8080", "/events", "ftp://localhost/events"] {
        let (lines, ended_well) = cat(&[wrong], b"").await;
        let error = r#"{"error":"invalid uri: no URL of http or https with a host"}"#;
        assert_eq!((lines, ended_well), (vec![error.to_owned()], false), "{wrong}");
    }

    let harness = Harness::start([Answer::Status(500, &[])]).await;
    let (lines, ended_well) = cat(&[&harness.url("/"), "--standard"], b"").await;
    assert!(lines[0].contains("500 Internal Server Error") && !ended_well, "{lines:?}");
}

#[tokio::test]
async fn sse_cat_has_timeouts_a_limit_and_one_connection() {
    let harness = Harness::start([Answer::Ends(&[b"data: 123456789\n\ndata: 1\n\n"])]).await;
    let args = [&harness.url("/"), "--no-reconnect", "--max-event-bytes", "12"];
    let (lines, ended_well) = cat(&args, b"").await;
    let error = r#"{"error":"the event that starts at byte 0 is larger than 12 bytes"}"#;
    assert_eq!(lines, [OPENED, error, r#"{"event":"message","data":"1","id":""}"#, CLOSED]);
    assert!(ended_well);

    // Larger than a line may be by default, with a limit above that, and just below it.
    let line: &'static [u8] = Vec::leak([b"data: ", &vec![b'x'; 17 << 20][..], b"\n\n"].concat());
    let text = std::str::from_utf8(line).unwrap().trim_end();
    let harness = Harness::start([Answer::Ends(Box::leak(Box::new([line])))]).await;
    let limit = text.len().to_string();
    let args = [&harness.url("/"), "--no-reconnect", "--raw", "--max-event-bytes", &*limit];
    let (lines, ended_well) = cat(&args, b"").await;
    assert!(ended_well && lines == [&text["data: ".len()..]]);
    let (lines, ended_well) = cat(&["-", "--raw", "--max-event-bytes", &limit], line).await;
    assert!(ended_well && lines == [&text["data: ".len()..]]);
    let less = (text.len() - 1).to_string();
    let (lines, _) = cat(&["-", "--max-event-bytes", &less], line).await;
    let error =
        format!(r#"{{"error":"the event that starts at byte 0 is larger than {less} bytes"}}"#);
    assert_eq!(lines, [error]);

    let harness = Harness::start([Answer::Holds(&[])]).await;
    let args = [&harness.url("/"), "--idle-timeout", "200ms", "--no-reconnect"];
    let (lines, ended_well) = cat(&args, b"").await;
    assert_eq!(lines, [OPENED, r#"{"error":"no byte for 200ms"}"#]);
    assert!(!ended_well);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (lines, ended_well) =
        cat(&[&url, "--header-timeout", "200ms", "--no-reconnect"], b"").await;
    assert_eq!(lines, [r#"{"error":"no response head within 200ms"}"#]);
    assert!(!ended_well);
}

#[tokio::test]
async fn sse_cat_tells_of_an_id_that_is_not_sent() {
    let harness = Harness::start([
        Answer::Ends(&[b"id: a\x01\ndata: x\n\n"]),
        Answer::Holds(&[b"data: y\n\n"]),
    ])
    .await;
    let (_, _, errors) = cat_with_errors(&[&harness.url("/"), "--max-events", "2"], b"").await;
    assert_eq!(errors, "the last event id, of 2 bytes, is not sent: a header cannot carry it\n");
}

#[tokio::test]
async fn sse_cat_reads_standard_input_and_prints_its_events() {
    let input = b"\xef\xbb\xbfid: 1\rdata: a\r\r: hi\n\nevent: t\ndata: \xff\n\ndata: half";
    let (lines, ended_well) = cat(&["-"], input).await;
    let events = [
        r#"{"event":"message","data":"a","id":"1"}"#,
        "{\"event\":\"t\",\"data\":\"\u{fffd}\",\"id\":\"1\"}",
    ];
    assert_eq!(lines, events);
    assert!(ended_well);
    let (lines, _) =
        cat(&["-", "--comments", "--max-events", "1"], b": hi\ndata: a\n\ndata: b\n\n").await;
    assert_eq!(lines, [r#"{"comment":" hi"}"#, r#"{"event":"message","data":"a","id":""}"#]);
    let (lines, _) = cat(&["-", "--raw"], b"data: a\ndata: b\n\n").await;
    assert_eq!(lines, ["a", "b"]);
}

#[tokio::test]
async fn relay_keeps_ids_and_types_and_survives_reconnects() {
    // More than an event may be, and an id that no event has.
    let large: &'static [u8] = Vec::leak([b"data: ", &vec![b'x'; 17 << 20][..], b"\n\n"].concat());
    let holds: &'static [&'static [u8]] =
        Vec::leak(vec![large, b"id: 3\nevent: u\ndata: d\n\nid: 4\n\n"]);
    let mut harness = Harness::start([
        Answer::Ends(&[
            b"retry: 1\n\nid: 1\nevent: t\ndata: a\n\n",
            b"id: 2\ndata: b\ndata: c\n\ndata: half",
        ]),
        Answer::Holds(holds),
        Answer::Holds(&[]),
    ])
    .await;
    let relay = Example::start("relay", &["--upstream", &harness.url("/events")]).await;
    let mut reply = relay.get("/relay").await;
    reply.assert_event_stream();
    let text = reply.blocks(6).await;
    assert!(text.ends_with("\n\nid: 4\n\n"), "{text}");
    let event = |event_type: &str, data: &str, id: &str| {
        (event_type.to_owned(), data.to_owned(), Some(id.to_owned()))
    };
    let expected = [event("t", "a", "1"), event("message", "b\nc", "2"), event("u", "d", "3")];
    assert_eq!(support::decode(text), expected);
    harness.request().await;
    assert_eq!(harness.request().await.0.headers["last-event-id"], "2");
    // A reader that comes back is resumed upstream.
    drop(reply);
    let again = http::Request::get("/relay").header("last-event-id", "4");
    let _reply = relay.send(again).await;
    assert_eq!(harness.request().await.0.headers["last-event-id"], "4");
}

#[tokio::test]
async fn reqwest_prints_the_data_of_events() {
    let harness = Harness::start([
        Answer::Status(307, &[("location", "/x")]),
        Answer::Holds(&[b"data: a\n\ndata: b\n\n"]),
    ])
    .await;
    let mut process = Process::start(Command::new(executable("reqwest")).arg(harness.url("/")));
    assert_eq!(process.line().await, "a");
    assert_eq!(process.line().await, "b");
}

/// The test service, and a stream that it was told to read.
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
async fn contract_service_tells_what_it_can() {
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
async fn contract_service_posts_events_and_comments_in_order_and_strips_a_mark() {
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
async fn contract_service_sends_method_body_headers_and_last_event_id_again_and_again() {
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
async fn contract_service_reports_a_read_timeout_and_comes_back() {
    let mut harness =
        Harness::start([Answer::Holds(&[b"data: a\n\n"]), Answer::Holds(&[b"data: b\n\n"])]).await;
    let _service = Service::start(&harness, json!({"readTimeoutMs": 300})).await;
    assert_eq!(harness.callback(1).await, event("message", "a", ""));
    let error = json!({"kind": "error", "error": "no byte for 300ms"});
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
async fn contract_service_asks_no_more_after_204_and_after_its_end() {
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
    // The connection may break before the answer is there.
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request =
        Request::delete(format!("http://{}/", service.example.addr)).body(Full::default());
    let _ = timeout(PATIENCE, client.request(request.unwrap())).await.expect("an end");
}

#[tokio::test]
async fn contract_service_reports_redirects_that_lead_nowhere() {
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
