//! The table of failures in `docs/failures.md`, row by row, over real sockets.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{net::TcpListener, time::timeout};
use tower_sse::{EventSource, Reconnection, Update};

use crate::{
    hyper_client::tls_server,
    support::socket::{Act, chunked, refused_url, server, status, stream},
};

const LIMIT: Duration = Duration::from_secs(20);

const TABLE: &str = include_str!("../../docs/failures.md");

/// Rows of the table, each as its cells.
fn rows() -> Vec<Vec<&'static str>> {
    let lines = TABLE.lines().filter(|line| line.starts_with('|'));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn policy(name: &str) -> Reconnection {
    let preset = match name {
        "`resilient`" => Reconnection::resilient(),
        "`standard`" => Reconnection::standard(),
        "`until_event`" => Reconnection::until_event(),
        "`until_opened`" => Reconnection::until_opened(),
        "`never`" => Reconnection::never(),
        other => panic!("{other} is no policy"),
    };
    preset.base(Duration::from_millis(1)).jitter(0.0)
}

/// A source for a failure, which is answered with an event if it sends its request again.
async fn source(phase: &str, failure: &str) -> EventSource {
    let act = match (phase, failure) {
        (_, "the connection is refused") => return EventSource::new(refused_url().await),
        (_, "the host is unknown") => return EventSource::new("http://no-such-host.invalid/"),
        (_, "the certificate is refused") => {
            let (port, _) = tls_server(&[b"http/1.1"]).await;
            return EventSource::new(format!("https://localhost:{port}/"));
        }
        (_, "HTTP/2 refuses the stream") => return http_2(None).await,
        ("before the first event", "HTTP/2 resets the stream") => return http_2(Some(":\n")).await,
        (_, "HTTP/2 resets the stream") => return http_2(Some("data: first\n\n")).await,
        (_, "the header provider fails") => {
            let (url, _) = server([again()]).await;
            return EventSource::new(url).headers(|attempt| async move {
                let error = || std::io::Error::other("no token");
                if attempt.number == 1 { Err(error().into()) } else { Ok(Default::default()) }
            });
        }
        (_, "a pooled connection is reset") => {
            let first = chunked("data: [DONE]\n\n", Duration::ZERO);
            let (url, seen) = server([first, Act::Resets(String::new()), again()]).await;
            let mut warm = EventSource::new(url.clone()).until_data("[DONE]");
            assert!(timeout(LIMIT, warm.next_event()).await.unwrap().is_none());
            assert_eq!(seen.connections(), 1);
            // The client puts the connection back in a task of its own.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return EventSource::new(url);
        }
        ("before the head", "the connection is reset") => Act::Resets(String::new()),
        ("before the first event", "the connection is reset") => Act::Resets(stream(":\n\n")),
        (_, "the connection is reset") => Act::Resets(stream("data: first\n\n")),
        (_, "no head within the header timeout") => Act::Holds(String::new()),
        ("before the first event", "silence for the idle timeout") => Act::Holds(stream(":\n\n")),
        (_, "silence for the idle timeout") => Act::Holds(stream("data: first\n\n")),
        (_, "too many redirects") => {
            let (url, _) = server([Act::Writes(status("302 Found\r\nlocation: /events"))]).await;
            return EventSource::new(url);
        }
        ("before the first event", "the body ends") => Act::Writes(stream(":\n\n")),
        (_, "the body ends") => Act::Writes(stream("data: first\n\n")),
        (_, "an event is too large") => {
            let large = "x".repeat(200);
            Act::Holds(stream(&format!("data: first\n\ndata: {large}\n\ndata: second\n\n")))
        }
        (_, "the last event was received") => {
            Act::Resets(stream("data: first\n\ndata: [DONE]\n\n"))
        }
        (_, "the body ends without the required event") => Act::Writes(stream("data: first\n\n")),
        (_, "another content type") => {
            Act::Writes(status("200 OK\r\ncontent-type: application/json"))
        }
        (_, "a content encoding") => Act::Writes(status(
            "200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip",
        )),
        (_, "a redirect without a target") => Act::Writes(status("302 Found")),
        (_, failure) => match failure.strip_prefix("status ") {
            Some("303, and status 503 after it") => {
                let first = Act::Writes(status("303 See Other\r\nlocation: /result"));
                let busy = Act::Writes(status("503 Busy"));
                let (url, _) = server([first, busy, again()]).await;
                return EventSource::send(Request::post(url).body("").unwrap());
            }
            Some(code) => Act::Writes(status(&format!("{code} A Name"))),
            None if failure == "it cannot be parsed" => {
                Act::Writes("HTTP/1.1 200 OK\r\nthis is no header\r\n\r\n".into())
            }
            None => panic!("{failure} is not tested"),
        },
    };
    let (url, _) = server([act, again()]).await;
    EventSource::new(url)
}

/// The answer to a request that is sent again.
fn again() -> Act {
    Act::Holds(stream("data: again\n\n"))
}

/// A source over HTTP/2, whose first stream is reset: before its head, or after these bytes.
async fn http_2(first: Option<&'static str>) -> EventSource {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut is_first = true;
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(socket).await.unwrap();
            while let Some(Ok((_request, mut respond))) = connection.accept().await {
                let head = Response::builder().header("content-type", "text/event-stream");
                let head = head.body(()).unwrap();
                match (std::mem::replace(&mut is_first, false), first) {
                    (true, None) => respond.send_reset(h2::Reason::REFUSED_STREAM),
                    (true, Some(bytes)) => {
                        let mut body = respond.send_response(head, false).unwrap();
                        body.send_data(bytes.into(), false).unwrap();
                        tokio::spawn(async move {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                            body.send_reset(h2::Reason::INTERNAL_ERROR);
                        });
                    }
                    (false, _) => {
                        let mut body = respond.send_response(head, false).unwrap();
                        body.send_data("data: again\n\n".into(), false).unwrap();
                        // The stream stays open until the connection ends.
                        std::mem::forget(body);
                    }
                }
            }
        }
    });
    let client: Client<_, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    EventSource::get(client, url)
}

/// Runs a source to the consequence of its failure.
async fn consequence(source: EventSource) -> &'static str {
    let mut updates = source.updates();
    let mut too_large = false;
    loop {
        match timeout(LIMIT, updates.next()).await.expect("an update in time") {
            None => return "end",
            Some(Ok(Update::Reconnecting(_))) => return "again",
            Some(Err(error)) if error.is_fatal() => return "error",
            Some(Err(_)) => too_large = true,
            Some(Ok(Update::Event(event))) if too_large && event.data() == "second" => {
                return "continues";
            }
            Some(Ok(_)) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_failure_has_the_consequence_that_the_table_says() {
    let rows = rows();
    let policies = &rows[0][2..];
    assert_eq!(policies.len(), 5);
    let mut walked = 0;
    let mut running = Vec::new();
    for row in &rows[2..] {
        for (name, expected) in policies.iter().zip(&row[2..]) {
            let (phase, failure, name, expected) = (row[0], row[1], *name, *expected);
            running.push(tokio::spawn(async move {
                let source = source(phase, failure).await.reconnection(policy(name));
                let source = source.max_event_bytes(100).until_data("[DONE]");
                let source = source.header_timeout(if failure.contains("header timeout") {
                    Duration::from_millis(300)
                } else {
                    LIMIT
                });
                let source = match failure {
                    "silence for the idle timeout" => {
                        source.idle_timeout(Duration::from_millis(300))
                    }
                    "the body ends without the required event" => source.required(),
                    _ => source,
                };
                let consequence = consequence(source).await;
                assert_eq!(consequence, expected, "{phase}: {failure}, with {name}");
            }));
            walked += 1;
        }
    }
    for run in running {
        if let Err(error) = run.await {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    assert_eq!(walked, 31 * 5);
}

#[tokio::test]
async fn the_default_depends_on_the_method() {
    for (method, is_repeated) in [
        ("GET", true),
        ("OPTIONS", true),
        ("POST", false),
        ("PUT", false),
        ("DELETE", false),
        ("PATCH", false),
        ("REPORT", false),
    ] {
        let acts = [Act::Writes(status("503 Busy\r\nretry-after-ms: 1")), Act::Writes(stream(""))];
        let (url, seen) = server(acts.into_iter().chain([again()])).await;
        let request = Request::builder().method(method).uri(url).body("").unwrap();
        let mut source = EventSource::send(request);
        let item = timeout(LIMIT, source.next_event()).await.unwrap();
        // All are sent again before a response was opened, and only the safe ones after it.
        assert_eq!(item.is_some(), is_repeated, "{method}");
        assert_eq!(seen.requests(), if is_repeated { 3 } else { 2 }, "{method}");
    }
}

/// A lost answer of a model is an error, with the cause, and is never asked for twice.
#[tokio::test]
async fn an_answer_that_was_begun_is_not_asked_for_again() {
    let (url, seen) = server([Act::Resets(stream("data: Hel\n\ndata: lo \n\n")), again()]).await;
    let request = || Request::post(&url).body("{}").unwrap();
    let mut source = EventSource::send(request()).until_data("[DONE]");
    let mut text = String::new();
    let error = loop {
        match timeout(LIMIT, source.next_event()).await.unwrap() {
            Some(Ok(event)) => text.push_str(event.data()),
            Some(Err(error)) => break error,
            None => panic!("the loss is an error"),
        }
    };
    assert_eq!(text, "Hello ");
    assert!(error.is_fatal());
    assert!(format!("{error:#}").starts_with("the connection was lost: "), "{error:#}");
    assert!(source.next_event().await.is_none());
    assert!(!source.is_reached());
    assert_eq!(seen.requests(), 1);

    let (url, seen) = server([Act::Writes(stream("data: Hello\n\n"))]).await;
    let request = Request::post(&url).body("{}").unwrap();
    let mut source = EventSource::send(request).until_data("[DONE]");
    assert_eq!(
        timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap().data(),
        "Hello"
    );
    assert!(timeout(LIMIT, source.next_event()).await.unwrap().is_none());
    assert_eq!(seen.requests(), 1);
}

/// A source has the policy, so its adaptors and its updates have it too.
#[cfg(feature = "json")]
#[tokio::test]
async fn the_policies_work_with_json_and_ends() {
    use tower_sse::EventStreamExt as _;

    let acts = || {
        [
            Act::Writes(status("503 Busy\r\nretry-after-ms: 1")),
            Act::Resets(stream(": thinking\n\n")),
            Act::Writes(stream("data: 1\n\ndata:\n\ndata: 2\n\ndata: [DONE]\n\n")),
        ]
    };
    let (url, seen) = server(acts()).await;
    let policy = || Reconnection::until_event().base(Duration::from_millis(1));
    let source = EventSource::send(Request::post(url).body("").unwrap()).reconnection(policy());
    let values: Vec<u32> = source
        .until_data("[DONE]")
        .required()
        .json::<u32>()
        .map(|value| value.unwrap())
        .collect()
        .await;
    assert_eq!((values, seen.requests()), (vec![1, 2], 3));

    let (url, seen) = server(acts()).await;
    let source = EventSource::send(Request::post(url).body("").unwrap()).reconnection(policy());
    let mut updates = source.until_data("2").inclusive().updates();
    let mut data = Vec::new();
    while let Some(update) = timeout(LIMIT, updates.next()).await.unwrap() {
        if let Update::Event(event) = update.unwrap() {
            data.push(event.data().to_owned());
        }
    }
    assert_eq!((data.join("|"), seen.requests()), ("1||2".into(), 3));
    assert!(updates.into_inner().is_reached());
}

#[test]
fn the_table_has_a_row_for_each_phase() {
    let phases: std::collections::BTreeSet<_> = rows()[2..].iter().map(|row| row[0]).collect();
    let expected =
        ["after an event", "at the end", "before the first event", "before the head", "the head"];
    assert!(phases.iter().eq(&expected), "{phases:?}");
}
