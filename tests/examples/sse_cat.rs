//! The example `sse_cat`.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::Value;
use tokio::time::timeout;

use crate::{
    harness::{Answer, Harness},
    support::{
        process::{PATIENCE, executable},
        socket::{Act, refusal, server, stream},
    },
};

/// Runs `sse_cat` to its end. Returns the lines of its output, and whether it succeeded.
async fn cat(args: &[&str], input: &'static [u8]) -> (Vec<String>, bool) {
    let (lines, ended_well, _) = cat_with_errors(args, input).await;
    (lines, ended_well)
}

/// Like `cat`, and returns the standard error too.
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
async fn sse_cat_prints_events_with_the_last_event_id_and_reconnects() {
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
    let refused = "not an event stream: the status is 503 Service Unavailable, not 200";
    assert_eq!(cause, format!("{refused} ({})", harness.url("/")));
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
async fn sse_cat_sends_method_headers_body_and_last_event_id() {
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
async fn sse_cat_exits_with_an_error_at_a_fatal_error() {
    let harness = Harness::start([Answer::Status(200, &[("content-type", "text/html")])]).await;
    let (lines, ended_well) = cat(&[&harness.url("/")], b"").await;
    let error = format!(
        r#"{{"error":"not an event stream: the content type is \"text/html\", not text/event-stream ({})"}}"#,
        harness.url("/")
    );
    assert_eq!((lines, ended_well), (vec![error], false));

    let (lines, ended_well) = cat(&["http://", "--no-reconnect"], b"").await;
    assert!(lines.len() == 1 && lines[0].starts_with(r#"{"error":""#) && !ended_well, "{lines:?}");
    for wrong in ["localhost:8080", "/events", "ftp://localhost/events"] {
        let (lines, ended_well) = cat(&[wrong], b"").await;
        let error = r#"{"error":"invalid URI: expected an http or https URL with a host"}"#;
        assert_eq!((lines, ended_well), (vec![error.to_owned()], false), "{wrong}");
    }

    let harness = Harness::start([Answer::Status(500, &[])]).await;
    let (lines, ended_well) = cat(&[&harness.url("/"), "--standard"], b"").await;
    assert!(lines[0].contains("500 Internal Server Error") && !ended_well, "{lines:?}");
}

#[tokio::test]
async fn sse_cat_prints_the_words_of_a_server_that_refuses() {
    let body = format!("{{\"error\": \"{}\"}}", "x".repeat(2000));
    let (url, _) = server([Act::Writes(refusal("400 Bad Request", &body))]).await;
    let (lines, ended_well, errors) = cat_with_errors(&[&url], b"").await;
    assert!(!ended_well && errors.is_empty());
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    let start = "not an event stream: the status is 400 Bad Request, not 200 (";
    let error = line["error"].as_str().unwrap();
    assert!(error.starts_with(start) && error.ends_with("xxx…"), "{error}");
    assert_eq!(line["body"], body);
    // With `--raw` the message goes to standard error.
    let (lines, _, errors) = cat_with_errors(&[&url, "--raw"], b"").await;
    assert!(lines.is_empty() && errors.contains("400 Bad Request"), "{errors}");
    assert!(errors.contains(r#"{"error": "xxx"#), "{errors}");
}

#[tokio::test]
async fn sse_cat_repeats_a_post_after_it_was_answered_only_with_a_flag() {
    let acts = || [Act::Writes(stream("retry: 1\ndata: a\n\n")), Act::Holds(stream("data: b\n\n"))];
    let (url, seen) = server(acts()).await;
    let (lines, ended_well) = cat(&[&url, "--body", "{}"], b"").await;
    assert_eq!(lines, [OPENED, r#"{"event":"message","data":"a","id":""}"#, CLOSED]);
    assert!(ended_well);
    assert_eq!(seen.methods(), ["POST"]);
    let (url, seen) = server(acts()).await;
    let args = [&*url, "--body", "{}", "--resilient", "--raw", "--max-events", "2"];
    let (lines, _) = cat(&args, b"").await;
    assert_eq!(lines, ["a", "b"]);
    assert_eq!(seen.methods(), ["POST", "POST"]);
}

#[tokio::test]
async fn sse_cat_has_timeouts_a_limit_and_one_connection() {
    let harness = Harness::start([Answer::Ends(&[b"data: 123456789\n\ndata: 1\n\n"])]).await;
    let args = [&harness.url("/"), "--no-reconnect", "--max-event-bytes", "12"];
    let (lines, ended_well) = cat(&args, b"").await;
    let error = r#"{"error":"the event that starts at byte 0 is larger than 12 bytes; raise `max_event_bytes` of the parser"}"#;
    assert_eq!(lines, [OPENED, error, r#"{"event":"message","data":"1","id":""}"#, CLOSED]);
    assert!(ended_well);

    // A line larger than the default limit: with a limit of its length, and with one byte less.
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
    let error = "the event that starts at byte 0 is larger than";
    let error =
        format!(r#"{{"error":"{error} {less} bytes; raise `max_event_bytes` of the parser"}}"#);
    assert_eq!(lines, [error]);

    let harness = Harness::start([Answer::Holds(&[])]).await;
    let args = [&harness.url("/"), "--idle-timeout", "200ms", "--no-reconnect"];
    let (lines, ended_well) = cat(&args, b"").await;
    assert_eq!(lines, [OPENED, r#"{"error":"no bytes received for 200ms"}"#]);
    assert!(!ended_well);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (lines, ended_well) =
        cat(&[&url, "--header-timeout", "200ms", "--no-reconnect"], b"").await;
    assert_eq!(lines, [r#"{"error":"no response head within 200ms"}"#]);
    assert!(!ended_well);
}

#[tokio::test]
async fn sse_cat_reports_an_id_that_is_not_sent() {
    let harness = Harness::start([
        Answer::Ends(&[b"id: a\x01\ndata: x\n\n"]),
        Answer::Holds(&[b"data: y\n\n"]),
    ])
    .await;
    let (_, _, errors) = cat_with_errors(&[&harness.url("/"), "--max-events", "2"], b"").await;
    assert_eq!(errors, "the last event ID, of 2 bytes, is not sent: a header cannot carry it\n");
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
