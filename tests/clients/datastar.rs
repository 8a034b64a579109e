//! Datastar, in Chromium.

use serde_json::json;

use crate::{engine::Browser, proxy::Proxy, script::cookbook, support::process::Example};

const ITEMS: &str = "[...document.querySelectorAll('#messages li')].map(item => item.textContent)";

async fn say(example: &Example, text: &str) {
    let sent = example.post("/datastar", json!({"text": text}).to_string()).await;
    assert_eq!(sent.status(), 204);
}

#[tokio::test]
async fn a_page_resumes_after_a_cut_and_shows_the_end() {
    let mut example = cookbook(&["--keep-alive", "100ms"]).await;
    let proxy = Proxy::start(example.addr).await;
    say(&example, "one").await;
    let browser = Browser::start().await;
    browser.goto(&format!("{}/datastar", proxy.url())).await;
    browser.wait_for(ITEMS, json!(["one"])).await;

    // From the page, with text that is no HTML.
    let typed =
        "(input => { input.value = '<b>two</b>'; input.dispatchEvent(new Event('input')) })";
    browser.eval(&format!("{typed}(document.querySelector('input'))")).await;
    browser.eval("document.querySelector('button').click()").await;
    browser.wait_for(ITEMS, json!(["one", "<b>two</b>"])).await;

    proxy.go_down();
    assert_eq!(example.line().await, "datastar: client_gone");
    say(&example, "three").await;
    proxy.come_up();
    browser.wait_for(ITEMS, json!(["one", "<b>two</b>", "three"])).await;

    let end = example.send(http::Request::delete("/datastar")).await;
    assert_eq!(end.status(), 204);
    assert_eq!(example.line().await, "datastar: finished");
    browser.until("getComputedStyle(document.querySelector('b')).display != 'none'").await;
    assert_eq!(browser.eval(ITEMS).await, json!(["one", "<b>two</b>", "three"]));
    // The end of the stream comes right after its last event.
    browser.until("performance.getEntriesByType('resource').filter(({ name }) => name.includes('/events')).length > 1").await;
    proxy.assert_left_alone().await;
}

#[tokio::test]
async fn a_page_that_leaves_is_noticed() {
    let mut example = cookbook(&[]).await;
    say(&example, "one").await;
    let browser = Browser::start().await;
    browser.goto(&format!("http://{}/datastar", example.addr)).await;
    browser.wait_for(ITEMS, json!(["one"])).await;
    browser.goto("about:blank").await;
    assert_eq!(example.line().await, "datastar: client_gone");
}
