//! Random delays of 10,000 streams are within their range and uniformly distributed.

use std::{future::pending, ops::RangeInclusive, time::Duration};

use http::{Request, StatusCode};
use tokio::time::{Instant, sleep};
use tower_sse::{EventBody, EventChannelHandler, Farewell, Shutdown, event_channel_handler};

use crate::support::{
    http::{call, get},
    read_text,
};

const STREAMS: usize = 10_000;

const SECOND: Duration = Duration::from_secs(1);

const BINS: usize = 20;

/// Asserts that draws are within a range, and uniformly distributed over it.
///
/// A chi-squared test with 19 degrees of freedom: a uniform distribution is above 60 once in
/// 240,000 times, and a constant is above 10,000.
#[track_caller]
fn assert_even(draws: &[f64], range: RangeInclusive<f64>) {
    assert_eq!(draws.len(), STREAMS);
    let (least, most) = (range.start(), range.end());
    let mut bins = [0u32; BINS];
    for draw in draws {
        assert!(range.contains(draw), "{draw} is not within {range:?}");
        let bin = (draw - least) / (most - least) * BINS as f64;
        bins[(bin as usize).min(BINS - 1)] += 1;
    }
    let expected = STREAMS as f64 / BINS as f64;
    let chi_squared: f64 =
        bins.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    assert!(chi_squared < 60.0, "chi-squared {chi_squared}: {bins:?}");
}

fn endless() -> EventChannelHandler<()> {
    event_channel_handler(|_, events| async move {
        events.closed().await;
        Ok(())
    })
    .without_keep_alive()
}

/// Returns the milliseconds of the `retry` field in a text.
fn retry_in(text: &str) -> f64 {
    let field = text.split("retry: ").nth(1).unwrap_or_else(|| panic!("no retry in {text:?}"));
    field.lines().next().unwrap().parse().unwrap()
}

/// Reads all bodies to their ends concurrently. Returns the text of each and the time to its end.
async fn read(bodies: impl IntoIterator<Item = EventBody>) -> Vec<(String, f64)> {
    let start = Instant::now();
    let reading: Vec<_> = bodies
        .into_iter()
        .map(|body| {
            tokio::spawn(async move {
                let text = read_text(body).await;
                (text, start.elapsed().as_secs_f64())
            })
        })
        .collect();
    let mut all = Vec::new();
    for reading in reading {
        all.push(reading.await.unwrap());
    }
    all
}

#[tokio::test(start_paused = true)]
async fn the_retry_of_a_stream_is_spread() {
    let handler = endless().retry(SECOND..=5 * SECOND);
    let mut draws = Vec::new();
    for _ in 0..STREAMS {
        let mut body = call(&handler, get("/")).await.into_body();
        let opening = body.next_chunk().await.unwrap().unwrap();
        draws.push(retry_in(std::str::from_utf8(&opening).unwrap()));
    }
    // Whole milliseconds, so that the last bin is not a millisecond short.
    assert_even(&draws, 1000.0..=5000.0);
}

#[tokio::test(start_paused = true)]
async fn the_retry_of_a_farewell_is_spread() {
    let shutdown = Shutdown::new(Farewell::new().retry(SECOND..=5 * SECOND));
    let bodies: Vec<_> =
        (0..STREAMS).map(|_| EventBody::new(|_| pending()).shutdown(&shutdown)).collect();
    shutdown.start();
    let draws: Vec<_> = read(bodies).await.iter().map(|(text, _)| retry_in(text)).collect();
    assert_even(&draws, 1000.0..=5000.0);
}

#[tokio::test(start_paused = true)]
async fn lifetimes_are_spread_over_their_last_fifth() {
    let body = || EventBody::new(|_| pending()).without_keep_alive().max_lifetime(1000 * SECOND);
    let draws: Vec<_> = read((0..STREAMS).map(|_| body())).await;
    let draws: Vec<_> = draws.into_iter().map(|(_, after)| after).collect();
    // The clock may be a millisecond late.
    assert_even(&draws, 800.0..=1000.002);
}

#[tokio::test(start_paused = true)]
async fn the_ends_of_a_staggered_shutdown_are_spread() {
    let shutdown = Shutdown::new(Farewell::new().stagger_over(1000 * SECOND));
    let body = || EventBody::new(|_| pending()).without_keep_alive().shutdown(&shutdown);
    let bodies: Vec<_> = (0..STREAMS).map(|_| body()).collect();
    let reading = tokio::spawn(read(bodies));
    sleep(SECOND).await;
    shutdown.start();
    let draws = reading.await.unwrap();
    let draws: Vec<_> = draws.into_iter().map(|(_, after)| after - 1.0).collect();
    assert_even(&draws, 0.0..=1000.002);
}

#[tokio::test(start_paused = true)]
async fn the_delays_of_clients_that_are_turned_away_are_spread() {
    let full = endless().max_streams(0).retry_after(SECOND / 1000..=BINS as u32 * SECOND);
    let (mut of_browsers, mut of_others) = (Vec::new(), Vec::new());
    for _ in 0..STREAMS {
        let browser = Request::get("/").header("accept", "text/event-stream").body(()).unwrap();
        let text = read_text(call(&full, browser).await.into_body()).await;
        of_browsers.push(retry_in(&text));
        let response = call(&full, get("/")).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        // Whole seconds, rounded up: each stands for the second before it.
        let after: f64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        of_others.push(after - 0.5);
    }
    assert_even(&of_browsers, 1.0..=1000.0 * BINS as f64);
    assert_even(&of_others, 0.0..=BINS as f64);
}
