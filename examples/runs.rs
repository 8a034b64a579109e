//! Answers that outlive their page: start one, reload in the middle, open it in a second tab, stop it there.
//!
//! ```text
//! cargo run --example runs --features hub        and open the page
//! curl -Ni http://127.0.0.1:8080/runs -H 'x-owner: ann' -d 'say something'      `location` is the run's path
//! curl -N http://127.0.0.1:8080/runs/ID -H 'x-owner: ann'                       from its start
//! curl -X DELETE http://127.0.0.1:8080/runs/ID -H 'x-owner: ann'
//! cargo run --example runs --features redis -- --backend redis://127.0.0.1:6379      one of several nodes
//! ```
//!
//! - `POST /runs` starts a stand-in for a model, with any text as its body. It says `word-1 word-2 …`, an event of
//!   the type `token` each. The response is the stream. A text with `fail` in it makes it fail half way.
//! - `GET /runs/ID` attaches, `DELETE /runs/ID` stops. The last event has the type `end`, and the state as its data.
//! - `GET /runs` lists the owner's runs. The owner is the header `x-owner`, or the cookie `owner`, which the page
//!   sets. A real server takes it from a login.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::Html,
    routing::{get, post_service},
    serve::ListenerExt as _,
};
use clap::Parser;
use http::{
    HeaderMap, Request, StatusCode,
    header::{CONTENT_TYPE, COOKIE},
};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};
use tokio::{net::TcpListener, signal::ctrl_c, time::sleep};
use tower_sse::{
    BoxError, Event, Farewell, Hub, Refusal, Shutdown,
    hub::{
        History, HubBuilder,
        runs::{RunEvents, Runs, RunsOptions, StopSignal},
    },
};

/// How long a prompt may be, in bytes.
const MAX_PROMPT: usize = 64 << 10;
/// How long an ended run is kept.
const TTL: Duration = Duration::from_secs(300);

/// A model whose answers outlive their readers.
#[derive(Clone, Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// Where the runs are: `memory`, `redis://host:port` or `nats://host:port`, with the feature of this name
    #[arg(long, default_value = "memory")]
    backend: String,
    /// How long the model takes for a word
    #[arg(long, default_value = "50ms")]
    every: humantime::Duration,
    /// How many words it says
    #[arg(long, default_value_t = 100)]
    words: usize,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let shutdown =
        Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));
    // Enough for an answer.
    let history = History::events(100_000).max_bytes(4 << 20);
    let builder = Hub::builder().history(history).finished_ttl(TTL);
    let hub = open(builder, &args.backend).await?;
    let options = RunsOptions::new().ttl(TTL).max_runs(10_000).max_runs_per_owner(100);
    let runs = Runs::with_options(&hub, options);
    let model = args.clone();
    let handler = runs
        .handler(
            |connect| async move {
                let owner =
                    owner(connect.headers()).ok_or(Refusal::new(StatusCode::UNAUTHORIZED))?;
                Ok(connect.accept().owner(owner))
            },
            move |request, events, stop| answer(model.clone(), request, events, stop),
        )
        .shutdown(&shutdown);
    let style = || async { ([(CONTENT_TYPE, "text/css")], include_str!("style.css")) };
    let app = Router::new()
        .route("/", get(Html(include_str!("runs.html"))))
        .route("/style.css", get(style))
        .route("/runs", post_service(handler.clone()).get(list))
        .route_service("/runs/{id}", handler)
        .with_state(runs);
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
    axum::serve(listener, app).with_graceful_shutdown(shutdown.start_when(ctrl_c())).await?;
    Ok(())
}

/// The stand-in for a model.
async fn answer(
    model: Args,
    request: Request<Body>,
    events: RunEvents,
    mut stop: StopSignal,
) -> Result<(), BoxError> {
    let prompt = Limited::new(request.into_body(), MAX_PROMPT).collect().await?.to_bytes();
    let fails = String::from_utf8_lossy(&prompt).contains("fail");
    for n in 1..=model.words {
        if fails && n > model.words / 2 {
            return Err("the model has failed, as it was told to".into());
        }
        events.send(Event::new(format!("word-{n} ")).with_type("token")).await?;
        tokio::select! {
            () = sleep(*model.every) => {}
            () = stop.requested() => return Ok(()),
        }
    }
    Ok(())
}

async fn list(State(runs): State<Runs>, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    let owner = owner(&headers).ok_or(StatusCode::UNAUTHORIZED)?;
    let runs = runs.list(&owner).into_iter();
    let runs =
        runs.map(|run| json!({ "id": run.id, "state": run.state.as_str(), "events": run.events }));
    Ok(Json(runs.collect()))
}

/// Returns who asks.
fn owner(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let cookies = text(COOKIE.as_str()).unwrap_or_default().split(';');
    let cookie = cookies.filter_map(|cookie| cookie.trim().strip_prefix("owner=")).next();
    text("x-owner").or(cookie).filter(|owner| !owner.is_empty()).map(str::to_owned)
}

async fn open(builder: HubBuilder, backend: &str) -> Result<Hub, BoxError> {
    match backend.split("://").next().unwrap_or_default() {
        "memory" => Ok(builder.build()),
        #[cfg(feature = "redis")]
        "redis" => {
            let backend = tower_sse::hub::backend::redis::RedisBackend::builder(backend);
            Ok(builder.open(backend.connect().await?).await?)
        }
        #[cfg(feature = "nats")]
        "nats" => {
            let backend = tower_sse::hub::backend::nats::NatsBackend::connect(backend).await?;
            Ok(builder.open(backend).await?)
        }
        other => {
            Err(format!("--backend: {other} is unknown, or not a feature of this build").into())
        }
    }
}
