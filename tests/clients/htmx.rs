//! htmx 4, and htmx 2, with their extensions for event streams, in Chromium.

use serde_json::json;

use crate::{engine::Browser, proxy::Proxy, script::cookbook, support::process::Example};

const ITEMS: &str = "[...document.querySelectorAll('#messages li')].map(item => item.textContent)";

async fn say(example: &Example, text: &str) {
    let form =
        http::Request::post("/htmx").header("content-type", "application/x-www-form-urlencoded");
    let sent = crate::support::process::send(
        example.addr,
        http::Version::HTTP_11,
        form,
        format!("text={text}").into(),
    );
    assert_eq!(sent.await.status(), 204);
}

/// The page shows the last messages, resumes after a cut, and closes the connection at the end.
async fn a_page_resumes_and_ends(path: &str) {
    let mut example = cookbook(&["--keep-alive", "100ms"]).await;
    let proxy = Proxy::start(example.addr).await;
    say(&example, "one").await;
    let browser = Browser::start().await;
    browser.goto(&format!("{}{path}", proxy.url())).await;
    browser.wait_for(ITEMS, json!(["one"])).await;

    // From the page, with text that is no HTML.
    browser.eval("document.querySelector('input').value = '<b>two</b> & three'").await;
    browser.eval("document.querySelector('button').click()").await;
    browser.wait_for(ITEMS, json!(["one", "<b>two</b> & three"])).await;

    proxy.go_down();
    assert_eq!(example.line().await, "htmx: client_gone");
    say(&example, "four").await;
    say(&example, "five").await;
    proxy.come_up();
    let all = json!(["one", "<b>two</b> & three", "four", "five"]);
    browser.wait_for(ITEMS, all.clone()).await;

    // The two versions have different events for this.
    let names = "['htmx:sseClose', 'htmx:sse:close']";
    let note = "({ detail }) => window.reason = detail.type ?? detail.reason";
    browser.eval(&format!("{names}.forEach(name => addEventListener(name, {note}))")).await;
    let end = example.send(http::Request::delete("/htmx")).await;
    assert_eq!(end.status(), 204);
    assert_eq!(example.line().await, "htmx: finished");
    browser.wait_for("window.reason", json!("message")).await;
    assert_eq!(browser.eval(ITEMS).await, all);
    proxy.assert_left_alone().await;
}

#[tokio::test]
async fn a_page_of_htmx_4_resumes_after_a_cut_and_closes_at_the_end() {
    a_page_resumes_and_ends("/htmx").await;
}

#[tokio::test]
async fn a_page_of_htmx_2_resumes_after_a_cut_and_closes_at_the_end() {
    a_page_resumes_and_ends("/htmx2").await;
}

async fn a_page_that_leaves(path: &str) {
    let mut example = cookbook(&[]).await;
    say(&example, "one").await;
    let browser = Browser::start().await;
    browser.goto(&format!("http://{}{path}", example.addr)).await;
    browser.wait_for(ITEMS, json!(["one"])).await;
    browser.goto("about:blank").await;
    assert_eq!(example.line().await, "htmx: client_gone");
}

#[tokio::test]
async fn a_page_of_htmx_4_that_leaves_is_noticed() {
    a_page_that_leaves("/htmx").await;
}

#[tokio::test]
async fn a_page_of_htmx_2_that_leaves_is_noticed() {
    a_page_that_leaves("/htmx2").await;
}
