//! The counts of a stream: events, bytes and the last event ID that were handed to the server.

use std::future::pending;

use futures_util::FutureExt as _;
use tokio::time::sleep;
use tower_sse::{Buffer, Event, EventBody, KeepAlive, event_channel};

use crate::support::{SECOND, decode, ends::Ends, read_text};

#[tokio::test(start_paused = true)]
async fn only_events_handed_to_the_server_are_counted() {
    let mut ends = Ends::new();
    let three = |ends: &Ends| {
        EventBody::new(|events| async move {
            for n in 0..3 {
                events.send(Event::new(n).with_id(n)).await?;
                sleep(SECOND).await;
            }
            Ok(())
        })
        .on_disconnect(ends.hook())
    };
    for chunks in 0..=3 {
        let mut body = three(&ends);
        let mut bytes = 0;
        for _ in 0..chunks {
            bytes += body.next_chunk().await.unwrap().unwrap().len() as u64;
        }
        drop(body);
        let end = ends.only();
        assert_eq!((end.events(), end.bytes()), (chunks, bytes));
        let last = chunks.checked_sub(1).map(|last| last.to_string());
        assert_eq!(end.last_event_id().map(str::to_owned), last);
    }

    // Accepted by the channel, but never handed to the server.
    let (events, receiver) = event_channel(Buffer::default());
    events.send(Event::new("x").with_id(7)).await.unwrap();
    drop(EventBody::from(receiver).on_disconnect(ends.hook()));
    let end = ends.only();
    assert_eq!((end.events(), end.last_event_id()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn the_id_of_a_dropped_event_is_not_counted() {
    // The dropped event is in a segment of small events, or in one that a large event has closed.
    for last in [Event::new("small"), Event::new("x".repeat(10_000))] {
        let mut ends = Ends::new();
        let (events, receiver) = event_channel(Buffer::sliding(3));
        for event in [Event::new("a").with_id(1), Event::new("b")] {
            events.try_send(event).unwrap();
        }
        events.try_send(last.encode()).unwrap();
        events.try_send(Event::new("c")).unwrap();
        drop(events);
        let body = EventBody::from(receiver).on_disconnect(ends.hook());
        let decoded = decode(read_text(body).await);
        assert_eq!(decoded.len(), 3);
        assert!(decoded.iter().all(|(_, _, id)| id.is_none()));
        let end = ends.only();
        assert_eq!((end.events(), end.dropped(), end.last_event_id()), (3, 1, None));
    }
}

#[tokio::test(start_paused = true)]
async fn the_id_of_a_keep_alive_is_the_last_event_id() {
    let mut ends = Ends::new();
    let position = Event::default().with_id("position");
    let mut body = EventBody::new(|_| pending())
        .without_greeting()
        .keep_alive(KeepAlive::every(SECOND).without_comment().event(position))
        .on_disconnect(ends.hook());
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "id: position\n\n");
    drop(body);
    let end = ends.only();
    assert_eq!((end.events(), end.last_event_id()), (0, Some("position")));
}

#[tokio::test(start_paused = true)]
async fn an_event_cut_into_frames_counts_with_its_last_byte() {
    let mut ends = Ends::new();
    let large = |ends: &Ends| {
        EventBody::new(|events| async move {
            events.send(Event::new("x".repeat(100_000)).with_id(7)).await?;
            pending().await
        })
        .without_greeting()
        .on_disconnect(ends.hook())
    };
    let mut body = large(&ends);
    body.next_chunk().await.unwrap().unwrap();
    drop(body);
    let end = ends.only();
    assert_eq!((end.events(), end.last_event_id()), (0, None));
    let mut body = large(&ends);
    for _ in 0..2 {
        body.next_chunk().await.unwrap().unwrap();
    }
    drop(body);
    let end = ends.only();
    assert_eq!((end.events(), end.last_event_id()), (1, Some("7")));
}

#[test]
fn events_of_one_frame_are_counted_together() {
    let mut ends = Ends::new();
    let (events, receiver) = event_channel(Buffer::fixed(1_000));
    let mut body = EventBody::from(receiver)
        .without_keep_alive()
        .without_greeting()
        .on_disconnect(ends.hook());
    let mut id = 0u64;
    let mut send = |text: &str| {
        id += 1;
        events.try_send(Event::new(text).with_id(id)).unwrap();
    };
    let text = "x".repeat(100);
    (0..300).for_each(|_| send(&text));
    send(&"x".repeat(50_000));
    (0..600).for_each(|_| send(&text));

    // Reads until the body is pending for the first time.
    let mut given = Vec::new();
    while let Some(chunk) = body.next_chunk().now_or_never() {
        given.extend_from_slice(&chunk.unwrap().unwrap());
    }
    assert!(given.len() <= 64 << 10);
    drop(body);
    let end = ends.only();
    let whole = given.windows(2).filter(|window| window == b"\n\n").count() as u64;
    assert_eq!((end.events(), end.last_event_id()), (whole, Some(&*whole.to_string())));
    assert!(whole >= 300);
}
