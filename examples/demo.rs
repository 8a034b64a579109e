//! A page that reads an event stream, says something to all open pages, and shows why the server ends a stream.
//!
//! ```text
//! cargo run --example demo          then open http://127.0.0.1:8080, in two tabs
//! curl -N http://127.0.0.1:8080/events
//! curl http://127.0.0.1:8080/say -d 'hello'
//! ```
//!
//! The server ends each stream after `--lifetime`, and the browser reconnects by itself. It sends the ID of the last
//! event that it received, and the hub sends what came after that event.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::State,
    response::Html,
    routing::{get, post},
    serve::ListenerExt as _,
};
use clap::Parser;
use http::{StatusCode, header::CONTENT_TYPE};
use tokio::{net::TcpListener, time::interval};
use tower_sse::{BoxError, Event, Farewell, Hub, Shutdown, StreamEnd, hub::Publication};

/// How many characters of a text are sent.
const MAX_SAID: usize = 200;

/// A page that reads an event stream.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// The time between two ticks, for example 2s or 500ms
    #[arg(long, default_value = "2s")]
    every: humantime::Duration,
    /// How long a stream lasts at most
    #[arg(long, default_value = "20s")]
    lifetime: humantime::Duration,
}

pub(crate) fn app(every: Duration, lifetime: Duration, shutdown: &Shutdown) -> Router {
    let hub = Hub::new();
    tokio::spawn(tick(hub.clone(), every));
    let ends = hub.clone();
    let events = hub
        .handler(|connect| async move { connect.accept().topics(["ticks", "said", "ends"]) })
        // The browser reconnects, and loses nothing. A proxy that limits the duration of a response never cuts.
        .max_lifetime(lifetime)
        // How long the browser waits before it reconnects. The browser's default is about three seconds.
        .retry(Duration::from_secs(1))
        .on_disconnect(move |end| tell_end(&ends, &end))
        .shutdown(shutdown);
    let style = || async { ([(CONTENT_TYPE, "text/css")], include_str!("style.css")) };
    Router::new()
        .route("/", get(Html(include_str!("demo.html"))))
        .route("/style.css", get(style))
        .route("/say", post(say))
        .with_state(hub)
        .route_service("/events", events)
}

/// Publishes a number and how many streams are open.
async fn tick(hub: Hub, every: Duration) -> Result<(), BoxError> {
    let mut ticks = interval(every);
    for n in 1.. {
        ticks.tick().await;
        let data = format!("{n}, {} open", hub.readers("ticks")?);
        hub.publish("ticks", Event::new(data).with_type("tick")).await?;
    }
    Ok(())
}

/// Says something to all open pages.
async fn say(State(hub): State<Hub>, text: String) -> Result<StatusCode, (StatusCode, String)> {
    let text: String = text.trim().chars().take(MAX_SAID).collect();
    if text.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "there is no text".into()));
    }
    match hub.publish("said", Event::new(text).with_type("said")).await {
        Ok(_) => Ok(StatusCode::ACCEPTED),
        Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
    }
}

/// Tells all open pages why a stream has ended. This hook must not wait, so it cannot use `publish`.
fn tell_end(hub: &Hub, end: &StreamEnd) {
    let text = format!("{} after {} events", end.reason(), end.events());
    let ended = Publication::new("ends", Event::new(text).with_type("ended"));
    if let Err(error) = hub.try_publish(ended) {
        eprintln!("{error}");
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    // On Ctrl-C each stream sends a reconnection time, and ends. Otherwise the server would wait
    // until all clients have left.
    let shutdown =
        Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = app(args.every.into(), args.lifetime.into(), &shutdown);
    let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
        .await?;
    Ok(())
}
