//! A server without a framework: hyper, with HTTP/1.1 and HTTP/2 on one port, and a write timeout
//! for slow clients.
//!
//! ```text
//! cargo run --example hyper
//! curl -N http://127.0.0.1:8080/ticks
//! curl -N --http2-prior-knowledge http://127.0.0.1:8080/numbers
//! ```

use std::{convert::Infallible, net::SocketAddr, pin::pin, time::Duration};

use clap::Parser;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, time::sleep};
use tokio_io_timeout::TimeoutStream;
use tower::{ServiceBuilder, service_fn};
use tower_sse::{
    BoxError, Event, EventChannelHandler, Farewell, Shutdown, SseLayer, event_channel_handler,
};

/// Event streams on hyper alone.
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
    serve(listener, args.write_timeout.into()).await
}

async fn serve(listener: TcpListener, write_timeout: Duration) -> Result<(), BoxError> {
    // On Ctrl-C each stream sends a reconnection time, and ends, so that the connections can end
    // too.
    let shutdown =
        Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));
    let mut interrupted = pin!(shutdown.start_when(tokio::signal::ctrl_c()));
    let connections = GracefulShutdown::new();
    let service = ServiceBuilder::new()
        .layer(SseLayer::new(ticks().shutdown(&shutdown)).path("/ticks"))
        .layer(SseLayer::new(numbers().shutdown(&shutdown)).path("/numbers"))
        .service(service_fn(not_found));
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = &mut interrupted => break,
        };
        stream.set_nodelay(true)?;

        // While a write waits for a client that has stopped reading, the server does not poll the
        // body. So no keep-alive and no timeout of the handler can end the stream; only the server
        // can. The timeout does not affect idle streams, because nothing is being written to them.
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(write_timeout));
        // Connections that are still open some time after the shutdown are closed as well.
        let io = TokioIo::new(shutdown.cut_io(Box::pin(stream)));

        let service = TowerToHyperService::new(service.clone());
        let server = auto::Builder::new(TokioExecutor::new());
        let connection = connections.watch(server.serve_connection(io, service).into_owned());
        tokio::spawn(async move {
            // Errors mean that a client has left, and `on_disconnect` reports that.
            let _ = connection.await;
        });
    }
    drop(listener);
    connections.shutdown().await;
    Ok(())
}

/// Sends one event each second, until the client leaves.
fn ticks() -> EventChannelHandler<Incoming> {
    event_channel_handler(|_request, events| async move {
        for n in 0.. {
            events.send(Event::new(format!("tick {n}")).with_type("tick").with_id(n)).await?;
            sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    })
    .on_disconnect(|end| println!("/ticks: {} after {} events", end.reason(), end.events()))
}

/// Sends as many events as the client reads: `send` waits while the client is slow.
fn numbers() -> EventChannelHandler<Incoming> {
    event_channel_handler(|_request, events| async move {
        for n in 0u64.. {
            events.send(Event::new(n)).await?;
        }
        Ok(())
    })
    .on_disconnect(|end| println!("/numbers: {} after {} events", end.reason(), end.events()))
}

async fn not_found(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let mut response = Response::new(String::from("try /ticks and /numbers\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    Ok(response)
}
