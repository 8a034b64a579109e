//! Answers token by token, in the format of OpenAI's chat completions. The answer is saved even if
//! the client leaves.
//!
//! ```text
//! cargo run --example llm --features json
//! curl -N http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' \
//!     -d '{"model": "parrot", "stream": true, "messages": [{"role": "user", "content": "Hello there"}]}'
//! ```

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use clap::Parser;
use futures_util::{Stream, StreamExt, stream};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};
use tower_sse::{BoxError, Event, EventBody, EventSender, Farewell, JsonError, Shutdown};
use uuid::Uuid;

/// A model that repeats the prompt, word by word.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// How long the model takes for a word
    #[arg(long, default_value = "100ms")]
    every: humantime::Duration,
}

#[derive(Deserialize)]
struct Request {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    // An answer cannot be resumed, so on Ctrl-C it gets time to finish.
    let shutdown = Shutdown::new(Farewell::new().grace_period(Duration::from_secs(30)));
    let answers = Arc::default();
    let app = Router::new()
        .route("/v1/chat/completions", post(completions))
        .route("/v1/chat/completions/{id}", get(saved))
        .with_state(Model { every: args.every.into(), answers, shutdown: shutdown.clone() });
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
        .await?;
    Ok(())
}

/// This is an axum handler, not an event channel handler, because its answer depends on the body of
/// the request. It reads the body to its end, so the server notices at once when the client leaves.
async fn completions(State(model): State<Model>, Json(request): Json<Request>) -> Response {
    let answer = Answer::by(request.model);
    let shutdown = model.shutdown.clone();
    let prompt = request.messages.into_iter().last().map(|last| last.content).unwrap_or_default();
    if !request.stream {
        let content: String = model.words(&prompt).collect().await;
        return Json(model.save(&answer, &content)).into_response();
    }
    EventBody::new(move |events| async move {
        // This future is dropped when the client leaves. The answer must still be finished and
        // saved, so a task produces it. The stream lasts until the task drops the sender.
        tokio::spawn(generate(model, answer, prompt, events));
        Ok(())
    })
    // Some clients of this API treat every line as data, so comments are left out.
    .without_greeting()
    .shutdown(&shutdown)
    .into_response()
    .map(Body::new)
}

/// Sends an answer word by word, and saves it. A failed send means that the client has left, and
/// does not stop it.
async fn generate(
    model: Model,
    answer: Answer,
    prompt: String,
    events: EventSender,
) -> Result<(), JsonError> {
    let _ = events.send(answer.chunk(&json!({"role": "assistant", "content": ""}), None)?).await;
    let mut content = String::new();
    let mut words = pin!(model.words(&prompt));
    while let Some(word) = words.next().await {
        let _ = events.send(answer.chunk(&json!({"content": word}), None)?).await;
        content.push_str(&word);
    }
    model.save(&answer, &content);
    let _ = events.send(answer.chunk(&json!({}), Some("stop"))?).await;
    let _ = events.send(Event::new("[DONE]")).await;
    Ok(())
}

/// Returns a saved answer, for example after its client has left.
async fn saved(State(model): State<Model>, Path(id): Path<String>) -> Response {
    let answers = model.answers.lock().unwrap_or_else(PoisonError::into_inner);
    match answers.get(&id) {
        Some(completion) => Json(completion).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Stands for a model and for a database.
#[derive(Clone)]
struct Model {
    every: Duration,
    shutdown: Shutdown,
    answers: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Model {
    fn words(&self, prompt: &str) -> impl Stream<Item = String> + use<> {
        let answer = format!("You said: {prompt}");
        let words: Vec<_> = answer.split_inclusive(' ').map(String::from).collect();
        let every = self.every;
        stream::iter(words).then(move |word| async move {
            sleep(every).await;
            word
        })
    }

    fn save(&self, answer: &Answer, content: &str) -> Value {
        let completion = answer.completion(content);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(answer.id.clone(), completion.clone());
        completion
    }
}

/// The fields that an answer and its chunks share.
struct Answer {
    id: String,
    created: u64,
    model: String,
}

impl Answer {
    fn by(model: String) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { id: format!("chatcmpl-{}", Uuid::new_v4().simple()), created, model }
    }

    fn chunk(&self, delta: &Value, finish_reason: Option<&str>) -> Result<Event, JsonError> {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish_reason});
        Event::json(&self.object("chat.completion.chunk", &choice))
    }

    fn completion(&self, content: &str) -> Value {
        let message = json!({"role": "assistant", "content": content});
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        self.object("chat.completion", &choice)
    }

    fn object(&self, object: &str, choice: &Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "choices": [choice],
        })
    }
}
