//! The streams of a hub in a browser: it stores an ID that comes without an event, resumes by it,
//! and gets a gap event.

use std::time::Duration;

use axum::{Router, response::Html, routing::get};
use serde_json::{Value, json};
use tower_sse::{Hub, hub::History};

use super::chromium::Browser;
use crate::server::Server;

const PAGE: &str = "<!doctype html><title>hub</title><link rel=icon href='data:,'><script>
    const seen = [];
    const source = new EventSource('/events');
    source.onopen = () => seen.push('open');
    source.onerror = () => seen.push('error');
    source.onmessage = (event) => seen.push(event.data);
    source.addEventListener('gap', (event) => seen.push(JSON.parse(event.data).reason));
    </script>";

#[tokio::test]
async fn a_browser_resumes_by_an_id_without_an_event_and_gets_a_gap_event() {
    let hub = Hub::builder().history(History::events(2)).build();
    let events = hub
        .handler(|connect| async move { connect.accept().topics(["a"]) })
        .retry(Duration::from_millis(600));
    let app = Router::new().route("/", get(Html(PAGE))).route_service("/events", events);
    let server = Server::plain(app).await;
    let browser = Browser::start().await;
    browser.goto(&format!("http://{}/", server.addr)).await;
    browser.wait_for("seen", json!(["open"])).await;
    // Disconnected before its first event, it resumes by the ID of the opening.
    hub.disconnect(|_| true);
    browser.wait_for("seen", json!(["open", "error"])).await;
    hub.publish("a", "1").await.unwrap();
    hub.publish("b", "of another topic").await.unwrap();
    hub.publish("a", "2").await.unwrap();
    browser.wait_for("seen", json!(["open", "error", "open", "1", "2"])).await;
    // Disconnected for longer than the history reaches back.
    hub.disconnect(|_| true);
    browser.wait_for("seen.at(-1)", "error".into()).await;
    for n in 3..6 {
        hub.publish("a", n.to_string()).await.unwrap();
    }
    browser.wait_for("seen.at(-1)", "5".into()).await;
    let since: Value = browser.eval("seen.slice(-4)").await;
    assert_eq!(since, json!(["open", "trimmed", "4", "5"]));
}
