//! The page of the example `runs`: an answer outlives its page.

use std::time::Duration;

use serde_json::json;

use crate::{
    engine::{Browser, Engine},
    support::process::Example,
};

in_each_engine!(an_answer_goes_on_while_its_page_is_reloaded_and_is_stopped_in_a_second_tab);

async fn an_answer_goes_on_while_its_page_is_reloaded_and_is_stopped_in_a_second_tab(
    engine: Engine,
) {
    let example = Example::start("runs", &["--every", "100ms", "--words", "3000"]).await;
    let page = format!("http://{}/?owner=ann", example.addr);
    let (first, second) = (Browser::of(engine).await, Browser::of(engine).await);
    first.goto(&page).await;
    first.eval("document.getElementById('form').requestSubmit()").await;
    first.wait_for("document.getElementById('state').textContent", json!("running")).await;
    let words = "document.getElementById('answer').textContent.split(' ').length > 10";
    first.wait_for(words, json!(true)).await;
    let id = first.eval("location.hash").await;
    let id = id.as_str().unwrap();
    assert_eq!(id.len(), 33, "{id}");

    // Reloaded, in the middle of the answer.
    first.eval("location.reload()").await;
    first.wait_for("document.getElementById('state')?.textContent", json!("running")).await;
    second.goto(&format!("{page}{id}")).await;
    second.wait_for(words, json!(true)).await;
    let listed = "document.querySelectorAll('#list li').length";
    second.wait_for(listed, json!(1)).await;
    second.eval("document.getElementById('stop').click()").await;
    let mut texts = Vec::new();
    for browser in [&first, &second] {
        browser.wait_for("document.getElementById('state').textContent", json!("stopped")).await;
        texts.push(browser.eval("document.getElementById('answer').textContent").await);
    }
    assert_eq!(texts[0], texts[1]);
    let text = texts[0].as_str().unwrap();
    let expected = (1..=text.split_whitespace().count()).map(|n| format!("word-{n} "));
    assert_eq!(text, expected.collect::<String>());
    assert!(text.contains("word-10 ") && !text.contains("word-3000 "), "{text}");

    // Another owner does not see it, and a page that comes later does.
    let third = Browser::of(engine).await;
    third.goto(&format!("http://{}/?owner=bob{id}", example.addr)).await;
    third.wait_for("document.getElementById('state').textContent", json!("not found")).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(third.eval("document.getElementById('answer').textContent").await, "");
    second.eval("location.reload()").await;
    // It may answer for the old page for a moment.
    second.wait_for("document.getElementById('answer')?.textContent", texts[0].clone()).await;
    second.wait_for("document.getElementById('state')?.textContent", json!("stopped")).await;
}
