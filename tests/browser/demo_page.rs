//! The demo page: it reconnects, resumes after the last event, and can be seen.

use std::{
    env, fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::extract::Request;
use http::Version;
use serde_json::Value;
use tower::util::MapRequestLayer;
use tower_sse::Shutdown;

use crate::{
    engine::{Browser, Engine},
    server::Server,
    support::process::Example,
};

/// Asserts that the demo page shows the ticks of two streams, the second one resumed after the first.
async fn assert_demo_goes_on(browser: &Browser) {
    browser.until("+document.querySelector('#reconnects').textContent >= 1").await;
    browser.until(&format!("{TICKS}.length >= 8")).await;
    let shown = browser.eval(TICKS).await;
    let shown: Vec<_> = shown.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    assert_eq!(shown, (shown[0]..shown[0] + shown.len() as u64).collect::<Vec<_>>());
    // In order of arrival: the end, and the reconnect with the last event ID.
    let notes = "[...document.querySelectorAll('#events .note')].reverse().map(e => e.firstChild.textContent)";
    let notes = browser.eval(notes).await;
    assert_eq!(notes[0], "The server closed the stream");
    assert!(notes[1].as_str().unwrap().starts_with("Reconnected after event "), "{notes}");
    // The hook of the server reports the reason.
    browser
        .until("document.querySelector('#events .ended .data')?.textContent.includes('expired')")
        .await;
}

/// The numbers of the ticks in the list, in order of arrival.
const TICKS: &str = "[...document.querySelectorAll('#events .tick .data')]\
                     .map(e => +e.firstChild.data.slice('Tick '.length)).reverse()";

in_each_engine!(the_demo_reconnects_over_http_1_and_resumes_after_the_last_event);

async fn the_demo_reconnects_over_http_1_and_resumes_after_the_last_event(engine: Engine) {
    let demo = Example::start("demo", &["--every", "100ms", "--lifetime", "500ms"]).await;
    let browser = Browser::of(engine).await;
    browser.goto(&format!("http://{}/", demo.addr)).await;
    assert_demo_goes_on(&browser).await;
    let protocol = "performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(browser.eval(protocol).await, "http/1.1");

    // Closed with the button, it stays closed. Opened with the button, it resumes by the query.
    browser.eval("document.querySelector('#toggle').click()").await;
    assert_eq!(browser.eval("source.readyState").await, 2);
    let last = browser.eval("received").await;
    browser.eval("document.querySelector('#toggle').click()").await;
    browser.until(&format!("received > {last} + 3")).await;
    let shown = browser.eval(TICKS).await;
    let shown: Vec<_> = shown.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    assert_eq!(shown, (shown[0]..shown[0] + shown.len() as u64).collect::<Vec<_>>());
}

in_each_engine!(a_text_reaches_the_other_tab_and_the_bytes_can_be_seen);

async fn a_text_reaches_the_other_tab_and_the_bytes_can_be_seen(engine: Engine) {
    let demo = Example::start("demo", &["--every", "1s"]).await;
    let (one, two) = (Browser::of(engine).await, Browser::of(engine).await);
    for browser in [&one, &two] {
        browser.goto(&format!("http://{}/", demo.addr)).await;
        browser.until("source.readyState === 1").await;
    }
    two.eval("(() => { document.querySelector('#raw').open = true })()").await;
    two.until("document.querySelector('#wire').textContent.includes(': connected')").await;
    one.eval("(() => { document.querySelector('#text').value = 'hello, you'; document.querySelector('#say').requestSubmit() })()")
        .await;
    for browser in [&one, &two] {
        browser
            .until(
                "document.querySelector('#events .said .data')?.firstChild.data === 'hello, you'",
            )
            .await;
    }
    two.until(
        "document.querySelector('#wire').textContent.includes('event: said\\ndata: hello, you\\n')",
    )
    .await;
    // Two pages, and the view of the bytes.
    one.until("document.querySelector('#open').textContent === '3'").await;
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
    let (every, lifetime) = (Duration::from_millis(100), Duration::from_millis(500));
    let app = crate::demo::app(every, lifetime, &Shutdown::now()).layer(look);
    let server = Server::tls(app).await;
    let browser = Browser::start().await;
    browser.goto(&format!("https://{}/", server.addr)).await;
    assert_demo_goes_on(&browser).await;
    let protocol = "performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(browser.eval(protocol).await, "h2");

    let seen = seen.lock().unwrap();
    let paths: Vec<_> = seen.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(paths[..4], ["/", "/style.css", "/events", "/events"]);
    assert!(seen.iter().all(|(_, version, _)| *version == Version::HTTP_2));
    assert!(seen[2].2.is_none() && seen[3].2.is_some());
}

/// Writes a screenshot of the demo to the path in `DEMO_SCREENSHOT` if that is set. `docs/demo.png`
/// was made with it, after a minute, when the chart is full.
#[tokio::test]
async fn the_demo_can_be_seen() {
    let path = env::var("DEMO_SCREENSHOT").ok();
    let (every, lifetime, events) =
        if path.is_some() { ("1500ms", "15s", 38) } else { ("100ms", "20s", 8) };
    let demo = Example::start("demo", &["--every", every, "--lifetime", lifetime]).await;
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
