//! The three ways to an event stream in axum: a route, a handler, and a layer.
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
    BoxError, Event, EventBody, Farewell, LastEventId, Shutdown, ShutdownIo, SseLayer,
    event_channel_handler,
};

/// Event streams in axum.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// How long a client may take nothing of what is to be written to it
    #[arg(long, default_value = "30s")]
    write_timeout: humantime::Duration,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // At Ctrl-C the streams say when to come back, and end; those that cannot, because their clients
    // do not read, are cut.
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
    // A handler is a service, and so a route.
    let ticks = event_channel_handler(|_request, events| async move {
        for n in 0.. {
            events.send(Event::new(format!("tick {n}")).with_type("tick").with_id(n)).await?;
            sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    })
    .shutdown(shutdown);

    // As many events as the client takes: `send` waits while it is slow. See `Cutting` for how
    // slow it may be.
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
        // The layer is around the routes above it: a request that asks for events gets them in
        // place of the page. Put it below them all, and it takes such requests from all of
        // them.
        .layer(SseLayer::new(ticks.clone()))
        .route_service("/ticks", ticks)
        .route_service("/numbers", numbers)
        .route("/rooms/{room}", get(room))
        // Over the whole router, by path: whatever the routes are, this one is a stream.
        .layer(SseLayer::new(clock).path("/clock"))
}

/// A handler with extractors, which may refuse like any other, and answers with a body that it
/// makes.
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
    Ok(([("x-room", "open")], body.into_response()))
}

/// Cuts clients that have stopped reading without leaving: after a while, and when the server shuts
/// down.
///
/// Such a client would hold its stream for as long as it likes: the server writes nothing to it, so
/// it asks the body for nothing, and neither keep-alives nor timeouts of the handler can come to
/// pass. Only the server can cut it. An idle stream is not touched: nothing is being written.
///
/// Over HTTP/2 a client can stop reading a stream and still take what else there is; that is not
/// seen here, and such a stream is cut only when the server shuts down.
struct Cutting {
    listener: TcpListener,
    write_timeout: Duration,
    shutdown: Shutdown,
}

impl Listener for Cutting {
    type Io = ShutdownIo<Pin<Box<TimeoutStream<TcpStream>>>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        // By the trait's method, which goes on after errors.
        let (stream, addr) = Listener::accept(&mut self.listener).await;
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.write_timeout));
        (self.shutdown.cut_io(Box::pin(stream)), addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
