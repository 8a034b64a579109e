//! What a body gives, and when, on tokio's paused clock.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http_body::Body as _;
use support::{ends::Ends, read_all, read_text};
use tokio::time::{Instant, sleep, timeout};
use tower_sse::{
    BoxError, Buffer, EndReason, Event, EventBody, KeepAlive, StreamOptions, event_channel,
};

const SECOND: Duration = Duration::from_secs(1);

fn endless() -> EventBody {
    EventBody::new(|_events| async move { std::future::pending::<Result<(), BoxError>>().await })
}

fn of_events(n: usize) -> EventBody {
    EventBody::new(move |events| async move {
        for n in 0..n {
            events.send(Event::new(n).with_id(n)).await?;
        }
        Ok(())
    })
}

#[tokio::test(start_paused = true)]
async fn what_is_ready_goes_out_together_with_the_greeting() {
    let mut body = of_events(3);
    assert!(!body.is_end_stream());
    let first = body.next_chunk().await.unwrap().unwrap();
    assert_eq!(first, ": connected\n\nid: 0\ndata: 0\n\nid: 1\ndata: 1\n\nid: 2\ndata: 2\n\n");
    assert!(body.is_end_stream());
    assert!(body.next_chunk().await.is_none());
    assert!(body.next_chunk().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_hundred_events_are_two_frames_at_most() {
    for (buffer, most) in
        [(Buffer::fixed(100), 1), (Buffer::fixed(64), 2), (Buffer::sliding(100), 1)]
    {
        let (frames, error) = read_all(&mut of_events(100).buffer(buffer)).await;
        assert!(error.is_none());
        assert!(frames.len() <= most, "{} frames", frames.len());
    }
}

#[tokio::test(start_paused = true)]
async fn the_greeting_comes_at_once_and_can_be_left_out() {
    let mut body = endless();
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": connected\n\n");

    let mut body = endless().without_greeting().retry(3 * SECOND);
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "retry: 3000\n\n");

    let mut body = endless().without_greeting();
    let started = Instant::now();
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": keep-alive\n\n");
    assert_eq!(started.elapsed(), 15 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_large_first_event_follows_the_greeting_and_is_not_copied() {
    let large = tower_sse::EncodedEvent::from(Event::new("x".repeat(50_000)));
    let sent = large.clone();
    let mut body = EventBody::new(|events| async move { Ok(events.send(sent).await?) });
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": connected\n\n");
    let chunk = body.next_chunk().await.unwrap().unwrap();
    assert_eq!(chunk.as_ptr(), large.to_bytes().as_ptr());
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn keep_alives_come_when_nothing_has_left_for_so_long() {
    let mut body = EventBody::new(|events| async move {
        sleep(10 * SECOND).await;
        events.send(Event::new("x")).await?;
        std::future::pending().await
    })
    .keep_alive(KeepAlive::every(4 * SECOND).comment("k"));
    let started = Instant::now();
    let mut seen = Vec::new();
    for _ in 0..6 {
        let chunk = body.next_chunk().await.unwrap().unwrap();
        seen.push((started.elapsed().as_secs(), String::from_utf8(chunk.to_vec()).unwrap()));
    }
    let seen: Vec<_> = seen.iter().map(|(at, text)| (*at, text.as_str())).collect();
    assert_eq!(
        seen,
        [
            (0, ": connected\n\n"),
            (4, ": k\n\n"),
            (8, ": k\n\n"),
            (10, "data: x\n\n"),
            (14, ": k\n\n"),
            (18, ": k\n\n"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_never_delays_an_event() {
    let (events, receiver) = event_channel(Buffer::default());
    let mut body = EventBody::from(receiver).keep_alive(KeepAlive::every(10 * SECOND));
    body.next_chunk().await.unwrap().unwrap();
    let sender = tokio::spawn(async move {
        for n in 0..100u64 {
            sleep(Duration::from_millis(973)).await;
            events.send(Event::new(n)).await.unwrap();
        }
    });
    let started = Instant::now();
    for n in 0..100u32 {
        let chunk = body.next_chunk().await.unwrap().unwrap();
        assert_eq!(chunk, format!("data: {n}\n\n"));
        let due = Duration::from_millis(973) * (n + 1);
        assert!(started.elapsed() - due < Duration::from_millis(2), "{n}");
    }
    sender.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn zero_keep_alive_is_off() {
    for body in [
        endless().keep_alive(KeepAlive::every(Duration::ZERO)),
        endless().keep_alive(KeepAlive::every(Duration::MAX)),
        endless().without_keep_alive(),
        endless().keep_alive(KeepAlive::every(SECOND).without_comment()),
    ] {
        let mut body = body.without_greeting();
        assert!(timeout(1_000_000 * SECOND, body.next_chunk()).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn after_64_kib_the_body_is_pending_once() {
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
    assert_eq!(total, 200_000 + "data: \n\n".len() + ": connected\n\n".len());
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_after_everything_that_was_sent() {
    let mut ends = Ends::new();
    let mut body = EventBody::new(|events| async move {
        for n in 0..200 {
            events.send(Event::new(n)).await?;
        }
        Err("broken".into())
    })
    .on_disconnect(ends.hook());
    let (frames, error) = read_all(&mut body).await;
    assert_eq!(error.unwrap().get_ref().to_string(), "broken");
    assert_eq!(frames.concat().windows(6).filter(|window| window == b"data: ").count(), 200);
    assert!(body.is_end_stream());
    assert!(body.next_chunk().await.is_none());
    let end = ends.only();
    assert_eq!((end.reason(), end.events()), (EndReason::Failed, 200));
    assert_eq!(end.error().unwrap().to_string(), "broken");
}

#[tokio::test(start_paused = true)]
async fn panics_end_the_stream_as_failed_wherever_they_are() {
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let in_call =
        EventBody::new(|_| -> std::future::Ready<Result<(), BoxError>> { panic!("in call") });
    let in_poll = EventBody::new(|events| async move {
        events.send(Event::new("x")).await?;
        panic!("in poll")
    });
    let in_stream = EventBody::from_stream(futures_util::stream::poll_fn(
        |_| -> std::task::Poll<Option<Event>> { panic!("in stream") },
    ));
    let spawn_handler = EventBody::new(|_| async move { panic!("in task") }).spawn_handler();
    for body in [in_call, in_poll, in_stream, spawn_handler] {
        let mut ends = Ends::new();
        let (_, error) = read_all(&mut body.on_disconnect(ends.hook())).await;
        let error = error.unwrap().get_ref().to_string();
        assert!(error.starts_with("the handler panicked: in "), "{error}");
        assert_eq!(ends.only().reason(), EndReason::Failed);
    }

    let mut ends = Ends::new();
    let mut body = EventBody::new(|_| async move {
        let _guard = PanicsInDrop;
        std::future::pending().await
    })
    .on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    drop(body);
    assert_eq!(ends.only().reason(), EndReason::ClientGone);

    let body = of_events(1).on_disconnect(|_| panic!("in the hook"));
    assert!(read_text(body).await.ends_with("data: 0\n\n"));
}

#[tokio::test(start_paused = true)]
async fn the_hook_is_told_once_however_the_stream_ends() {
    // Finished, known with the last frame.
    let mut ends = Ends::new();
    let mut body = of_events(2).on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    let end = ends.only();
    assert_eq!(
        (end.reason(), end.events(), end.last_event_id()),
        (EndReason::Finished, 2, Some("1"))
    );
    drop(body);
    ends.none();

    // Dropped without a poll.
    let mut ends = Ends::new();
    drop(endless().on_disconnect(ends.hook()).into_response());
    let end = ends.only();
    assert_eq!((end.reason(), end.events(), end.bytes()), (EndReason::ClientGone, 0, 0));

    // Dropped while it lasts.
    let mut ends = Ends::new();
    let mut body = endless().on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    sleep(5 * SECOND).await;
    drop(body);
    let end = ends.only();
    assert_eq!((end.reason(), end.bytes()), (EndReason::ClientGone, 13));
    assert_eq!(end.duration(), 5 * SECOND);

    // Closed while the handler runs.
    let mut ends = Ends::new();
    let mut body = EventBody::new(|events| async move {
        events.send(Event::new("last")).await?;
        events.close();
        events.close();
        assert!(events.send(Event::new("late")).await.unwrap_err().is_closed());
        std::future::pending().await
    })
    .on_disconnect(ends.hook());
    let (frames, error) = read_all(&mut body).await;
    assert!(frames.concat().ends_with(b"data: last\n\n") && error.is_none());
    assert_eq!(ends.only().reason(), EndReason::Finished);

    // Closed by another: the handler that then returns the error of its send has not failed.
    let mut ends = Ends::new();
    let mut body = EventBody::new(|events| async move {
        events.close();
        events.send(Event::new("late")).await?;
        Ok(())
    })
    .on_disconnect(ends.hook());
    assert!(read_all(&mut body).await.1.is_none());
    assert_eq!(ends.only().reason(), EndReason::Finished);

    // Failed from a task.
    let mut ends = Ends::new();
    let (events, receiver) = event_channel(Buffer::default());
    let mut body = EventBody::from(receiver).on_disconnect(ends.hook());
    events.try_send(Event::new("x")).unwrap();
    events.fail("no more");
    let (frames, error) = read_all(&mut body).await;
    assert!(frames.concat().ends_with(b"data: x\n\n"));
    assert_eq!(error.unwrap().to_string(), "event stream failed: no more");
    assert_eq!(ends.only().reason(), EndReason::Failed);
}

#[tokio::test(start_paused = true)]
async fn the_handler_is_dropped_before_the_hook_is_told() {
    let order = Arc::new(Mutex::new(Vec::new()));
    struct Tells(Arc<Mutex<Vec<&'static str>>>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.lock().unwrap().push("handler");
        }
    }
    let (tells, hook) = (Tells(order.clone()), order.clone());
    let mut body = EventBody::new(|_| async move {
        let _tells = tells;
        std::future::pending().await
    })
    .on_disconnect(move |_| hook.lock().unwrap().push("hook"));
    body.next_chunk().await.unwrap().unwrap();
    drop(body);
    assert_eq!(*order.lock().unwrap(), ["handler", "hook"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_lasts_until_the_handler_has_returned_and_the_last_sender_is_gone() {
    let mut body = EventBody::new(|events| async move {
        drop(events);
        sleep(20 * SECOND).await;
        Ok(())
    });
    let started = Instant::now();
    let (frames, _) = read_all(&mut body).await;
    assert_eq!(frames, [": connected\n\n", ": keep-alive\n\n"]);
    assert_eq!(started.elapsed(), 20 * SECOND);

    let body = EventBody::new(|events| async move {
        tokio::spawn(async move {
            sleep(SECOND).await;
            events.send(Event::new("later")).await
        });
        Ok(())
    });
    assert_eq!(read_text(body).await, ": connected\n\ndata: later\n\n");
}

#[tokio::test(start_paused = true)]
async fn in_task_the_handler_goes_on_while_nobody_polls() {
    let mut ends = Ends::new();
    let mut body = EventBody::new(|events| async move {
        for n in 0..10 {
            sleep(SECOND).await;
            events.send(Event::new(n).with_id(n)).await?;
        }
        drop(events);
        sleep(SECOND).await;
        Ok(())
    })
    .spawn_handler()
    .buffer(Buffer::sliding(2))
    .without_keep_alive()
    .on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    sleep(20 * SECOND).await;
    let (frames, _) = read_all(&mut body).await;
    assert_eq!(frames.concat(), b"id: 8\ndata: 8\n\nid: 9\ndata: 9\n\n");
    let end = ends.only();
    assert_eq!((end.events(), end.dropped(), end.last_event_id()), (2, 8, Some("9")));
}

#[tokio::test(start_paused = true)]
async fn in_task_the_handler_is_aborted_with_its_body() {
    let (alive, mut gone) = tokio::sync::mpsc::channel::<()>(1);
    let mut body = EventBody::new(move |_| async move {
        let _alive = alive;
        std::future::pending().await
    })
    .spawn_handler();
    body.next_chunk().await.unwrap().unwrap();
    drop(body);
    assert!(timeout(SECOND, gone.recv()).await.unwrap().is_none());
}

#[test]
fn a_stream_without_timers_needs_no_runtime() {
    let text = futures_util::FutureExt::now_or_never(read_text(of_events(3).without_keep_alive()));
    assert!(text.unwrap().ends_with("data: 2\n\n"));

    // With keep-alives, which are off then; and with an error, which does not wait.
    let mut body = EventBody::new(|_| async { Err("x".into()) });
    let read = futures_util::FutureExt::now_or_never(read_all(&mut body));
    assert!(read.unwrap().1.is_some());

    let mut body = endless().spawn_handler();
    let read = futures_util::FutureExt::now_or_never(read_all(&mut body));
    assert!(read.unwrap().1.unwrap().to_string().contains("spawn_handler needs a tokio runtime"));
}

#[tokio::test(start_paused = true)]
async fn settings_apply_after_new_and_as_a_set() {
    let options = StreamOptions::new().without_greeting().buffer(Buffer::dropping(1));
    let body = EventBody::new(|events| async move {
        for n in 0..3 {
            events.try_send(Event::new(n))?;
        }
        assert_eq!(events.dropped(), 2);
        Ok(())
    })
    .options(options);
    assert_eq!(read_text(body).await, "data: 0\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_window_holds_events_back_but_neither_waiting_senders_nor_the_end() {
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
    // A sender without room.
    let sender = tokio::spawn(async move {
        for n in 2..5 {
            events.send(Event::new(n)).await.unwrap();
        }
        events
    });
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "data: 2\n\ndata: 3\n\n");
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    // The end.
    drop(sender.await.unwrap());
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "data: 4\n\n");
    assert!(body.next_chunk().await.is_none());
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}
