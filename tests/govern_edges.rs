//! Where one thing that governs a stream meets another, or comes late; on bodies, with the clock
//! paused.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{future::pending, time::Duration};

use http::{Request, StatusCode};
use support::{
    ends::Ends,
    http::{call, get},
    read_all, read_text,
};
use tokio::time::{Instant, sleep, timeout};
use tower_sse::{
    Buffer, Connect, EndReason, Event, EventBody, EventSender, Farewell, Shutdown, StreamOptions,
    event_channel, event_channel_handler,
};

const SECOND: Duration = Duration::from_secs(1);
const BYE: &str = "data: bye\n\n";

fn bye() -> Farewell {
    Farewell::new().event(Event::new("bye"))
}

/// Ends by itself as soon as it is told.
fn obeys() -> EventBody {
    EventBody::new(|events: EventSender| async move {
        events.ending().await;
        Ok(())
    })
    .without_keep_alive()
    .without_greeting()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_late_has_the_grace_of_the_others() {
    let shutdown = Shutdown::new(bye().grace_period(30 * SECOND));
    shutdown.start();
    sleep(10 * SECOND).await;
    let answer = EventBody::new(|events| async move {
        sleep(5 * SECOND).await;
        events.send(Event::new("answer")).await?;
        Ok(())
    });
    let text = read_text(answer.shutdown(&shutdown).without_greeting()).await;
    assert_eq!(text, format!("data: answer\n\n{BYE}"));
    let start = Instant::now();
    let text = read_text(EventBody::new(|_| pending()).shutdown(&shutdown)).await;
    assert!(text.ends_with(BYE));
    assert_eq!(start.elapsed(), 15 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_decided_upon_meanwhile_is_sent_away() {
    let shutdown = Shutdown::now();
    let handler = event_channel_handler(|_, _| pending())
        .on_connect(|connect: Connect| async move {
            sleep(SECOND).await;
            Ok(connect.accept())
        })
        .shutdown(&shutdown);
    let browser = Request::get("/").header("accept", "text/event-stream").body(()).unwrap();
    let (handler_1, handler_2) = (handler.clone(), handler);
    let other = tokio::spawn(async move { call(&handler_1, get("/")).await });
    let browser = tokio::spawn(async move { call(&handler_2, browser).await });
    sleep(SECOND / 2).await;
    shutdown.start();
    assert_eq!(other.await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    let text = read_text(browser.await.unwrap().into_body()).await;
    assert!(text.starts_with("retry: "), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_farewell_of_a_shutdown_is_said_whoever_ends_the_stream() {
    let mut ends = Ends::new();
    // Its lifetime would have ended it earlier, and it ends by itself.
    let shutdown = Shutdown::new(bye().grace_period(60 * SECOND));
    let body = obeys().shutdown(&shutdown).max_lifetime(20 * SECOND).on_disconnect(ends.hook());
    shutdown.start();
    assert_eq!(read_text(body).await, BYE);
    assert_eq!(ends.only().reason(), EndReason::Finished);
    // Its lifetime ends it within the grace.
    let shutdown = Shutdown::new(bye().grace_period(60 * SECOND));
    let body = EventBody::new(|_| pending()).without_keep_alive().without_greeting();
    let body = body.shutdown(&shutdown).max_lifetime(20 * SECOND).on_disconnect(ends.hook());
    shutdown.start();
    assert_eq!(read_text(body).await, BYE);
    assert_eq!(ends.only().reason(), EndReason::Expired);
    // It ends before its turn has come.
    let shutdown = Shutdown::new(bye().stagger_over(1_000_000 * SECOND));
    let body = EventBody::new(|_| async {
        sleep(SECOND).await;
        Ok(())
    });
    let body = body.without_greeting().shutdown(&shutdown);
    shutdown.start();
    assert_eq!(read_text(body).await, BYE);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_starts_while_the_last_bytes_go_out_is_not_too_late() {
    let shutdown = Shutdown::new(bye());
    let body = EventBody::new(|events| async move {
        events.send(Event::new("x".repeat(100_000))).await?;
        Ok(())
    });
    let mut body = body.shutdown(&shutdown).without_greeting();
    assert_eq!(body.next_chunk().await.unwrap().unwrap().len(), 64 << 10);
    shutdown.start();
    assert!(read_text(body).await.ends_with(BYE));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_stuck_after_the_time_is_overdue_at_once() {
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
async fn a_second_start_does_not_put_off_the_cut() {
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
async fn senders_elsewhere_are_told_though_nobody_polls_the_body() {
    let shutdown = Shutdown::new(Farewell::new().grace_period(60 * SECOND));
    let (events, receiver) = event_channel(Buffer::fixed(1));
    let mut body = EventBody::from(receiver).shutdown(&shutdown);
    body.next_chunk().await.unwrap().unwrap();
    shutdown.start();
    timeout(SECOND, events.ending()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_is_not_evicted_however_many_wait() {
    let (events, receiver) = event_channel(Buffer::fixed(1));
    let mut body = EventBody::from(receiver).send_timeout(5 * SECOND).without_keep_alive();
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
async fn a_body_that_is_never_polled_evicts_too_and_expires() {
    let mut ends = Ends::new();
    let (events, receiver) = event_channel(Buffer::fixed(1));
    let body = EventBody::from(receiver).send_timeout(SECOND).on_disconnect(ends.hook());
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
async fn a_grace_that_is_longer_than_a_lifetime_leaves_half_of_it() {
    let start = Instant::now();
    let farewell = Farewell::new().grace_period(30 * SECOND);
    read_text(obeys().max_lifetime(20 * SECOND).farewell(farewell)).await;
    assert!(start.elapsed() >= 8 * SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_is_counted_by_no_more_does_not_end_it() {
    let shutdown = Shutdown::new(bye());
    shutdown.start();
    let body = EventBody::new(|_| pending()).shutdown(&shutdown).options(StreamOptions::new());
    assert_eq!(shutdown.streams(), 0);
    let mut body = body.without_keep_alive();
    body.next_chunk().await.unwrap().unwrap();
    assert!(timeout(10 * SECOND, body.next_chunk()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_closing_can_still_be_revoked() {
    let mut ends = Ends::new();
    let shutdown = Shutdown::new(bye());
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

#[tokio::test(start_paused = true)]
async fn what_is_not_finished_since_it_has_not_started_says_so() {
    let error = Shutdown::now().finished_within(SECOND).await.unwrap_err();
    assert_eq!(error.to_string(), "shutdown not finished in time: it has not started");
}
