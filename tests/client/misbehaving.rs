//! Servers on real sockets that misbehave. The source handles each with bounded memory and a clear
//! item or error. Time limits are generous: the tests check results, not speed.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::{sleep, timeout},
};
use tower_sse::{EventSource, Reconnection, Update, client::Updates};

use crate::support::socket::{Act, read_request, server, status, stream};

const LIMIT: Duration = Duration::from_secs(20);

/// A policy with a short and constant delay.
fn quick() -> Reconnection {
    Reconnection::resilient()
        .base(Duration::from_millis(10))
        .floor(Duration::ZERO)
        .factor(1.0)
        .jitter(0.0)
}

fn source(url: &str) -> EventSource {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    EventSource::get(client, url).reconnection(quick())
}

async fn next(updates: &mut Updates) -> String {
    let update = timeout(LIMIT, updates.next()).await.expect("an update in time");
    let update = match update {
        None => "end".into(),
        Some(Ok(Update::Opened(_))) => "opened".into(),
        Some(Ok(Update::Event(event))) => format!("event {}", event.data()),
        Some(Ok(Update::Reconnecting(again))) => format!("again: {}", again.cause),
        Some(Ok(other)) => format!("{other:?}"),
        Some(Err(error)) if error.is_fatal() => format!("fatal: {error}"),
        Some(Err(error)) => format!("error: {error}"),
    };
    // The port is another one in each run.
    match update.split_once(" (http://127.0.0.1:") {
        Some((before, url)) => format!("{before} (…{}", &url[url.find('/').unwrap()..]),
        None => update,
    }
}

async fn reported(source: EventSource, count: usize) -> Vec<String> {
    let mut updates = source.updates();
    let mut reported = Vec::new();
    for _ in 0..count {
        reported.push(next(&mut updates).await);
    }
    reported
}

#[tokio::test]
async fn a_refused_connection_is_retried_until_the_source_gives_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let reported = reported(source(&url).reconnection(quick().attempts(3)), 4).await;
    let again = "again: the request failed";
    let gave_up = "fatal: gave up after 3 attempts without an event: the request failed";
    assert_eq!(reported, [again, again, gave_up, "end"]);
}

#[tokio::test]
async fn a_reset_in_the_middle_of_an_event_is_a_lost_connection() {
    let acts = [
        Act::Resets(stream("id: 1\ndata: a\n\nid: 2\ndata: half")),
        Act::Holds(stream("data: b\n\n")),
    ];
    let (url, seen) = server(acts).await;
    let reported = reported(source(&url), 5).await;
    assert_eq!(
        reported,
        ["opened", "event a", "again: the connection was lost", "opened", "event b"]
    );
    assert!(seen.heads()[1].contains("last-event-id: 1\r\n"));
}

#[tokio::test]
async fn a_server_that_ends_after_each_event_is_resumed_each_time() {
    let acts = (0..5).map(|n| Act::Writes(stream(&format!("id: {n}\ndata: {n}\n\n"))));
    let (url, seen) = server(acts).await;
    let mut source = source(&url);
    for n in 0..5 {
        let event = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap();
        assert_eq!(event.data(), n.to_string());
    }
    let heads = seen.heads();
    for (n, head) in heads.iter().enumerate().skip(1) {
        assert!(head.contains(&format!("last-event-id: {}\r\n", n - 1)), "{head}");
    }
}

#[tokio::test]
async fn two_internal_server_errors_are_retried_and_then_the_stream_is_read() {
    let error = || Act::Writes(status("500 Internal Server Error"));
    let (url, _) = server([error(), error(), Act::Holds(stream("data: x\n\n"))]).await;
    let again =
        "again: not an event stream: the status is 500 Internal Server Error, not 200 (…/events)";
    assert_eq!(reported(source(&url), 4).await, [again, again, "opened", "event x"]);
}

#[tokio::test]
async fn a_204_ends_the_source() {
    let (url, seen) = server([Act::Writes("HTTP/1.1 204 No Content\r\n\r\n".into())]).await;
    assert_eq!(reported(source(&url), 2).await, ["end", "end"]);
    assert_eq!(seen.paths().len(), 1);
}

#[tokio::test]
async fn a_chain_of_permanent_redirects_is_followed() {
    let to = |location: &str| {
        let head = format!("301 Moved Permanently\r\nlocation: {location}");
        Act::Writes(status(&head))
    };
    let acts = [to("/one"), to("two?x"), to("../three"), Act::Holds(stream("data: x\n\n"))];
    let (url, seen) = server(acts).await;
    assert_eq!(reported(source(&url), 2).await, ["opened", "event x"]);
    assert_eq!(seen.paths(), ["/events", "/one", "/two?x", "/three"]);
}

#[tokio::test]
async fn a_redirect_loop_is_fatal() {
    let (url, seen) = server([Act::Writes(status("302 Found\r\nlocation: /events"))]).await;
    assert_eq!(reported(source(&url), 2).await, ["fatal: more than 20 redirects in a row", "end"]);
    assert_eq!(seen.paths().len(), 21);
}

#[tokio::test]
async fn a_page_instead_of_a_stream_is_fatal() {
    let page =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<!doctype html>";
    let (url, _) = server([Act::Writes(page.into())]).await;
    let error = "fatal: not an event stream: the content type is \"text/html\", not text/event-stream (…/events): <!doctype html>";
    assert_eq!(reported(source(&url), 2).await, [error, "end"]);
}

#[tokio::test]
async fn a_head_that_never_comes_is_a_failed_attempt() {
    let (url, _) = server([Act::Holds(String::new()), Act::Holds(stream("data: x\n\n"))]).await;
    let source = source(&url).header_timeout(Duration::from_millis(300));
    let reported = reported(source, 3).await;
    assert_eq!(reported, ["again: no response head within 300ms", "opened", "event x"]);
}

#[tokio::test]
async fn silence_after_the_head_is_a_lost_connection() {
    let (url, _) = server([Act::Holds(stream("")), Act::Holds(stream("data: x\n\n"))]).await;
    let source = source(&url).idle_timeout(Duration::from_millis(300));
    assert_eq!(
        reported(source, 4).await,
        ["opened", "again: no bytes received for 300ms", "opened", "event x"]
    );
}

/// After the runtime was blocked for longer than the idle timeout, the first poll finds nothing to
/// read, although bytes wait in the socket.
#[tokio::test]
async fn a_reader_that_blocks_its_runtime_is_no_silence() {
    let text = stream(&"data: x\n\n".repeat(200));
    let (sender, address) = std::sync::mpsc::channel();
    // The server has a thread of its own, because this one is blocked.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (url, _) = server([Act::Drips(text, Duration::from_millis(10))]).await;
            sender.send(url).unwrap();
            sleep(LIMIT).await;
        });
    });
    let url = address.recv().unwrap();
    let mut updates = source(&url).idle_timeout(Duration::from_millis(1000)).updates();
    assert_eq!(next(&mut updates).await, "opened");
    assert_eq!(next(&mut updates).await, "event x");
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(1200));
        assert_eq!(next(&mut updates).await, "event x");
    }
}

#[tokio::test]
async fn a_slow_stream_of_single_bytes_is_read() {
    let text = stream("data: slow\n\n");
    let (url, _) = server([Act::Drips(text, Duration::from_millis(20))]).await;
    let source = source(&url).idle_timeout(Duration::from_secs(10));
    assert_eq!(reported(source, 2).await, ["opened", "event slow"]);
}

#[tokio::test]
async fn a_gibibyte_without_a_line_end_is_an_error_and_takes_bounded_memory() {
    let (url, seen) =
        server([Act::Floods(stream("data: ")), Act::Holds(stream("data: x\n\n"))]).await;
    let mut updates = source(&url).max_line_bytes(1 << 20).updates();
    assert_eq!(next(&mut updates).await, "opened");
    let error = next(&mut updates).await;
    assert_eq!(
        error,
        "error: the line that starts at byte 0 is longer than 1048576 bytes; raise `max_line_bytes` of the parser"
    );
    // The source reads on for the next event, until the application reconnects.
    let reading = timeout(Duration::from_millis(100), updates.next()).await;
    assert!(reading.is_err(), "{reading:?}");
    assert!(seen.flooded() > 1 << 20);
    updates.get_mut().reconnect();
    assert_eq!(next(&mut updates).await, "opened");
    assert_eq!(next(&mut updates).await, "event x");
}

#[tokio::test]
async fn invalid_utf_8_is_replaced() {
    let mut bytes = stream("").into_bytes();
    bytes.extend_from_slice(b"data: a\xff\xf0\x9f\x98b\n\nevent: \xc3\ndata: c\n\n");
    let (url, _) = server([Act::Bytes(bytes)]).await;
    let reported = reported(source(&url), 3).await;
    assert_eq!(reported, ["opened", "event a\u{fffd}\u{fffd}b", "event c"]);
}

#[tokio::test]
async fn a_retry_of_0_is_not_a_busy_loop() {
    let (url, seen) = server([Act::Writes(stream("retry: 0\ndata: x\n\n"))]).await;
    let mut source = source(&url).reconnection(Reconnection::resilient());
    let started = std::time::Instant::now();
    for _ in 0..4 {
        timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap();
    }
    // Three reconnects, each after at least the floor.
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(seen.paths().len(), 4);
}

#[tokio::test]
async fn a_retry_of_more_than_64_bits_is_capped_at_an_hour() {
    let (url, seen) =
        server([Act::Writes(stream("retry: 99999999999999999999\ndata: x\n\n"))]).await;
    let mut updates = source(&url).updates();
    assert_eq!(next(&mut updates).await, "opened");
    assert_eq!(next(&mut updates).await, "event x");
    let Some(Ok(Update::Reconnecting(again))) = updates.next().await else { panic!() };
    assert_eq!(again.delay, Duration::from_secs(60 * 60));
    assert!(timeout(Duration::from_millis(300), updates.next()).await.is_err());
    assert_eq!(seen.paths().len(), 1);
}

#[tokio::test]
async fn a_retry_after_date_in_the_far_future_is_capped_at_an_hour() {
    let date = "503 Service Unavailable\r\nretry-after: Fri, 31 Dec 9999 23:59:59 GMT";
    let (url, _) = server([Act::Writes(status(date))]).await;
    let mut updates = source(&url).updates();
    let Some(Ok(Update::Reconnecting(again))) = timeout(LIMIT, updates.next()).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(again.delay, Duration::from_secs(60 * 60), "the longest that a server may tell");
    assert_eq!(again.cause.status().unwrap(), 503);
}

#[tokio::test]
async fn a_gzip_encoding_that_was_not_requested_is_fatal() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n";
    let mut bytes = Vec::new();
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
    let (url, seen) = server([Act::Bytes(bytes)]).await;
    let error = "fatal: not an event stream: the content encoding is \"gzip\": decode the body before it is read (…/events)";
    assert_eq!(reported(source(&url), 2).await, [error, "end"]);
    assert!(!seen.heads()[0].to_lowercase().contains("accept-encoding"));
}

#[tokio::test]
async fn dropping_a_source_closes_its_connection_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut source = source(&format!("http://{}/", listener.local_addr().unwrap()));
    let serving = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_request(&mut socket).await.unwrap();
        socket.write_all(stream("data: x\n\n").as_bytes()).await.unwrap();
        // The server sees the end or a reset, and no other bytes.
        timeout(LIMIT, socket.read_buf(&mut Vec::new())).await.unwrap().unwrap_or(0)
    });
    timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap();
    drop(source);
    assert_eq!(serving.await.unwrap(), 0);
}
