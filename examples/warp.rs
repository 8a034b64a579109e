//! Event streams next to warp's filters, and inside of one.
//!
//! ```text
//! cargo run --example warp
//! curl http://127.0.0.1:8080/hello
//! curl -N http://127.0.0.1:8080/ticks
//! curl -N http://127.0.0.1:8080/countdown/3
//! ```

use std::{net::SocketAddr, pin::pin, time::Duration};

use clap::Parser;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyDataStream;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, time::sleep};
use tower::{Service, ServiceBuilder};
use tower_sse::{BoxError, Event, EventBody, Farewell, Shutdown, SseLayer, event_channel_handler};
use warp::{Filter, Reply};

/// Event streams with warp.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);

    // On Ctrl-C each stream sends a reconnection time, and ends, so that the connections can end
    // too.
    let shutdown =
        Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));

    // Next to filters: they are a service, and the layer takes its requests before they reach it.
    let ticks = event_channel_handler(|_request, events| async move {
        for n in 0.. {
            events.send(Event::new(format!("tick {n}")).with_type("tick").with_id(n)).await?;
            sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    })
    .shutdown(&shutdown);
    let hello = warp::path!("hello").map(|| "hello");
    let counting = shutdown.clone();
    let countdown = warp::path!("countdown" / u32).map(move |from| countdown(from, &counting));
    let service = ServiceBuilder::new()
        .layer(SseLayer::new(ticks).path("/ticks"))
        .service(warp::service(hello.or(countdown)));

    serve(listener, service, shutdown).await
}

/// Inside of a filter: its reply has an event stream as its body.
fn countdown(from: u32, shutdown: &Shutdown) -> impl Reply + use<> {
    let response = EventBody::new(move |events| async move {
        for n in (0..=from).rev() {
            events.send(Event::new(n)).await?;
        }
        Ok(())
    })
    .shutdown(shutdown)
    .into_http_response();
    let (head, body) = response.into_parts();
    let mut reply = warp::reply::stream(BodyDataStream::new(body)).into_response();
    *reply.headers_mut() = head.headers;
    reply
}

/// This is generic because the compiler cannot prove otherwise that the warp service is `Send`.
async fn serve<S, B>(listener: TcpListener, service: S, shutdown: Shutdown) -> Result<(), BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let mut interrupted = pin!(shutdown.start_when(tokio::signal::ctrl_c()));
    let connections = GracefulShutdown::new();
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = &mut interrupted => break,
        };
        stream.set_nodelay(true)?;
        // Connections that are still open some time after the shutdown are closed.
        let io = TokioIo::new(shutdown.cut_io(stream));
        let service = TowerToHyperService::new(service.clone());
        let server = auto::Builder::new(TokioExecutor::new());
        let connection = connections.watch(server.serve_connection(io, service).into_owned());
        tokio::spawn(async move {
            // Errors mean that a client has left.
            let _ = connection.await;
        });
    }
    drop(listener);
    connections.shutdown().await;
    Ok(())
}
