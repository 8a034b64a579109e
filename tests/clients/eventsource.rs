//! The package `eventsource`, the browser's `EventSource` for Node.js.

use serde_json::{Value, json};

use crate::{
    proxy::Proxy,
    script::{Script, cookbook},
    support::process::Example,
};

/// Publishes a message on the topic `news`.
pub(crate) async fn publish(example: &Example, data: &str) {
    assert_eq!(example.post("/topics/news", data.to_owned()).await.status(), 200);
}

/// Ends the topic `news`.
pub(crate) async fn finish(example: &Example) {
    assert_eq!(example.send(http::Request::delete("/topics/news")).await.status(), 200);
}

fn data(reports: &[Value]) -> Vec<&str> {
    reports.iter().filter_map(|report| report["message"]["data"].as_str()).collect()
}

#[tokio::test]
async fn it_resumes_after_a_cut_and_stays_away_after_the_end() {
    let example = cookbook(&["--keep-alive", "100ms"]).await;
    let proxy = Proxy::start(example.addr).await;
    let mut client = Script::start("eventsource.mjs", &[&format!("{}/topics/news", proxy.url())]);
    assert_eq!(client.until("open").await, [json!({"open": null})]);
    publish(&example, "one").await;
    assert_eq!(data(&client.until("message").await), ["one"]);

    // Two messages come while the client is away.
    proxy.go_down();
    let lost = json!({"error": {"code": null, "closed": false}});
    assert_eq!(client.until("error").await, std::slice::from_ref(&lost));
    publish(&example, "two").await;
    publish(&example, "three").await;
    proxy.come_up();
    let mut seen = client.until("message").await;
    seen.append(&mut client.until("message").await);
    assert_eq!(data(&seen), ["two", "three"], "{seen:?}");
    assert!(seen.iter().all(|report| report.get("gap").is_none()), "{seen:?}");

    // A clean end is a reason to reconnect, and a 204 is not.
    finish(&example).await;
    let stays_away = json!({"error": {"code": 204, "closed": true}});
    assert_eq!(client.rest().await, [json!({"end": ""}), lost, stays_away]);
}

#[tokio::test]
async fn a_refused_request_is_not_repeated() {
    let example = cookbook(&[]).await;
    let url = format!("http://{}/topics/%0A", example.addr);
    let seen = Script::start("eventsource.mjs", &[&url]).rest().await;
    assert_eq!(seen, [json!({"error": {"code": 400, "closed": true}})]);
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let mut example = cookbook(&[]).await;
    let url = format!("http://{}/topics/news", example.addr);
    let mut client = Script::start("eventsource.mjs", &[&url]);
    client.until("open").await;
    drop(client);
    assert_eq!(example.line().await, "events: client_gone");
}
