//! graphql-sse, in its mode of distinct connections.

use serde_json::{Value, json};

use crate::{
    eventsource::{finish, publish},
    proxy::Proxy,
    script::{Script, cookbook, run},
};

fn result(message: &str) -> Value {
    json!({"result": {"data": {"messages": message}}})
}

#[tokio::test]
async fn results_come_in_order_and_complete_is_the_end() {
    let example = cookbook(&["--keep-alive", "100ms"]).await;
    let url = format!("http://{}", example.addr);
    publish(&example, "one").await;
    let mut client = Script::start("graphql_sse.mjs", &[&url, "news"]);
    client.until("result").await;
    publish(&example, "two").await;
    let next = json!({"event": "next"});
    assert_eq!(client.until("result").await, [next.clone(), result("two")]);
    publish(&example, "fail").await;
    let lost = json!({"data": null, "errors": [{"message": "the message is lost"}]});
    assert_eq!(client.until("result").await, [next, json!({"result": lost})]);
    // Some keep-alives later.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    finish(&example).await;
    assert_eq!(client.rest().await, [json!({"event": "complete"}), json!({"end": null})]);
}

#[tokio::test]
async fn after_a_cut_the_client_asks_again_and_starts_with_the_last_message() {
    let example = cookbook(&[]).await;
    let proxy = Proxy::start(example.addr).await;
    publish(&example, "one").await;
    let mut client = Script::start("graphql_sse.mjs", &[&proxy.url(), "news"]);
    client.until("result").await;
    proxy.cut();
    let again = [json!({"retry": 0}), json!({"connected": true}), json!({"event": "next"})];
    assert_eq!(client.until("result").await, [&again[..], &[result("one")]].concat());
}

#[tokio::test]
async fn an_error_in_time_has_its_status_and_is_tried_again() {
    let example = cookbook(&[]).await;
    let seen = run("graphql_sse.mjs", &[&format!("http://{}", example.addr)]).await;
    let (error, retries) = seen.split_last().unwrap();
    assert_eq!(retries, [0, 1, 2].map(|count| json!({"retry": count})));
    assert_eq!(error["error"]["status"], 400);
    let body = error["error"]["body"].as_str().unwrap();
    assert!(body.contains("only messages(topic: String!) is known"), "{body}");
}

#[tokio::test]
async fn a_client_that_unsubscribes_is_noticed() {
    let mut example = cookbook(&[]).await;
    publish(&example, "one").await;
    let url = format!("http://{}", example.addr);
    let seen = run("graphql_sse.mjs", &[&url, "news", "1"]).await;
    assert_eq!(seen.last(), Some(&json!({"end": null})));
    assert_eq!(example.line().await, "graphql_sse: client_gone");
}
