//! Ten thousand reconnects in a row, on a paused clock: the memory does not grow, the delays are
//! within the range of the policy and uniformly distributed. Floods and long lines take bounded
//! memory.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response};
use http_body_util::Full;
use tower_sse::{BoxError, EventParser, EventSource, EventStream, Reconnection, Update};

use crate::heap;

const RECONNECTS: usize = 10_000;

/// One of six connections gives an event and ends. The others fail with a 503 or are refused.
async fn answer(n: usize) -> Result<Response<Full<Bytes>>, BoxError> {
    let text = format!("id: {n}\ndata: {n}\n\ndata: half");
    let response = Response::builder().header("content-type", "text/event-stream");
    match n % 6 {
        0 => Ok(response.body(Full::from(text))?),
        1 | 3 | 5 => Ok(response.status(503).body(Full::default())?),
        _ => Err("refused".into()),
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_reconnects_take_no_memory() {
    let asked = AtomicUsize::new(0);
    let service =
        tower::service_fn(move |_: Request<Full<Bytes>>| answer(asked.fetch_add(1, Relaxed)));
    let (base, cap) = (Duration::from_secs(1), Duration::from_secs(8));
    let policy = Reconnection::resilient().base(base).cap(cap);
    let mut updates = EventSource::get(service, "/events").reconnection(policy).updates();
    let mut shares = Vec::with_capacity(RECONNECTS);
    let (mut growth, mut has_event, mut warm, mut events) = (0, false, 0, 0);
    while shares.len() < RECONNECTS {
        match updates.next().await.unwrap().unwrap() {
            Update::Event(event) => {
                assert_eq!(event.data(), (events * 6).to_string());
                has_event = true;
                events += 1;
            }
            Update::Reconnecting(again) => {
                // The delay is drawn between the floor and a maximum. Failures double the maximum;
                // an event and a clean end reset it.
                let has_event = std::mem::take(&mut has_event);
                if has_event {
                    growth = 0;
                }
                let most = (base * 2_u32.pow(growth)).min(cap);
                let least = Duration::from_millis(100);
                assert!((least..=most).contains(&again.delay), "{:?} of {most:?}", again.delay);
                shares.push((again.delay - least).as_secs_f64() / (most - least).as_secs_f64());
                if !has_event {
                    growth = (growth + 1).min(3);
                }
                if shares.len() == 100 {
                    warm = heap::bytes();
                }
            }
            _ => {}
        }
    }
    let grown = heap::bytes() as isize - warm as isize;
    println!("{grown} bytes more after {RECONNECTS} reconnects than after 100");
    assert!(grown.abs() < 16 << 10, "{grown} bytes");
    even(&mut shares);
    assert_eq!(updates.get_ref().last_event_id().unwrap().as_str().parse(), Ok((events - 1) * 6));
}

/// The Kolmogorov-Smirnov test: the distance of the shares from a uniform distribution. A distance
/// of 2.2 / √n occurs once in ten thousand runs.
fn even(shares: &mut [f64]) {
    shares.sort_by(f64::total_cmp);
    let count = shares.len() as f64;
    let distance = shares.iter().enumerate().map(|(n, share)| {
        let (before, after) = (n as f64 / count, (n + 1) as f64 / count);
        (share - before).abs().max((after - share).abs())
    });
    let distance = distance.fold(0.0, f64::max);
    println!("the distance from an even spread is {distance:.4}");
    assert!(distance < 2.2 / count.sqrt(), "{distance}");
}

/// Lines just below the limit, in chunks of two sizes: a line is never in memory twice.
#[test]
fn a_line_below_the_limit_is_never_in_memory_twice() {
    const LIMIT: usize = 1 << 20;
    for chunk in [1460, 64 << 10] {
        for field in ["data: ", "event: ", "id: ", ":", "x: "] {
            let line = [field, &"x".repeat(LIMIT - 100), "\ndata\n\n"].concat();
            let mut parser = EventParser::new().max_event_bytes(LIMIT).max_line_bytes(LIMIT);
            let before = heap::bytes();
            heap::forget_most();
            let mut items = 0;
            for part in line.as_bytes().chunks(chunk) {
                parser.push(Bytes::copy_from_slice(part));
                while let Some(item) = parser.next_item() {
                    item.unwrap();
                    items += 1;
                }
            }
            assert!(items > 0);
            let most = heap::most() - before;
            println!("{field:?}: {most} bytes at most, of a line of {LIMIT} in chunks of {chunk}");
            assert!(most < LIMIT + chunk + (8 << 10), "{field:?}: {most}");
        }
    }
}

/// Floods without a line end, in chunks of 64 KiB, with limits of 1 MiB: the memory stays below the
/// limit and a chunk for every field.
#[tokio::test]
async fn a_flood_without_a_line_end_takes_bounded_memory() {
    const LIMIT: usize = 1 << 20;
    const CHUNK: usize = 64 << 10;
    for field in
        ["data: ", "event: ", "id: ", "x", ":", "data: x\ndata: ", "data: x\n:", "\u{fffd}"]
    {
        let chunks = futures_util::stream::iter(0..64).map(move |n| {
            let mut chunk = if n == 0 { field.as_bytes().to_vec() } else { Vec::new() };
            chunk.resize(CHUNK, if field == "\u{fffd}" { 0xff } else { b'x' });
            Ok::<_, Infallible>(Bytes::from(chunk))
        });
        let events = EventStream::from_bytes(chunks).max_event_bytes(LIMIT).max_line_bytes(LIMIT);
        let mut events = events.until_data("never");
        let before = heap::bytes();
        heap::forget_most();
        let mut errors = 0;
        while let Some(event) = events.next().await {
            assert!(event.unwrap_err().as_too_large().is_some());
            errors += 1;
        }
        assert_eq!(errors, 1, "{field}");
        let most = heap::most() - before;
        println!("{field:?}: {most} bytes at most, with a limit of {LIMIT}");
        assert!(most < LIMIT + CHUNK + (8 << 10), "{field:?}: {most}");
    }
}
