//! A chat for Datastar, whose events change elements and signals of the page.
//!
//! - `datastar-merge-fragments` has HTML in lines that start with `fragments`, and says with `selector` and `mergeMode`
//!   where it goes. `datastar-merge-signals` has an object in lines that start with `signals`. Version 1.0 has renamed
//!   them: `datastar-patch-elements` with `elements` and `mode`, and `datastar-patch-signals`.
//! - Datastar takes an end for the end of the action, and reconnects only after a failure, with the last ID. It doubles its wait,
//!   which starts with the `retry` of the server, up to 30 seconds and ten tries.
//! - It needs no event for the end. The page shows one as a signal.
//!
//! Open <http://127.0.0.1:8080/datastar>. `curl -X DELETE http://127.0.0.1:8080/datastar` ends the chat.

use axum::{
    Json, Router,
    extract::State,
    response::Html,
    routing::{get, get_service},
};
use http::StatusCode;
use serde_json::{Value, json};
use tower_sse::{Connect, Event, Refusal, hub::Selection};

use crate::{Site, htmx::escape};

const TOPIC: &str = "datastar";

pub(crate) fn router(site: &Site) -> Router {
    let chat = |connect: Connect| async move {
        Ok(connect.accept().subscribe(Selection::new([TOPIC])?.last(50)))
    };
    let events = site.hub.handler(chat).options(site.feed("datastar"));
    Router::new()
        .route("/datastar", get(Html(include_str!("datastar.html"))).post(say).delete(end))
        .route("/datastar/events", get_service(events))
        .with_state(site.clone())
}

/// The body of a request has the signals of the page.
async fn say(State(site): State<Site>, signals: Json<Value>) -> Result<StatusCode, Refusal> {
    let text = escape(signals["text"].as_str().unwrap_or_default());
    site.hub.publish(TOPIC, append("#messages", &format!("<li>{text}</li>"))).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end(State(site): State<Site>) -> Result<StatusCode, Refusal> {
    site.hub.finish(TOPIC, merge(&json!({"ended": true}))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Appends HTML to an element. Each line of the HTML has the name of the argument.
fn append(selector: &str, html: &str) -> Event {
    let lines = html.lines().map(|line| format!("\nfragments {line}"));
    let data = format!("selector {selector}\nmergeMode append{}", lines.collect::<String>());
    Event::new(data).with_type("datastar-merge-fragments")
}

/// Changes signals of the page.
fn merge(signals: &Value) -> Event {
    Event::new(format!("signals {signals}")).with_type("datastar-merge-signals")
}
