//! Two counters: one counts down and asks its client to close, one counts up and just ends.
//!
//! ```text
//! cargo run --example counter
//! curl -N http://127.0.0.1:8080
//! curl -N http://127.0.0.1:8080/counter
//! ```
//!
//! If a stream just ends, a browser reconnects and receives all events again. To prevent that, let
//! the page close its `EventSource` at an event of its own type:
//!
//! ```js
//! const source = new EventSource("/");
//! source.addEventListener("count", (event) => console.log(event.data));
//! source.addEventListener("close", () => source.close());
//! ```

use std::{net::SocketAddr, time::Duration};

use axum::{Router, serve::ListenerExt as _};
use clap::Parser;
use tokio::{net::TcpListener, time::sleep};
use tower_sse::{BoxError, Event, Farewell, Shutdown, event_channel_handler};

/// Two counters.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// How long to wait after each event, instead of 1.5 and 1 seconds
    #[arg(long)]
    every: Option<humantime::Duration>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let every = args.every.map(Duration::from);
    // On Ctrl-C each stream sends a reconnection time, and ends.
    let shutdown =
        Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
    axum::serve(listener, app(every, &shutdown))
        .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
        .await?;
    Ok(())
}

fn app(every: Option<Duration>, shutdown: &Shutdown) -> Router {
    let countdown = event_channel_handler(move |_request, events| async move {
        for n in (0..=10).rev() {
            events.send(Event::new(n).with_type("count")).await?;
            sleep(every.unwrap_or(Duration::from_millis(1500))).await;
        }
        events.send(Event::new("").with_type("close")).await?;
        Ok(())
    })
    .shutdown(shutdown);
    let counter = event_channel_handler(move |_request, events| async move {
        for n in 0..10 {
            events.send(Event::new(n).with_type("counter")).await?;
            sleep(every.unwrap_or(Duration::from_secs(1))).await;
        }
        Ok(())
    })
    .shutdown(shutdown);
    Router::new().route_service("/", countdown).route_service("/counter", counter)
}
