//! axum's own event streams under a layer that ends them at Ctrl-C, which they do not do by themselves.
//!
//! ```text
//! cargo run --example govern
//! curl -N http://127.0.0.1:8080/events    an event a second
//! curl -N http://127.0.0.1:8080/fast      a thousand events a second
//! cargo run --example govern -- --without-layer    and then Ctrl-C, while a stream is open: it hangs
//! ```

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{
    Router,
    response::sse::{Event, Sse},
    routing::get,
    serve::ListenerExt as _,
};
use clap::Parser;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::{
    net::TcpListener,
    signal::ctrl_c,
    time::{MissedTickBehavior, interval},
};
use tower_sse::{BoxError, Farewell, Shutdown, SseGovern};

/// Streams of axum, and the layer around them.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// Leave the layer out
    #[arg(long)]
    without_layer: bool,
}

/// Nothing in here knows of the layer.
fn app() -> Router {
    Router::new()
        .route("/", get(async || "event streams at /events and /fast\n"))
        .route("/events", get(async || Sse::new(every(Duration::from_secs(1)))))
        .route("/fast", get(async || Sse::new(every(Duration::from_millis(1)))))
}

/// A number at each step of time. If the client is slow, steps are left out.
fn every(step: Duration) -> impl Stream<Item = Result<Event, Infallible>> {
    let mut pace = interval(step);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let numbers = stream::unfold((pace, 0_u64), |(mut pace, n)| async move {
        pace.tick().await;
        Some((n, (pace, n + 1)))
    });
    numbers.map(|n| Ok(Event::default().data(n.to_string())))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let farewell = Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5));
    let shutdown = Shutdown::new(farewell);
    let app = match args.without_layer {
        true => app(),
        false => app().layer(
            SseGovern::new()
                .shutdown(&shutdown)
                .on_disconnect(|end| println!("{} after {} events", end.reason(), end.events())),
        ),
    };
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
    axum::serve(listener, app).with_graceful_shutdown(shutdown.start_when(ctrl_c())).await?;
    println!("all streams have ended");
    Ok(())
}
