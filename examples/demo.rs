//! A page that listens, and the events that it listens to.
//!
//! ```text
//! cargo run --example demo          then open http://127.0.0.1:8080
//! curl -N http://127.0.0.1:8080/events
//! ```
//!
//! The stream ends after `--count` events, and the browser comes back by itself: it tells the id of
//! the last event it has, and the stream goes on behind that.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, response::Html, routing::get};
use clap::Parser;
use tokio::{net::TcpListener, time::sleep};
use tower_sse::{BoxError, Event, Farewell, LastEventId, Shutdown, event_channel_handler};

/// A page that listens to events.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// How many events a stream has
    #[arg(long, default_value_t = 10)]
    count: u64,
    /// How long to wait after each of them: 2s, 500ms
    #[arg(long, default_value = "2s")]
    every: humantime::Duration,
}

pub(crate) fn app(count: u64, every: Duration, shutdown: &Shutdown) -> Router {
    let events = event_channel_handler(move |request, events| async move {
        // Whatever the client says may be nonsense; then it starts anew.
        let last = request.extensions().get::<LastEventId>();
        let last = last.and_then(|id| id.as_str().parse().ok()).unwrap_or(0u64);
        for n in (last..last.saturating_add(count)).map(|n| n + 1) {
            let event = Event::new(format!("Hello World! {n}"));
            events.send(event.with_type("my-custom-event").with_id(n)).await?;
            sleep(every).await;
        }
        Ok(())
    })
    // How long the browser waits before it comes back. It would be about three seconds.
    .retry(Duration::from_secs(1))
    .shutdown(shutdown);

    Router::new().route("/", get(Html(include_str!("demo.html")))).route_service("/events", events)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    // At Ctrl-C the open streams are told when to come back, and end; else they would keep the
    // server from ending.
    let shutdown =
        Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = app(args.count, args.every.into(), &shutdown);
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
        .await?;
    Ok(())
}
