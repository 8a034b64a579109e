//! What an application must not be able to do to itself: ends that were lost, panics in odd places,
//! locks.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{
    fmt,
    panic::panic_any,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Request;
use support::{ends::Ends, log::Log, never_hangs, read_all};
use tokio::time::sleep;
use tower::ServiceExt as _;
use tower_sse::{
    BoxError, Buffer, EncodedEvent, EndReason, Event, EventBody, EventSender, Refusal,
    event_channel, event_channel_handler,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_stream_that_had_ended_before_its_client_left_is_told_as_it_ended() {
    let failing = || EventBody::new(|_| async { Err("the database is gone".into()) });
    let log = Log::start();

    // In the pause before the error.
    let mut ends = Ends::new();
    let mut body = failing().on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    assert!(body.next_chunk().now_or_never().is_none());
    drop(body);
    let end = ends.only();
    assert_eq!(end.reason(), EndReason::Failed);
    assert_eq!(end.error().unwrap().to_string(), "the database is gone");

    // While nobody polled the body.
    let mut ends = Ends::new();
    let mut body = failing().spawn_handler().on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    sleep(SECOND).await;
    drop(body);
    assert_eq!(ends.only().reason(), EndReason::Failed);

    // By a sender elsewhere, with something queued still.
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

    // Closed, with all of it given: finished. With something left, the client did not get it.
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
async fn an_error_that_cannot_be_displayed_is_told_all_the_same() {
    #[derive(Debug)]
    struct BadDisplay;
    impl fmt::Display for BadDisplay {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("in Display")
        }
    }
    impl std::error::Error for BadDisplay {}

    let _log = Log::start();
    let mut ends = Ends::new();
    let mut body = EventBody::new(|_| async { Err(BadDisplay.into()) }).on_disconnect(ends.hook());
    assert!(read_all(&mut body).await.1.is_some());
    assert_eq!(ends.only().reason(), EndReason::Failed);

    let handler = event_channel_handler::<_, _, ()>(|_, _| async { Ok(()) })
        .on_connect(|_| async { Err(Refusal::from(BadDisplay)) });
    assert_eq!(handler.oneshot(Request::new(())).await.unwrap().status(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_panic_whose_payload_panics_goes_no_further() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in the payload's drop");
        }
    }

    let mut ends = Ends::new();
    let mut body = EventBody::new(|_| async { panic_any(Bomb) }).on_disconnect(ends.hook());
    let (_, error) = read_all(&mut body).await;
    assert_eq!(error.unwrap().get_ref().to_string(), "the handler panicked: no message");
    assert_eq!(ends.only().reason(), EndReason::Failed);

    drop(EventBody::new(|_| async { Ok(()) }).on_disconnect(|_| panic_any(Bomb)));

    let handler = event_channel_handler::<_, _, ()>(|_, _| async { Ok(()) })
        .on_connect(|_| async { panic_any(Bomb) });
    assert_eq!(handler.oneshot(Request::new(())).await.unwrap().status(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_after_the_end_is_logged_unless_it_only_noticed_the_end() {
    for (spawn_handler, logged) in [(false, 2), (true, 2)] {
        let log = Log::start();
        let panics = EventBody::new(|events| async move {
            events.close();
            panic!("after the end")
        });
        let fails = EventBody::new(|events| async move {
            events.close();
            Err("after the end".into())
        });
        let notices = EventBody::new(|events| async move {
            events.close();
            events.send(Event::new("late")).await?;
            Ok(())
        });
        let notices_encoded = EventBody::new(|events| async move {
            events.close();
            Ok(events.send(Event::new("late").encode()).await?)
        });
        for body in [panics, fails, notices, notices_encoded] {
            let mut ends = Ends::new();
            let body = if spawn_handler { body.spawn_handler() } else { body };
            let mut body = body.on_disconnect(ends.hook());
            body.next_chunk().await.unwrap().unwrap();
            sleep(SECOND).await;
            assert!(read_all(&mut body).await.1.is_none());
            assert_eq!(ends.only().reason(), EndReason::Finished);
        }
        let lines = log.lines();
        assert_eq!(lines.len(), if cfg!(feature = "tracing") { logged } else { 0 }, "{lines:?}");
    }
}

#[test]
fn a_handler_whose_runtime_shuts_down_has_not_finished() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut ends = Ends::new();
    let mut body = EventBody::new(|events| async move {
        events.send(Event::new("a")).await?;
        std::future::pending().await
    })
    .spawn_handler()
    .without_keep_alive()
    .on_disconnect(ends.hook());
    runtime.block_on(async { body.next_chunk().await.unwrap().unwrap() });
    drop(runtime);
    let (_, error) = read_all(&mut body).now_or_never().unwrap();
    assert_eq!(error.unwrap().get_ref().to_string(), "the handler's task was cancelled");
    assert_eq!(ends.only().reason(), EndReason::Failed);
}

/// Bytes whose owner looks at the channel when they are freed.
struct Looks(EventSender);

impl AsRef<[u8]> for Looks {
    fn as_ref(&self) -> &[u8] {
        const EVENT: &[u8] = &{
            let mut event = [b'x'; 5_000];
            event[0] = b':';
            event[4_998] = b'\n';
            event[4_999] = b'\n';
            event
        };
        EVENT
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        let _ = self.0.is_closed();
    }
}

#[test]
fn bytes_and_wakers_are_freed_without_the_lock() {
    never_hangs(|| {
        let (events, receiver) = event_channel(Buffer::sliding(1));
        for _ in 0..3 {
            let bytes = Bytes::from_owner(Looks(events.clone()));
            events.try_send(EncodedEvent::from_bytes(bytes).unwrap()).unwrap();
        }
        assert_eq!(events.dropped(), 2);
        drop(receiver);
    });

    /// A waker that is the last to hold a sender.
    struct Holds(#[expect(dead_code, reason = "it is dropped with the waker")] EventSender);
    impl Wake for Holds {
        fn wake(self: Arc<Self>) {}
    }
    never_hangs(|| {
        let (events, receiver) = event_channel(Buffer::fixed(1));
        let mut body = EventBody::from(receiver).without_greeting().without_keep_alive();
        let waker = || Waker::from(Arc::new(Holds(events.clone())));
        for _ in 0..2 {
            let mut chunk = Box::pin(body.next_chunk());
            assert!(chunk.as_mut().poll_unpin(&mut Context::from_waker(&waker())).is_pending());
        }
        events.try_send(Event::new("fills it")).unwrap();
        let mut sending = Box::pin(events.send(Event::new("waits")));
        for _ in 0..2 {
            let polled = sending.as_mut().poll_unpin(&mut Context::from_waker(&waker()));
            assert!(matches!(polled, Poll::Pending));
        }
        drop(sending);
    });
}

#[test]
fn a_handler_that_blocks_in_its_drop_blocks_nobody() {
    struct SaysBye(EventSender);
    impl Drop for SaysBye {
        fn drop(&mut self) {
            assert!(self.0.blocking_send(Event::new("bye")).is_err());
        }
    }
    never_hangs(|| {
        let mut body = EventBody::new(|events| async move {
            let _guard = SaysBye(events.clone());
            loop {
                events.send(Event::new("x")).await?;
            }
        })
        .buffer(Buffer::fixed(1))
        .without_keep_alive();
        let _ = body.next_chunk().now_or_never();
        drop(body);
    });
}

#[test]
fn events_that_go_out_together_are_counted_together() {
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

    // Until it is first pending.
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

#[test]
fn a_stream_without_keep_alive_fails_on_any_executor() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut body =
            EventBody::new(|_| async { Err::<(), BoxError>("x".into()) }).without_keep_alive();
        assert!(read_all(&mut body).await.1.is_some());
        // And with one, which is off then.
        let mut body = EventBody::new(|_| std::future::pending());
        body.next_chunk().await.unwrap().unwrap();
        assert!(body.next_chunk().now_or_never().is_none());
    });
}

#[test]
fn a_body_may_be_polled_first_inside_of_a_runtime_and_then_outside() {
    let mut body = EventBody::new(|_| std::future::pending());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { body.next_chunk().await.unwrap().unwrap() });
    assert!(body.next_chunk().now_or_never().is_none());
}
