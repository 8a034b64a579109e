//! The reason of an end: the first one stands.

use std::{
    future::pending,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::channel,
    },
};

use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep};
use tower_sse::{Buffer, EndReason, Event, EventBody, EventSender, Shutdown, event_channel};

use crate::support::{
    SECOND, decode,
    ends::Ends,
    farewells::{BYE, bye, std_in},
    handlers::spawned_if,
    log::Log,
    read_all, read_text,
};

#[tokio::test(start_paused = true)]
async fn the_first_of_two_ends_is_the_reason() {
    type End = fn(&EventSender);
    let close: End = EventSender::close;
    let fail: End = |events| events.fail("failed");
    for (first, second, reason) in [
        (close, fail, EndReason::Finished),
        (fail, close, EndReason::Failed),
        (close, close, EndReason::Finished),
    ] {
        let mut ends = Ends::new();
        let mut body = EventBody::new(move |events| async move {
            events.send(Event::new("x")).await?;
            first(&events);
            second(&events);
            // The error of a send after the end is not a failure of the handler.
            events.send(Event::new("late")).await?;
            Ok(())
        })
        .on_disconnect(ends.hook());
        let (frames, error) = read_all(&mut body).await;
        assert_eq!(decode(frames.concat()).len(), 1);
        assert_eq!(error.is_some(), reason == EndReason::Failed);
        assert_eq!(ends.only().reason(), reason);
    }
}

#[tokio::test(start_paused = true)]
async fn close_sends_the_queued_events_and_drops_the_handler_at_its_await() {
    struct Reports(Arc<AtomicBool>);
    impl Drop for Reports {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    let was_dropped = Arc::new(AtomicBool::new(false));
    let reports = Reports(was_dropped.clone());
    let mut ends = Ends::new();
    let (keep, kept) = channel();
    let mut body = EventBody::new(move |events| async move {
        let _reports = reports;
        for n in 0..3 {
            events.send(Event::new(n)).await?;
        }
        keep.send(events.clone())?;
        pending().await
    })
    .on_disconnect(ends.hook());
    // The handler has sent its events and does not return. Another task closes the stream.
    assert_eq!(decode(body.next_chunk().await.unwrap().unwrap()).len(), 3);
    let events = kept.recv().unwrap();
    events.send(Event::new("queued")).await.unwrap();
    events.close();
    assert!(events.send(Event::new("late")).await.unwrap_err().is_closed());
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "data: queued\n\n");
    assert!(body.next_chunk().await.is_none());
    assert!(was_dropped.load(SeqCst));
    assert_eq!(ends.only().reason(), EndReason::Finished);
}

#[tokio::test(start_paused = true)]
async fn fail_ends_a_stream_with_an_error_from_a_task() {
    let mut ends = Ends::new();
    let (events, receiver) = event_channel(Buffer::default());
    let mut body = EventBody::from(receiver).on_disconnect(ends.hook());
    let waits = tokio::spawn({
        let events = events.clone();
        async move { events.closed().await }
    });
    tokio::spawn(async move {
        events.send(Event::new("x")).await.unwrap();
        sleep(SECOND).await;
        events.fail(std::io::Error::other("the task broke"));
        events.closed().await;
    });
    let (frames, error) = read_all(&mut body).await;
    assert_eq!(decode(frames.concat()).len(), 1);
    assert_eq!(error.unwrap().get_ref().to_string(), "the task broke");
    assert_eq!(ends.only().reason(), EndReason::Failed);
    waits.await.unwrap();

    // `closed()` also completes when the client has left.
    let (events, receiver) = event_channel(Buffer::default());
    let mut closed = pin!(events.closed());
    assert!(closed.as_mut().now_or_never().is_none());
    drop(EventBody::from(receiver));
    closed.now_or_never().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_lasts_until_the_handler_has_returned_and_the_last_sender_is_dropped() {
    let mut body = EventBody::new(|events| async move {
        drop(events);
        sleep(20 * SECOND).await;
        Ok(())
    });
    let started = Instant::now();
    let (frames, _) = read_all(&mut body).await;
    assert_eq!(frames, [": connected\n", ": keep-alive\n"]);
    assert_eq!(started.elapsed(), 20 * SECOND);

    let body = EventBody::new(|events| async move {
        tokio::spawn(async move {
            sleep(SECOND).await;
            events.send(Event::new("later")).await
        });
        Ok(())
    });
    assert_eq!(read_text(body).await, ": connected\ndata: later\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ended_before_its_client_left_keeps_its_reason() {
    let failing = |spawn_handler| {
        let options = spawned_if(spawn_handler);
        EventBody::with_options(options, |_| async { Err("the database is gone".into()) })
    };
    let log = Log::start();

    // The client leaves in the pause before the error.
    let mut ends = Ends::new();
    let mut body = failing(false).on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    assert!(body.next_chunk().now_or_never().is_none());
    drop(body);
    let end = ends.only();
    assert_eq!(end.reason(), EndReason::Failed);
    assert_eq!(end.error().unwrap().to_string(), "the database is gone");

    // The client leaves while the body is not polled.
    let mut ends = Ends::new();
    let mut body = failing(true).on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    sleep(SECOND).await;
    drop(body);
    assert_eq!(ends.only().reason(), EndReason::Failed);

    // A sender in another task fails the stream while an event is queued.
    let mut ends = Ends::new();
    let (events, receiver) = event_channel(Buffer::default());
    let body = EventBody::from(receiver).on_disconnect(ends.hook());
    events.try_send(Event::new("never seen")).unwrap();
    events.fail("no more");
    drop(body);
    let end = ends.only();
    assert_eq!((end.reason(), end.events()), (EndReason::Failed, 0));
    if cfg!(feature = "tracing") {
        assert_eq!(log.lines().len(), 3, "{:?}", log.lines());
    }

    // A closed stream has finished if all events were handed over. Otherwise the client missed
    // some.
    for (take_all, reason) in [(true, EndReason::Finished), (false, EndReason::ClientGone)] {
        let mut ends = Ends::new();
        let (events, receiver) = event_channel(Buffer::default());
        let mut body = EventBody::from(receiver).on_disconnect(ends.hook());
        events.try_send(Event::new("x")).unwrap();
        if take_all {
            body.next_chunk().await.unwrap().unwrap();
        }
        events.close();
        drop(body);
        assert_eq!(ends.only().reason(), reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_closed_by_the_application_has_finished_although_a_shutdown_starts() {
    let mut ends = Ends::new();
    let shutdown = Shutdown::new(bye());
    let (events, receiver) = event_channel(Buffer::fixed(4));
    let body = EventBody::from(receiver).shutdown(&shutdown).on_disconnect(ends.hook());
    events.send(Event::new("x")).await.unwrap();
    events.close();
    shutdown.start();
    assert_eq!(read_text(body).await, format!(": connected\ndata: x\n\n{BYE}"));
    assert_eq!(ends.only().reason(), EndReason::Finished);
}

#[tokio::test(start_paused = true)]
async fn the_reason_stands_although_a_shutdown_cancels_the_farewell() {
    let mut ends = Ends::new();
    let shutdown = Shutdown::new(bye());
    let (events, receiver) = event_channel(Buffer::fixed(100).max_bytes(1 << 20));
    let mut body = EventBody::from(receiver)
        .shutdown(&shutdown)
        .deadline(std_in(SECOND))
        .farewell(bye())
        .on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    sleep(2 * SECOND).await;
    // Large events go out one by one, so that the end is decided before the last one.
    for _ in 0..3 {
        events.send(Event::new("x".repeat(10_000))).await.unwrap();
    }
    body.next_chunk().await.unwrap().unwrap();
    assert!(body.next_chunk().await.unwrap().unwrap().len() > 9_000);
    assert!(events.is_closed());
    shutdown.start_now();
    let rest = read_text(body).await;
    assert!(!rest.contains("bye"), "{rest}");
    assert_eq!(ends.only().reason(), EndReason::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_closed_stream_whose_last_event_still_goes_out_can_be_revoked() {
    let (tell, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let (events, receiver) = event_channel(Buffer::fixed(4));
    let mut body = EventBody::from(receiver)
        .without_greeting()
        .on_disconnect(move |end| tell.send(end.reason()).unwrap());
    // Several times what goes out at once.
    events.send(Event::new("x".repeat(200_000))).await.unwrap();
    events.close();
    body.next_chunk().await.unwrap().unwrap();
    events.revoke();
    let mut last = None;
    while let Some(chunk) = body.next_chunk().await {
        last = Some(chunk);
    }
    assert!(last.unwrap().is_err(), "the client would take the stream for complete");
    assert_eq!(ends.recv().await, Some(EndReason::Revoked));
}
