//! A chat for the AI SDK: `useChat({ id, resume: true })`, with answers that outlive their page.
//!
//! - `POST /api/chat` starts a run. After a reload, `GET /api/chat/{id}/stream` gives the run from its start, or a
//!   204 if none is active. The client takes all parts again, so it needs no IDs.
//! - Each part is an event with data only, and the last one is `[DONE]`. A header names the protocol's version.
//! - An error in time is a status, whose body is the message. A later one is a part `error`.
//! - A client that leaves does not stop the run, and so neither does `stop()` of the hook.
//!   `DELETE /api/chat/{id}/stream` does, and each page gets a part `abort`.

use axum::{Json, Router, extract::*, response::*, routing::*};
use futures_util::StreamExt as _;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use tower_sse::hub::runs::{Run, RunEvents, RunState, Runs, StopSignal};
use tower_sse::{BoxError, Event, Refusal, hub::Entry};

use crate::{Site, model::Words};

pub(crate) fn router(site: &Site) -> Router {
    let paths = Router::new().route("/api/chat", post(start));
    paths.route("/api/chat/{id}/stream", get(resume).delete(stop)).with_state(site.clone())
}

async fn start(State(site): State<Site>, chat: Json<Value>) -> Result<Response, Refusal> {
    let last = chat["messages"].as_array().and_then(|messages| messages.last());
    let prompt = last.and_then(|last| last["parts"][0]["text"].as_str());
    let prompt = prompt.filter(|prompt| !prompt.is_empty());
    let (Some(id), Some(prompt)) = (chat["id"].as_str(), prompt) else {
        return Err(Refusal::bad_request("the last message has no text"));
    };
    let words = site.model.answer(prompt);
    // The chat owns its runs, so any node finds the active one.
    let run = site.runs.start(id, |events, stop| answer(words, events, stop)).await?;
    respond(&site, &run).await
}

async fn resume(State(site): State<Site>, Path(id): Path<String>) -> Result<Response, Refusal> {
    match active(&site.runs, &id).await {
        Some(run) => respond(&site, &run).await,
        None => Err(Refusal::new(StatusCode::NO_CONTENT)),
    }
}

async fn stop(State(site): State<Site>, Path(id): Path<String>) -> Result<(), Refusal> {
    let Some(run) = active(&site.runs, &id).await else { return Ok(()) };
    Ok(run.stop().await?)
}

async fn active(runs: &Runs, chat: &str) -> Option<Run> {
    let run = runs.list(chat).into_iter().find(|run| run.state == RunState::Running)?;
    runs.get(chat, &run.id).await
}

async fn respond(site: &Site, run: &Run) -> Result<Response, Refusal> {
    // A run ends with an event of its own, in place of which this protocol has `[DONE]`.
    let part = |entry: &Entry| match entry.event() {
        event if event.event_type() == "end" => Event::new("[DONE]"),
        event => event,
    };
    let body = run.subscribe().await?.map(part).into_body().options(site.answer("ai_sdk"));
    let version = ("x-vercel-ai-ui-message-stream", HeaderValue::from_static("v1"));
    Ok(([version], body).into_response())
}

async fn answer(mut words: Words, events: RunEvents, stop: StopSignal) -> Result<(), BoxError> {
    let send = async |part: Value| Ok(events.send(Event::json(&part)?).await?);
    send(json!({"type": "start"})).await?;
    send(json!({"type": "text-start", "id": "1"})).await?;
    while let Some(word) = words.next().await {
        match word {
            _ if stop.is_requested() => return send(json!({"type": "abort"})).await,
            Ok(word) => send(json!({"type": "text-delta", "id": "1", "delta": word})).await?,
            Err(why) => return send(json!({"type": "error", "errorText": why})).await,
        }
    }
    send(json!({"type": "text-end", "id": "1"})).await?;
    send(json!({"type": "finish"})).await
}
