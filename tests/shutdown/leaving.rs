//! A server that leaves: its readiness fails before its streams end.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_sse::{Event, Farewell, Shutdown, event_channel_handler};

use crate::support::{
    http::{call, get},
    log::Log,
    read_text,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn streams_go_on_while_the_server_leaves() {
    let log = Log::start();
    let farewell = Farewell::new().retry(SECOND).cut_after(2 * SECOND);
    let shutdown = Shutdown::new(farewell).drain_after(10 * SECOND);
    let handler = event_channel_handler::<_, _, ()>(|_, events| async move {
        for n in 0.. {
            events.send(Event::new(n)).await?;
            sleep(4 * SECOND).await;
        }
        Ok(())
    })
    .without_greeting()
    .shutdown(&shutdown);
    let signal = shutdown.start_when(sleep(SECOND));
    assert!(!shutdown.is_leaving());
    let start = Instant::now();
    let server = tokio::spawn(signal);
    let open = call(&handler, get("/")).await.into_body();
    let reading = tokio::spawn(read_text(open));
    sleep(2 * SECOND).await;
    assert!(shutdown.is_leaving() && !shutdown.is_started());
    // A request that was on its way is served.
    let late = call(&handler, get("/")).await;
    assert_eq!(late.status(), 200);
    drop(late);
    server.await.unwrap();
    assert_eq!(start.elapsed(), 11 * SECOND);
    assert_eq!(reading.await.unwrap(), "data: 0\n\ndata: 1\n\ndata: 2\n\nretry: 1000\n\n");
    let lines = log.lines();
    let expected = vec![
        "INFO message=the server is leaving drain=10.0 whole=12.0 streams=1",
        "INFO message=the streams of the server have ended streams=1 overdue=0 duration=0.0",
    ];
    assert_eq!(lines, if cfg!(feature = "tracing") { expected } else { vec![] });
}

#[tokio::test(start_paused = true)]
async fn the_log_says_how_many_streams_ended_and_how_many_were_overdue() {
    let log = Log::start();
    let farewell = Farewell::new().grace_period(3 * SECOND).cut_after(2 * SECOND);
    let shutdown = Shutdown::new(farewell);
    let handler = event_channel_handler::<_, _, ()>(|_, events| async move {
        events.ending().await;
        sleep(SECOND).await;
        Ok(())
    })
    .shutdown(&shutdown);
    let well = call(&handler, get("/")).await.into_body();
    let reading = tokio::spawn(read_text(well));
    let stuck = call(&handler, get("/")).await.into_body();
    sleep(SECOND).await;
    shutdown.start();
    reading.await.unwrap();
    sleep(5 * SECOND).await;
    drop(stuck);
    // It is logged once.
    drop(call(&handler, get("/")).await);
    let lines = log.lines();
    let expected =
        "INFO message=the streams of the server have ended streams=2 overdue=1 duration=6.0";
    assert_eq!(lines, if cfg!(feature = "tracing") { vec![expected] } else { vec![] });
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_ends_the_wait() {
    let shutdown = Shutdown::now().drain_after(3600 * SECOND);
    let start = Instant::now();
    let server = tokio::spawn(shutdown.start_when(async {}));
    sleep(SECOND).await;
    assert!(shutdown.is_leaving() && !shutdown.is_started());
    shutdown.start_now();
    server.await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
    // Started by itself, it leaves as well.
    let other = Shutdown::now();
    other.start();
    assert!(other.is_leaving());
}
