//! The test service that LaunchDarkly's contract tests for SSE clients drive.
//!
//! ```text
//! cargo run --example contract_service
//! sse-contract-tests -url http://127.0.0.1:8000
//! ```
//!
//! The tests create event sources here, which read a server of the tests. Callbacks report to the
//! tests every item that an event source yields.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
    routing::get,
    serve::ListenerExt as _,
};
use bytes::Bytes;
use clap::Parser;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
    task::AbortHandle,
};
use tower_sse::{BoxError, EventId, EventSource, Reconnection, Update};

const CAPABILITIES: [&str; 9] = [
    "bom",
    "comments",
    "headers",
    "post",
    "report",
    "last-event-id",
    "read-timeout",
    "restart",
    "server-directed-shutdown-request",
];

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// The test service for contract tests of SSE clients.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8000")]
    addr: SocketAddr,
}

#[derive(Clone)]
struct Service {
    client: HttpClient,
    streams: Arc<Mutex<Streams>>,
    quit: Arc<Notify>,
}

#[derive(Default)]
struct Streams {
    created: u64,
    open: HashMap<u64, Stream>,
}

/// A stream. Its task ends when this is dropped.
struct Stream {
    restart: mpsc::UnboundedSender<()>,
    task: AbortHandle,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The settings of a stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    #[serde(default)]
    tag: String,
    stream_url: String,
    callback_url: String,
    initial_delay_ms: Option<u64>,
    read_timeout_ms: Option<u64>,
    last_event_id: Option<String>,
    method: Option<String>,
    body: Option<String>,
    #[serde(default)]
    headers: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
struct Command {
    command: String,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let quit = Arc::new(Notify::new());
    let service = Service {
        client: Client::builder(TokioExecutor::new()).build_http(),
        streams: Arc::default(),
        quit: quit.clone(),
    };
    let app = Router::new()
        .route("/", get(status).post(create).delete(quit_service))
        .route("/streams/{id}", axum::routing::post(command).delete(delete))
        .with_state(service);
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener.tap_io(|tcp| _ = tcp.set_nodelay(true)), app) => served?,
        () = quit.notified() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}

async fn status() -> Json<Value> {
    Json(json!({"name": "tower-sse", "capabilities": CAPABILITIES}))
}

async fn quit_service(State(service): State<Service>) -> StatusCode {
    service.quit.notify_one();
    StatusCode::NO_CONTENT
}

async fn create(State(service): State<Service>, body: Bytes) -> Response {
    let create = serde_json::from_slice::<Create>(&body).map_err(BoxError::from);
    let source = create.and_then(|create| {
        let callback = create.callback_url.parse::<Uri>()?;
        Ok((source(service.client.clone(), &create)?, callback, create.tag))
    });
    let (source, callback, tag) = match source {
        Ok(source) => source,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let (restart, restarts) = mpsc::unbounded_channel();
    let callbacks = Callbacks { client: service.client.clone(), url: callback, count: 0 };
    let task = tokio::spawn(async move {
        if let Err(error) = run(source, restarts, callbacks).await {
            eprintln!("{tag}: a callback failed: {error}");
        }
    });
    let mut streams = service.streams.lock().unwrap_or_else(PoisonError::into_inner);
    streams.created += 1;
    let id = streams.created;
    streams.open.insert(id, Stream { restart, task: task.abort_handle() });
    (StatusCode::CREATED, [("location", format!("/streams/{id}"))]).into_response()
}

fn source(client: HttpClient, create: &Create) -> Result<EventSource, BoxError> {
    let method = create.method.as_deref().unwrap_or("GET");
    let mut request = Request::builder()
        .method(Method::from_bytes(method.as_bytes())?)
        .uri(&create.stream_url)
        .body(create.body.clone().unwrap_or_default())?;
    let headers = create.headers.iter().flatten().map(|(name, value)| {
        Ok((name.parse::<HeaderName>()?, HeaderValue::from_bytes(value.as_bytes())?))
    });
    request.headers_mut().extend(headers.collect::<Result<HeaderMap, BoxError>>()?);
    let mut policy = Reconnection::resilient();
    if let Some(delay) = create.initial_delay_ms {
        policy = policy.base(Duration::from_millis(delay));
    }
    let mut source = EventSource::request(client, request).reconnection(policy);
    if let Some(id) = &create.last_event_id {
        source = source.with_last_event_id(EventId::try_from(id)?);
    }
    if let Some(timeout) = create.read_timeout_ms {
        source = source.idle_timeout(Duration::from_millis(timeout));
    }
    Ok(source)
}

/// The number of a stream. An invalid number is answered like an unknown one: not found.
type Id = Result<Path<u64>, PathRejection>;

async fn command(State(service): State<Service>, id: Id, body: Bytes) -> StatusCode {
    let streams = service.streams.lock().unwrap_or_else(PoisonError::into_inner);
    let stream = id.ok().and_then(|Path(id)| streams.open.get(&id));
    let Some(stream) = stream else { return StatusCode::NOT_FOUND };
    match serde_json::from_slice::<Command>(&body) {
        Ok(Command { command }) if command == "restart" => {
            // A stream that has ended is not restarted.
            let _ = stream.restart.send(());
            StatusCode::ACCEPTED
        }
        // All events are reported, so a listener for one type changes nothing.
        Ok(Command { command }) if command == "listen" => StatusCode::ACCEPTED,
        _ => StatusCode::BAD_REQUEST,
    }
}

async fn delete(State(service): State<Service>, id: Id) -> StatusCode {
    let mut streams = service.streams.lock().unwrap_or_else(PoisonError::into_inner);
    match id.ok().and_then(|Path(id)| streams.open.remove(&id)) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::NOT_FOUND,
    }
}

/// Reports to the tests every item of a source, until the source has ended.
async fn run(
    mut source: EventSource,
    mut restarts: mpsc::UnboundedReceiver<()>,
    mut callbacks: Callbacks,
) -> Result<(), BoxError> {
    loop {
        let update = tokio::select! {
            update = source.next_update() => update,
            Some(()) = restarts.recv() => {
                source.reconnect();
                continue;
            }
        };
        let message = match update {
            None => return Ok(()),
            Some(Ok(Update::Event(event))) => json!({"kind": "event", "event": {
                "type": event.event_type().as_str(),
                "data": event.data(),
                "id": source.last_event_id().map_or("", EventId::as_str),
            }}),
            Some(Ok(Update::Comment(text))) => json!({"kind": "comment", "comment": text.as_str()}),
            // The tests end and cut streams on purpose, to see a reconnect, so they expect no error
            // for it.
            Some(Ok(Update::Reconnecting(again))) if again.cause.is_timeout() => {
                error(&again.cause)
            }
            Some(Ok(_)) => continue,
            Some(Err(met)) => error(&met),
        };
        callbacks.post(&message).await?;
    }
}

fn error(error: &dyn std::error::Error) -> Value {
    json!({"kind": "error", "error": error.to_string()})
}

/// Sends the callbacks to the tests, one after the other.
struct Callbacks {
    client: HttpClient,
    url: Uri,
    count: u64,
}

impl Callbacks {
    async fn post(&mut self, message: &Value) -> Result<(), BoxError> {
        self.count += 1;
        let request = Request::post(format!("{}/{}", self.url, self.count))
            .header("content-type", "application/json")
            .body(Full::from(message.to_string()))?;
        let response = self.client.request(request).await?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(format!("answered with {}", response.status()).into()),
        }
    }
}
