//! One server's stream, served on: ids and types are kept, and whatever happens upstream is survived.
//!
//! ```text
//! cargo run --example relay --features hyper-client -- --upstream http://127.0.0.1:8080/events
//! curl -N http://127.0.0.1:8081/relay
//! ```

use std::net::SocketAddr;

use axum::Router;
use clap::Parser;
use http::Uri;
use tokio::net::TcpListener;
use tower_sse::{BoxError, EventSource, event_channel_handler};

/// Serves another server's stream.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8081")]
    addr: SocketAddr,
    /// What to relay
    #[arg(long)]
    upstream: Uri,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let relay = event_channel_handler(move |_, events| {
        let mut source = EventSource::new(args.upstream.clone());
        async move {
            while let Some(event) = source.next_event().await {
                events.send(event?).await?;
            }
            Ok(())
        }
    });
    let app = Router::new().route_service("/relay", relay);
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}
