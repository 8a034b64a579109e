//! A chat for htmx: the extension for event streams of htmx 4, and that of htmx 2.
//!
//! - An event without a type is swapped into the page, so its data is HTML: escape the text of users.
//! - htmx 4 reads the stream itself. It reconnects with the last ID after every end and every failure, also after a 204
//!   or a 404. So the end is an event, which the attribute `hx-sse:close` names.
//! - htmx 2 uses the browser's `EventSource`. After a status that closes it, such as a 204, it opens a new one, which
//!   has no last ID. So the end is an event here as well, which `sse-close` names.
//!
//! Open <http://127.0.0.1:8080/htmx>, or `/htmx2`. `curl -X DELETE http://127.0.0.1:8080/htmx` ends the chat.

use axum::{
    Form, Router,
    extract::State,
    response::Html,
    routing::{get, get_service},
};
use http::StatusCode;
use serde::Deserialize;
use tower_sse::{Connect, Event, Refusal, hub::Selection};

use crate::Site;

const TOPIC: &str = "htmx";

#[derive(Deserialize)]
struct Message {
    text: String,
}

pub(crate) fn router(site: &Site) -> Router {
    // A page that opens shows the last messages. One that reconnects gets those that it has missed.
    let chat = |connect: Connect| async move {
        Ok(connect.accept().subscribe(Selection::new([TOPIC])?.last(50)))
    };
    let events = site.hub.handler(chat).options(site.feed("htmx"));
    Router::new()
        .route("/htmx", get(Html(include_str!("htmx.html"))).post(say).delete(end))
        .route("/htmx2", get(Html(include_str!("htmx2.html"))))
        .route("/htmx/events", get_service(events))
        .with_state(site.clone())
}

async fn say(State(site): State<Site>, message: Form<Message>) -> Result<StatusCode, Refusal> {
    let item = format!("<li>{}</li>", escape(&message.text));
    site.hub.publish(TOPIC, Event::new(item)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end(State(site): State<Site>) -> Result<StatusCode, Refusal> {
    site.hub.finish(TOPIC, Event::new("").with_type("end")).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns text as HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
