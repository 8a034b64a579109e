//! The first bytes of a stream: greeting, `retry`, and the events that are ready.

use std::time::Duration;

use http_body::Body as _;
use tokio::time::Instant;
use tower_sse::{Buffer, Event, EventBody, HandlerOptions, event_channel_handler};

use crate::support::{
    SECOND, decode,
    handlers::{body_of_events, idle, idle_body},
    http::{call, get},
    read_text,
};

#[tokio::test(start_paused = true)]
async fn the_greeting_comes_at_once_and_can_be_switched_off() {
    let mut body = idle_body();
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": connected\n");

    let mut body = idle_body().without_greeting().retry(3 * SECOND);
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "retry: 3000\n");

    let mut body = idle_body().without_greeting();
    let started = Instant::now();
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": keep-alive\n");
    assert_eq!(started.elapsed(), 15 * SECOND);

    // The same with a handler.
    let start = Instant::now();
    let mut body = call(&idle(), get("/")).await.into_body();
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": connected\n");
    assert_eq!(start.elapsed(), Duration::ZERO);

    let silent = idle().without_greeting().without_keep_alive();
    let mut body = call(&silent, get("/")).await.into_body();
    assert!(tokio::time::timeout(1000 * SECOND, body.next_chunk()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn events_that_are_ready_go_out_with_the_greeting() {
    let mut body = body_of_events(3);
    assert!(!body.is_end_stream());
    let first = body.next_chunk().await.unwrap().unwrap();
    assert_eq!(first, ": connected\nid: 0\ndata: 0\n\nid: 1\ndata: 1\n\nid: 2\ndata: 2\n\n");
    assert!(body.is_end_stream());
    assert!(body.next_chunk().await.is_none());
    assert!(body.next_chunk().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_large_first_event_follows_the_greeting_and_is_not_copied() {
    let large = tower_sse::EncodedEvent::from(Event::new("x".repeat(50_000)));
    let sent = large.clone();
    let mut body = EventBody::new(|events| async move { Ok(events.send(sent).await?) });
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": connected\n");
    let chunk = body.next_chunk().await.unwrap().unwrap();
    assert_eq!(chunk.as_ptr(), large.to_bytes().as_ptr());
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn the_greeting_and_retry_never_pass_the_buffer() {
    for buffer in [Buffer::dropping(1), Buffer::sliding(1), Buffer::fixed(1).max_bytes(1)] {
        let body = || {
            let options = HandlerOptions::new().buffer(buffer).retry(7 * SECOND);
            EventBody::with_options(options, |events| async move {
                for n in 0..9 {
                    let _ = events.try_send(Event::new(n));
                }
                Ok(())
            })
        };
        let mut with_greeting = body();
        // The greeting is joined with the events of the handler's first poll.
        let first = with_greeting.next_chunk().await.unwrap().unwrap();
        assert!(first.starts_with(b": connected\nretry: 7000\ndata: "), "{first:?}");
        assert!(with_greeting.next_chunk().await.is_none());

        let text = read_text(body().without_greeting()).await;
        assert!(text.starts_with("retry: 7000\ndata: "), "{text:?}");
        assert_eq!(decode(text).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn events_go_out_before_the_handler_returns() {
    let handler = event_channel_handler(|_, events| async move {
        events.send(Event::new("x")).await?;
        std::future::pending().await
    });
    let mut body = call(&handler, get("/")).await.into_body();
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": connected\ndata: x\n\n");

    // A handler that blocks a thread of its own.
    let handler = event_channel_handler(|_, events| async move {
        let blocking = move || (0..1000).try_for_each(|n| events.blocking_send(Event::new(n)));
        tokio::task::spawn_blocking(blocking).await??;
        Ok(())
    });
    let text = read_text(call(&handler, get("/")).await.into_body()).await;
    assert_eq!(decode(text).len(), 1000);
}
