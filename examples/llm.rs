//! Answers token by token, in the format of OpenAI's chat completions. The answer is saved even if
//! the client leaves.
//!
//! With `--upstream` it is a gateway in front of another model: it keeps the status and the headers, sends
//! keep-alives while the model thinks, and saves each streamed answer that is complete. If the client leaves, the
//! request to the model is dropped.
//!
//! ```text
//! cargo run --example llm --features json
//! cargo run --example llm --features json -- --upstream https://models.example
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
    body::{Body, Bytes},
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt as _,
};
use clap::Parser;
use futures_util::{Stream, StreamExt, stream};
use http::{
    HeaderValue, Request, StatusCode, Uri, Version,
    header::{CONTENT_TYPE, COOKIE, HOST},
    request,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};
use tower::service_fn;
use tower_sse::{
    BoxError, Event, EventBody, EventSender, Farewell, JsonError, KeepAlive, Refusal, Shutdown,
    SseRelay, layer::relay::RelayError,
};
use uuid::Uuid;

/// How many answers are kept.
const MAX_ANSWERS: usize = 1000;

/// A model that repeats the prompt, word by word, or a gateway in front of another one.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// How long the model takes for a word (without --upstream)
    #[arg(long, default_value = "100ms")]
    every: humantime::Duration,
    /// The server of the model, without a path. Without it, the words of the prompt are repeated
    #[arg(long)]
    upstream: Option<Uri>,
    /// How long a request with `stream: true` waits for the status of the upstream. After that it gets an event stream
    #[arg(long, default_value = "5s")]
    commit: humantime::Duration,
    /// Send a comment after this much silence of the upstream
    #[arg(long, default_value = "10s")]
    keep_alive: humantime::Duration,
}

#[derive(Deserialize)]
struct Wanted {
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
    let gateway = match args.upstream {
        Some(upstream) => {
            let relay = relay(*args.keep_alive, &shutdown);
            Some(Gateway { upstream, commit: *args.commit, relay, client: client()? })
        }
        None => None,
    };
    let model = Model { every: *args.every, answers, shutdown: shutdown.clone(), gateway };
    let app = Router::new()
        .route("/v1/chat/completions", post(completions))
        .route("/v1/chat/completions/{id}", get(saved))
        .with_state(model);
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
        .await?;
    Ok(())
}

/// This is an axum handler, not an event channel handler, because its answer depends on the body of
/// the request. It reads the body to its end, so the server notices at once when the client leaves.
async fn completions(State(model): State<Model>, head: request::Parts, body: Bytes) -> Response {
    let request: Wanted = match Json::from_bytes(&body) {
        Ok(Json(request)) => request,
        Err(rejection) => return rejection.into_response(),
    };
    if let Some(gateway) = model.gateway.clone() {
        return gateway.pass_on(model, &request, head, body).await;
    }
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
    .without_keep_alive()
    .shutdown(&shutdown)
    .into_http_response()
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

/// The way to another model.
#[derive(Clone)]
struct Gateway {
    upstream: Uri,
    commit: Duration,
    relay: SseRelay,
    client: reqwest::Client,
}

fn client() -> Result<reqwest::Client, BoxError> {
    // The application chooses the cryptography provider.
    let _another_is_installed = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?)
}

/// The rules for all requests.
fn relay(keep_alive: Duration, shutdown: &Shutdown) -> SseRelay {
    let message = |error: &RelayError| match error {
        // The error of the model is passed on, and others are for the log.
        RelayError::UnexpectedResponse(response) => serde_json::from_slice(response.body()).ok(),
        _ => None,
    };
    let error = move |error: &RelayError| {
        let own = json!({"error": {"message": "the model has failed", "type": "upstream_error"}});
        message(error).unwrap_or(own)
    };
    SseRelay::new()
        .keep_alive(KeepAlive::every(keep_alive))
        .until_data("[DONE]")
        .max_streams(10_000)
        .shutdown(shutdown)
        .error_event(move |failure| Event::json(&error(failure)).ok())
        .error_response(move |failure| {
            let status = match failure {
                RelayError::FirstByteTimeout => StatusCode::GATEWAY_TIMEOUT,
                _ => StatusCode::BAD_GATEWAY,
            };
            let json = HeaderValue::from_static("application/json");
            Refusal::new(status).header(CONTENT_TYPE, json).body(error(failure).to_string())
        })
        .on_disconnect(|end| eprintln!("{}: {} events", end.reason(), end.events()))
}

impl Gateway {
    async fn pass_on(
        self,
        model: Model,
        wanted: &Wanted,
        mut head: request::Parts,
        body: Bytes,
    ) -> Response {
        // The host is this server, and cookies are for this server only. The key of the client is passed on.
        for name in [HOST, COOKIE] {
            head.headers.remove(name);
        }
        let mut target = self.upstream.into_parts();
        target.path_and_query = head.uri.path_and_query().cloned();
        let Ok(target) = Uri::from_parts(target) else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        (head.uri, head.version) = (target, Version::default());
        // The response may become an event stream early only if the client has asked for one.
        let relay = match wanted.stream {
            true => self.relay.commit_within(self.commit),
            false => self.relay.without_commit(),
        };
        let answer = Mutex::new(Received::default());
        let relay = relay.inspect(move |event| {
            let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(whole) = answer.add(event) {
                model.save(&whole, &answer.content);
            }
        });
        let service = service_fn(move |request: Request<Bytes>| {
            let client = self.client.clone();
            async move {
                let request = reqwest::Request::try_from(request)?;
                let response = client.execute(request).await?;
                Ok::<http::Response<reqwest::Body>, BoxError>(response.into())
            }
        });
        relay.send(service, Request::from_parts(head, body)).await.into_response()
    }
}

/// What the model has said so far.
#[derive(Default)]
struct Received {
    answer: Option<Answer>,
    content: String,
}

impl Received {
    /// Adds a chunk. Returns the answer after the last one.
    fn add(&mut self, event: &Event) -> Option<Answer> {
        if event.data() == "[DONE]" {
            return self.answer.take();
        }
        let chunk: Value = serde_json::from_str(event.data()).ok()?;
        self.answer.get_or_insert_with(|| Answer {
            id: chunk["id"].as_str().unwrap_or_default().to_owned(),
            created: chunk["created"].as_u64().unwrap_or_default(),
            model: chunk["model"].as_str().unwrap_or_default().to_owned(),
        });
        self.content.push_str(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        None
    }
}

/// Stands for a model and for a database.
#[derive(Clone)]
struct Model {
    every: Duration,
    shutdown: Shutdown,
    gateway: Option<Gateway>,
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
        if answers.len() == MAX_ANSWERS {
            answers.pop_first();
        }
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
