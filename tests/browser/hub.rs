//! The streams of a hub in a browser: it keeps the ID with which a stream begins, resumes by it,
//! gets a gap event, and stays away from a topic that has ended. The chat of the example `hub`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{Router, response::Html, routing::get};
use http::{Request, Version};
use serde_json::{Value, json};
use tower_sse::{
    Event, Hub,
    hub::{History, Selection},
};

use super::engine::{Browser, Engine};
use crate::{
    server::Server,
    support::process::{Example, send},
};

const PAGE: &str = "<!doctype html><title>hub</title><link rel=icon href='data:,'><script>
    const seen = [];
    const source = new EventSource('/events');
    source.onopen = () => seen.push('open');
    source.onerror = () => seen.push(source.readyState === 2 ? 'closed' : 'error');
    source.onmessage = (event) => seen.push(event.data);
    source.addEventListener('gap', (event) => seen.push(JSON.parse(event.data).reason));
    </script>";

in_each_engine!(a_browser_resumes_before_its_first_event_and_gets_a_gap_event);

async fn a_browser_resumes_before_its_first_event_and_gets_a_gap_event(engine: Engine) {
    let hub = Hub::builder().history(History::events(2)).build();
    let events = hub
        .handler(|connect| async move { connect.accept().topics(["a"]) })
        .retry(Duration::from_millis(600));
    let app = Router::new().route("/", get(Html(PAGE))).route_service("/events", events);
    let server = Server::plain(app).await;
    let browser = Browser::of(engine).await;
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

in_each_engine!(a_browser_gets_all_of_a_topic_that_ends_reconnects_once_and_stays_away);

async fn a_browser_gets_all_of_a_topic_that_ends_reconnects_once_and_stays_away(engine: Engine) {
    let hub = Hub::new();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let events = hub
        .handler(move |connect| {
            counted.fetch_add(1, SeqCst);
            async move { Ok(connect.accept().subscribe(Selection::new(["job"])?.from_start())) }
        })
        .retry(Duration::from_millis(100));
    let app = Router::new().route("/", get(Html(PAGE))).route_service("/events", events);
    let server = Server::plain(app).await;
    hub.publish("job", "1").await.unwrap();
    let browser = Browser::of(engine).await;
    browser.goto(&format!("http://{}/", server.addr)).await;
    browser.wait_for("seen", json!(["open", "1"])).await;
    hub.publish("job", "2").await.unwrap();
    hub.finish("job", Event::new("done")).await.unwrap();
    // The stream ends. The reconnect has nothing left to read, and is answered with a 204.
    browser.wait_for("source.readyState", json!(2)).await;
    assert_eq!(browser.eval("seen").await, json!(["open", "1", "2", "done", "error", "closed"]));
    // It would have come back several times by now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(requests.load(SeqCst), 2);

    // A page that comes later gets everything, and then stays away as well.
    browser.goto(&format!("http://{}/", server.addr)).await;
    browser.wait_for("source.readyState", json!(2)).await;
    assert_eq!(browser.eval("seen").await, json!(["open", "1", "2", "done", "error", "closed"]));
    assert_eq!(requests.load(SeqCst), 4);
}

/// Publishes to the example `hub`. The names of headers go without `event-`.
async fn publish(hub: &Example, topic: &str, data: &str, headers: &[(&str, &str)]) {
    let mut request = Request::post(format!("/topics/{topic}"));
    for (name, value) in headers {
        request = request.header(format!("event-{name}"), *value);
    }
    let reply = send(hub.addr, Version::HTTP_11, request, data.to_owned().into()).await;
    assert_eq!(reply.status(), 201);
}

/// The messages that the chat shows.
const MESSAGES: &str = "[...document.querySelectorAll('.message')].map(e => e.lastChild.data)";

in_each_engine!(a_page_that_joins_a_chat_shows_the_last_messages_in_order_and_the_readers);

async fn a_page_that_joins_a_chat_shows_the_last_messages_in_order_and_the_readers(engine: Engine) {
    let hub = Example::start("hub", &[]).await;
    for n in 1..=70 {
        // Typing indicators are on a topic of their own, so they do not count.
        publish(&hub, "live.lobby", "bob", &[("type", "typing"), ("key", &n.to_string())]).await;
        let message = json!({ "name": "bob", "text": n.to_string() });
        publish(&hub, "room.lobby", &message.to_string(), &[]).await;
    }
    let browser = Browser::of(engine).await;
    browser.goto(&format!("http://{}/chat?name=ann", hub.addr)).await;
    let expected: Vec<_> = (21..=70).map(|n| n.to_string()).collect();
    browser.wait_for(MESSAGES, json!(expected)).await;
    browser.wait_for("$('who').textContent", "ann".into()).await;

    // A message that the page sends comes after them.
    browser.eval("($('text').value = 'hello', $('form').requestSubmit())").await;
    browser.wait_for(&format!("{MESSAGES}.at(-1)"), "hello".into()).await;
    assert_eq!(browser.eval(&format!("{MESSAGES}.length")).await, 51);
    assert_eq!(browser.eval("document.querySelectorAll('.note').length").await, 0, "a gap");

    // Somebody closes the room. The page gets the last event, and stays away.
    browser.eval("$('close').click()").await;
    browser.wait_for("$('state').textContent", "closed".into()).await;
    let last = browser.eval("document.querySelector('#messages').lastChild.textContent").await;
    assert_eq!(last, "ann has closed the room");
}

#[tokio::test]
async fn a_typing_indicator_that_has_expired_is_not_in_a_page_that_opens_later() {
    let hub = Example::start("hub", &[]).await;
    // The page's own timer does not end what it shows.
    let url = format!("http://{}/chat?name=ann&ttl=3600000", hub.addr);
    let message = json!({ "name": "bob", "text": "hi" });
    publish(&hub, "room.lobby", &message.to_string(), &[]).await;
    let browser = Browser::start().await;
    browser.goto(&url).await;
    browser.wait_for(MESSAGES, json!(["hi"])).await;

    let typing = |name, ttl| {
        let hub = &hub;
        async move {
            publish(hub, "live.lobby", name, &[("type", "typing"), ("key", name), ("ttl", ttl)])
                .await;
        }
    };
    // An open page shows both. A page that opens later shows the one that has not expired.
    typing("bob", "1500ms").await;
    typing("eve", "1h").await;
    browser.wait_for("$('typing').textContent", "bob, eve typing".into()).await;
    tokio::time::sleep(Duration::from_millis(1600)).await;
    browser.goto(&url).await;
    browser.wait_for(MESSAGES, json!(["hi"])).await;
    browser.wait_for("$('typing').textContent", "eve typing".into()).await;
    assert_eq!(browser.eval("document.querySelectorAll('.note').length").await, 0, "a gap");

    // One that is retracted leaves open pages at once, and is not in later ones.
    let idle = Request::delete("/topics/live.lobby").header("event-key", "eve");
    let idle = idle.header("event-type", "idle");
    assert_eq!(send(hub.addr, Version::HTTP_11, idle, "eve".into()).await.status(), 201);
    browser.wait_for("$('typing').textContent", "".into()).await;
    typing("zoe", "1h").await;
    browser.goto(&url).await;
    browser.wait_for("$('typing').textContent", "zoe typing".into()).await;
}
