//! The AI SDK's `useChat`, in React and Chromium.

use serde_json::json;

use crate::{engine::Browser, proxy::Proxy, script::cookbook, support::process::Example};

async fn open(url: &str) -> Browser {
    let browser = Browser::start().await;
    browser.goto(&format!("{url}/assets/pages/page.html?script=chat&id=ann")).await;
    browser.wait_for("window.chat?.status", json!("ready")).await;
    browser
}

async fn page(example: &Example) -> Browser {
    open(&format!("http://{}", example.addr)).await
}

#[tokio::test]
async fn an_answer_is_read_to_its_end() {
    let mut example = cookbook(&["--keep-alive", "100ms"]).await;
    let browser = page(&example).await;
    browser.eval("chat.send('think again')").await;
    browser.wait_for("statuses.includes('streaming') && chat.status", json!("ready")).await;
    let texts = json!(["user: think again", "assistant: You said: think again"]);
    assert_eq!(browser.eval("chat.texts").await, texts);
    assert_eq!(browser.eval("chat.error").await, json!(null));
    assert_eq!(example.line().await, "ai_sdk: finished");
}

#[tokio::test]
async fn an_error_in_time_and_a_late_one_have_their_messages() {
    let example = cookbook(&[]).await;
    let browser = page(&example).await;
    browser.eval("chat.send('')").await;
    browser.wait_for("chat.status", json!("error")).await;
    assert_eq!(browser.eval("chat.error").await, json!("the last message has no text"));

    let browser = page(&example).await;
    browser.eval("chat.send('fail half way')").await;
    browser.wait_for("chat.status", json!("error")).await;
    assert_eq!(browser.eval("chat.error").await, json!("the model has failed"));
    assert_eq!(browser.eval("chat.texts[1]").await, json!("assistant: You said: fail "));
}

#[tokio::test]
async fn an_answer_goes_on_while_its_page_is_reloaded_and_is_stopped_by_a_request() {
    let mut example = cookbook(&[]).await;
    let browser = page(&example).await;
    browser.eval("chat.send('long')").await;
    browser.until("chat.texts[1]?.includes(' 10 ')").await;
    browser.eval("location.reload()").await;
    browser.until("window.chat?.texts[1]?.includes(' 30 ')").await;
    assert_eq!(example.line().await, "ai_sdk: client_gone");

    let stop = example.send(http::Request::delete("/api/chat/ann/stream")).await;
    assert_eq!(stop.status(), 200);
    browser.wait_for("chat.status", json!("ready")).await;
    let text = browser.eval("chat.texts[1]").await;
    let words = text.as_str().unwrap().strip_prefix("assistant: You said: long ").unwrap();
    let expected = (0..words.split_whitespace().count()).map(|n| format!("{n} "));
    assert_eq!(words, expected.collect::<String>());
    assert_eq!(browser.eval("chat.texts.length").await, json!(2));
    assert_eq!(example.line().await, "ai_sdk: finished");

    // Nothing is active now, so the page stays as its storage has it.
    browser.eval("location.reload()").await;
    browser.wait_for("window.chat?.texts", json!(["user: long"])).await;
    browser.wait_for("chat.status", json!("ready")).await;
}

#[tokio::test]
async fn a_stream_that_is_cut_is_resumed_by_a_reload() {
    let example = cookbook(&[]).await;
    let proxy = Proxy::start(example.addr).await;
    let browser = open(&proxy.url()).await;
    let prompt = (0..100).map(|n| format!("word-{n}")).collect::<Vec<_>>().join(" ");
    browser.eval(&format!("chat.send('{prompt}')")).await;
    browser.until("chat.texts[1]?.includes('word-1 ')").await;
    proxy.cut();
    browser.wait_for("chat.status", json!("error")).await;
    browser.eval("location.reload()").await;
    browser
        .wait_for("window.chat?.texts[1]", json!(format!("assistant: You said: {prompt}")))
        .await;
    browser.wait_for("chat.status", json!("ready")).await;
}
