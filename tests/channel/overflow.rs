//! A full buffer: senders wait, or the newest or the oldest event is dropped and counted.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use futures_util::FutureExt as _;
use tokio::time::sleep;
use tower_sse::{Buffer, Event, EventBody, event_channel, event_channel_handler};

use crate::{
    channel, delivered,
    support::{
        SECOND, decode,
        ends::Ends,
        http::{call, get},
        read_text,
    },
};

/// Sends 0 to 5 from a spawned handler while the body is not read. Returns the data of the events
/// that are then read, the number of dropped events, and whether the handler had to wait.
async fn left_of_six(buffer: Buffer) -> (String, u64, bool) {
    let waits = Arc::new(AtomicBool::new(false));
    let waited = waits.clone();
    let mut ends = Ends::new();
    let handler = event_channel_handler::<_, _, ()>(move |_, events| {
        let waits = waits.clone();
        async move {
            for n in 0..6 {
                events.send(Event::new(n)).await?;
                sleep(SECOND).await;
            }
            waits.store(false, SeqCst);
            Ok(())
        }
    })
    .without_greeting()
    .without_keep_alive()
    .buffer(buffer)
    .spawn_handler()
    .on_disconnect(ends.hook());
    waited.store(true, SeqCst);
    let mut body = call(&handler, get("/")).await.into_body();
    assert!(body.next_chunk().now_or_never().is_none());
    sleep(20 * SECOND).await;
    let waited = waited.load(SeqCst);
    let data: String = decode(read_text(body).await).into_iter().map(|(_, data, _)| data).collect();
    (data, ends.only().dropped(), waited)
}

#[tokio::test]
async fn dropping_and_sliding_buffers_count_dropped_events() {
    for (buffer, kept) in [
        (Buffer::dropping(3), vec!["0", "1", "2"]),
        (Buffer::sliding(3), vec!["7", "8", "9"]),
        (Buffer::dropping(10).max_bytes(20), vec!["0", "1"]),
        (Buffer::sliding(10).max_bytes(20), vec!["8", "9"]),
        (Buffer::dropping(0), vec!["0"]),
        (Buffer::sliding(0), vec!["9"]),
    ] {
        let (events, body) = channel(buffer);
        for n in 0..10 {
            events.send(Event::new(n)).await.unwrap();
        }
        assert_eq!(events.dropped() as usize, 10 - kept.len());
        drop(events);
        assert_eq!(delivered(body).await, kept, "{buffer:?}");
    }

    for buffer in [Buffer::dropping(2), Buffer::sliding(2)] {
        let (events, _receiver) = event_channel(buffer);
        assert!((0..10).all(|n| events.try_send(Event::new(n)).is_ok()));
        assert_eq!(events.dropped(), 8);
    }
}

#[tokio::test(start_paused = true)]
async fn fixed_buffers_wait_dropping_ones_lose_the_newest_sliding_ones_the_oldest() {
    assert_eq!(left_of_six(Buffer::fixed(2)).await, ("012345".into(), 0, true));
    assert_eq!(left_of_six(Buffer::dropping(2)).await, ("01".into(), 4, false));
    assert_eq!(left_of_six(Buffer::sliding(2)).await, ("45".into(), 4, false));

    // The same for a sender that was moved to another task.
    for (buffer, left) in [(Buffer::dropping(2), "01"), (Buffer::sliding(2), "45")] {
        let (events, receiver) = event_channel(buffer);
        tokio::spawn(async move {
            for n in 0..6 {
                events.send(Event::new(n)).await.unwrap();
            }
            assert_eq!(events.dropped(), 4);
        })
        .await
        .unwrap();
        let decoded = decode(read_text(EventBody::from(receiver)).await);
        assert_eq!(decoded.into_iter().map(|(_, data, _)| data).collect::<String>(), left);
    }
}

#[tokio::test(start_paused = true)]
async fn thousands_of_sends_beyond_the_buffer_are_no_panic() {
    // 2,000 senders wait at once.
    let (events, receiver) = event_channel(Buffer::fixed(10));
    for n in 0..2000 {
        let events = events.clone();
        tokio::spawn(async move { events.send(Event::new(n)).await.unwrap() });
    }
    drop(events);
    tokio::task::yield_now().await;
    let mut data: Vec<usize> = decode(read_text(EventBody::from(receiver)).await)
        .into_iter()
        .map(|(_, data, _)| data.parse().unwrap())
        .collect();
    assert!(data.is_sorted(), "served in the order in which they began to wait");
    data.dedup();
    assert_eq!(data.len(), 2000);

    // 5,000 sends never wait.
    for buffer in [Buffer::dropping(10), Buffer::sliding(10)] {
        let (events, receiver) = event_channel(buffer);
        assert!((0..5000).all(|n| events.try_send(Event::new(n)).is_ok()));
        assert_eq!(events.dropped(), 4990);
        drop(events);
        assert_eq!(decode(read_text(EventBody::from(receiver)).await).len(), 10);
    }
}
