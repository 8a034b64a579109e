//! The demo page: it reconnects, resumes after the last event, and can be seen.

use std::{
    env, fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::extract::Request;
use http::Version;
use serde_json::{Value, json};
use tower::util::MapRequestLayer;
use tower_sse::Shutdown;

use crate::{chromium::Browser, server::Server, support::process::Example};

/// Asserts that the demo page shows two streams of three events, the second one resumed after the
/// first.
async fn assert_demo_goes_on(browser: &Browser) {
    let ids = "[...document.querySelectorAll('#events .event')].map(e => e.dataset.id).reverse()";
    browser.until(&format!("{ids}.length >= 6")).await;
    let shown = browser.eval(&format!("{ids}.slice(0, 6)")).await;
    assert_eq!(shown, json!(["1", "2", "3", "4", "5", "6"]));
    let data = "[...document.querySelectorAll('#events .event .data')].map(e => e.firstChild.data)";
    let shown = browser.eval(&format!("{data}.reverse().slice(0, 6)")).await;
    assert_eq!(shown, json!((1..=6).map(|n| format!("Hello World! {n}")).collect::<Vec<_>>()));
    let types = "new Set([...document.querySelectorAll('#events .type')].map(e => e.textContent))";
    assert_eq!(browser.eval(&format!("[...{types}]")).await, json!(["my-custom-event"]));
    let reconnects = browser.eval("+document.querySelector('#reconnects').textContent").await;
    assert!(reconnects.as_u64().unwrap() >= 1, "{reconnects}");
    // In order of arrival: three events, the end, and the reconnect with its last event ID.
    let lines = "[...document.querySelectorAll('#events li')].reverse().slice(3, 5)\
                 .map(e => e.firstChild.textContent)";
    assert_eq!(
        browser.eval(lines).await,
        json!(["The stream has ended", "Back again, after event 3"])
    );
}

#[tokio::test]
async fn the_demo_reconnects_over_http_1_and_resumes_after_the_last_event() {
    let demo = Example::start("demo", &["--count", "3", "--every", "100ms"]).await;
    let browser = Browser::start().await;
    browser.goto(&format!("http://{}/", demo.addr)).await;
    assert_demo_goes_on(&browser).await;
    let protocol = "performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(browser.eval(protocol).await, "http/1.1");

    // Closed with the button, it stays closed. Opened with the button, it resumes by the query.
    browser.eval("document.querySelector('#toggle').click()").await;
    assert_eq!(browser.eval("source.readyState").await, 2);
    let last = browser.eval("lastEventId").await;
    browser.eval("document.querySelector('#toggle').click()").await;
    browser.until(&format!("lastEventId > {last}")).await;
    let list = "[...document.querySelectorAll('#events .event')].map(e => +e.dataset.id)";
    let shown = browser.eval(&format!("{list}.reverse()")).await;
    let shown: Vec<_> = shown.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    assert_eq!(shown, (1..=shown.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_demo_reconnects_over_http_2_and_resumes_after_the_last_event() {
    // The path, the HTTP version and the `Last-Event-ID` of each request.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seeing = seen.clone();
    let look = MapRequestLayer::new(move |request: Request| {
        let last = request.headers().get("last-event-id");
        let last = last.map(|id| id.to_str().unwrap().to_owned());
        let path = request.uri().path().to_owned();
        seeing.lock().unwrap().push((path, request.version(), last));
        request
    });
    let app = crate::demo::app(3, Duration::from_millis(100), &Shutdown::now()).layer(look);
    let server = Server::tls(app).await;
    let browser = Browser::start().await;
    browser.goto(&format!("https://{}/", server.addr)).await;
    assert_demo_goes_on(&browser).await;
    let protocol = "performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(browser.eval(protocol).await, "h2");

    let seen = seen.lock().unwrap();
    let request = |path: &str, last: Option<&str>| {
        (path.to_owned(), Version::HTTP_2, last.map(str::to_owned))
    };
    let expected = [request("/", None), request("/events", None), request("/events", Some("3"))];
    assert_eq!(seen[..3], expected);
}

/// Writes a screenshot of the demo to the path in `DEMO_SCREENSHOT` if that is set. `docs/demo.png`
/// was made with it, after a minute, when the chart is full.
#[tokio::test]
async fn the_demo_can_be_seen() {
    let path = env::var("DEMO_SCREENSHOT").ok();
    let (every, events) = if path.is_some() { ("1500ms", 38) } else { ("100ms", 8) };
    let demo = Example::start("demo", &["--count", "6", "--every", every]).await;
    let browser = Browser::start().await;
    browser.client.set_window_size(880, 980).await.unwrap();
    browser.goto(&format!("http://{}/", demo.addr)).await;
    // New events are faded in over half a second.
    let ready = format!("received > {events} && performance.now() - lastArrival > 600");
    while browser.eval(&ready).await != true {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let picture = browser.client.screenshot().await.unwrap();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 20_000, "{} bytes", picture.len());
    if let Some(path) = path {
        fs::write(path, picture).unwrap();
    }
}
