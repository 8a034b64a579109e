//! A server for Anthropic's clients: the messages API, as a stream.
//!
//! - The type of an event is also the `type` in its JSON. An answer is `message_start`, blocks of content,
//!   `message_delta` and `message_stop`, which is the end. There is no `retry` and no ID.
//! - The key is a bearer token. Older versions of the clients send it as `x-api-key`.
//! - The keep-alive is an event `ping`. Send it to Anthropic's clients only: for OpenAI's it is a chunk.
//! - An error in time is a status and `{"type": "error", …}`. A later one is an event `error` with the same JSON.
//!
//! ```python
//! Anthropic(base_url="http://127.0.0.1:8080", api_key="secret").messages.stream(model="parrot", …)
//! ```

use axum::{Json, Router, extract::State, response::*, routing::post};
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use serde_json::{Value, json};
use tower_sse::{Event, EventBody, JsonError, KeepAlive};

use crate::{Site, model::Question};

pub(crate) fn router(site: &Site) -> Router {
    Router::new().route("/v1/messages", post(messages)).with_state(site.clone())
}

async fn messages(
    State(site): State<Site>,
    headers: HeaderMap,
    question: Json<Question>,
) -> Response {
    let key = headers.get(AUTHORIZATION).or_else(|| headers.get("x-api-key"));
    let refused = match &*question.model {
        _ if key.is_none_or(|key| key != "Bearer secret" && key != "secret") => {
            Some((StatusCode::UNAUTHORIZED, "authentication_error", "the key is wrong"))
        }
        "parrot" if question.stream => None,
        _ => Some((StatusCode::NOT_FOUND, "not_found_error", "there is a parrot that streams")),
    };
    if let Some((status, kind, why)) = refused {
        return (status, Json(error(kind, why))).into_response();
    }
    let mut words = site.model.answer(question.prompt());
    let ping = Event::new(r#"{"type": "ping"}"#).with_type("ping");
    let ping = KeepAlive::every(site.keep_alive).without_comment().event(ping);
    let body = EventBody::new(move |events| async move {
        let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "content": [],
            "model": "parrot", "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": 1, "output_tokens": 0}});
        events.send(event("message_start", json!({"message": message}))?).await?;
        let block = json!({"index": 0, "content_block": {"type": "text", "text": ""}});
        events.send(event("content_block_start", block)?).await?;
        let mut tokens = 0;
        while let Some(word) = words.next().await {
            let word = match word {
                Ok(word) => json!({"type": "text_delta", "text": word}),
                Err(why) => {
                    return Ok(events.send(event("error", error("api_error", why))?).await?);
                }
            };
            let delta = json!({"index": 0, "delta": word});
            events.send(event("content_block_delta", delta)?).await?;
            tokens += 1;
        }
        events.send(event("content_block_stop", json!({"index": 0}))?).await?;
        let end = json!({"delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": tokens}});
        events.send(event("message_delta", end)?).await?;
        Ok(events.send(event("message_stop", json!({}))?).await?)
    });
    body.options(site.answer("anthropic")).keep_alive(ping).into_response()
}

/// An event whose type is also in its JSON.
fn event(kind: &'static str, mut json: Value) -> Result<Event, JsonError> {
    json["type"] = kind.into();
    Ok(Event::json(&json)?.with_type(kind))
}

fn error(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}})
}
