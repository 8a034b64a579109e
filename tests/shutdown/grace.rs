//! The grace period, in which handlers finish, and staggered ends.

use std::{future::pending, time::Duration};

use tokio::time::{Instant, sleep};
use tower_sse::{
    EndReason, Event, EventBody, EventSender, Farewell, Shutdown, event_channel_handler,
};

use crate::support::{
    MINUTE, SECOND,
    ends::Ends,
    farewells::{BYE, PLAIN_BYE, bye, plain_bye, reading, std_in},
    handlers::one_event_then_idle,
    http::{call, get},
    read_all, read_text,
};

#[tokio::test(start_paused = true)]
async fn a_handler_may_finish_within_the_grace_period_and_the_farewell_follows() {
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, events: EventSender| async move {
        events.send(Event::new("a")).await?;
        events.ending().await;
        assert!(events.is_ending() && !events.is_closed());
        sleep(10 * SECOND).await;
        events.send(Event::new("b")).await?;
        Ok(())
    });
    for handler in [handler.clone(), handler.spawn_handler()] {
        let shutdown = Shutdown::new(bye().grace_period(30 * SECOND));
        let handler = handler.shutdown(&shutdown).on_disconnect(ends.hook());
        let reading = reading(call(&handler, get("/")).await.into_body());
        sleep(SECOND).await;
        shutdown.start();
        let (text, after) = reading.await.unwrap();
        assert_eq!(text, format!(": connected\ndata: a\n\ndata: b\n\n{BYE}"));
        assert_eq!(after, 11 * SECOND);
        assert_eq!(ends.only().reason(), EndReason::Finished);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_finish_is_dropped_at_the_end_of_the_grace_period() {
    let mut ends = Ends::new();
    let shutdown = Shutdown::new(bye().grace_period(30 * SECOND));
    let handler = one_event_then_idle().shutdown(&shutdown).on_disconnect(ends.hook());
    let reading = reading(call(&handler, get("/")).await.into_body());
    sleep(SECOND).await;
    shutdown.start();
    shutdown.start();
    let finished = shutdown.finished_within(20 * SECOND).await.unwrap_err();
    assert_eq!(finished.streams(), 1);
    assert_eq!(finished.to_string(), "shutdown not finished in time: 1 event stream is still open");
    let (text, after) = reading.await.unwrap();
    // Keep-alives continue during the grace period.
    assert_eq!(text.matches(": keep-alive").count(), 2);
    assert!(text.ends_with(BYE));
    assert_eq!(after, 31 * SECOND);
    assert_eq!(ends.only().reason(), EndReason::ShutDown);
    shutdown.finished_within(Duration::ZERO).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_failure_within_the_grace_period_says_no_farewell() {
    let mut ends = Ends::new();
    let shutdown = Shutdown::new(bye().grace_period(30 * SECOND));
    let handler = event_channel_handler(|_, events: EventSender| async move {
        events.ending().await;
        Err("no more".into())
    })
    .shutdown(&shutdown)
    .on_disconnect(ends.hook());
    let mut body = call(&handler, get("/")).await.into_body();
    body.next_chunk().await.unwrap().unwrap();
    shutdown.start();
    let (frames, error) = read_all(&mut body).await;
    assert!(frames.is_empty() && error.is_some(), "{frames:?}");
    assert_eq!(ends.only().reason(), EndReason::Failed);
}

#[tokio::test(start_paused = true)]
async fn start_now_ends_the_grace_period_and_says_nothing() {
    let shutdown = Shutdown::new(bye().grace_period(MINUTE).stagger_over(MINUTE));
    let reading =
        reading(call(&one_event_then_idle().shutdown(&shutdown), get("/")).await.into_body());
    sleep(SECOND).await;
    shutdown.start();
    sleep(SECOND).await;
    shutdown.start_now();
    shutdown.start_now();
    let (text, after) = reading.await.unwrap();
    assert_eq!((text.as_str(), after), (": connected\ndata: x\n\n", 2 * SECOND));

    let at_once = Shutdown::new(bye());
    at_once.start_now();
    let body = EventBody::new(|_| pending()).shutdown(&at_once);
    assert_eq!(read_text(body).await, ": connected\n");
}

#[tokio::test(start_paused = true)]
async fn a_body_made_during_the_shutdown_ends_with_the_others() {
    let shutdown = Shutdown::new(plain_bye().grace_period(30 * SECOND));
    shutdown.start();
    sleep(10 * SECOND).await;
    let answer = EventBody::new(|events| async move {
        sleep(5 * SECOND).await;
        events.send(Event::new("answer")).await?;
        Ok(())
    });
    let text = read_text(answer.shutdown(&shutdown).without_greeting()).await;
    assert_eq!(text, format!("data: answer\n\n{PLAIN_BYE}"));
    let start = Instant::now();
    let text = read_text(EventBody::new(|_| pending()).shutdown(&shutdown)).await;
    assert!(text.ends_with(PLAIN_BYE));
    assert_eq!(start.elapsed(), 15 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_shutdown_and_deadline_applies() {
    let mut ends = Ends::new();
    for (deadline, after, reason) in [(20, 20, EndReason::Expired), (100, 30, EndReason::ShutDown)]
    {
        let shutdown = Shutdown::new(bye().grace_period(30 * SECOND));
        let body = EventBody::new(|_| pending())
            .shutdown(&shutdown)
            .deadline(std_in(deadline * SECOND))
            .on_disconnect(ends.hook());
        let reading = reading(body);
        shutdown.start();
        assert_eq!(reading.await.unwrap().1, after * SECOND);
        assert_eq!(ends.only().reason(), reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_never_idle_ends_too() {
    let shutdown = Shutdown::new(bye().grace_period(10 * SECOND));
    let busy = |events: EventSender| async move {
        loop {
            events.send(Event::new("x")).await?;
            sleep(Duration::from_millis(10)).await;
        }
    };
    let of_shutdown = reading(EventBody::new(busy).shutdown(&shutdown).without_keep_alive());
    let of_lifetime = reading(EventBody::new(busy).max_lifetime(10 * SECOND));
    shutdown.start();
    let (text, after) = of_shutdown.await.unwrap();
    assert!(text.ends_with(BYE));
    assert!((10 * SECOND..11 * SECOND).contains(&after), "{after:?}");
    let after = of_lifetime.await.unwrap().1;
    assert!((8 * SECOND..11 * SECOND).contains(&after), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn the_ends_are_spread_over_the_stagger_time() {
    const STREAMS: u32 = 1000;
    let shutdown = Shutdown::new(Farewell::new().stagger_over(100 * SECOND));
    let reading: Vec<_> = (0..STREAMS)
        .map(|_| reading(EventBody::new(|_| pending()).shutdown(&shutdown).without_keep_alive()))
        .collect();
    sleep(SECOND).await;
    shutdown.start();
    let mut by_tenth = [0; 10];
    for reading in reading {
        let after = reading.await.unwrap().1 - SECOND;
        assert!(after <= 101 * SECOND, "{after:?}");
        by_tenth[((after.as_millis() / 10_000) as usize).min(9)] += 1;
    }
    // 100 ends are expected in each tenth, with a standard deviation of 9.5. The range is five
    // deviations.
    assert!(by_tenth.iter().all(|count| (52..=148).contains(count)), "{by_tenth:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_notified_when_its_own_turn_comes() {
    let shutdown = Shutdown::new(Farewell::new().stagger_over(100 * SECOND).grace_period(SECOND));
    let body = || {
        let body = EventBody::new(|events: EventSender| async move {
            events.ending().await;
            Ok(())
        });
        reading(body.shutdown(&shutdown).without_keep_alive())
    };
    let reading: Vec<_> = (0..100).map(|_| body()).collect();
    sleep(SECOND).await;
    shutdown.start();
    let mut late = 0;
    for reading in reading {
        late += usize::from(reading.await.unwrap().1 > 30 * SECOND);
    }
    assert!((40..100).contains(&late), "{late}");
}
