//! How a shutdown is started, how its streams are counted, and how connections are cut whose
//! streams do not end.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::time::{Instant, sleep, timeout};
use tower_sse::{BodyOptions, EndReason, EventBody, Farewell, Shutdown};

use crate::support::{
    MINUTE, SECOND,
    ends::Ends,
    farewells::{bye, plain_bye},
    handlers::one_event_then_idle,
    http::{call, get},
};

#[tokio::test(start_paused = true)]
async fn start_when_waits_for_the_signal() {
    let shutdown = Shutdown::now();
    let started = tokio::spawn(shutdown.start_when(sleep(SECOND)));
    sleep(SECOND / 2).await;
    assert!(!shutdown.is_started());
    started.await.unwrap();
    assert!(shutdown.is_started());
    let never = Shutdown::now();
    drop(never.start_when(sleep(SECOND)));
    assert!(!never.is_started());
}

#[tokio::test(start_paused = true)]
async fn streams_are_counted_from_the_response_to_the_hook() {
    let shutdown = Shutdown::now();
    let seen = Arc::new(AtomicUsize::new(0));
    let (sees, counted) = (seen.clone(), shutdown.clone());
    let handler = one_event_then_idle().shutdown(&shutdown).on_disconnect(move |_| {
        sees.store(counted.streams(), SeqCst);
    });
    let bodies: Vec<_> = [call(&handler, get("/")).await, call(&handler, get("/")).await].into();
    assert_eq!(shutdown.streams(), 2);
    let mut finished = Box::pin(shutdown.finished());
    assert!(timeout(SECOND, &mut finished).await.is_err());
    shutdown.start();
    // The bodies are not polled.
    assert!(timeout(SECOND, &mut finished).await.is_err());
    drop(bodies);
    assert_eq!((seen.load(SeqCst), shutdown.streams()), (1, 0));
    timeout(SECOND, finished).await.unwrap();

    // A second shutdown replaces the first one of a body.
    let other = Shutdown::now();
    let body = EventBody::new(|_| pending()).shutdown(&other);
    assert_eq!(other.streams(), 1);
    let third = Shutdown::now();
    let body = body.shutdown(&third).keep_alive(Default::default());
    assert_eq!((other.streams(), third.streams()), (0, 1));
    drop(body);
    assert_eq!(third.streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_end_a_stream_that_was_taken_from_it() {
    let shutdown = Shutdown::new(plain_bye());
    shutdown.start();
    let body = EventBody::new(|_| pending()).shutdown(&shutdown).options(BodyOptions::new());
    assert_eq!(shutdown.streams(), 0);
    let mut body = body.without_keep_alive();
    body.next_chunk().await.unwrap().unwrap();
    assert!(timeout(10 * SECOND, body.next_chunk()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_has_not_started_reports_so_when_awaited() {
    let error = Shutdown::now().finished_within(SECOND).await.unwrap_err();
    assert_eq!(error.to_string(), "shutdown not finished in time: it has not started");
}

#[tokio::test(start_paused = true)]
async fn a_stalled_stream_that_is_cut_during_the_shutdown_was_shut_down() {
    let mut ends = Ends::new();
    let shutdown = Shutdown::new(bye());
    let handler = one_event_then_idle().shutdown(&shutdown).on_disconnect(ends.hook());
    let mut body = call(&handler, get("/")).await.into_body();
    body.next_chunk().await.unwrap().unwrap();
    shutdown.start();
    drop(body);
    assert_eq!(ends.only().reason(), EndReason::ShutDown);

    // Within the grace period the reason is that the client has left.
    let shutdown = Shutdown::new(bye().grace_period(SECOND));
    let handler = one_event_then_idle().shutdown(&shutdown).on_disconnect(ends.hook());
    let mut body = call(&handler, get("/")).await.into_body();
    body.next_chunk().await.unwrap().unwrap();
    shutdown.start();
    drop(body);
    assert_eq!(ends.only().reason(), EndReason::ClientGone);
}

#[tokio::test(start_paused = true)]
async fn overdue_completes_when_streams_are_open_after_the_time_for_their_end() {
    let farewell = bye().grace_period(10 * SECOND).stagger_over(5 * SECOND).cut_after(3 * SECOND);
    let shutdown = Shutdown::new(farewell);
    let stuck = EventBody::new(|_| pending()).shutdown(&shutdown);
    let start = Instant::now();
    let overdue = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.overdue().await }
    });
    sleep(SECOND).await;
    assert!(!overdue.is_finished());
    shutdown.start();
    overdue.await.unwrap();
    assert_eq!(start.elapsed(), 19 * SECOND);
    drop(stuck);
    assert!(timeout(MINUTE, shutdown.overdue()).await.is_err(), "nothing is open");

    // `start_now` ends the grace period, but `cut_after` still applies.
    let shutdown = Shutdown::new(Farewell::new().grace_period(MINUTE).cut_after(3 * SECOND));
    let stuck = EventBody::new(|_| pending()).shutdown(&shutdown);
    shutdown.start();
    let start = Instant::now();
    let overdue = shutdown.overdue();
    let again = async {
        sleep(SECOND).await;
        shutdown.start_now();
    };
    tokio::join!(overdue, again);
    assert_eq!(start.elapsed(), 4 * SECOND);
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_opens_after_the_time_for_all_ends_is_overdue_at_once() {
    let shutdown = Shutdown::new(Farewell::new().cut_after(SECOND));
    shutdown.start();
    let overdue = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.overdue().await }
    });
    sleep(10 * SECOND).await;
    assert!(!overdue.is_finished());
    let _stuck = EventBody::new(|_| pending()).shutdown(&shutdown);
    timeout(SECOND, overdue).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_second_start_does_not_postpone_the_cut() {
    let shutdown = Shutdown::new(Farewell::new().cut_after(5 * SECOND));
    let _stuck = EventBody::new(|_| pending()).shutdown(&shutdown);
    let start = Instant::now();
    shutdown.start();
    sleep(4 * SECOND).await;
    shutdown.start_now();
    shutdown.overdue().await;
    assert_eq!(start.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_wrapped_connection_is_cut_when_streams_are_overdue() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let shutdown = Shutdown::new(Farewell::new().cut_after(SECOND));
    let stuck = EventBody::new(|_| pending()).shutdown(&shutdown);
    let (mut near, far) = tokio::io::duplex(16);
    let mut far = shutdown.cut_io(far);
    near.write_all(b"hello").await.unwrap();
    let mut read = [0; 5];
    far.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hello");
    shutdown.start();
    let error = far.read(&mut read).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
    assert!(far.write(b"x").await.is_err() && far.flush().await.is_err());
    drop(stuck);
}
