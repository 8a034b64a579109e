//! What the server said: the head and the body of a refused response, in errors and messages.

use std::time::Duration;

use futures_util::StreamExt as _;
use http::Request;
use tokio::time::timeout;
use tower_sse::{EventSource, EventSourceError, Reconnection, Update};

use crate::support::socket::{Act, refusal, server, stream};

const LIMIT: Duration = Duration::from_secs(20);

async fn error(source: EventSource) -> EventSourceError {
    let mut source = source;
    timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap_err()
}

/// Returns a message without the port, which is another one in each run.
fn without_port(message: &str) -> String {
    let (before, url) = message.split_once("http://127.0.0.1:").unwrap();
    format!("{before}{}", &url[url.find('/').unwrap()..])
}

#[tokio::test]
async fn an_error_has_status_headers_url_and_body_of_the_response() {
    let body = r#"{"error":{"message":"max_tokens is too large: 999999"}}"#;
    for (line, method, expected) in [
        ("400 Bad Request", "GET", "the status is 400 Bad Request, not 200 (/events)"),
        ("529 Overloaded", "POST", "the status is 529, not 200 (/events)"),
        (
            "200 OK\r\ncontent-type: application/json\r\nx-request-id: r-7",
            "POST",
            "the content type is \"application/json\", not text/event-stream (/events, x-request-id: r-7)",
        ),
        (
            "429 Quota\r\nretry-after: 3600",
            "POST",
            "the status is 429 Too Many Requests, not 200 (/events, retry-after: 3600)",
        ),
    ] {
        let (url, _) = server([Act::Writes(refusal(line, body))]).await;
        let request = Request::builder().method(method).uri(format!("{url}?key=secret"));
        let policy = Reconnection::until_opened().attempts(1);
        let source = EventSource::send(request.body("{}").unwrap()).reconnection(policy);
        let error = error(source).await;
        assert!(error.is_fatal());
        let message = without_port(&error.to_string());
        assert!(
            message.ends_with(&format!("not an event stream: {expected}: {body}")),
            "{message}"
        );
        assert_eq!(error.body().unwrap(), body);
        let refused = error.refused().unwrap();
        assert!(refused.is_body_complete());
        assert_eq!(refused.url().query(), Some("key=secret"));
        assert_eq!(refused.headers()["content-length"], body.len().to_string());
        assert_eq!(Some(refused.status()), error.status());
        assert!(!format!("{error:?} {error:#?} {error:#}").contains("secret"));
    }
}

#[tokio::test]
async fn a_cause_of_a_reconnect_has_the_words_of_the_server_too() {
    let busy = refusal("503 Service Unavailable\r\nretry-after-ms: 250", "maintenance until noon");
    let (url, _) = server([Act::Writes(busy), Act::Holds(stream("data: x\n\n"))]).await;
    let mut updates = EventSource::new(url).updates();
    let Some(Ok(Update::Reconnecting(again))) = updates.next().await else { panic!() };
    assert_eq!(again.cause.body().unwrap(), "maintenance until noon");
    assert_eq!(
        without_port(&again.cause.to_string()),
        "not an event stream: the status is 503 Service Unavailable, not 200 (/events, \
         retry-after-ms: 250): maintenance until noon"
    );
    // Also D13: the server is not asked again sooner than it has said.
    assert!((250..=500).contains(&again.delay.as_millis()), "{:?}", again.delay);
    assert!(matches!(updates.next().await, Some(Ok(Update::Opened(_)))));
}

#[tokio::test]
async fn the_final_url_is_named_after_redirects() {
    let moved = |line: &str| Act::Writes(refusal(line, "moved"));
    let page = refusal("200 OK\r\ncontent-type: text/html", "<h1>Please log in</h1>");
    let acts = [
        moved("301 Moved Permanently\r\nlocation: /v2/chat?token=secret"),
        moved("302 Found\r\nlocation: /login?token=secret"),
        Act::Writes(page),
    ];
    let (url, seen) = server(acts).await;
    let error = error(EventSource::send(Request::post(url).body("{}").unwrap())).await;
    assert_eq!(seen.methods(), ["POST", "GET", "GET"]);
    assert_eq!(error.refused().unwrap().redirects(), 2);
    assert_eq!(error.refused().unwrap().url().path(), "/login");
    assert_eq!(
        without_port(&error.to_string()),
        "not an event stream: the content type is \"text/html\", not text/event-stream (/login, after \
         2 redirects): <h1>Please log in</h1>"
    );
}

#[tokio::test]
async fn a_body_is_kept_up_to_its_limit_and_read_within_the_header_timeout() {
    let large = "x".repeat(100_000);
    let (url, _) = server([Act::Writes(refusal("400 Bad Request", &large))]).await;
    let met = error(EventSource::new(url)).await;
    assert_eq!(met.body().unwrap().len(), 64 << 10);
    assert!(!met.refused().unwrap().is_body_complete());
    assert!(met.to_string().len() < 1500, "a message has its start only");

    // The body never ends.
    let slow = "HTTP/1.1 400 Bad Request\r\ncontent-length: 100\r\n\r\nso far";
    let (url, _) = server([Act::Holds(slow.into())]).await;
    let started = std::time::Instant::now();
    let met = error(EventSource::new(&*url).header_timeout(Duration::from_millis(300))).await;
    assert_eq!(met.body().unwrap(), "so far");
    assert!(!met.refused().unwrap().is_body_complete());
    assert!(started.elapsed() >= Duration::from_millis(300));
    // Without a header timeout it is waited for as well, but not longer than 5 s.
    let met = error(EventSource::new(url).header_timeout(Duration::ZERO)).await;
    assert_eq!(met.body().unwrap(), "so far");

    // A body that is lost in the middle.
    let (url, _) = server([Act::Resets(slow.into())]).await;
    assert_eq!(error(EventSource::new(url)).await.body().unwrap(), "so far");
}

#[tokio::test]
async fn no_debug_output_shows_a_cookie_or_a_token() {
    let secret = "set-cookie: session=s3cret\r\nx-token: s3cret";
    let (url, _) = server([
        Act::Writes(refusal(&format!("503 Busy\r\nretry-after-ms: 1\r\n{secret}"), "busy")),
        Act::Writes(refusal(&format!("200 OK\r\ncontent-type: text/event-stream\r\n{secret}"), "")),
        Act::Writes(refusal(
            &format!("302 Found\r\nlocation: ftp://me:s3cret@host/?key=s3cret#s3cret\r\n{secret}"),
            "",
        )),
    ])
    .await;
    let url = url.replace("http://", "http://user:s3cret@");
    let request = Request::get(format!("{url}?token=s3cret"))
        .header("authorization", "Bearer s3cret")
        .header("cookie", "session=s3cret")
        .body("")
        .unwrap();
    let policy = Reconnection::resilient().base(Duration::from_millis(1));
    let mut updates = EventSource::send(request).reconnection(policy).updates();
    let mut shown = format!("{updates:?}");
    while let Some(update) = timeout(LIMIT, updates.next()).await.unwrap() {
        shown.push_str(&format!("\n{update:?} {update:#?} {:?}", updates.get_ref()));
        match update {
            Ok(Update::Reconnecting(again)) => shown.push_str(&format!("{:#}", again.cause)),
            Ok(_) => {}
            Err(error) => shown.push_str(&format!("{error:#}")),
        }
    }
    assert!(
        shown.contains("set-cookie") && shown.contains("Opened") && shown.contains("ftp://host/")
    );
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn an_error_without_a_response_shows_its_sources() {
    let url = crate::support::socket::refused_url().await;
    let source = EventSource::new(url).reconnection(Reconnection::until_opened().attempts(1));
    let error = error(source).await;
    assert_eq!(error.to_string(), "gave up after 1 attempt without an event: the request failed");
    let chain = format!("{error:#}");
    assert!(chain.starts_with(&format!("{error}: ")), "{chain}");
    assert!(chain.contains("Connection refused"), "{chain}");
    assert!(error.has_given_up() && error.refused().is_none() && error.body().is_none());
}
