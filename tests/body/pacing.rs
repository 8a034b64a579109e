//! Which bytes go out together: one frame for the events that are ready, 64 KiB at a time, and the
//! batch window.

use std::{
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use futures_util::{FutureExt as _, stream};
use tokio::time::sleep;
use tower::service_fn;
use tower_sse::{
    BoxError, Buffer, Event, EventBody, EventType, HandlerOptions, event_channel,
    event_channel_handler,
};

use crate::support::{
    decode,
    handlers::{body_with, sends},
    http::{Server, call, get},
    poll, read_all, timed,
    waker::Woken,
    wire,
};

#[tokio::test(start_paused = true)]
async fn ready_events_go_out_together_and_none_is_held_back() {
    let handler = event_channel_handler(|_, events| async move {
        for pause in [0, 1, 700] {
            sleep(Duration::from_millis(pause)).await;
            for n in 0..10 {
                events.send(Event::new(n)).await?;
            }
        }
        Ok(())
    });
    let chunks = timed(call(&handler, get("/")).await.into_body()).await;
    let ten: String = (0..10).map(|n| format!("data: {n}\n\n")).collect();
    let first = format!(": connected\n{ten}");
    // Timers round up to a millisecond, once each.
    let seen: Vec<_> = chunks.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(seen, [&*first, &*ten, &*ten]);
    for ((at, _), due) in chunks.iter().zip([0, 1, 701]) {
        assert!((due..=due + 3).contains(at), "{at} for {due}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_ready_events_are_at_most_two_frames() {
    for (buffer, max_frames) in
        [(Buffer::fixed(100), 1), (Buffer::fixed(64), 2), (Buffer::sliding(100), 1)]
    {
        let (frames, error) =
            read_all(&mut body_with(HandlerOptions::new().buffer(buffer), 100)).await;
        assert!(error.is_none());
        assert!(frames.len() <= max_frames, "{} frames", frames.len());
    }
}

#[tokio::test]
async fn a_sent_event_is_delivered_without_a_flush() {
    // In process: the event is ready at the next poll.
    let (events, receiver) = event_channel(Buffer::default());
    let mut body = EventBody::from(receiver).without_greeting();
    assert!(body.next_chunk().now_or_never().is_none());
    events.try_send(Event::new("x")).unwrap();
    assert_eq!(body.next_chunk().now_or_never().unwrap().unwrap().unwrap(), "data: x\n\n");

    // On a socket: each event arrives before the next is sent.
    let (events, receiver) = event_channel(Buffer::default());
    let body = Arc::new(Mutex::new(Some(EventBody::from(receiver))));
    let server = Server::start(service_fn(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async { Ok::<_, BoxError>(body.into_http_response()) }
    }))
    .await;
    let mut client = server.get_raw("/").await;
    for n in 0..10 {
        events.send(Event::new(format!("number {n}"))).await.unwrap();
        client.until(&format!("data: number {n}\n\n")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_body_is_pending_once_after_each_64_kib() {
    let mut body = EventBody::new(|events| async move {
        events.send(Event::new("x".repeat(200_000))).await?;
        Ok(())
    });
    let mut total = 0;
    let mut since = 0;
    loop {
        let polled = futures_util::poll!(std::pin::pin!(body.next_chunk()));
        match polled {
            std::task::Poll::Pending => {
                assert_eq!(since, 64 << 10);
                since = 0;
            }
            std::task::Poll::Ready(Some(chunk)) => {
                let len = chunk.unwrap().len();
                total += len;
                since += len;
                assert!(since <= 64 << 10);
            }
            std::task::Poll::Ready(None) => break,
        }
    }
    assert_eq!(total, 200_000 + "data: \n\n".len() + ": connected\n".len());

    let handlers: [(fn() -> EventBody, usize); 2] = [
        // One event that is larger and is sliced.
        (|| EventBody::from_stream(stream::iter([Event::new("x".repeat(300_000))])), 300_000 + 8),
        // Many small events.
        (
            || EventBody::from_stream(stream::iter((0..5_000).map(|_| Event::new("x".repeat(92))))),
            500_000,
        ),
    ];
    for (make, total) in handlers {
        let mut body = make().without_greeting().without_keep_alive();
        let (woken, waker) = Woken::new();
        let (mut all, mut since, mut pendings, mut woken_before) = (0, 0, 0, 0);
        loop {
            match poll(&mut body, &waker) {
                Poll::Ready(None) => break,
                Poll::Ready(Some(chunk)) => {
                    let len = chunk.unwrap().len();
                    (all, since) = (all + len, since + len);
                    assert!(since <= 64 << 10, "{since}");
                }
                Poll::Pending => {
                    pendings += 1;
                    assert!(woken.count() > woken_before, "it goes on by itself");
                    (since, woken_before) = (0, woken.count());
                }
            }
        }
        assert_eq!(all, total);
        assert!(pendings >= total / (64 << 10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_window_delays_events_but_neither_waiting_senders_nor_the_end() {
    let (events, receiver) = tower_sse::event_channel(tower_sse::Buffer::fixed(2));
    let body = EventBody::from(receiver).without_greeting().without_keep_alive();
    let mut body = body.batch_window(Duration::from_secs(1));
    let start = tokio::time::Instant::now();
    events.try_send(Event::new(0)).unwrap();
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "data: 0\n\n");
    assert_eq!(start.elapsed(), Duration::ZERO);
    events.try_send(Event::new(1)).unwrap();
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "data: 1\n\n");
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    // A sender waits for room.
    let sender = tokio::spawn(async move {
        for n in 2..5 {
            events.send(Event::new(n)).await.unwrap();
        }
        events
    });
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "data: 2\n\ndata: 3\n\n");
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    // The stream ends.
    drop(sender.await.unwrap());
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "data: 4\n\n");
    assert!(body.next_chunk().await.is_none());
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn text_that_is_cut_into_frames_stays_utf_8() {
    // The text is cut into frames at any byte.
    let text = "äß漢字😀\u{2028}".repeat(10_000);
    let event = Event::new(text.clone()).with_type(EventType::try_from("grüße").unwrap());
    let mut body = call(&sends(vec![event.clone()]), get("/")).await.into_body();
    let (frames, _) = read_all(&mut body).await;
    assert!(frames.len() > 1);
    assert_eq!(frames.concat(), [&b": connected\n"[..], &wire(&event)].concat());
    assert_eq!(decode(frames.concat()), [("grüße".into(), text, None)]);
}

#[tokio::test(start_paused = true)]
async fn a_sender_elsewhere_that_begins_to_wait_ends_the_batch_window() {
    let (events, receiver) = event_channel(Buffer::fixed(1));
    let mut body =
        EventBody::from(receiver).without_greeting().batch_window(Duration::from_secs(60));
    events.try_send(Event::new("first")).unwrap();
    body.next_chunk().await.unwrap().unwrap();
    let start = tokio::time::Instant::now();
    tokio::spawn(async move {
        // The body already waits for the window when the buffer fills up.
        for n in 0..3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            events.send(Event::new(n)).await.unwrap();
        }
    });
    body.next_chunk().await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}
