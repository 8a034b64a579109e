//! A client that leaves is noticed at once, on real sockets and without a byte being written:
//! keep-alives are off, there is no greeting, and most of the handlers never send.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use http::{Method, Request};
use http_body_util::BodyExt as _;
use tokio::{io::AsyncWriteExt as _, sync::mpsc};
use tower_sse::{EndReason, Event, EventChannelHandler, KeepAlive, event_channel_handler};

use crate::support::{
    ends::Ends,
    handlers::idle,
    http::{Server, read_until, request, soon},
    log::Log,
};

type Handler = EventChannelHandler<hyper::body::Incoming>;

/// A handler that reports when it runs, sends nothing, and lasts until its client leaves.
fn silent(ends: &Ends) -> (Handler, mpsc::UnboundedReceiver<()>) {
    let (run, runs) = mpsc::unbounded_channel();
    let handler = event_channel_handler(move |_, events| {
        let run = run.clone();
        async move {
            run.send(())?;
            events.closed().await;
            Ok(())
        }
    });
    (handler.without_greeting().without_keep_alive().on_disconnect(ends.hook()), runs)
}

/// Waits for the hook, whose reason must be that the client is gone, and prints how long that took.
async fn gone(ends: &mut Ends, left: Instant, what: &str) -> tower_sse::StreamEnd {
    let end = ends.next().await;
    println!("{what}: the hook ran after {:?}", left.elapsed());
    assert_eq!(end.reason(), EndReason::ClientGone);
    assert!(end.error().is_none());
    end
}

#[tokio::test]
async fn a_close_is_noticed_at_once_over_http_1() {
    let mut ends = Ends::new();
    let (handler, mut runs) = silent(&ends);
    let server = Server::start(handler).await;
    for round in 0..5 {
        let client = server.get_raw("/").await;
        soon(runs.recv()).await.unwrap();
        ends.none();
        let left = Instant::now();
        drop(client);
        let end = gone(&mut ends, left, &format!("HTTP/1.1, closed, {round}")).await;
        assert_eq!((end.events(), end.bytes()), (0, 0));
    }
    ends.none();

    // After the greeting.
    let mut ends = Ends::new();
    let handler = idle().without_keep_alive().on_disconnect(ends.hook());
    let server = Server::start(handler).await;
    let mut client = server.get_raw("/").await;
    client.until(": connected").await;
    ends.none();
    drop(client);
    assert_eq!(ends.next().await.reason(), EndReason::ClientGone);
}

#[tokio::test]
async fn a_reset_is_noticed_at_once_over_http_1() {
    let mut ends = Ends::new();
    let (handler, mut runs) = silent(&ends);
    let server = Server::start(handler).await;
    let client = server.get_raw("/").await;
    soon(runs.recv()).await.unwrap();
    client.stream.set_zero_linger().unwrap();
    let left = Instant::now();
    drop(client);
    gone(&mut ends, left, "HTTP/1.1, reset").await;
    ends.none();
}

#[tokio::test]
async fn a_close_is_noticed_at_once_over_http_2() {
    let mut ends = Ends::new();
    let (handler, mut runs) = silent(&ends);
    let server = Server::start(handler).await;
    let (mut client, socket) = server.http2().await;
    let answer = soon(client.send_request(request(Method::GET, "/"))).await.unwrap();
    soon(runs.recv()).await.unwrap();
    ends.none();
    let left = Instant::now();
    // The whole connection is closed, without a frame of HTTP/2.
    socket.shutdown(std::net::Shutdown::Both).unwrap();
    let end = gone(&mut ends, left, "HTTP/2, connection closed").await;
    assert_eq!((end.events(), end.bytes()), (0, 0));
    drop(answer);
    ends.none();
}

#[tokio::test]
async fn a_stream_that_is_reset_over_http_2_leaves_the_others_alone() {
    let mut ends = Ends::new();
    let (go_on, _) = tokio::sync::broadcast::channel(1);
    let ticks = go_on.clone();
    let handler: Handler = event_channel_handler(move |request, events| {
        let mut ticks = ticks.subscribe();
        async move {
            let path = request.uri().path().to_owned();
            events.send(Event::new(format!("{path} is open"))).await?;
            loop {
                let tick: u32 = ticks.recv().await?;
                events.send(Event::new(format!("{path} tick {tick}"))).await?;
            }
        }
    });
    let handler = handler
        .on_connect(|mut connect| async move {
            let path = connect.uri().path().to_owned();
            connect.extensions_mut().insert(path);
            Ok(connect.accept())
        })
        .without_keep_alive()
        .on_disconnect(ends.hook());
    let server = Server::start(handler).await;
    let (mut client, _socket) = server.http2().await;
    let mut streams = Vec::new();
    for path in ["/a", "/b", "/c"] {
        let answer = soon(client.send_request(request(Method::GET, path))).await.unwrap();
        let mut body = answer.into_body();
        read_until(&mut body, &format!("{path} is open")).await;
        streams.push((path, body));
    }
    for tick in 0..2 {
        let (path, body) = streams.remove(1 - tick);
        let left = Instant::now();
        drop(body);
        let end = gone(&mut ends, left, &format!("HTTP/2, {path} reset")).await;
        assert_eq!(end.extensions().get::<String>().unwrap(), path);
        go_on.send(u32::try_from(tick).unwrap()).unwrap();
        for (path, body) in &mut streams {
            read_until(body, &format!("{path} tick {tick}")).await;
        }
        ends.none();
    }
}

#[tokio::test]
async fn a_client_that_aborts_a_flood_is_noticed_at_once() {
    let mut ends = Ends::new();
    let handler: Handler = event_channel_handler(|_, events| async move {
        loop {
            events.send(Event::new("x".repeat(1000))).await?;
        }
    });
    let server = Server::start(handler.without_keep_alive().on_disconnect(ends.hook())).await;

    let mut client = server.get_raw("/").await;
    client.until(&"x".repeat(1000)).await;
    let left = Instant::now();
    drop(client);
    let end = gone(&mut ends, left, "HTTP/1.1, in a flood").await;
    assert!(end.events() > 0 && end.bytes() > 1000);

    let (mut client, _socket) = server.http2().await;
    let answer = soon(client.send_request(request(Method::GET, "/"))).await.unwrap();
    let mut body = answer.into_body();
    read_until(&mut body, &"x".repeat(1000)).await;
    let left = Instant::now();
    drop(body);
    let end = gone(&mut ends, left, "HTTP/2, in a flood").await;
    assert!(end.events() > 0 && end.bytes() > 1000);
    ends.none();
}

#[tokio::test]
async fn a_client_that_leaves_drops_the_handler_where_it_awaits() {
    /// Reports when it is dropped.
    struct Guard(mpsc::UnboundedSender<&'static str>);
    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }
    for spawn_handler in [false, true] {
        let (report, mut reported) = mpsc::unbounded_channel();
        let handler: Handler = event_channel_handler(move |_, _| {
            let guard = Guard(report.clone());
            async move {
                guard.0.send("runs")?;
                pending().await
            }
        });
        let handler = handler.without_greeting().without_keep_alive();
        let server =
            Server::start(if spawn_handler { handler.spawn_handler() } else { handler }).await;
        let client = server.get_raw("/").await;
        assert_eq!(soon(reported.recv()).await, Some("runs"));
        drop(client);
        assert_eq!(soon(reported.recv()).await, Some("dropped"), "in task: {spawn_handler}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_not_logged() {
    // The test has one thread, so every log line is recorded.
    let log = Log::start();
    let mut ends = Ends::new();
    let server = Server::start(idle().on_disconnect(ends.hook())).await;
    for _ in 0..3 {
        server.get_raw("/").await.until(": connected").await;
        let end = ends.next().await;
        assert_eq!(end.reason(), EndReason::ClientGone);
        assert!(end.error().is_none());
    }
    assert_eq!(log.lines(), [""; 0]);
}

#[tokio::test]
async fn a_client_that_leaves_while_events_are_written_is_not_logged() {
    // The test has one thread, so every log line is recorded.
    let log = Log::start();
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, events| async move {
        loop {
            events.send(Event::new("x".repeat(1000))).await?;
        }
    })
    .on_disconnect(ends.hook());
    let server = Server::start(handler).await;
    let mut client = server.get_raw("/").await;
    client.until("xxx").await;
    drop(client);
    assert_eq!(ends.next().await.reason(), EndReason::ClientGone);
    assert_eq!(log.lines(), [""; 0]);
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_at_once_after_its_request_body_was_read() {
    let mut ends = Ends::new();
    let handler =
        event_channel_handler(|request: Request<hyper::body::Incoming>, events| async move {
            let body = request.into_body().collect().await?.to_bytes();
            events.send(Event::new(format!("{} bytes", body.len()))).await?;
            events.closed().await;
            Ok(())
        })
        .without_keep_alive()
        .on_disconnect(ends.hook());
    let server = Server::start(handler).await;

    let mut client = server.get_raw("/").await;
    client.until("data: 0 bytes\n\n").await;
    drop(client);
    assert_eq!(ends.next().await.reason(), EndReason::ClientGone);

    let post = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhello";
    let mut client = server.raw(post).await;
    client.until("data: 5 bytes\n\n").await;
    drop(client);
    assert_eq!(ends.next().await.reason(), EndReason::ClientGone);
}

#[tokio::test]
async fn with_an_unread_request_body_the_next_keep_alive_notices_that_the_client_has_left() {
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, events| async move {
        events.closed().await;
        Ok(())
    })
    .keep_alive(KeepAlive::every(Duration::from_millis(50)))
    .on_disconnect(ends.hook());
    let server = Server::start(handler).await;
    let post = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n\r\n";
    let mut client = server.raw(post).await;
    client.stream.write_all(&[b'x'; 100_000]).await.unwrap();
    client.until(": keep-alive").await;
    drop(client);
    assert_eq!(ends.next().await.reason(), EndReason::ClientGone);
}
