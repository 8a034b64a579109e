//! Many senders at once: no accepted event is lost or sent twice, and each sender keeps its order.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tower_sse::{Buffer, Event};

use crate::{channel, delivered};

/// Asserts that all events of every sender arrived, in the order of that sender.
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
        let mut events = events.clone().into_sink();
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
async fn a_send_dropped_at_any_point_is_sent_whole_or_not_at_all() {
    const EACH: usize = 2_000;
    let (events, body) = channel(Buffer::fixed(2));
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for sender in 0..4u64 {
        let (events, accepted) = (events.clone(), accepted.clone());
        tasks.push(tokio::spawn(async move {
            let mut random = sender + 1;
            for n in 0..EACH {
                // A generator with a fixed seed, so that a failure can be reproduced.
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let data = format!("{sender}:{n}");
                let mut sending = Box::pin(events.send(Event::new(&data)));
                // Every fourth send is awaited, the others are given up after some polls.
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
