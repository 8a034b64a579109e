//! Servers for the clients that people use: one recipe a file. `docs/cookbook.md` explains them.
//!
//! ```text
//! ci/clients                    the clients that run in a page: htmx, Datastar
//! cargo run --example cookbook --features axum,hub,json
//! ```
//!
//! | file | for | path |
//! |---|---|---|
//! | `openai.rs` | OpenAI's clients | `/v1/chat/completions` |
//! | `anthropic.rs` | Anthropic's clients | `/v1/messages` |
//! | `ai_sdk.rs` | the AI SDK's `useChat`, with `resume` | `/api/chat` |
//! | `events.rs` | `eventsource`, `@microsoft/fetch-event-source` | `/events`, `/topics/{topic}` |
//! | `htmx.rs` | htmx's extension for event streams | `/htmx` |
//! | `datastar.rs` | Datastar | `/datastar` |
//! | `graphql_sse.rs` | graphql-sse | `/graphql` |
//! | `mcp_sse.rs` | the Model Context Protocol, HTTP+SSE | `/sse` |
//! | `mcp_http.rs` | the Model Context Protocol, streamable HTTP | `/mcp` |
//!
//! The recipes share a stand-in for a model (`model.rs`), a tool server and its sessions (`mcp_tools.rs`,
//! `mcp_sessions.rs`), and the settings below.

mod ai_sdk;
mod anthropic;
mod datastar;
mod events;
mod graphql_sse;
mod htmx;
mod mcp_http;
mod mcp_sessions;
mod mcp_sse;
mod mcp_tools;
mod model;
mod openai;

use std::{
    net::SocketAddr,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use axum::{
    Router, extract::State, http::StatusCode, response::IntoResponse, routing::get,
    serve::ListenerExt as _,
};
use clap::Parser;
use tokio::{net::TcpListener, signal::ctrl_c};
use tower_sse::{
    BodyOptions, BoxError, Farewell, Hub, KeepAlive, Shutdown,
    hub::{History, runs::Runs},
};

/// How long topics are kept that have ended, or that nobody uses.
const MINUTES: Duration = Duration::from_secs(300);

/// Servers for the clients that people use.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// How long the model takes for a word
    #[arg(long, default_value = "50ms")]
    every: humantime::Duration,
    /// How long a stream may be idle before a keep-alive is sent
    #[arg(long, default_value = "15s")]
    keep_alive: humantime::Duration,
    /// How long a client waits before it reconnects, where the protocol has that
    #[arg(long, default_value = "1s")]
    retry: humantime::Duration,
    /// The folder of the clients that run in a page, served at `/assets`
    #[arg(long, default_value = "target/clients")]
    assets: PathBuf,
}

/// The settings that the recipes share.
#[derive(Clone)]
struct Site {
    model: model::Model,
    hub: Hub,
    /// Answers and tool calls that outlive their readers.
    runs: Runs,
    keep_alive: Duration,
    retry: Duration,
    /// For answers, which cannot be resumed: on Ctrl-C they get time to finish.
    answers: Shutdown,
    /// For feeds, which are resumed: on Ctrl-C they end, and say when to reconnect.
    feeds: Shutdown,
}

impl Site {
    /// Returns the settings of a stream that cannot be resumed. It never sends `retry`.
    fn answer(&self, recipe: &'static str) -> BodyOptions {
        self.options(recipe).shutdown(&self.answers)
    }

    /// Returns the settings of a stream that is resumed after a reconnect.
    fn feed(&self, recipe: &'static str) -> BodyOptions {
        self.options(recipe).retry(self.retry).shutdown(&self.feeds)
    }

    /// Each stream prints how it ended: for example, `openai: client_gone`.
    fn options(&self, recipe: &'static str) -> BodyOptions {
        BodyOptions::new()
            .keep_alive(KeepAlive::every(self.keep_alive))
            .on_disconnect(move |end| println!("{recipe}: {}", end.reason()))
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    // Enough for an answer.
    let history = History::events(100_000).max_bytes(64 << 20);
    let hub = Hub::builder().history(history).finished_ttl(MINUTES).idle_ttl(MINUTES).build();
    let site = Site {
        model: model::Model::new(*args.every),
        runs: Runs::new(&hub),
        hub,
        keep_alive: *args.keep_alive,
        retry: *args.retry,
        answers: Shutdown::new(Farewell::new().grace_period(Duration::from_secs(30))),
        feeds: Shutdown::new(Farewell::new().retry(*args.retry..*args.retry * 2)),
    };
    let app = Router::new()
        .merge(openai::router(&site))
        .merge(anthropic::router(&site))
        .merge(ai_sdk::router(&site))
        .merge(events::router(&site))
        .merge(htmx::router(&site))
        .merge(datastar::router(&site))
        .merge(graphql_sse::router(&site))
        .merge(mcp_sse::router(&site))
        .merge(mcp_http::router(&site))
        .route("/assets/{*path}", get(asset).with_state(args.assets));
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
    let (answers, feeds) = (site.answers, site.feeds);
    let stopped = answers.start_when(feeds.start_when(ctrl_c()));
    axum::serve(listener, app).with_graceful_shutdown(stopped).await?;
    Ok(())
}

/// Returns a file of the folder.
async fn asset(
    State(folder): State<PathBuf>,
    axum::extract::Path(path): axum::extract::Path<String>,
) -> impl IntoResponse {
    let path = Path::new(&path);
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(StatusCode::NOT_FOUND);
    }
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("js" | "mjs") => "text/javascript",
        _ => "text/html; charset=utf-8",
    };
    let file = tokio::fs::read(folder.join(path)).await.map_err(|_| StatusCode::NOT_FOUND)?;
    Ok(([("content-type", kind)], file))
}
