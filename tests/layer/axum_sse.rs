//! axum's own event streams, on a real server, with and without `SseGovern`.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{
    Router,
    response::sse::{Event, KeepAlive, Sse},
    routing::get,
};
use futures_util::{StreamExt as _, stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tower_sse::{Farewell, Shutdown, SseGovern};

use crate::support::http::soon;

/// How many streams are open: `TOWER_SSE_STREAMS`, 300 by default. Each takes two files of the process.
fn streams() -> usize {
    std::env::var("TOWER_SSE_STREAMS").map_or(300, |streams| streams.parse().unwrap())
}

/// axum's example: an event, and then one each second, with keep-alives.
fn app() -> Router {
    let events = || async {
        let seconds = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Event::default().data("tick"), ()))
        });
        let first = stream::iter([Event::default().data("hello")]);
        Sse::new(first.chain(seconds).map(Ok::<_, Infallible>)).keep_alive(KeepAlive::default())
    };
    Router::new().route("/events", get(events))
}

async fn open(address: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut start = Vec::new();
    while !start.ends_with(b"data: hello\n\n\r\n") {
        assert_ne!(soon(socket.read_buf(&mut start)).await.unwrap(), 0);
    }
    socket
}

/// Opens streams, and ends the server as at Ctrl-C. Returns the server's task, and the sockets.
async fn start(app: Router, shutdown: &Shutdown) -> (JoinHandle<()>, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        let _ = stopped.await;
    });
    let server = tokio::spawn(async move { server.await.unwrap() });
    let mut sockets = Vec::new();
    for _ in 0..streams() {
        sockets.push(open(address).await);
    }
    shutdown.start();
    stop.send(()).unwrap();
    (server, sockets)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_axum_ends_at_once_with_the_layer_and_hangs_without() {
    let shutdown = Shutdown::new(Farewell::new().retry(Duration::from_secs(1)));
    let (server, sockets) = start(app(), &shutdown).await;
    let ended = timeout(Duration::from_secs(2), server).await;
    assert!(ended.is_err(), "without the layer, it waits for its clients");
    drop(sockets);

    let shutdown = Shutdown::new(Farewell::new().retry(Duration::from_secs(1)));
    let begun = Instant::now();
    let app = app().layer(SseGovern::new().shutdown(&shutdown));
    let (server, sockets) = start(app, &shutdown).await;
    let opened = begun.elapsed();
    soon(server).await.unwrap();
    println!("{} streams ended {:?} after the shutdown", streams(), begun.elapsed() - opened);
    for mut socket in sockets {
        let mut rest = Vec::new();
        soon(socket.read_to_end(&mut rest)).await.unwrap();
        let rest = String::from_utf8(rest).unwrap();
        // The farewell, and the end of the response.
        assert!(rest.ends_with("retry: 1000\n\n\r\n0\r\n\r\n"), "{rest:?}");
    }
}
