//! A page that reads an event stream, and the server of that stream.
//!
//! ```text
//! cargo run --example demo          then open http://127.0.0.1:8080
//! curl -N http://127.0.0.1:8080/events
//! ```
//!
//! The stream ends after `--count` events, and the browser reconnects by itself. It sends the ID of
//! the last event that it received, and the new stream resumes after that event.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, response::Html, routing::get, serve::ListenerExt as _};
use clap::Parser;
use tokio::{net::TcpListener, time::sleep};
use tower_sse::{BoxError, Event, Farewell, LastEventId, Shutdown, event_channel_handler};

/// A page that reads an event stream.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// The number of events in a stream
    #[arg(long, default_value_t = 10)]
    count: u64,
    /// How long to wait after each event, for example 2s or 500ms
    #[arg(long, default_value = "2s")]
    every: humantime::Duration,
}

pub(crate) fn app(count: u64, every: Duration, shutdown: &Shutdown) -> Router {
    let events = event_channel_handler(move |request, events| async move {
        // The client may send an invalid ID. The stream then starts at the beginning.
        let last = request.extensions().get::<LastEventId>();
        let last = last.and_then(|id| id.as_str().parse().ok()).unwrap_or(0u64);
        for n in (last..last.saturating_add(count)).map(|n| n + 1) {
            let event = Event::new(format!("Hello World! {n}"));
            events.send(event.with_type("my-custom-event").with_id(n)).await?;
            sleep(every).await;
        }
        Ok(())
    })
    // How long the browser waits before it reconnects. The browser's default is about three
    // seconds.
    .retry(Duration::from_secs(1))
    .shutdown(shutdown);

    Router::new().route("/", get(Html(include_str!("demo.html")))).route_service("/events", events)
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
    let app = app(args.count, args.every.into(), &shutdown);
    let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
        .await?;
    Ok(())
}
