//! A server that streams a given script, to test how a client handles it.
//!
//! ```text
//! cargo run --example echo --features json
//! curl http://127.0.0.1:8080/events -d '[
//!     {"type": "greeting", "id": "1", "data": "hello\nworld"},
//!     {"comment": "a pause", "delay_ms": 500},
//!     {"data": "bye", "retry_ms": 1000, "fields": [["trace", "4bf92f"]]}
//! ]'
//! curl -N http://127.0.0.1:8080/events/…
//! ```
//!
//! An event has any of `type`, `id`, `data`, `retry_ms`, `comment`, `fields`, and `delay_ms`, the
//! time before it is sent. A stream holds these events and nothing else: no greeting, no
//! keep-alive.

use std::{
    collections::VecDeque,
    fmt::Display,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt as _,
};
use clap::Parser;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, time::sleep};
use tower_sse::{BoxError, Event, EventBody, EventId, EventType, Farewell, FieldName, Shutdown};
use uuid::Uuid;

/// How many scripts are kept, and the maximum size of each in bytes. The oldest is removed first.
const SCRIPTS: usize = 100;
const SCRIPT_BYTES: usize = 1 << 20;

/// A server that streams a given script.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
}

/// The events to send, each after its delay.
type Script = Vec<(Duration, Event)>;
type Scripts = Arc<Mutex<VecDeque<(String, Arc<Script>)>>>;

#[derive(Clone)]
struct Kept {
    scripts: Scripts,
    shutdown: Shutdown,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    // On Ctrl-C each stream sends a reconnection time, and ends.
    let shutdown =
        Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));
    let app = Router::new()
        .route("/events", post(keep).layer(DefaultBodyLimit::max(SCRIPT_BYTES)))
        .route("/events/{id}", get(play))
        .with_state(Kept { scripts: Scripts::default(), shutdown: shutdown.clone() });
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
        .await?;
    Ok(())
}

async fn keep(State(Kept { scripts, .. }): State<Kept>, body: Bytes) -> Response {
    let script = match parse_script(&body) {
        Ok(script) => Arc::new(script),
        Err(error) => return (StatusCode::BAD_REQUEST, error).into_response(),
    };
    let id = Uuid::new_v4().to_string();
    let url = format!("/events/{id}");
    let mut scripts = scripts.lock().unwrap_or_else(PoisonError::into_inner);
    scripts.truncate(SCRIPTS - 1);
    scripts.push_front((id, script));
    (StatusCode::ACCEPTED, Json(json!({"url": url}))).into_response()
}

async fn play(
    State(Kept { scripts, shutdown }): State<Kept>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, StatusCode> {
    let scripts = scripts.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = scripts.iter().find(|(kept, _)| *kept == id);
    let (_, script) = kept.cloned().ok_or(StatusCode::NOT_FOUND)?;
    let body = EventBody::new(|events| async move {
        for (delay, event) in script.iter() {
            if !delay.is_zero() {
                sleep(*delay).await;
            }
            events.send(event.clone()).await?;
        }
        Ok(())
    });
    let body = body.without_greeting().without_keep_alive().shutdown(&shutdown);
    Ok(body.into_http_response())
}

/// Reads a script. The error names the event, counted from 0, and its field.
fn parse_script(body: &[u8]) -> Result<Script, String> {
    let events: Vec<Value> = serde_json::from_slice(body)
        .map_err(|error| format!("the body is not a JSON array: {error}"))?;
    let parsed = events.into_iter().enumerate().map(|(index, event)| {
        parse_event(event).map_err(|error| format!("event {index}: {error}"))
    });
    parsed.collect()
}

fn parse_event(event: Value) -> Result<(Duration, Event), String> {
    let Value::Object(mut fields) = event else { return Err("not an object".into()) };
    let mut event = Event::default();
    if let Some(text) = take::<String>(&mut fields, "type")? {
        event = event.with_type(EventType::try_from(text).map_err(in_field("type"))?);
    }
    if let Some(text) = take::<String>(&mut fields, "id")? {
        event = event.with_id(EventId::try_from(text).map_err(in_field("id"))?);
    }
    if let Some(text) = take::<String>(&mut fields, "data")? {
        event = event.with_data(text);
    }
    if let Some(millis) = take(&mut fields, "retry_ms")? {
        event = event.with_retry(Duration::from_millis(millis));
    }
    if let Some(text) = take::<String>(&mut fields, "comment")? {
        event = event.with_comment(text);
    }
    for (name, value) in take::<Vec<(String, String)>>(&mut fields, "fields")?.unwrap_or_default() {
        event = event.with_field(FieldName::try_from(name).map_err(in_field("fields"))?, value);
    }
    let delay = take(&mut fields, "delay_ms")?.map_or(Duration::ZERO, Duration::from_millis);
    match fields.keys().next() {
        None => Ok((delay, event)),
        Some(name) => Err(format!("{name}: unknown field")),
    }
}

/// Takes a field out, if it is there and not null.
fn take<T: DeserializeOwned>(
    fields: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<T>, String> {
    let value = fields.remove(name).unwrap_or_default();
    serde_json::from_value(value).map_err(in_field(name))
}

fn in_field<E: Display>(name: &str) -> impl Fn(E) -> String {
    move |error| format!("{name}: {error}")
}
