//! A client that stops reading while its connection stays open.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::sleep;
use tokio_io_timeout::TimeoutStream;
use tower_sse::{EndReason, Event, event_channel_handler};

use crate::support::{SECOND, ends::Ends, http::Server};

/// A server that cuts a connection which takes nothing for a while.
fn cuts_stalled(
    stream: tokio::net::TcpStream,
) -> std::pin::Pin<Box<TimeoutStream<tokio::net::TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(Duration::from_millis(300)));
    Box::pin(stream)
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_by_a_write_timeout() {
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, events| async move {
        loop {
            events.send(Event::new("x".repeat(10_000))).await?;
        }
    })
    .on_disconnect(ends.hook());
    let server = Server::start_over(handler, cuts_stalled).await;
    let mut client = server.get_raw("/").await;
    client.until("xxx").await;
    let end = ends.next().await;
    assert_eq!(end.reason(), EndReason::ClientGone);
    assert!(end.bytes() > 100_000, "{end:?}");
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
