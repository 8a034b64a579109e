//! The demo of ring.sse. The event channel handler of that Clojure library is the model for the one
//! of this crate.
//!
//! ```text
//! cargo run --example ring --features json
//! curl -N http://127.0.0.1:8080
//! ```

use std::{net::SocketAddr, time::Duration};

use axum::{Router, serve::ListenerExt as _};
use clap::Parser;
use serde_json::json;
use tokio::{net::TcpListener, time::sleep};
use tower_sse::{BoxError, Event, EventId, Farewell, Shutdown, event_channel_handler};
use uuid::Uuid;

/// Twenty events, and a log line when the client has left.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// How long to wait after each event
    #[arg(long, default_value = "1s", hide = true)]
    every: humantime::Duration,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    // On Ctrl-C each stream sends a reconnection time, and ends.
    let shutdown =
        Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));
    let handler = event_channel_handler(move |_request, events| async move {
        for _ in 0..20 {
            let event = Event::json(&json!({"foo": "bar"}))?
                .with_type("foo")
                .with_id(EventId::from_display(Uuid::new_v4())?);
            events.send(event).await?;
            sleep(args.every.into()).await;
        }
        events.close(); // as in Clojure; in Rust, returning is enough
        Ok(())
    })
    .shutdown(&shutdown)
    .on_disconnect(|end| println!("client disconnected: {}", end.reason()));

    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // Like a Ring handler, it answers any path and method.
    let app = Router::new().fallback_service(handler);
    let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
        .await?;
    Ok(())
}
