//! A hub as a server of its own: publish with POST, read with GET.
//!
//! ```text
//! cargo run --example hub
//! curl -N 'http://127.0.0.1:8080/events?topic=orders&pattern=orders.>'
//! curl -d paid http://127.0.0.1:8080/topics/orders.7 -H 'event-type: order'
//! curl http://127.0.0.1:8080/stats
//! cargo run --example hub --features redis -- --backend redis://127.0.0.1:6379 --prefix events
//! cargo run --example hub --features nats -- --backend nats://127.0.0.1:4222 --prefix events
//! ```
//!
//! With the same `--backend` and `--prefix`, several servers are nodes of one hub. `deploy/` has a unit
//! file for systemd, and files for the proxies in front of the nodes.
//!
//! - `POST /topics/{topic}` publishes the body as the event's data, with the headers `Event-Type`,
//!   `Event-Key` and `Event-Ttl`. It answers 201 and `{"id":"…"}`. `DELETE`, with an `Event-Key`,
//!   publishes an event that removes the key from the state.
//! - `POST /topics/{topic}/finish` ends the topic. A body that is not empty is its last event.
//! - `GET /events` takes any number of `topic` and `pattern`. It starts with new events, or with
//!   `last=50` events of each topic, all events (`start=true`), or the current entry of each key
//!   (`state=true`). It resumes after the header `Last-Event-ID`, or `last_event_id` in the query.
//! - `GET /readers/{topic}` lists the readers of a topic by the `name` in their queries.
//! - `POST /disconnect/{token}` ends the streams of a `--read-token`, on all nodes.
//! - `GET /health` answers 200, or 503 if the backend does not answer. `GET /stats` has figures.
//! - `GET /ready` answers 200, or 503 once the server leaves, which is on Ctrl-C and on SIGTERM. Streams
//!   and requests are served for the time of `--drain` after that. Load balancers check this path.
//! - Clients send a token as `Authorization: Bearer …`, and browsers as `token=…` in the query.
//! - `/` is a page that shows events, and `/chat?room=lobby&name=ann` is a chat.

use std::{collections::BTreeSet, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, Path, Request, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{HeaderMap, Method, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Json, Response},
    routing::{get, get_service, post},
    serve::ListenerExt as _,
};
use clap::{Parser, ValueEnum};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_sse::{
    BoxError, Connect, Event, EventId, EventType, Farewell, Hub, KeepAlive, Refusal, Shutdown,
    hub::{
        History, HubBuilder, Lagging, Publication, PublishError, Selection, Topic, backend::Wanted,
    },
};

/// How long the network may take nothing that is sent to a reader.
#[cfg(target_os = "linux")]
const NETWORK_TIMEOUT: Duration = Duration::from_secs(30);

/// A hub server: many publishers, many readers.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// How many events each topic keeps
    #[arg(long, default_value_t = 1024)]
    history: usize,
    /// Where the log is: memory, nats://host:port (feature `nats`), or
    /// redis://[:password@]host:port[/database] (feature `redis`)
    #[arg(long, default_value = "memory")]
    backend: String,
    /// The name of the log in the backend
    #[arg(long, default_value = "events")]
    prefix: String,
    /// The name of this node, in `/stats`
    #[arg(long, default_value_t = format!("node-{}", std::process::id()))]
    node: String,
    /// The token that is required to publish on any topic; without tokens everybody may publish
    #[arg(long)]
    token: Option<String>,
    /// A token that may publish on these topics, for example secret=orders,prices.>; can be repeated
    #[arg(long, value_name = "TOKEN=TOPICS", value_parser = grant)]
    publish_token: Vec<Grant>,
    /// A token that may read these topics; can be repeated. Without one everybody may read
    #[arg(long, value_name = "TOKEN=TOPICS", value_parser = grant)]
    read_token: Vec<Grant>,
    /// How many readers there may be
    #[arg(long, default_value_t = 100_000)]
    max_readers: usize,
    /// The largest event, in bytes
    #[arg(long, default_value_t = 1 << 20)]
    max_event_bytes: usize,
    /// How long a stream may be idle before a keep-alive is sent
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    keep_alive: Duration,
    /// How readers that are too slow are treated
    #[arg(long, value_enum, default_value_t = WhenSlow::Evict)]
    lagging: WhenSlow,
    /// How many topics a reader may name
    #[arg(long, default_value_t = 100)]
    max_topics: usize,
    /// How many patterns a reader may have
    #[arg(long, default_value_t = 20)]
    max_patterns: usize,
    /// How long a topic that has ended is kept
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    finished_ttl: Duration,
    /// How long the server goes on after the signal to stop, while /ready answers 503
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    drain: Duration,
}

#[derive(Clone, Copy, ValueEnum)]
enum WhenSlow {
    Evict,
    Skip,
}

/// A token, and the topics that it is for.
#[derive(Clone)]
struct Grant {
    token: String,
    names: Vec<String>,
    patterns: Vec<String>,
    wanted: Arc<Wanted>,
}

/// Parses `token=orders,prices.>`.
fn grant(text: &str) -> Result<Grant, BoxError> {
    let (token, topics) = text.split_once('=').ok_or("expected TOKEN=TOPICS")?;
    if token.is_empty() || topics.is_empty() {
        return Err("expected a token and at least one topic".into());
    }
    let is_pattern = |topic: &&str| topic.split('.').any(|segment| matches!(segment, "*" | ">"));
    let (patterns, names): (Vec<_>, Vec<_>) = topics.split(',').partition(is_pattern);
    let topics = names.iter().map(|name| name.parse::<Topic>()).collect::<Result<Vec<_>, _>>()?;
    let wanted = Arc::new(Wanted::new(topics, patterns.iter().copied())?);
    let owned = |list: Vec<&str>| list.into_iter().map(String::from).collect();
    Ok(Grant { token: token.into(), names: owned(names), patterns: owned(patterns), wanted })
}

impl Grant {
    /// Returns whether everything that is selected is granted. A pattern is granted only as a whole.
    fn covers(&self, topics: &[String], patterns: &[String]) -> bool {
        let is_granted = |topic: &String| self.names.contains(topic) || self.wanted.takes(topic);
        topics.iter().all(is_granted) && patterns.iter().all(|one| self.patterns.contains(one))
    }
}

#[derive(Clone)]
struct Publishing {
    hub: Hub,
    token: Option<String>,
    grants: Arc<[Grant]>,
    node: Arc<str>,
    backend: Arc<str>,
    shutdown: Shutdown,
}

/// The name that a reader has given itself. An application would take it from the login.
#[derive(Clone)]
struct Name(String);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let builder = Hub::builder()
        .history(History::events(args.history))
        .lagging(match args.lagging {
            WhenSlow::Evict => Lagging::Evict,
            WhenSlow::Skip => Lagging::Skip,
        })
        .max_topics_per_subscription(args.max_topics)
        .max_patterns_per_subscription(args.max_patterns)
        .finished_ttl(args.finished_ttl);
    let hub = open(builder, &args.backend, &args.prefix).await?;
    let shutdown =
        Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)))
            .drain_after(args.drain);
    let readers_may: Arc<[Grant]> = args.read_token.into();
    let events = hub
        .handler(move |mut connect: Connect| {
            let grants = readers_may.clone();
            async move {
                let asked = asked_of(connect.uri().query().unwrap_or_default());
                let asked = asked.and_then(|asked| Ok((asked.selection()?, asked)));
                let (selection, asked) = asked.map_err(|error| {
                    Refusal::new(StatusCode::BAD_REQUEST).body(error.to_string())
                })?;
                let label = label_of(&grants, connect.headers(), &asked)?;
                if let Some(name) = asked.name {
                    connect.extensions_mut().insert(Name(name));
                }
                Ok(connect.accept().label(label).subscribe(selection))
            }
        })
        .max_streams(args.max_readers)
        .keep_alive(KeepAlive::every(args.keep_alive))
        .shutdown(&shutdown);
    let publishing = Publishing {
        hub: hub.clone(),
        token: args.token,
        grants: args.publish_token.into(),
        node: args.node.into(),
        backend: args.backend.split("://").next().unwrap_or_default().into(),
        shutdown: shutdown.clone(),
    };
    let topics = Router::new()
        .route("/topics/{topic}", post(publish).delete(publish))
        .route("/topics/{topic}/finish", post(finish))
        .route("/disconnect/{token}", post(disconnect))
        .layer(middleware::from_fn_with_state(publishing.clone(), may_publish));
    let app = Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/chat", get(|| async { Html(include_str!("chat.html")) }))
        .route("/events", get_service(events))
        .route("/stats", get(stats))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/readers/{topic}", get(readers))
        .merge(topics)
        .layer(DefaultBodyLimit::max(args.max_event_bytes))
        .layer(middleware::from_fn(errors_in_json))
        .with_state(publishing);
    let listener = TcpListener::bind(args.addr).await?;
    // A reader whose network has vanished does not keep its place for a quarter of an hour.
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&listener).set_tcp_user_timeout(Some(NETWORK_TIMEOUT))?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
    axum::serve(listener, app).with_graceful_shutdown(shutdown.start_when(stopped())).await?;
    Ok(())
}

/// Waits for Ctrl-C, or for the SIGTERM of systemd and Kubernetes.
#[cfg(unix)]
async fn stopped() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminated.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn stopped() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}

/// Opens the hub, with its log in memory or in an engine.
async fn open(builder: HubBuilder, backend: &str, prefix: &str) -> Result<Hub, BoxError> {
    let _ = prefix;
    match backend.split("://").next().unwrap_or_default() {
        "memory" => Ok(builder.build()),
        #[cfg(feature = "redis")]
        "redis" => {
            let backend =
                tower_sse::hub::backend::redis::RedisBackend::builder(backend).log(prefix);
            Ok(builder.open(backend.connect().await?).await?)
        }
        #[cfg(feature = "nats")]
        "nats" => {
            let backend = tower_sse::hub::backend::nats::NatsBackend::builder(backend);
            // The name of a stream has no dots.
            let backend = backend.stream(prefix.replace('.', "_")).prefix(prefix);
            Ok(builder.open(backend.connect().await?).await?)
        }
        other => {
            Err(format!("--backend: {other} is unknown, or not a feature of this build").into())
        }
    }
}

/// Returns the label of a reader: its token, if readers need one.
fn label_of(grants: &[Grant], headers: &HeaderMap, asked: &Asked) -> Result<String, Refusal> {
    if grants.is_empty() {
        return Ok(String::new());
    }
    let grant = grants.iter().find(|grant| {
        let in_query = asked.token.as_deref().is_some_and(|token| is_same(token, &grant.token));
        in_query || has_token(headers, &grant.token)
    });
    let Some(grant) = grant else {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED).body("reading takes a token"));
    };
    if !grant.covers(&asked.topics, &asked.patterns) {
        return Err(Refusal::new(StatusCode::FORBIDDEN).body("the token is for other topics"));
    }
    Ok(grant.token.clone())
}

/// What a reader asks for.
#[derive(Default)]
struct Asked {
    topics: Vec<String>,
    patterns: Vec<String>,
    name: Option<String>,
    token: Option<String>,
    start: Start,
}

#[derive(Default)]
enum Start {
    #[default]
    Now,
    Oldest,
    Last(usize),
    State,
}

impl Asked {
    fn selection(&self) -> Result<Selection, BoxError> {
        let selection = Selection::new(&self.topics)?.patterns(&self.patterns)?;
        if selection.is_empty() {
            return Err("name at least one `topic` or `pattern`".into());
        }
        Ok(match self.start {
            Start::Now => selection,
            Start::Oldest => selection.from_start(),
            Start::Last(number) => selection.last(number),
            Start::State => selection.with_state(),
        })
    }
}

/// Reads `topic=a&pattern=b.>&last=50&name=ann`.
fn asked_of(query: &str) -> Result<Asked, BoxError> {
    let mut asked = Asked::default();
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.replace('+', " ");
        let value = percent_decode_str(&value).decode_utf8()?.into_owned();
        match name {
            "topic" => asked.topics.push(value),
            "pattern" => asked.patterns.push(value),
            "name" => asked.name = Some(value),
            "token" => asked.token = Some(value),
            "state" if value == "true" => asked.start = Start::State,
            "start" if value == "true" => asked.start = Start::Oldest,
            "last" => {
                let number = value.parse().map_err(|error| format!("`last`: {error}"))?;
                asked.start = Start::Last(number);
            }
            _ => {}
        }
    }
    Ok(asked)
}

/// Refuses to change a topic without the token, if there is one.
async fn may_publish(
    State(Publishing { token, grants, .. }): State<Publishing>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let topic = path.map(|Path(topic)| topic).unwrap_or_default();
    // A token for some topics is for publishing only, not to disconnect readers.
    let is_topic = request.uri().path().starts_with("/topics/");
    let grant = grants.iter().find(|grant| is_topic && has_token(headers, &grant.token));
    match token {
        _ if request.method().is_safe() => {}
        _ if grant.is_some_and(|grant| grant.covers(std::slice::from_ref(&topic), &[])) => {}
        _ if grant.is_some() => {
            return error(StatusCode::FORBIDDEN, "the token is for other topics");
        }
        None if !grants.is_empty() => return unauthorized(),
        Some(token) if !has_token(headers, &token) => return unauthorized(),
        // Everybody may publish. But a page of another site must not publish through a user's
        // browser.
        None if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") => {
            return error(StatusCode::FORBIDDEN, "a page of another site cannot publish");
        }
        _ => {}
    }
    next.run(request).await
}

fn unauthorized() -> Response {
    let mut answer = error(StatusCode::UNAUTHORIZED, "publishing takes a bearer token");
    let bearer = header::HeaderValue::from_static("Bearer");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
    answer
}

async fn publish(
    State(Publishing { hub, .. }): State<Publishing>,
    Path(topic): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return error(rejection.status(), &rejection.body_text()),
    };
    let publication = match publication_of(topic, &headers, &body) {
        Err(why) => return error(StatusCode::BAD_REQUEST, &why.to_string()),
        Ok(_) if method == Method::DELETE && !headers.contains_key("event-key") => {
            return error(StatusCode::BAD_REQUEST, "header Event-Key: it names the key to remove");
        }
        Ok(publication) if method == Method::DELETE => publication.tombstone(),
        Ok(publication) => publication,
    };
    answer(hub.publish_all([publication]).await.map(|published| published.ids.into_iter().next()))
}

async fn finish(
    State(Publishing { hub, .. }): State<Publishing>,
    Path(topic): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match event_of(&headers, &body) {
        Err(why) => error(StatusCode::BAD_REQUEST, &why.to_string()),
        Ok(last) => {
            let last = Some(last).filter(|_| !body.is_empty());
            answer(hub.finish(topic, last).await.map(|published| Some(published.id)))
        }
    }
}

fn answer(published: Result<Option<EventId>, PublishError>) -> Response {
    match published {
        Ok(id) => {
            let id = id.as_ref().map(EventId::as_str);
            (StatusCode::CREATED, Json(json!({ "id": id }))).into_response()
        }
        Err(why) if why.is_too_large() => error(StatusCode::PAYLOAD_TOO_LARGE, &why.to_string()),
        Err(why) if why.is_finished() => error(StatusCode::GONE, &why.to_string()),
        Err(why) if why.is_unavailable() || why.is_unknown() => {
            error(StatusCode::SERVICE_UNAVAILABLE, &why.to_string())
        }
        Err(why) => error(StatusCode::BAD_REQUEST, &why.to_string()),
    }
}

fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, given)) = given.and_then(|value| value.split_once(' ')) else { return false };
    scheme.eq_ignore_ascii_case("bearer") && is_same(given, token)
}

/// Compares all bytes of the token, so that the time it takes does not reveal how many are right.
fn is_same(given: &str, token: &str) -> bool {
    let differs = given.bytes().zip(token.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
    given.len() == token.len() && differs == 0
}

fn publication_of(
    topic: String,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Publication, BoxError> {
    let mut publication = Publication::new(topic, event_of(headers, body)?);
    if let Some(key) = text_of(headers, "Event-Key")? {
        publication = publication.key(key);
    }
    if let Some(ttl) = text_of(headers, "Event-Ttl")? {
        let ttl = humantime::parse_duration(ttl);
        publication = publication.ttl(ttl.map_err(|error| format!("header Event-Ttl: {error}"))?);
    }
    Ok(publication)
}

fn event_of(headers: &HeaderMap, body: &[u8]) -> Result<Event, BoxError> {
    let data = std::str::from_utf8(body).map_err(|error| format!("the body: {error}"))?;
    let event = Event::new(data);
    match text_of(headers, "Event-Type")? {
        None => Ok(event),
        Some("gap") => Err("header Event-Type: `gap` is reserved for events of the hub".into()),
        Some(event_type) => Ok(event.with_type(EventType::try_from(event_type)?)),
    }
}

/// Returns a header as text. `HeaderValue::to_str` would refuse text that is not ASCII.
fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, BoxError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes());
    Ok(Some(text.map_err(|error| format!("header {name}: {error}"))?))
}

/// Lists the readers of a topic.
async fn readers(
    State(Publishing { hub, .. }): State<Publishing>,
    Path(topic): Path<String>,
) -> Response {
    // One reader may have several pages open.
    let names: BTreeSet<String> = hub
        .sessions(|session| {
            let Name(name) = session.extensions().get()?;
            session.selects(&topic).then(|| name.clone())
        })
        .into_iter()
        .collect();
    match hub.readers(topic) {
        Ok(number) => Json(json!({ "readers": number, "names": names })).into_response(),
        Err(why) => error(StatusCode::BAD_REQUEST, &why.to_string()),
    }
}

async fn disconnect(
    State(Publishing { hub, .. }): State<Publishing>,
    Path(token): Path<String>,
) -> Response {
    match hub.disconnect_label(&token).await {
        Ok(here) => Json(json!({ "disconnected_here": here })).into_response(),
        Err(why) => error(StatusCode::SERVICE_UNAVAILABLE, &why.to_string()),
    }
}

/// For load balancers: a node that leaves gets no further requests. It does not depend on the backend:
/// all nodes have the same one, so none would be left.
async fn ready(State(Publishing { shutdown, .. }): State<Publishing>) -> StatusCode {
    if shutdown.is_leaving() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

/// For monitoring: whether the backend answers.
async fn health(State(Publishing { hub, .. }): State<Publishing>) -> Response {
    let health = hub.health();
    let status = if health.is_up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "health": health.to_string() }))).into_response()
}

async fn stats(State(Publishing { hub, node, backend, .. }): State<Publishing>) -> Json<Value> {
    let (stats, health) = (hub.stats(), hub.health());
    Json(json!({
        "node": &*node,
        "backend": &*backend,
        "health": health.to_string(),
        "lag_ms": health.lag.as_secs_f64() * 1000.0,
        "backend_errors": health.errors,
        "replays": health.replays,
        "junk": health.junk,
        "topics": stats.topics,
        "readers": stats.readers,
        "events": stats.events,
        "bytes": stats.bytes,
        "published": stats.published,
        "lagged": stats.lagged,
        "gaps": stats.gaps,
    }))
}

/// Returns an error as JSON, also if the response has no text.
async fn errors_in_json(request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    let (status, headers) = (answer.status(), answer.headers());
    let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|it| it == "application/json");
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    let words = axum::body::to_bytes(body, 4096).await.unwrap_or_default();
    let why = match std::str::from_utf8(&words) {
        Ok("") | Err(_) => status.canonical_reason().unwrap_or("error"),
        Ok(words) => words,
    };
    let reply = error(status, why);
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.extend(reply.headers().clone());
    Response::from_parts(head, reply.into_body())
}

fn error(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

const PAGE: &str = r#"<!doctype html>
<html lang="en"><meta charset="utf-8"><title>hub</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
form { display: flex; gap: .5rem; flex-wrap: wrap; margin: 1rem 0 } input { font: inherit; padding: .2rem .4rem }
li { font-family: ui-monospace, monospace; white-space: pre-wrap } .gap { color: #b00 } .state { color: #777 }
</style>
<h1>hub</h1>
<form id="watch"><input name="topic" value="orders" placeholder="topics, with commas">
<input name="pattern" value="orders.>" placeholder="patterns, with commas">
<input name="type" value="order" placeholder="event types, with commas">
<label><input type="checkbox" name="state"> state</label><button>watch</button> <span id="ready">closed</span></form>
<form id="publish"><input name="topic" value="orders.7" required><input name="type" value="order" placeholder="type">
<input name="key" placeholder="key"><input name="data" value="paid"><input name="token" placeholder="token" type="password">
<button>publish</button></form>
<ol id="events" reversed></ol>
<script>
const $ = id => document.getElementById(id);
let source;
function line(kind, text) {
  const item = document.createElement('li');
  item.className = kind;
  item.textContent = text;
  $('events').prepend(item);
  while ($('events').children.length > 500) $('events').lastChild.remove();
}
$('watch').onsubmit = event => {
  event.preventDefault();
  source?.close();
  const form = new FormData(event.target), query = new URLSearchParams();
  const list = name => form.get(name).split(',').map(text => text.trim()).filter(Boolean);
  for (const name of ['topic', 'pattern']) for (const value of list(name)) query.append(name, value);
  if (form.get('state')) query.set('state', 'true');
  source = new EventSource('/events?' + query);
  source.onopen = () => { $('ready').textContent = 'open'; line('state', 'open'); };
  source.onerror = () => { $('ready').textContent = source.readyState == 2 ? 'closed' : 'reconnecting'; line('state', $('ready').textContent); };
  source.onmessage = event => line('', `${event.lastEventId}  ${event.data}`);
  source.addEventListener('gap', event => line('gap', `${event.lastEventId}  gap ${event.data}`));
  // A browser dispatches an event only to listeners for its type.
  for (const type of new Set(list('type').filter(type => !['message', 'gap', 'open', 'error'].includes(type))))
    source.addEventListener(type, event => line('', `${event.lastEventId}  ${type}: ${event.data}`));
};
$('publish').onsubmit = async event => {
  event.preventDefault();
  const form = new FormData(event.target), headers = {};
  if (form.get('type')) headers['event-type'] = form.get('type');
  if (form.get('key')) headers['event-key'] = form.get('key');
  if (form.get('token')) headers.authorization = 'Bearer ' + form.get('token');
  try {
    const answer = await fetch('/topics/' + encodeURIComponent(form.get('topic')), { method: 'POST', body: form.get('data'), headers });
    line('state', `published: ${answer.status} ${await answer.text()}`);
  } catch (error) {
    line('gap', `not published: ${error}`);
  }
};
</script>
"#;
