//! Relays the stream of another server. It keeps IDs and types, and reconnects after any failure of
//! that server. It leaves out events that are too large.
//!
//! ```text
//! cargo run --example relay --features hyper-client -- --upstream http://127.0.0.1:8080/events
//! curl -N http://127.0.0.1:8081/relay
//! ```

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use clap::Parser;
use http::Uri;
use tokio::net::TcpListener;
use tower_sse::{
    BoxError, EventSource, Farewell, LastEventId, Shutdown, Update, event_channel_handler,
};

/// Relays the stream of another server.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8081")]
    addr: SocketAddr,
    /// The URL of the stream to relay
    #[arg(long)]
    upstream: Uri,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    // On Ctrl-C each stream sends a reconnection time, and ends.
    let shutdown =
        Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));
    let relay = event_channel_handler(move |request, events| {
        let mut source = EventSource::new(args.upstream.clone());
        // A reader that reconnects resumes at its last event ID, also on the other server.
        if let Some(last) = request.extensions().get::<LastEventId>() {
            source = source.with_last_event_id(last.as_event_id().clone());
        }
        async move {
            while let Some(update) = source.next_update().await {
                match update {
                    // A block without data may set the last event ID.
                    Ok(Update::Event(event) | Update::Block(event)) => events.send(event).await?,
                    Err(error) if error.is_fatal() => return Err(error.into()),
                    _ => {}
                }
            }
            Ok(())
        }
    })
    .shutdown(&shutdown);
    let app = Router::new().route_service("/relay", relay);
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
        .await?;
    Ok(())
}
