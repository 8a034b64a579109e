//! Refusals: whether a browser reconnects after them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, response::Html, routing::get};
use http::StatusCode;
use serde_json::json;
use tower_sse::{Accept, Connect, Event, Refusal, event_channel_handler};

use crate::{engine::Browser, server::Server};

/// Serves a page that opens a stream and records its events, and the stream, which `decide` accepts
/// or refuses. `decide` gets the number of earlier requests. Returns the server and the count of
/// requests.
async fn refusing(
    decide: impl Fn(Connect, usize) -> Result<Accept, Refusal> + Send + Sync + 'static,
) -> (Server, Arc<AtomicUsize>) {
    const PAGE: &str = "<!doctype html><title>refusing</title><link rel=icon href='data:,'><script>
        const seen = [];
        const source = new EventSource('/events');
        source.onopen = () => seen.push('open');
        source.onerror = () => seen.push(source.readyState === 2 ? 'closed' : 'error');
        source.onmessage = (event) => { seen.push(event.data); source.close(); };
        </script>";
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = requests.clone();
    let decide = Arc::new(decide);
    let events = event_channel_handler(|_request, events| async move {
        events.send(Event::new("welcome")).await?;
        events.closed().await;
        Ok(())
    })
    .on_connect(move |connect| {
        let decided = decide(connect, counter.fetch_add(1, Ordering::SeqCst));
        async move { decided }
    });
    let app = Router::new().route("/", get(Html(PAGE))).route_service("/events", events);
    (Server::plain(app).await, requests)
}

#[tokio::test]
async fn a_browser_reconnects_after_retry_later() {
    let (server, requests) = refusing(|connect, before| match before {
        0 | 1 => Err(Refusal::retry_later(Duration::from_millis(50))),
        _ => Ok(connect.accept()),
    })
    .await;
    let browser = Browser::start().await;
    browser.goto(&format!("http://{}/", server.addr)).await;
    let expected = json!(["open", "error", "open", "error", "open", "welcome"]);
    browser.wait_for("seen", expected).await;
    assert_eq!(requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_browser_does_not_reconnect_after_stop_or_a_503() {
    let browser = Browser::start().await;
    for status in [StatusCode::NO_CONTENT, StatusCode::SERVICE_UNAVAILABLE] {
        let (server, requests) = refusing(move |_, _| {
            Err(match status {
                StatusCode::NO_CONTENT => Refusal::stop(),
                _ => Refusal::new(status).retry_after(Duration::from_millis(1)),
            })
        })
        .await;
        browser.goto(&format!("http://{}/", server.addr)).await;
        browser.wait_for("seen", json!(["closed"])).await;
        assert_eq!(browser.eval("source.readyState").await, 2);
        // A browser that reconnects reports `error` first, and reconnects after the time that the
        // server has set.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(browser.eval("seen").await, json!(["closed"]));
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{status}");
    }
}

/// The head of a response that waits for the first event, at most for a second.
#[tokio::test]
async fn a_browser_opens_a_late_stream_in_time_and_is_refused_with_a_status() {
    const PAGE: &str = "<!doctype html><title>late</title><link rel=icon href='data:,'><script>
        const seen = [];
        const start = performance.now();
        let opened = null;
        const source = new EventSource('/late' + location.search);
        source.onopen = () => { seen.push('open'); opened = performance.now() - start; };
        source.onerror = () => seen.push(source.readyState === 2 ? 'closed' : 'error');
        source.onmessage = (event) => { seen.push(event.data); source.close(); };
        </script>";
    let late =
        event_channel_handler(|request: http::Request<axum::body::Body>, events| async move {
            if request.uri().query() == Some("refused") {
                return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS).into_error());
            }
            // Long after the head.
            tokio::time::sleep(Duration::from_secs(600)).await;
            events.send(Event::new("late")).await?;
            Ok(())
        });
    let app = Router::new()
        .route("/", get(Html(PAGE)))
        .route_service("/late", late.commit_within(Duration::from_secs(1)));
    let server = Server::plain(app).await;
    let browser = Browser::start().await;
    browser.goto(&format!("http://{}/", server.addr)).await;
    browser.wait_for("seen", json!(["open"])).await;
    let opened = browser.eval("opened").await.as_f64().unwrap();
    assert!(opened >= 900.0, "{opened} ms");
    browser.goto(&format!("http://{}/?refused", server.addr)).await;
    browser.wait_for("seen", json!(["closed"])).await;
}
