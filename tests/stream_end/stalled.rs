//! A client that stops reading while its connection stays open.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time::sleep;
use tokio_io_timeout::TimeoutStream;
use tower_sse::{EndReason, Event, event_channel_handler};

use crate::support::{SECOND, ends::Ends, http::Server};

/// Wraps a connection so that it is closed after 300 ms without a successful write.
fn cuts_stalled(
    stream: tokio::net::TcpStream,
) -> std::pin::Pin<Box<TimeoutStream<tokio::net::TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(Duration::from_millis(300)));
    Box::pin(stream)
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_by_a_write_timeout_and_its_memory_stays_bounded() {
    let mut ends = Ends::new();
    let flooded = Arc::new(AtomicU64::new(0));
    let floods = flooded.clone();
    let handler = event_channel_handler(move |_, events| {
        let flooded = floods.clone();
        async move {
            loop {
                events.send(Event::new("x".repeat(10_000))).await?;
                flooded.fetch_add(1, SeqCst);
            }
        }
    })
    .on_disconnect(ends.hook());
    let server = Server::start_over(handler, cuts_stalled).await;
    let mut client = server.get_raw("/").await;
    client.until("xxx").await;
    let end = ends.next().await;
    assert_eq!(end.reason(), EndReason::ClientGone);
    assert!(end.bytes() > 100_000, "{end:?}");
    // Only the sockets and the buffers hold events.
    let sent = flooded.load(SeqCst) * 10_000;
    assert!(sent < 64 << 20, "{sent} bytes");
}

#[tokio::test]
async fn an_idle_stream_is_not_cut_by_a_write_timeout() {
    let (go_on, wait) = tokio::sync::oneshot::channel();
    let wait = Arc::new(Mutex::new(Some(wait)));
    let mut ends = Ends::new();
    let handler = event_channel_handler(move |_, events| {
        let wait = wait.lock().unwrap().take().unwrap();
        async move {
            wait.await?;
            events.send(Event::new("later")).await?;
            Ok(())
        }
    })
    .on_disconnect(ends.hook());
    let server = Server::start_over(handler, cuts_stalled).await;
    let mut client = server.get_raw("/").await;
    client.until(": connected").await;
    sleep(SECOND * 9 / 10).await;
    go_on.send(()).unwrap();
    client.until("data: later\n\n").await;
    assert_eq!(ends.next().await.reason(), EndReason::Finished);
}
