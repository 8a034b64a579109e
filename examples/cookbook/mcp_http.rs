//! The second transport of the Model Context Protocol: streamable HTTP, versions 2025-03-26 to 2025-11-25.
//!
//! - `POST /mcp` takes a message. A short response is JSON. That of a tool is a stream: its progress and its result.
//! - The call is a run, which goes on if the stream is lost. A `GET` with the last event ID gives the rest. The first
//!   event has an ID and empty data, so that a client can resume before anything else has come.
//! - A client that leaves does not cancel the call. The notification `notifications/cancelled` does.
//! - `initialize` opens a session, which each later request names, and `DELETE` ends it. An unknown one is a 404, and
//!   the client starts again. A `GET` without an ID is a 405: this server sends nothing on its own.

use axum::{Json, Router, extract::State, response::*, routing::post};
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tower_sse::{
    Event, LastEventId, Refusal,
    hub::{Entry, Subscription},
};

use crate::{Site, mcp_sessions::Sessions, mcp_tools};

type Server = State<(Site, Sessions)>;
type Result<T> = std::result::Result<T, Refusal>;

pub(crate) fn router(site: &Site) -> Router {
    let server = (site.clone(), Sessions::default());
    Router::new().route("/mcp", post(message).get(resume).delete(end)).with_state(server)
}

async fn message(server: Server, headers: HeaderMap, message: Json<Value>) -> Result<Response> {
    let State((site, sessions)) = server;
    if message["method"] == "initialize" {
        let session = [("mcp-session-id", sessions.open())];
        return Ok((session, Json(mcp_tools::answer(&message))).into_response());
    }
    let session = sessions.find(&headers)?;
    if message["method"] == "notifications/cancelled" {
        session.stop(Some(&message["params"]["requestId"])).await?;
    }
    let is_request = !message["id"].is_null() && !message["method"].is_null();
    if !is_request {
        return Ok(StatusCode::ACCEPTED.into_response());
    }
    if let Some(response) = mcp_tools::answer(&message) {
        return Ok(Json(response).into_response());
    }
    let messages = mcp_tools::call(&site.model, &message);
    let work = site.runs.start(&session.id, |events, mut stop| async move {
        let mut messages = messages.take_until(Box::pin(stop.requested()));
        events.send(Event::new("")).await?;
        while let Some(message) = messages.next().await {
            events.send(Event::json(&message)?).await?;
        }
        println!("mcp_http: the call was cancelled: {}", messages.is_stopped());
        Ok(())
    });
    let run = work.await?;
    sessions.add(&session, message["id"].clone(), run.clone());
    Ok(stream(&site, run.subscribe().await?))
}

async fn resume(server: Server, headers: HeaderMap, last: Option<LastEventId>) -> Result<Response> {
    let State((site, sessions)) = server;
    let session = sessions.find(&headers)?;
    let last = last.ok_or_else(|| Refusal::new(StatusCode::METHOD_NOT_ALLOWED))?;
    Ok(stream(&site, session.resume(&last).await?))
}

async fn end(State((_, sessions)): Server, headers: HeaderMap) -> Result<StatusCode> {
    let session = sessions.find(&headers)?;
    session.stop(None).await?;
    sessions.end(&session);
    Ok(StatusCode::NO_CONTENT)
}

fn stream(site: &Site, messages: Subscription) -> Response {
    // The last event of a run is not one of this protocol.
    let messages = messages.filter(|entry: &Entry| entry.event().event_type() != "end");
    messages.into_body().options(site.feed("mcp_http")).into_response()
}
