//! `send_timeout`: a client that reads nothing for too long is evicted. `revoke`: a stream gives
//! nothing more.

use std::{future::pending, time::Duration};

use futures_util::SinkExt as _;
use tokio::time::{Instant, sleep};
use tower_sse::{
    Buffer, EndReason, Event, EventBody, EventSender, HandlerOptions, Shutdown, event_channel,
    event_channel_handler,
};

use crate::support::{
    MINUTE, SECOND,
    ends::Ends,
    farewells::plain_bye,
    http::{call, get},
    never_hangs, read_all, read_text,
};

#[tokio::test(start_paused = true)]
async fn a_send_that_waits_too_long_evicts_its_stream() {
    let mut ends = Ends::new();
    let (reported, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let handler = event_channel_handler(move |_, events: EventSender| {
        let reported = reported.clone();
        async move {
            let second = events.clone();
            let mut n = 0;
            let error = loop {
                if let Err(error) = events.send(Event::new(n)).await {
                    break error;
                }
                n += 1;
            };
            assert!(error.is_timeout() && !error.is_closed());
            assert!(
                second.is_closed() && second.try_send(Event::new("x")).unwrap_err().is_closed()
            );
            reported.send((n, Instant::now())).unwrap();
            assert!(error.to_string().contains("send_timeout"));
            Err(error.into_event().map_or("no event".into(), |event| event.data().into()))
        }
    })
    .spawn_handler()
    .buffer(Buffer::fixed(8))
    .send_timeout(5 * SECOND)
    .on_disconnect(ends.hook());
    let start = Instant::now();
    let mut body = call(&handler, get("/")).await.into_body();
    // The stream opens, and then the body is not read any more.
    body.next_chunk().await.unwrap().unwrap();
    let (n, at) = reports.recv().await.unwrap();
    assert_eq!(at - start, 5 * SECOND);
    assert!(n >= 8);
    ends.none();
    let (frames, error) = read_all(&mut body).await;
    assert!(frames.is_empty(), "what waited is gone: {frames:?}");
    let error = error.unwrap();
    assert!(error.to_string().contains("evicted"), "{error}");
    let end = ends.only();
    assert_eq!(end.reason(), EndReason::Evicted);
    assert!(end.error().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_evicted_stream_whose_connection_is_then_cut_stays_evicted() {
    let mut ends = Ends::new();
    let (events, receiver) = event_channel(Buffer::fixed(1));
    let mut body = EventBody::from(receiver.send_timeout(SECOND)).on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    events.send(Event::new(1)).await.unwrap();
    let mut sink = events.clone().into_sink();
    let error = sink.feed(Event::new(2)).await.unwrap_err();
    assert!(error.is_timeout());
    // A sink holds no event while it waits, so the error returns none.
    assert!(error.into_event().is_none());
    drop(body);
    assert_eq!(ends.only().reason(), EndReason::Evicted);
}

#[test]
fn a_blocking_send_that_times_out_returns_its_event() {
    never_hangs(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (events, receiver) = event_channel(Buffer::fixed(1));
        let mut body = EventBody::from(receiver.send_timeout(Duration::from_millis(20)));
        runtime.block_on(body.next_chunk()).unwrap().unwrap();
        events.blocking_send(Event::new(1)).unwrap();
        let error = events.blocking_send(Event::new(2)).unwrap_err();
        assert!(error.is_timeout());
        assert_eq!(error.into_event(), Some(Event::new(2)));
        assert!(events.is_closed());
    });
}

#[tokio::test(start_paused = true)]
async fn a_send_served_in_time_does_not_evict_and_the_time_restarts() {
    let (events, receiver) = event_channel(Buffer::fixed(1));
    let mut body = EventBody::from(receiver.send_timeout(5 * SECOND)).without_keep_alive();
    body.next_chunk().await.unwrap().unwrap();
    let sending = tokio::spawn(async move {
        for n in 0..10 {
            events.send(Event::new(n)).await.unwrap();
        }
    });
    for _ in 0..10 {
        sleep(4 * SECOND).await;
        body.next_chunk().await.unwrap().unwrap();
    }
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handler_inside_its_body_is_not_evicted_while_its_body_is_not_polled() {
    let mut ends = Ends::new();
    let options = HandlerOptions::new()
        .buffer(Buffer::fixed(1))
        .send_timeout(SECOND)
        .on_disconnect(ends.hook());
    let mut body = EventBody::with_options(options, |events| async move {
        for n in 0..3 {
            events.send(Event::new(n)).await?;
        }
        Ok(())
    });
    body.next_chunk().await.unwrap().unwrap();
    sleep(MINUTE).await;
    assert_eq!(read_text(body).await, "data: 1\n\ndata: 2\n\n");
    assert_eq!(ends.only().reason(), EndReason::Finished);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_is_not_evicted_however_many_senders_wait() {
    let (events, receiver) = event_channel(Buffer::fixed(1));
    let mut body = EventBody::from(receiver.send_timeout(5 * SECOND)).without_keep_alive();
    body.next_chunk().await.unwrap().unwrap();
    let senders: Vec<_> = (0..20)
        .map(|n| {
            let events = events.clone();
            tokio::spawn(async move { events.send(Event::new(n)).await })
        })
        .collect();
    for _ in 0..20 {
        sleep(SECOND).await;
        body.next_chunk().await.unwrap().unwrap();
    }
    for sender in senders {
        sender.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_never_polled_is_evicted_or_expires() {
    let mut ends = Ends::new();
    let (events, receiver) = event_channel(Buffer::fixed(1));
    let body = EventBody::from(receiver.send_timeout(SECOND)).on_disconnect(ends.hook());
    events.send(Event::new(1)).await.unwrap();
    assert!(events.send(Event::new(2)).await.unwrap_err().is_timeout());
    drop(body);
    assert_eq!(ends.only().reason(), EndReason::Evicted);

    let deadline = (Instant::now() + SECOND).into_std();
    let body = EventBody::new(|_| pending()).deadline(deadline).on_disconnect(ends.hook());
    sleep(2 * SECOND).await;
    drop(body);
    assert_eq!(ends.only().reason(), EndReason::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_stream_gives_nothing_more() {
    let mut ends = Ends::new();
    let (events, receiver) = event_channel(Buffer::fixed(4));
    let mut body = EventBody::from(receiver).on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    events.send(Event::new("secret")).await.unwrap();
    events.revoke();
    events.close();
    assert!(events.is_closed() && events.is_ending());
    let (frames, error) = read_all(&mut body).await;
    assert!(frames.is_empty(), "{frames:?}");
    assert!(error.unwrap().to_string().contains("revoked"));
    assert_eq!(ends.only().reason(), EndReason::Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_ending_can_still_be_revoked() {
    let mut ends = Ends::new();
    let shutdown = Shutdown::new(plain_bye());
    let (events, receiver) = event_channel(Buffer::fixed(16));
    let mut body = EventBody::from(receiver).shutdown(&shutdown).on_disconnect(ends.hook());
    for _ in 0..3 {
        events.send(Event::new("x".repeat(60_000))).await.unwrap();
    }
    shutdown.start();
    body.next_chunk().await.unwrap().unwrap();
    events.revoke();
    let (frames, error) = read_all(&mut body).await;
    assert!(frames.concat().len() < 70_000);
    assert!(error.is_some());
    assert_eq!(ends.only().reason(), EndReason::Revoked);
}
