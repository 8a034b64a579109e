//! A graceful shutdown, for axum and for hyper, in each mode.
//!
//! ```text
//! cargo run --example shutdown -- --mode finish
//! cargo run --example shutdown -- --server hyper --mode paced
//! curl -N http://127.0.0.1:8080/ticks     in another terminal; and then Ctrl-C in this one
//! ```
//!
//! The first Ctrl-C starts the shutdown in the given mode. The second ends all streams at once.

use std::{net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, serve::Listener};
use clap::{Parser, ValueEnum};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::ctrl_c,
    time::{interval, sleep},
};
use tower_sse::{
    BoxError, Event, EventChannelHandler, EventSender, Farewell, Shutdown, event_channel_handler,
    shutdown::ShutdownIo,
};

/// A server with a graceful shutdown.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// Which server
    #[arg(long, default_value = "axum")]
    server: Server,
    /// How streams end
    #[arg(long, default_value = "farewell")]
    mode: Mode,
}

#[derive(Clone, ValueEnum)]
enum Server {
    Axum,
    Hyper,
}

#[derive(Clone, ValueEnum)]
enum Mode {
    /// At once, without a farewell
    Now,
    /// With an event and a reconnection time
    Farewell,
    /// When their handlers have finished, after at most 10 seconds
    Finish,
    /// One after the other, over 10 seconds
    Paced,
}

impl Mode {
    fn farewell(&self) -> Farewell {
        let bye = Farewell::new()
            .event(Event::new("see you soon").with_type("bye"))
            .retry(Duration::from_secs(1)..Duration::from_secs(5));
        match self {
            Self::Now => Farewell::new(),
            Self::Farewell => bye,
            Self::Finish => bye.grace_period(Duration::from_secs(10)),
            Self::Paced => bye.stagger_over(Duration::from_secs(10)),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let shutdown = Shutdown::new(args.mode.farewell());
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::spawn(second_interrupt(shutdown.clone()));
    match args.server {
        Server::Axum => serve_with_axum(listener, &shutdown).await?,
        Server::Hyper => serve_with_hyper(listener, &shutdown).await?,
    }
    println!("all streams have ended");
    Ok(())
}

/// Ends all streams at once at the second Ctrl-C.
async fn second_interrupt(shutdown: Shutdown) {
    shutdown.started().await;
    println!("{} streams are open", shutdown.streams());
    if ctrl_c().await.is_ok() {
        shutdown.start_now();
    }
}

async fn serve_with_axum(listener: TcpListener, shutdown: &Shutdown) -> Result<(), BoxError> {
    let app = Router::new().route_service("/ticks", ticks().shutdown(shutdown));
    let listener = Cutting { listener, shutdown: shutdown.clone() };
    axum::serve(listener, app).with_graceful_shutdown(shutdown.start_when(ctrl_c())).await?;
    Ok(())
}

async fn serve_with_hyper(listener: TcpListener, shutdown: &Shutdown) -> Result<(), BoxError> {
    let mut interrupted = pin!(shutdown.start_when(ctrl_c()));
    let connections = GracefulShutdown::new();
    let service = TowerToHyperService::new(ticks().shutdown(shutdown));
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = &mut interrupted => break,
        };
        stream.set_nodelay(true)?;
        let io = TokioIo::new(shutdown.cut_io(stream));
        let server = auto::Builder::new(TokioExecutor::new());
        let connection = server.serve_connection(io, service.clone()).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move { connection.await.is_ok() });
    }
    drop(listener);
    connections.shutdown().await;
    Ok(())
}

/// Sends one event each second, and a last one when the shutdown begins.
fn ticks<B: Send + 'static>() -> EventChannelHandler<B> {
    event_channel_handler(|_request, events: EventSender| async move {
        let mut pace = interval(Duration::from_secs(1));
        for n in 0.. {
            tokio::select! {
                _ = pace.tick() => events.send(Event::new(format!("tick {n}"))).await?,
                () = events.ending() => break,
            }
        }
        // Stands for work that must be completed.
        sleep(Duration::from_millis(200)).await;
        events.send(Event::new("finished")).await?;
        Ok(())
    })
    .on_disconnect(|end| println!("{} after {} events", end.reason(), end.events()))
}

/// Lets the shutdown close the connections of clients that do not read.
struct Cutting {
    listener: TcpListener,
    shutdown: Shutdown,
}

impl Listener for Cutting {
    type Io = ShutdownIo<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        // The method of axum's `Listener` continues after errors.
        let (stream, addr) = Listener::accept(&mut self.listener).await;
        // Without it an event waits for the client's acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        (self.shutdown.cut_io(stream), addr)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
