//! Comments that keep an idle stream alive.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tower_sse::{Buffer, Event, EventBody, KeepAlive, event_channel, event_channel_handler};

use crate::support::{
    SECOND,
    handlers::idle_body,
    http::{call, get},
    timed,
};

#[tokio::test(start_paused = true)]
async fn a_keep_alive_is_a_comment_every_15_seconds_and_can_be_switched_off() {
    let lasts_40_s = || {
        event_channel_handler(|_, events| async move {
            sleep(40 * SECOND).await;
            drop(events);
            Ok(())
        })
        .without_greeting()
    };
    let times = |chunks: Vec<(u128, String)>| -> Vec<u128> {
        assert!(chunks.iter().all(|(_, text)| text.starts_with(':')
            && text.ends_with("\n")
            && !text.ends_with("\n\n")));
        chunks.into_iter().map(|(at, _)| at).collect()
    };
    for (handler, beats) in [
        (lasts_40_s(), vec![15_000, 30_000]),
        (lasts_40_s().keep_alive(KeepAlive::every(10 * SECOND)), vec![10_000, 20_000, 30_000]),
        (lasts_40_s().keep_alive(KeepAlive::every(Duration::ZERO)), vec![]),
        (lasts_40_s().without_keep_alive(), vec![]),
    ] {
        let mut seen = times(timed(call(&handler, get("/")).await.into_body()).await);
        seen.retain(|at| *at < 40_000);
        assert_eq!(seen, beats);
    }

    for body in [
        idle_body().keep_alive(KeepAlive::every(Duration::ZERO)),
        idle_body().keep_alive(KeepAlive::every(Duration::MAX)),
        idle_body().without_keep_alive(),
        idle_body().keep_alive(KeepAlive::every(SECOND).without_comment()),
    ] {
        let mut body = body.without_greeting();
        assert!(timeout(1_000_000 * SECOND, body.next_chunk()).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_is_sent_after_a_pause_and_each_event_restarts_the_pause() {
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
            (0, ": connected\n"),
            (4, ": k\n"),
            (8, ": k\n"),
            (10, "data: x\n\n"),
            (14, ": k\n"),
            (18, ": k\n"),
        ]
    );

    let handler = event_channel_handler(|_, events| async move {
        for pause in [9, 9, 9, 12] {
            sleep(pause * SECOND).await;
            events.send(Event::new("x")).await?;
        }
        Ok(())
    })
    .without_greeting()
    .keep_alive(KeepAlive::every(10 * SECOND));
    let chunks = timed(call(&handler, get("/")).await.into_body()).await;
    let seen: Vec<_> = chunks.iter().map(|(at, text)| (at / 1000, &text[..1])).collect();
    assert_eq!(seen, [(9, "d"), (18, "d"), (27, "d"), (37, ":"), (39, "d")]);
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
