//! Which runtime a body needs: none without timers, tokio's timer for the rest.

use std::{future::pending, time::Duration};

use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep};
use tower_sse::{BoxError, Event, EventBody, KeepAlive};

use crate::support::{
    SECOND,
    handlers::{body_of_events, spawned_if},
    log::Log,
    read_all, read_text,
};

#[test]
fn a_stream_without_timers_needs_no_runtime() {
    let text =
        futures_util::FutureExt::now_or_never(read_text(body_of_events(3).without_keep_alive()));
    assert!(text.unwrap().ends_with("data: 2\n\n"));

    // Without a runtime, keep-alives are off and an error does not wait.
    let mut body = EventBody::new(|_| async { Err("x".into()) });
    let read = futures_util::FutureExt::now_or_never(read_all(&mut body));
    assert!(read.unwrap().1.is_some());

    let mut body = EventBody::with_options(spawned_if(true), |_| pending());
    let read = futures_util::FutureExt::now_or_never(read_all(&mut body));
    assert!(read.unwrap().1.unwrap().to_string().contains("spawn_handler needs a tokio runtime"));
}

#[test]
fn a_keep_alive_without_a_runtime_is_off_and_logged_once() {
    let log = Log::start();
    let one = || {
        EventBody::new(|events| async move {
            events.send(Event::new("x")).await?;
            Ok(())
        })
    };
    let text = read_text(one().without_keep_alive()).now_or_never().unwrap();
    assert_eq!(text, ": connected\ndata: x\n\n");
    assert_eq!(log.lines(), [""; 0]);

    // A keep-alive is missed only when the body has to wait for one.
    let text = read_text(one().keep_alive(KeepAlive::every(SECOND))).now_or_never().unwrap();
    assert_eq!(text, ": connected\ndata: x\n\n");
    assert_eq!(log.lines(), [""; 0]);
    let mut waits = EventBody::new(|_| pending()).keep_alive(KeepAlive::every(SECOND));
    waits.next_chunk().now_or_never().unwrap().unwrap().unwrap();
    for _ in 0..2 {
        assert!(waits.next_chunk().now_or_never().is_none());
    }
    assert_eq!(log.lines().len(), usize::from(cfg!(feature = "tracing")));

    // Created outside of a runtime, polled inside.
    let body = one().keep_alive(KeepAlive::every(SECOND));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert_eq!(runtime.block_on(read_text(body)), ": connected\ndata: x\n\n");
}

#[test]
fn a_stream_fails_and_keep_alives_are_off_on_a_runtime_without_a_timer() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut body =
            EventBody::new(|_| async { Err::<(), BoxError>("x".into()) }).without_keep_alive();
        assert!(read_all(&mut body).await.1.is_some());
        // With a keep-alive, which is off.
        let mut body = EventBody::new(|_| std::future::pending());
        body.next_chunk().await.unwrap().unwrap();
        assert!(body.next_chunk().now_or_never().is_none());
    });
}

#[test]
fn a_body_may_be_polled_inside_a_runtime_and_then_outside() {
    let mut body = EventBody::new(|_| std::future::pending());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { body.next_chunk().await.unwrap().unwrap() });
    assert!(body.next_chunk().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_body_can_be_read_in_a_test_without_a_server_and_with_time_paused() {
    let real = std::time::Instant::now();
    let mut body = EventBody::new(|events| async move {
        sleep(Duration::from_secs(3600)).await;
        events.send(Event::new("an hour later")).await?;
        Ok(())
    })
    .without_keep_alive();
    let started = Instant::now();
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": connected\n");
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "data: an hour later\n\n");
    assert_eq!(started.elapsed().as_secs(), 3600);
    assert!(real.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_body_that_waits_may_be_polled_in_another_runtime_after_its_first_has_ended() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let every = KeepAlive::every(Duration::from_millis(20));
    let mut body = EventBody::new(|_| pending()).keep_alive(every);
    for _ in 0..3 {
        // Each one ends while the body waits.
        let runtime = runtime();
        runtime.block_on(async {
            for _ in 0..2 {
                let chunk = body.next_chunk().await.unwrap().unwrap();
                assert!(chunk == ": connected\n" || chunk == ": keep-alive\n", "{chunk:?}");
            }
            assert!(futures_util::poll!(std::pin::pin!(body.next_chunk())).is_pending());
        });
    }
    // Without a runtime it waits without a keep-alive.
    assert!(body.next_chunk().now_or_never().is_none());
}
