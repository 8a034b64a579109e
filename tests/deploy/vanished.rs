//! A client that accepts nothing any more: `TCP_USER_TIMEOUT` on the server's listener, and haproxy's
//! `tcp-ut`.

use std::time::Duration;

use socket2::SockRef;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use tower_sse::EndReason;

use crate::{
    proxy::{Kind, Options, Proxy},
    upstream::Upstream,
};

/// Requests a stream, and reads nothing.
async fn stuck(addr: std::net::SocketAddr, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(addr).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: example.org\r\naccept: text/event-stream\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_timeout_of_the_listener_ends_the_streams_of_clients_that_accept_nothing() {
    let limit = Duration::from_secs(1);
    let with = Upstream::start_with(|listener| {
        SockRef::from(listener).set_tcp_user_timeout(Some(limit)).unwrap();
    });
    let (with, without) = tokio::join!(with, Upstream::start());
    let (_one, _other) =
        tokio::join!(stuck(with.addr, "/flood?1"), stuck(without.addr, "/flood?1"));
    let end = with.streams.ended(1).await;
    assert_eq!(end.reason, EndReason::ClientGone);
    let still_open = timeout(3 * limit, without.streams.ended(1)).await;
    assert!(still_open.is_err(), "{still_open:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_ends_the_streams_of_clients_that_accept_nothing() {
    let upstream = Upstream::start().await;
    let changes = vec![("tcp-ut 30s".to_owned(), "tcp-ut 1s".to_owned())];
    let options = Options { changes, idle_timeout: None };
    let proxy = Proxy::start(Kind::Haproxy, &[upstream.addr], &options).await;
    let _client = stuck(proxy.addr(), "/flood?1").await;
    // Long before the `timeout client` of the file, a minute.
    assert_eq!(upstream.streams.ended(1).await.reason, EndReason::ClientGone);
}
