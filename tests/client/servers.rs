//! Servers with ways of their own: content types, resuming, origins, connections.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;
use tower_sse::{EventSource, Reconnection, client::Attempt};

use crate::{
    hyper_client::tls_server,
    support::socket::{Act, chunked, refusal, server, status, stream},
};

const LIMIT: Duration = Duration::from_secs(20);

/// Reads a source to its end or its error: the data of its events, and the error.
async fn all(source: EventSource) -> Vec<String> {
    let mut source = source;
    let mut all = Vec::new();
    while let Some(event) = timeout(LIMIT, source.next_event()).await.expect("an item in time") {
        all.push(event.map_or_else(|error| error.to_string(), |event| event.data().to_owned()));
    }
    all
}

fn quick(policy: Reconnection) -> Reconnection {
    policy.base(Duration::from_millis(1)).jitter(0.0)
}

#[tokio::test]
async fn other_content_types_are_accepted_if_the_caller_says_so() {
    for (header, is_accepted) in [
        ("content-type: text/plain; charset=utf-8", true),
        ("x-none: ", true),
        ("content-type: application/json", false),
        ("content-type: text/event-stream", true),
        ("content-type: text/plain\r\ncontent-encoding: gzip", false),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{header}\r\nconnection: close\r\n\r\ndata: x\n\n");
        let (url, _) = server([Act::Writes(answer)]).await;
        let source = EventSource::new(url).reconnection(Reconnection::never());
        let source = source.accept_content_type(|content_type| {
            content_type.is_none_or(|value| value.as_bytes().starts_with(b"text/plain"))
        });
        let all = all(source).await;
        assert_eq!(all == ["x"], is_accepted, "{header}: {all:?}");
    }
}

/// As the Model Context Protocol does: a POST starts the work, and a GET reads on.
#[tokio::test]
async fn a_stream_is_resumed_with_another_request() {
    let acts = [
        Act::Writes(refusal("503 Busy\r\nretry-after-ms: 1", "")),
        Act::Writes(stream("id: a\ndata\n\nid: b\nretry: 1\ndata: half\n\n")),
        Act::Writes(refusal("503 Busy\r\nretry-after-ms: 1", "")),
        Act::Resets(stream("id: c\ndata: more\n\n")),
        Act::Writes(stream("data: result\n\n")),
    ];
    let (url, seen) = server(acts).await;
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let (asked, resume_url) = (attempts.clone(), url.clone());
    let call = Request::post(&url).header("content-type", "application/json").body("{}").unwrap();
    let source = EventSource::send(call)
        .reconnect_with(move |attempt: Attempt| {
            asked.lock().unwrap().push(attempt.number);
            attempt.last_event_id?;
            Request::get(format!("{resume_url}/resume")).header("x-session", "7").body("").ok()
        })
        .until_data("result")
        .inclusive();
    assert_eq!(all(source).await, ["", "half", "more", "result"]);
    assert_eq!(seen.methods(), ["POST", "POST", "GET", "GET", "GET"]);
    assert_eq!(seen.bodies(), ["{}", "{}", "", "", ""]);
    assert_eq!(seen.paths()[2..], ["/events/resume"; 3]);
    let heads = seen.heads();
    for (head, id) in heads[2..].iter().zip(["b", "b", "c"]) {
        assert!(head.contains(&format!("last-event-id: {id}\r\n")), "{head}");
        assert!(head.contains("accept: text/event-stream\r\n") && head.contains("x-session: 7"));
        assert!(!head.contains("content-type"));
    }
    // It is not asked before a connection was open.
    assert_eq!(*attempts.lock().unwrap(), [3, 4, 5]);
}

#[tokio::test]
async fn a_stream_that_cannot_be_resumed_ends_with_its_loss() {
    for (act, expected) in [
        (Act::Resets(stream("data: half\n\n")), &["half", "the connection was lost"][..]),
        (Act::Writes(stream("data: half\n\n")), &["half"]),
    ] {
        let (url, seen) = server([act]).await;
        let call = Request::post(&url).body("").unwrap();
        let source = EventSource::send(call).reconnect_with(|attempt| {
            attempt.last_event_id.map(|_| Request::get("http://unused/").body("").unwrap())
        });
        assert_eq!(all(source).await, expected);
        assert_eq!(seen.requests(), 1);
    }
    // A request that cannot be sent is an error, and `never` asks for none.
    let (url, _) = server([Act::Writes(stream("data: half\n\n"))]).await;
    let wrong = || Request::get("ftp://server/").body("").ok();
    let source = EventSource::new(&*url).reconnect_with(move |_| wrong());
    assert_eq!(all(source).await, ["half", "invalid URI"]);
    let source = EventSource::new(url).reconnect_with(move |_| wrong());
    assert_eq!(all(source.reconnection(Reconnection::never())).await, ["half"]);
}

#[tokio::test]
async fn an_explicit_reconnect_resumes_with_the_other_request() {
    let (url, seen) =
        server([Act::Holds(stream("id: 1\ndata: a\n\n")), Act::Holds(stream("data: b\n\n"))]).await;
    let resume_url = url.clone();
    let mut source = EventSource::send(Request::post(url).body("").unwrap())
        .reconnect_with(move |_| Request::get(&resume_url).body("").ok());
    assert_eq!(timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap().data(), "a");
    source.reconnect();
    assert_eq!(timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap().data(), "b");
    assert_eq!(seen.methods(), ["POST", "GET"]);
}

#[tokio::test]
async fn an_explicit_reconnect_that_cannot_be_resumed_sends_nothing() {
    type Resume = fn(Attempt) -> Option<Request<&'static str>>;
    let resumes: [(Resume, &[&str]); 3] = [
        (|_| None, &["the stream ended before its last event: it was cut off"]),
        (|_| Request::get("ftp://server/").body("").ok(), &["invalid URI"]),
        // A path has no server, unless a service of this process answers.
        (|_| Request::get("/resume").body("").ok(), &["invalid URI"]),
    ];
    for (resume, expected) in resumes {
        let (url, seen) = server([Act::Holds(stream("data: a\n\n"))]).await;
        let call = Request::post(url).body("").unwrap();
        let mut source = EventSource::send(call).reconnect_with(resume).until_data("b").required();
        timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap();
        source.reconnect();
        assert_eq!(all(source).await, expected);
        assert_eq!(seen.requests(), 1);
    }
    let (url, seen) = server([Act::Holds(stream("data: a\n\n"))]).await;
    let call = Request::post(url).body("").unwrap();
    let mut source = EventSource::send(call)
        .reconnect_with(|_| -> Option<Request<&str>> { panic!("on purpose") });
    timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap();
    source.reconnect();
    let polled = std::panic::AssertUnwindSafe(source.next_event());
    assert!(futures_util::FutureExt::catch_unwind(polled).await.is_err());
    assert!(all(source).await.is_empty());
    assert_eq!(seen.requests(), 1);
}

/// A redirect and another request are the ways to another origin.
#[tokio::test]
async fn headers_of_the_provider_do_not_go_to_another_origin_with_another_request() {
    let (other, seen_by_other) = server([Act::Writes(stream("data: b\n\n"))]).await;
    let (url, seen) = server([Act::Writes(stream("data: a\n\n"))]).await;
    let source = EventSource::new(url)
        .reconnection(quick(Reconnection::resilient()))
        .reconnect_with(move |_| Request::get(&other).body("").ok())
        .headers(|_| async {
            let value = HeaderValue::from_static("secret");
            Ok(HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]))
        });
    assert_eq!(all(source.until_data("b").inclusive()).await, ["a", "b"]);
    assert!(seen.heads()[0].contains("authorization: secret"));
    assert!(!seen_by_other.heads()[0].contains("authorization"));
}

#[tokio::test]
async fn headers_of_the_provider_go_to_the_origin_of_the_source_only() {
    let (other, seen_by_other) = server([Act::Writes(stream("data: x\n\n"))]).await;
    let moved = |line: &str| Act::Writes(status(&format!("{line}\r\nlocation: {other}")));
    let (url, seen) = server([
        Act::Writes(status("307 Temporary Redirect\r\nlocation: /here")),
        moved("307 Temporary Redirect"),
    ])
    .await;
    let calls = Arc::new(Mutex::new(0));
    let counted = calls.clone();
    let source = EventSource::new(url)
        .reconnection(quick(Reconnection::resilient()))
        .reconnect_to(tower_sse::client::ReconnectTo::LastTarget)
        .headers(move |_| {
            *counted.lock().unwrap() += 1;
            let value = HeaderValue::from_static("secret");
            async {
                Ok(HeaderMap::from_iter([(http::HeaderName::from_static("x-api-key"), value)]))
            }
        });
    let mut source = source;
    for _ in 0..2 {
        let event = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap();
        assert_eq!(event.data(), "x");
    }
    assert!(seen.heads().iter().all(|head| head.contains("x-api-key: secret")));
    assert_eq!((seen.requests(), seen_by_other.requests()), (2, 2));
    assert!(!seen_by_other.heads().iter().any(|head| head.contains("x-api-key")));
    assert_eq!(*calls.lock().unwrap(), 1, "there is nobody to send them to");
}

#[tokio::test]
async fn the_own_client_names_itself_unless_the_request_does() {
    let (url, seen) = server([Act::Writes(stream("data: x\n\n"))]).await;
    let never = Reconnection::never;
    assert_eq!(all(EventSource::new(&*url).reconnection(never())).await, ["x"]);
    let request = Request::get(url).header("user-agent", "mine").body("").unwrap();
    assert_eq!(all(EventSource::send(request).reconnection(never())).await, ["x"]);
    let heads = seen.heads();
    let version = env!("CARGO_PKG_VERSION");
    assert!(heads[0].contains(&format!("user-agent: tower-sse/{version}\r\n")), "{}", heads[0]);
    assert!(heads[1].contains("user-agent: mine\r\n"), "{}", heads[1]);
}

/// Reads an answer to its end. The body ends with the last event, so the connection is used again,
/// however busy the machine is.
async fn ask(url: String) {
    let source = EventSource::new(url).reconnection(Reconnection::never());
    assert_eq!(all(source).await, ["x"]);
    // The client puts the connection back in a task of its own.
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn sources_share_the_connections_of_their_runtime_only() {
    let (url, seen) = server([chunked("data: x\n\n", Duration::ZERO)]).await;
    for _ in 0..4 {
        ask(url.clone()).await;
    }
    assert_eq!((seen.requests(), seen.connections()), (4, 1));
    // Each runtime has its own, also after an earlier one has ended, and while one stands still.
    let mut standing = Vec::new();
    for runtimes in 1..3 {
        let url = url.clone();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(ask(url.clone()));
            runtime.block_on(ask(url));
            runtime
        });
        let runtime = tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
        standing.push(runtime);
        assert_eq!((seen.requests(), seen.connections()), (4 + 2 * runtimes, 1 + runtimes));
    }
    tokio::task::spawn_blocking(|| drop(standing)).await.unwrap();
    ask(url).await;
    assert_eq!(seen.connections(), 3);
}

#[tokio::test]
async fn an_invalid_port_is_an_invalid_url() {
    for url in ["http://localhost:99999/", "http://localhost:65536/", "https://[::1]:70000/"] {
        let mut source = EventSource::new(url);
        let error = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap_err();
        assert!(error.is_fatal());
        assert_eq!(
            format!("{error:#}"),
            "invalid URI: the port is not a number from 0 to 65535",
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_bad_certificate_and_an_unknown_host_can_be_told_apart() {
    let (port, _) = tls_server(&[b"http/1.1"]).await;
    let error = async |url: String| {
        let mut source = EventSource::new(url).reconnection(Reconnection::never());
        timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap_err()
    };
    let bad = error(format!("https://localhost:{port}/")).await;
    assert!(bad.is_certificate() && !bad.is_unknown_host(), "{bad:#}");
    let unknown = error("https://no-such-host.invalid/".into()).await;
    assert!(unknown.is_unknown_host() && !unknown.is_certificate(), "{unknown:#}");
    let refused = error(crate::support::socket::refused_url().await).await;
    assert!(!refused.is_unknown_host() && !refused.is_certificate(), "{refused:#}");
}

#[tokio::test]
async fn a_client_of_the_caller_keeps_its_own_name() {
    let (url, seen) = server([Act::Writes(stream("data: x\n\n"))]).await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let source = EventSource::get(client, url).reconnection(Reconnection::never());
    assert_eq!(all(source).await, ["x"]);
    assert!(!seen.heads()[0].contains("user-agent"));
}
