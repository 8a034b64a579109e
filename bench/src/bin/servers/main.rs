//! The servers that are compared. Each is a module; all have the same command line and one thread.
//!
//! ```text
//! servers ours-hyper --mode fanout --rate 50 --size 64
//! ```
//!
//! Each listens on a socket from [`listen`], so that TCP_NODELAY is always set, and prints its port
//! and its process ID as one line of JSON.

mod actix;
mod axum_sse;
mod epoll;
mod hyper_ring;
mod ours;
mod salvo_sse;
mod warp_sse;

use std::{
    error::Error,
    io::Write as _,
    net::{SocketAddr, TcpListener},
};

use clap::{Parser, Subcommand};
use tokio::net::TcpSocket;
use tower_sse_bench::{Listening, Workload};

/// A server of event streams
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    server: Server,
}

#[derive(Subcommand)]
enum Server {
    /// tower-sse: a hub on hyper's HTTP/1 alone, set up for streams
    OursHubHyper(Workload),
    /// tower-sse: a hub under axum::serve
    OursHubAxum(Workload),
    /// tower-sse: a handler on hyper's HTTP/1 alone, set up for streams
    OursHyper(Workload),
    /// tower-sse: a handler under axum::serve
    OursAxum(Workload),
    /// axum's Sse with tokio's broadcast
    Axum(Workload),
    /// warp's sse with tokio's broadcast
    Warp(Workload),
    /// salvo's sse with tokio's broadcast
    Salvo(Workload),
    /// actix-web-lab's Sse with tokio's broadcast
    Actix(Workload),
    /// hyper with bytes that are already encoded, in a ring that all streams share
    HyperRing(Workload),
    /// The same ring under axum::serve
    AxumRing(Workload),
    /// No HTTP server at all: the limit of the kernel
    Epoll(Workload),
}

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let args = Args::parse();
    match args.server {
        Server::Epoll(workload) => return epoll::run(&workload),
        Server::Actix(workload) => return actix::run(workload),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.server {
            Server::OursHubHyper(workload) => ours::hub_on_hyper(workload).await,
            Server::OursHubAxum(workload) => ours::hub_on_axum(workload).await,
            Server::OursHyper(workload) => ours::handler_on_hyper(workload).await,
            Server::OursAxum(workload) => ours::handler_on_axum(workload).await,
            Server::Axum(workload) => axum_sse::run(workload).await,
            Server::Warp(workload) => warp_sse::run(workload).await,
            Server::Salvo(workload) => salvo_sse::run(workload).await,
            Server::HyperRing(workload) => hyper_ring::run(workload).await,
            Server::AxumRing(workload) => hyper_ring::on_axum(workload).await,
            Server::Epoll(_) | Server::Actix(_) => unreachable!("they have no such runtime"),
        }
    })
}

/// Listens, and prints the port. Accepted connections inherit TCP_NODELAY from this socket.
fn listen(workload: &Workload) -> Result<TcpListener> {
    let listener = {
        // Only tokio's socket has these settings, and it needs a runtime to listen.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let _guard = runtime.enter();
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.set_nodelay(true)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], workload.port)))?;
        let listener = socket.listen(4096)?.into_std();
        drop(_guard);
        // It is dropped within another runtime, so it must not block.
        runtime.shutdown_background();
        listener?
    };
    let listening = Listening { port: listener.local_addr()?.port(), pid: std::process::id() };
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", serde_json::to_string(&listening)?)?;
    stdout.flush()?;
    Ok(listener)
}

fn listen_tokio(workload: &Workload) -> Result<tokio::net::TcpListener> {
    Ok(tokio::net::TcpListener::from_std(listen(workload)?)?)
}
