//! A handler whose channel is filled by senders elsewhere: it still gets its turns.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tower_sse::{Event, EventBody, EventSender, Farewell, Shutdown};

const MILLISECOND: Duration = Duration::from_millis(1);

/// Spawns tasks that keep the buffer full until the stream has ended.
fn flood_from_tasks(events: &EventSender) {
    for _ in 0..4 {
        let events = events.clone();
        tokio::spawn(
            async move { while events.send(Event::new("x".repeat(10_000))).await.is_ok() {} },
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_runs_although_a_sender_elsewhere_always_has_an_event() {
    let (give, mut take) = tokio::sync::mpsc::unbounded_channel();
    let has_run = Arc::new(AtomicBool::new(false));
    let mut body = EventBody::new({
        let has_run = has_run.clone();
        move |events| async move {
            give.send(events.clone())?;
            sleep(50 * MILLISECOND).await;
            has_run.store(true, SeqCst);
            events.close();
            Ok(())
        }
    });
    body.next_chunk().await.unwrap().unwrap();
    let events = take.recv().await.unwrap();
    // The body always has an event when it is polled.
    for _ in 0..1000 {
        let is_open = events.try_send(Event::new("x")).is_ok();
        if body.next_chunk().await.is_none() || !is_open {
            break;
        }
        sleep(MILLISECOND).await;
    }
    assert!(has_run.load(SeqCst), "the handler has not run within a second");
}

#[tokio::test(start_paused = true)]
async fn a_handler_runs_although_tasks_keep_its_buffer_full() {
    let start = Instant::now();
    let mut body = EventBody::new(|events| async move {
        flood_from_tasks(&events);
        sleep(50 * MILLISECOND).await;
        events.close();
        Ok(())
    });
    // A client that is slower than the senders.
    while body.next_chunk().await.is_some() && start.elapsed() < Duration::from_secs(10) {
        sleep(MILLISECOND).await;
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_handler_learns_of_a_shutdown_although_tasks_keep_its_buffer_full() {
    let shutdown = Shutdown::new(Farewell::new().grace_period(Duration::from_secs(5)));
    let mut body = EventBody::new(|events| async move {
        flood_from_tasks(&events);
        events.ending().await;
        events.close();
        Ok(())
    })
    .shutdown(&shutdown);
    for _ in 0..10 {
        body.next_chunk().await.unwrap().unwrap();
        sleep(MILLISECOND).await;
    }
    shutdown.start();
    let start = Instant::now();
    while body.next_chunk().await.is_some() {
        sleep(MILLISECOND).await;
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}
