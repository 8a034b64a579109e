//! The channel under many senders at once: nothing accepted is lost, nothing is sent twice, nobody
//! is passed over.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use support::decode;
use tower_sse::{Buffer, Event, EventBody, EventSender, event_channel};

/// Reads all of a stream, and returns the data of its events.
async fn delivered(mut body: EventBody) -> Vec<String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next_chunk().await {
        bytes.extend_from_slice(&chunk.unwrap());
    }
    decode(bytes).into_iter().map(|(_, data, _)| data).collect()
}

fn channel(buffer: Buffer) -> (EventSender, EventBody) {
    let (events, receiver) = event_channel(buffer);
    (events, EventBody::from(receiver).without_keep_alive())
}

/// Every sender's events arrive in its order, and all of them.
fn assert_in_order(delivered: &[String], senders: usize, each: usize) {
    let mut next = vec![0; senders];
    for data in delivered {
        let (sender, n) = data.split_once(':').unwrap();
        let sender: usize = sender.parse().unwrap();
        assert_eq!(n.parse::<usize>().unwrap(), next[sender], "of sender {sender}");
        next[sender] += 1;
    }
    assert_eq!(next, vec![each; senders]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_threads_and_sinks_lose_nothing_and_keep_their_order() {
    const EACH: usize = 2_000;
    let (events, body) = channel(Buffer::fixed(3).max_bytes(40));
    for sender in 0..3 {
        let events = events.clone();
        tokio::spawn(async move {
            for n in 0..EACH {
                events.send(Event::new(format!("{sender}:{n}"))).await.unwrap();
            }
        });
    }
    for sender in 3..5 {
        let events = events.clone();
        std::thread::spawn(move || {
            for n in 0..EACH {
                events.blocking_send(Event::new(format!("{sender}:{n}"))).unwrap();
            }
        });
    }
    for sender in 5..7 {
        let mut events = events.clone();
        tokio::spawn(async move {
            let stream = futures_util::stream::iter(0..EACH);
            let mut stream = stream.map(|n| Ok(Event::new(format!("{sender}:{n}"))));
            events.send_all(&mut stream).await.unwrap();
        });
    }
    drop(events);
    let delivered = tokio::time::timeout(Duration::from_secs(60), delivered(body)).await.unwrap();
    assert_in_order(&delivered, 7, EACH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_dropped_at_any_point_are_sent_whole_or_not_at_all() {
    const EACH: usize = 2_000;
    let (events, body) = channel(Buffer::fixed(2));
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for sender in 0..4u64 {
        let (events, accepted) = (events.clone(), accepted.clone());
        tasks.push(tokio::spawn(async move {
            let mut random = sender + 1;
            for n in 0..EACH {
                // A small generator of one's own, so that a failure can be run again.
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let data = format!("{sender}:{n}");
                let mut sending = Box::pin(events.send(Event::new(&data)));
                // Some are waited for, the others given up after a while.
                let patience = if n % 4 == 0 { u64::MAX } else { random >> 60 };
                let mut sent = false;
                for _ in 0..patience {
                    if let Some(result) = (&mut sending).now_or_never() {
                        result.unwrap();
                        sent = true;
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                if sent {
                    accepted.lock().unwrap().push(data);
                }
            }
        }));
    }
    drop(events);
    let delivered = tokio::time::timeout(Duration::from_secs(60), delivered(body)).await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let (mut delivered, mut accepted) = (delivered, accepted.lock().unwrap().clone());
    assert!(accepted.len() >= EACH, "{} accepted", accepted.len());
    delivered.sort();
    accepted.sort();
    assert_eq!(delivered, accepted);
}

#[tokio::test]
async fn a_receiver_that_goes_frees_everybody_who_waits() {
    let (events, body) = channel(Buffer::fixed(1));
    events.try_send(Event::new("fills it")).unwrap();
    let waiting: Vec<_> = (0..5)
        .map(|n| {
            let events = events.clone();
            tokio::spawn(async move { events.send(Event::new(n)).await })
        })
        .collect();
    let thread = {
        let events = events.clone();
        tokio::task::spawn_blocking(move || events.blocking_send(Event::new("thread")))
    };
    let closed = {
        let events = events.clone();
        tokio::spawn(async move { events.closed().await })
    };
    tokio::task::yield_now().await;
    drop(body);
    for (n, waiting) in waiting.into_iter().enumerate() {
        let error = waiting.await.unwrap().unwrap_err();
        assert!(error.is_closed());
        assert_eq!(error.into_event().unwrap().data(), n.to_string());
    }
    assert!(thread.await.unwrap().unwrap_err().is_closed());
    closed.await.unwrap();
    assert!(events.is_closed());
    assert!(events.try_send(Event::new("late")).unwrap_err().is_closed());
}

#[test]
fn bounds_hold_in_events_and_in_bytes() {
    // 9 bytes each: `data: n` and two line ends.
    let (events, _body) = channel(Buffer::fixed(100).max_bytes(30));
    for n in 0..3 {
        events.try_send(Event::new(n)).unwrap();
    }
    assert!(events.try_send(Event::new(3)).unwrap_err().is_full());

    // One that is larger than the bytes goes alone.
    let (events, _body) = channel(Buffer::fixed(100).max_bytes(30).max_event_bytes(1_000));
    events.try_send(Event::new("x".repeat(500))).unwrap();
    assert!(events.try_send(Event::new(1)).unwrap_err().is_full());
    let error = events.try_send(Event::new("x".repeat(1_000))).unwrap_err();
    assert!(error.is_too_large());
    assert_eq!(error.into_event().unwrap().data().len(), 1_000);

    // No capacity counts as one.
    for buffer in [Buffer::fixed(0), Buffer::fixed(5).max_bytes(0)] {
        let (events, _body) = channel(buffer);
        events.try_send(Event::new(1)).unwrap();
        assert!(events.try_send(Event::new(2)).unwrap_err().is_full());
    }
}

#[tokio::test]
async fn dropping_and_sliding_buffers_count_what_they_drop() {
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
}

#[test]
fn a_send_that_waits_is_woken_once_there_is_room() {
    let (events, mut body) = channel(Buffer::fixed(1));
    events.try_send(Event::new(0)).unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let mut sending = pin!(events.send(Event::new(1)));
    assert!(sending.as_mut().poll(&mut context).is_pending());
    assert_eq!(Arc::strong_count(&woken), 3);
    let mut noop = Context::from_waker(Waker::noop());
    assert!(pin!(body.next_chunk()).poll(&mut noop).is_ready());
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(matches!(sending.poll(&mut context), Poll::Ready(Ok(()))));
    // Nobody keeps the waker of one who has been served.
    assert_eq!(Arc::strong_count(&woken), 2);
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
