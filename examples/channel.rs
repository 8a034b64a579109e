//! Events from other sources: a channel of another crate, and a thread.
//!
//! ```text
//! cargo run --example channel
//! curl -N http://127.0.0.1:8080/stream
//! curl -N http://127.0.0.1:8080/thread
//! ```

use std::{net::SocketAddr, thread, time::Duration};

use axum::{Router, extract::State, response::IntoResponse, routing::get, serve::ListenerExt as _};
use clap::Parser;
use futures_channel::mpsc;
use futures_util::SinkExt;
use tokio::{net::TcpListener, time::sleep};
use tower_sse::{BoxError, Event, EventBody, Farewell, SendError, Shutdown, event_channel_handler};

/// Events from a channel, and from a thread.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    // On Ctrl-C each stream sends a reconnection time, and ends.
    let shutdown =
        Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));
    let thread = event_channel_handler(|_request, events| async move {
        // The stream lasts until the thread drops its sender. After the client has left,
        // `blocking_send` fails, and the thread ends.
        thread::spawn(move || {
            for n in 0..5 {
                events.blocking_send(Event::new(format!("from a thread: {n}")))?;
                thread::sleep(Duration::from_millis(200));
            }
            Ok::<_, SendError>(())
        });
        Ok(())
    })
    .shutdown(&shutdown);

    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = Router::new()
        .route("/stream", get(stream))
        .with_state(shutdown.clone())
        .route_service("/thread", thread);
    let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
        .await?;
    Ok(())
}

/// Any `Stream` of events can become the body: here, the receiver of a channel.
async fn stream(State(shutdown): State<Shutdown>) -> impl IntoResponse {
    let (mut sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        for n in 0..5 {
            sender.send(Event::new(format!("from a channel: {n}"))).await?;
            sleep(Duration::from_millis(200)).await;
        }
        Ok::<_, mpsc::SendError>(())
    });
    EventBody::from_stream(receiver).shutdown(&shutdown).into_http_response()
}
