//! Senders after the end, and how they learn of it.

use tokio::time::{Instant, sleep, timeout};
use tower_sse::{
    Buffer, Event, EventBody, Farewell, SendError, Shutdown, event_channel, event_channel_handler,
};

use crate::{
    channel,
    support::{
        SECOND, decode,
        farewells::reading,
        handlers::sends,
        http::{call, get},
        read_text,
    },
};

#[tokio::test(start_paused = true)]
async fn a_send_after_the_end_returns_the_event_in_its_error() {
    let (events, receiver) = event_channel(Buffer::default());
    drop(EventBody::from(receiver));
    assert!(events.is_closed());
    let event = Event::new("x").with_id(7);
    let back = |result: Result<(), SendError>| {
        let error = result.unwrap_err();
        assert!(error.is_closed());
        error.into_event().unwrap()
    };
    assert_eq!(back(events.send(event.clone()).await), event);
    assert_eq!(back(events.try_send(event.clone())), event);
    assert_eq!(back(events.blocking_send(event.clone())), event);
}

#[tokio::test]
async fn a_dropped_receiver_releases_all_waiting_senders() {
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

#[tokio::test(start_paused = true)]
async fn queued_events_go_out_after_the_application_has_closed() {
    for close in [true, false] {
        let (events, receiver) = event_channel(Buffer::default());
        for n in 0..3 {
            events.try_send(Event::new(n)).unwrap();
        }
        let another = events.clone();
        if close {
            another.close();
        }
        drop(events);
        drop(another);
        let decoded = decode(read_text(EventBody::from(receiver)).await);
        assert_eq!(decoded.iter().map(|(_, data, _)| data).collect::<Vec<_>>(), ["0", "1", "2"]);
    }
}

#[tokio::test(start_paused = true)]
async fn senders_kept_elsewhere_are_closed_with_the_stream() {
    let (keep, kept) = std::sync::mpsc::channel();
    let app = event_channel_handler(move |_, events| {
        keep.send(events.clone()).unwrap();
        async move {
            events.send(Event::new("x")).await?;
            events.close();
            Ok(())
        }
    });
    let text = read_text(call(&app, get("/")).await.into_body()).await;
    assert_eq!(text, ": connected\ndata: x\n\n");
    let writer = kept.recv().unwrap();
    assert!(writer.is_closed());
    assert!(writer.try_send(Event::new("late")).unwrap_err().is_closed());
    // Without another sender, the return of the handler ends the stream.
    read_text(call(&sends(vec![Event::new("x")]), get("/")).await.into_body()).await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_learns_of_a_shutdown_although_the_body_is_not_polled() {
    let shutdown = Shutdown::new(Farewell::new().grace_period(60 * SECOND));
    let (events, receiver) = event_channel(Buffer::fixed(1));
    let mut body = EventBody::from(receiver).shutdown(&shutdown);
    body.next_chunk().await.unwrap().unwrap();
    shutdown.start();
    timeout(SECOND, events.ending()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn ending_and_closed_complete_for_all_waiting_tasks() {
    let (events, receiver) = event_channel(Buffer::fixed(4));
    let shutdown = Shutdown::new(Farewell::new().grace_period(10 * SECOND));
    let body = EventBody::from(receiver).shutdown(&shutdown).without_keep_alive();
    let reading = reading(body);
    let start = Instant::now();
    let waiting: Vec<_> = (0..4)
        .map(|n| {
            let events = events.clone();
            tokio::spawn(async move {
                if n % 2 == 0 {
                    events.ending().await;
                } else {
                    events.closed().await;
                }
                start.elapsed()
            })
        })
        .collect();
    sleep(SECOND).await;
    shutdown.start();
    let mut completed = Vec::new();
    for waiting in waiting {
        completed.push(waiting.await.unwrap().as_secs());
    }
    assert_eq!(completed, [1, 11, 1, 11]);
    reading.await.unwrap();
    assert_eq!(events.ending().await, ());
}
