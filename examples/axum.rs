//! Three ways to serve an event stream with axum: a route, a handler, and a layer.
//!
//! ```text
//! cargo run --example axum
//! curl -N http://127.0.0.1:8080/ticks
//! curl -N http://127.0.0.1:8080/rooms/kitchen -H 'last-event-id: 2'
//! curl -N http://127.0.0.1:8080/ -H 'accept: text/event-stream'
//! curl http://127.0.0.1:8080/
//! curl -N http://127.0.0.1:8080/clock
//! ```

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::Path,
    response::{Html, IntoResponse},
    routing::get,
    serve::Listener,
};
use clap::Parser;
use http::{HeaderMap, StatusCode};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_io_timeout::TimeoutStream;
use tower_sse::{
    BoxError, Event, EventBody, Farewell, LastEventId, Shutdown, SseLayer, event_channel_handler,
    shutdown::ShutdownIo,
};

/// Event streams in axum.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// How long a write to a client may wait
    #[arg(long, default_value = "30s")]
    write_timeout: humantime::Duration,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // On Ctrl-C each stream sends a reconnection time, and ends. If a client does not read, its
    // stream cannot end in this way, and its connection is closed.
    let shutdown =
        Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));
    let listener =
        Cutting { listener, write_timeout: args.write_timeout.into(), shutdown: shutdown.clone() };
    axum::serve(listener, app(&shutdown))
        .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
        .await?;
    Ok(())
}

fn app(shutdown: &Shutdown) -> Router {
    // A handler is a service, so it can be a route.
    let ticks = event_channel_handler(|_request, events| async move {
        for n in 0.. {
            events.send(Event::new(format!("tick {n}")).with_type("tick").with_id(n)).await?;
            sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    })
    .shutdown(shutdown);

    // Sends as many events as the client reads: `send` waits while the client is slow. `Cutting`
    // limits that wait.
    let numbers = event_channel_handler(|_request, events| async move {
        for n in 0u64.. {
            events.send(Event::new(n)).await?;
        }
        Ok(())
    })
    .shutdown(shutdown)
    .on_disconnect(|end| println!("/numbers: {} after {} events", end.reason(), end.events()));

    let clock = event_channel_handler(|_request, events| async move {
        let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
        events.send(Event::new(since.as_secs())).await?;
        Ok(())
    });

    Router::new()
        .route("/", get(Html("<!doctype html><title>axum</title><p>This page has events too.")))
        // The layer wraps the routes above it: a request that accepts an event stream gets one
        // instead of the page. After all routes, it would take such requests from all of them.
        .layer(SseLayer::new(ticks.clone()))
        .route_service("/ticks", ticks)
        .route_service("/numbers", numbers)
        .route("/rooms/{room}", get(room))
        // This layer wraps the whole router, so its path takes precedence over the routes.
        .layer(SseLayer::new(clock).path("/clock"))
}

/// A handler with extractors. It can return an error, like any other handler, and creates the body
/// of its response.
async fn room(
    Path(room): Path<String>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, (StatusCode, String)> {
    if room == "attic" {
        return Err((StatusCode::NOT_FOUND, "there is no attic".into()));
    }
    let last = LastEventId::from_headers(&headers)
        .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    let next = last.and_then(|id| id.as_str().parse().ok()).map_or(0u32, |n: u32| n + 1);
    let body = EventBody::new(move |events| async move {
        for n in next..5 {
            events.send(Event::new(format!("{room} {n}")).with_id(n)).await?;
        }
        Ok(())
    });
    Ok(([("x-room", "open")], body.into_http_response()))
}

/// Closes the connections of clients that have stopped reading: after a timeout, and when the
/// server shuts down.
///
/// While a write to such a client waits, the server does not poll the body. So no keep-alive and no
/// timeout of the handler can end the stream; only the server can. The timeout does not affect idle
/// streams, because nothing is being written to them.
///
/// Over HTTP/2 a client can stop reading one stream and read others. The timeout does not notice
/// that, so such a stream ends only when the server shuts down.
struct Cutting {
    listener: TcpListener,
    write_timeout: Duration,
    shutdown: Shutdown,
}

impl Listener for Cutting {
    type Io = ShutdownIo<Pin<Box<TimeoutStream<TcpStream>>>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        // The method of axum's `Listener` continues after errors.
        let (stream, addr) = Listener::accept(&mut self.listener).await;
        // Without it an event waits for the client's acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.write_timeout));
        (self.shutdown.cut_io(Box::pin(stream)), addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
