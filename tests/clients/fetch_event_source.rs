//! `@microsoft/fetch-event-source`, in Chromium.

use serde_json::{Value, json};

use crate::{
    engine::Browser,
    eventsource::{finish, publish},
    proxy::Proxy,
    script::cookbook,
};

async fn open(url: &str, key: &str) -> Browser {
    let browser = Browser::start().await;
    let page = "assets/pages/page.html?script=fetch_event_source";
    browser.goto(&format!("{url}/{page}&topic=news&key={key}")).await;
    browser.until("window.seen?.length > 0").await;
    browser
}

/// Waits until the client has reported this many messages that have data.
async fn messages(browser: &Browser, count: usize) {
    let number = "seen.filter(([kind, type, data]) => kind == 'message' && data).length";
    browser.wait_for(number, count.into()).await;
}

#[tokio::test]
async fn it_resumes_after_a_cut_and_ends_with_the_topic() {
    let example = cookbook(&["--keep-alive", "100ms"]).await;
    let proxy = Proxy::start(example.addr).await;
    let browser = open(&proxy.url(), "secret").await;
    publish(&example, "one").await;
    messages(&browser, 1).await;

    // Two messages come while the client is away.
    proxy.go_down();
    browser.until("seen.at(-1)[0] == 'error'").await;
    publish(&example, "two").await;
    publish(&example, "three").await;
    proxy.come_up();
    messages(&browser, 3).await;
    finish(&example).await;
    browser.wait_for("seen.at(-1)[0]", json!("done")).await;

    let seen = browser.eval("seen").await;
    let seen: Vec<Value> = seen.as_array().unwrap().clone();
    let opened = seen.iter().filter(|report| report[0] == "open").count();
    assert_eq!(opened, 2, "{seen:?}");
    let is_message = |report: &&Value| report[0] == "message";
    // A stream opens with an ID alone, which is a message without data for this client.
    let (empty, messages): (Vec<&Value>, Vec<&Value>) =
        seen.iter().filter(is_message).partition(|report| report[1] == "" && report[2] == "");
    assert!(empty.len() <= opened && empty.iter().all(|report| report[3] == true), "{seen:?}");
    let messages: Vec<_> = messages.iter().map(|report| (&report[1], &report[2])).collect();
    let expected = [("", "one"), ("", "two"), ("", "three"), ("end", "")];
    assert_eq!(
        messages,
        expected
            .map(|(kind, data)| (json!(kind), json!(data)))
            .iter()
            .map(|(a, b)| (a, b))
            .collect::<Vec<_>>()
    );
    assert_eq!(seen[seen.len() - 2..], [json!(["close"]), json!(["done"])]);
}

#[tokio::test]
async fn a_refused_request_is_not_repeated_if_the_page_says_so() {
    let example = cookbook(&[]).await;
    let browser = open(&format!("http://{}", example.addr), "wrong").await;
    browser.wait_for("seen.at(-1)[0]", json!("failed")).await;
    let seen = json!([["open", 401], ["error", true], ["failed", "status 401"]]);
    assert_eq!(browser.eval("seen").await, seen);
}

#[tokio::test]
async fn a_page_that_leaves_is_noticed() {
    let mut example = cookbook(&[]).await;
    let browser = open(&format!("http://{}", example.addr), "secret").await;
    browser.eval("leave()").await;
    browser.wait_for("seen.at(-1)[0]", json!("done")).await;
    assert_eq!(example.line().await, "events: client_gone");
}
