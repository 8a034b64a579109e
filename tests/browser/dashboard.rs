//! The dashboard in a browser: a tab that was asleep gets the newest value of each key, not the
//! backlog.

use std::{env, fs, time::Duration};

use serde_json::{Value, json};
use tower_sse::Shutdown;

use super::engine::Browser;
use crate::server::Server;

#[allow(dead_code, reason = "its `main` is the example's")]
#[path = "../../examples/dashboard.rs"]
mod example;

const KEYS: usize = example::REGIONS.len() * example::HOSTS;

const WINDOW: Duration = Duration::from_millis(40);

async fn number(browser: &Browser, expression: &str) -> usize {
    let value = browser.eval(expression).await;
    usize::try_from(value.as_u64().unwrap_or_else(|| panic!("{expression} is {value}"))).unwrap()
}

async fn opened(server: &Server) -> Browser {
    let browser = Browser::start().await;
    browser.goto(&format!("http://{}/", server.addr)).await;
    browser.wait_for("numbers.size", json!(KEYS)).await;
    browser
}

/// Writes a screenshot to the path in `DASHBOARD_SCREENSHOT` if that is set. `docs/dashboard.png`
/// was made with it.
#[tokio::test]
async fn a_tab_that_was_asleep_gets_the_newest_event_of_each_key_when_it_reconnects() {
    let path = env::var("DASHBOARD_SCREENSHOT").ok();
    let server = Server::plain(example::app(1000, WINDOW, &Shutdown::now())).await;
    let browser = opened(&server).await;
    browser.client.set_window_size(880, 1080).await.unwrap();
    // Long enough for the charts to be full.
    let awake = if path.is_some() { 15_000 } else { 2_000 };
    browser.until(&format!("newest > {awake}")).await;
    browser.eval("$('toggle').click()").await;
    browser.wait_for("$('state').textContent", "Asleep".into()).await;
    let before = number(&browser, "received").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(number(&browser, "received").await, before);

    browser.eval("$('toggle').click()").await;
    browser.until("sleep.until && newest > sleep.until").await;
    let missed = number(&browser, "sleep.until - sleep.before").await;
    let caught = number(&browser, "sleep.caught").await;
    assert!(missed > 3_000, "{missed} updates in four seconds");
    assert!(caught <= KEYS, "{caught} of {missed}");
    browser.until("$('figure').textContent.includes(' published, ')").await;
    // The page has the current value of each key.
    let newest = number(&browser, "newest").await;
    browser.until(&format!("[...numbers.values()].every((n) => n > {newest})")).await;
    assert_eq!(browser.eval("lastEventId !== ''").await, true);

    tokio::time::sleep(Duration::from_millis(1500)).await;
    let picture = browser.client.screenshot().await.unwrap();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 20_000, "{} bytes", picture.len());
    if let Some(path) = path {
        fs::write(path, picture).unwrap();
    }
}

/// A stopped tab is connected and reads nothing, as when the browser suspends it.
#[tokio::test]
async fn a_tab_that_is_stopped_while_it_reads_gets_the_sent_events_and_then_the_newest() {
    const RATE: usize = 40_000;
    let server = Server::plain(example::app(RATE, WINDOW, &Shutdown::now())).await;
    let browser = opened(&server).await;
    let stop = "(() => {
        const before = { newest, received }, end = performance.now() + 6000;
        while (performance.now() < end);
        return [before.newest, before.received];
    })()";
    let before: Vec<usize> = serde_json::from_value(browser.eval(stop).await).unwrap();
    let published = "(() => {
        const request = new XMLHttpRequest();
        request.open('GET', '/stats', false);
        request.send();
        return JSON.parse(request.responseText).published;
    })()";
    let published = number(&browser, published).await;
    browser.until(&format!("newest >= {published}")).await;
    let counted: Value = browser.eval("[newest, received]").await;
    let counted: Vec<usize> = serde_json::from_value(counted).unwrap();
    let (all, came) = (counted[0] - before[0], counted[1] - before[1]);
    // Events in the buffers of the sockets and of the browser arrive although they are superseded.
    assert!(all > 4 * RATE && came < all / 2, "{came} of {all}");
    assert_eq!(number(&browser, "numbers.size").await, KEYS);
    assert_eq!(browser.eval("source.readyState").await, 1);
}
