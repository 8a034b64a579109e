//! Lifetimes and deadlines.

use std::{future::pending, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use tower_sse::{
    Connect, EndReason, Event, EventBody, EventSender, Farewell, HandlerOptions, Shutdown,
};

use crate::support::{
    MINUTE, SECOND,
    ends::Ends,
    farewells::{BYE, body_that_obeys, bye, reading, std_in},
    handlers::{one_event_then_idle, spawned_if},
    http::{call, get},
    read_text,
};

#[tokio::test(start_paused = true)]
async fn a_lifetime_ends_in_its_last_fifth_with_a_farewell() {
    let mut ends = Ends::new();
    for _ in 0..50 {
        let body = EventBody::new(|_| pending())
            .max_lifetime(100 * SECOND)
            .farewell(bye())
            .on_disconnect(ends.hook());
        let (text, after) = reading(body).await.unwrap();
        assert!(text.ends_with(BYE));
        assert!((80 * SECOND..=101 * SECOND).contains(&after), "{after:?}");
        assert_eq!(ends.only().reason(), EndReason::Expired);
    }
    // A lifetime of zero is off.
    let body = EventBody::new(|_| pending()).max_lifetime(Duration::ZERO);
    assert!(timeout(1000 * SECOND, read_text(body)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_notified_before_its_deadline_and_the_deadline_holds() {
    let mut ends = Ends::new();
    let body = EventBody::new(|events: EventSender| async move {
        events.ending().await;
        events.send(Event::new("soon")).await?;
        pending().await
    })
    .deadline(std_in(100 * SECOND))
    .farewell(bye().grace_period(10 * SECOND))
    .on_disconnect(ends.hook());
    let mut body = body.without_keep_alive();
    let start = Instant::now();
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": connected\n");
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "data: soon\n\n");
    assert_eq!(start.elapsed(), 90 * SECOND);
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), BYE);
    assert!(body.next_chunk().await.is_none());
    assert_eq!(start.elapsed(), 100 * SECOND);
    assert_eq!(ends.only().reason(), EndReason::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_on_connect_applies_if_it_is_earlier_than_the_lifetime() {
    let mut ends = Ends::new();
    for (deadline, from, to) in [(50, 50, 51), (1000, 80, 101)] {
        let handler = one_event_then_idle()
            .on_connect(move |connect: Connect| async move {
                Ok(connect.accept().deadline(std_in(deadline * SECOND)))
            })
            .max_lifetime(100 * SECOND)
            .on_disconnect(ends.hook());
        let response = call(&handler, get("/")).await;
        let after = reading(response.into_body()).await.unwrap().1;
        assert!((from * SECOND..=to * SECOND).contains(&after), "{after:?}");
        assert_eq!(ends.only().reason(), EndReason::Expired);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_past_its_deadline_starts_no_handler() {
    sleep(MINUTE).await;
    for spawn_handler in [false, true] {
        let mut ends = Ends::new();
        let options = spawned_if(spawn_handler);
        let body = EventBody::with_options(options, |_| async { panic!("it must not run") })
            .deadline(std_in(Duration::ZERO))
            .farewell(bye())
            .on_disconnect(ends.hook());
        assert_eq!(read_text(body).await, format!(": connected\n{BYE}"));
        assert_eq!(ends.only().reason(), EndReason::Expired);
    }
}

#[tokio::test(start_paused = true)]
async fn a_grace_period_longer_than_the_lifetime_leaves_half_of_the_lifetime() {
    let start = Instant::now();
    let farewell = Farewell::new().grace_period(30 * SECOND);
    read_text(body_that_obeys().max_lifetime(20 * SECOND).farewell(farewell)).await;
    assert!(start.elapsed() >= 8 * SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_longest_durations_are_no_panic() {
    let farewell =
        bye().grace_period(Duration::MAX).stagger_over(Duration::MAX).cut_after(Duration::MAX);
    let shutdown = Shutdown::new(farewell.clone());
    let options = HandlerOptions::new().send_timeout(Duration::MAX);
    let body = EventBody::with_options(options, |_| pending())
        .max_lifetime(Duration::MAX)
        .farewell(farewell)
        .shutdown(&shutdown);
    let mut body = body.without_keep_alive();
    body.next_chunk().await.unwrap().unwrap();
    shutdown.start();
    assert!(timeout(SECOND, body.next_chunk()).await.is_err());
    assert!(timeout(SECOND, shutdown.overdue()).await.is_err());
}
