//! A server for OpenAI's clients: chat completions, whole or as a stream.
//!
//! - An event has data only, and the last one is `[DONE]`. There is no `retry` and no ID: the client for Python
//!   takes a block without data for JSON, and fails. Comments do no harm: they are the keep-alive.
//! - An error in time is a status and `{"error": …}`. A later one is an event with the same JSON.
//! - If the client leaves, the handler is dropped where it waits, and the model with it.
//!
//! ```python
//! client = OpenAI(base_url="http://127.0.0.1:8080/v1", api_key="secret")
//! question = [{"role": "user", "content": "Hello"}]
//! for chunk in client.chat.completions.create(model="parrot", messages=question, stream=True): ...
//! ```

use axum::{Json, Router, extract::State, response::*, routing::post};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use serde_json::{Value, json};
use tower_sse::{Event, EventBody};

use crate::{Site, model::Question};

pub(crate) fn router(site: &Site) -> Router {
    Router::new().route("/v1/chat/completions", post(completions)).with_state(site.clone())
}

/// It reads the whole request first, so the server notices at once when the client leaves.
async fn completions(
    State(site): State<Site>,
    headers: HeaderMap,
    question: Json<Question>,
) -> Response {
    if headers.get(AUTHORIZATION).is_none_or(|key| key != "Bearer secret") {
        return (StatusCode::UNAUTHORIZED, Json(error("the key is wrong"))).into_response();
    }
    if question.model != "parrot" {
        return (StatusCode::NOT_FOUND, Json(error("there is a parrot only"))).into_response();
    }
    let mut words = site.model.answer(question.prompt());
    if !question.stream {
        return match words.try_collect::<String>().await {
            Ok(words) => {
                Json(answer("message", &json!({"content": words}), Some("stop"))).into_response()
            }
            Err(why) => (StatusCode::BAD_GATEWAY, Json(error(why))).into_response(),
        };
    }
    let chunk = |content: Value, end| Event::json(&answer("delta", &content, end));
    let body = EventBody::new(move |events| async move {
        events.send(chunk(json!({"role": "assistant", "content": ""}), None)?).await?;
        while let Some(word) = words.next().await {
            match word {
                Ok(word) => events.send(chunk(json!({"content": word}), None)?).await?,
                Err(why) => return Ok(events.send(Event::json(&error(why))?).await?),
            }
        }
        events.send(chunk(json!({}), Some("stop"))?).await?;
        Ok(events.send(Event::new("[DONE]")).await?)
    });
    body.options(site.answer("openai")).into_response()
}

/// An answer has its text in `message`, and a chunk of a stream in `delta`.
fn answer(field: &str, content: &Value, end: Option<&str>) -> Value {
    let kind = if field == "delta" { "chat.completion.chunk" } else { "chat.completion" };
    let choice = json!({"index": 0, field: content, "finish_reason": end});
    json!({"id": "chatcmpl-1", "object": kind, "created": 0, "model": "parrot", "choices": [choice]})
}

fn error(message: &str) -> Value {
    json!({"error": {"message": message, "type": "error"}})
}
