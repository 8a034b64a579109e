//! The first transport of the Model Context Protocol: HTTP+SSE, version 2024-11-05.
//!
//! - `GET /sse` is the stream of a session. Its first event, `endpoint`, names the path for the client's messages.
//!   Each later one is a `message` of the server, with JSON-RPC as its data.
//! - `POST /messages` takes a message, and answers with a 202. The response comes on the stream.
//! - A reconnect is a new session, and responses that were due are lost: the event ID does not name the path. That
//!   is why `mcp_http.rs` has replaced this transport.
//! - A client that leaves ends its session: calls that still work stop.
//!
//! ```python
//! async with sse_client("http://127.0.0.1:8080/sse") as (read, write), ClientSession(read, write) as session: ...
//! ```

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::{get, post},
};
use futures_util::StreamExt as _;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tower_sse::{BoxError, Event, EventBody, Refusal, hub::Selection};
use uuid::Uuid;

use crate::{Site, mcp_tools};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    session_id: String,
}

pub(crate) fn router(site: &Site) -> Router {
    let paths = Router::new().route("/sse", get(open)).route("/messages", post(message));
    paths.with_state(site.clone())
}

async fn open(State(site): State<Site>) -> Result<EventBody, Refusal> {
    let session = Uuid::new_v4().simple();
    let topic = format!("mcp.{session}");
    let endpoint = Event::new(format!("/messages?sessionId={session}")).with_type("endpoint");
    site.hub.publish(topic.as_str(), endpoint).await?;
    let messages = site.hub.subscribe(Selection::new([topic])?.from_start()).await?;
    Ok(messages.into_body().options(site.feed("mcp_sse")))
}

async fn message(
    State(site): State<Site>,
    Query(Session { session_id }): Query<Session>,
    Json(message): Json<Value>,
) -> Result<StatusCode, Refusal> {
    let topic = format!("mcp.{session_id}");
    if site.hub.readers(topic.as_str()).map_err(Refusal::bad_request)? == 0 {
        return Err(Refusal::new(StatusCode::NOT_FOUND).body("the session has ended"));
    }
    if message["id"].is_null() || message["method"].is_null() {
        // A notification, or a response.
        return Ok(StatusCode::ACCEPTED);
    }
    match mcp_tools::answer(&message) {
        Some(response) => _ = site.hub.publish(topic, Event::json(&response)?).await?,
        None => _ = tokio::spawn(call(site, topic, message)),
    }
    Ok(StatusCode::ACCEPTED)
}

async fn call(site: Site, topic: String, request: Value) -> Result<(), BoxError> {
    let mut messages = mcp_tools::call(&site.model, &request);
    while let Some(message) = messages.next().await {
        if site.hub.readers(topic.as_str())? == 0 {
            println!("mcp_sse: stopped");
            break;
        }
        site.hub.publish(topic.as_str(), Event::json(&message)?).await?;
    }
    Ok(())
}
