//! How long the source waits before it reconnects, and when it gives up.

use std::time::Duration;

use futures_util::StreamExt as _;
use tower_sse::{Reconnection, Update};

use crate::{
    steady,
    support::{
        SECOND,
        mock::{Answer, Mock, body, reported},
    },
};

/// Returns the delays of the updates, in milliseconds.
fn delays(reported: &[String]) -> Vec<u64> {
    let delays =
        reported.iter().filter_map(|reported| reported.split(" in ").nth(1)?.split(':').next());
    delays.map(|delay| delay.parse().unwrap()).collect()
}

/// A connection that gives this text and ends or is cut after some seconds.
fn lasts(seconds: u32, text: &'static str, cut: bool) -> Answer {
    let end = futures_util::stream::once(async move {
        tokio::time::sleep(seconds * SECOND).await;
        cut.then(|| Err(std::io::Error::other("cut")))
    });
    Answer::Body(body([text], end.filter_map(std::future::ready)))
}

/// Asserts that all values are within the range and uniformly distributed: the mean is within five
/// standard deviations.
#[track_caller]
fn spread(values: &[f64], least: f64, most: f64) {
    assert!(values.iter().all(|value| (least..=most).contains(value)), "{values:?}");
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let deviation = (most - least) / 12_f64.sqrt() / count.sqrt();
    assert!((mean - (least + most) / 2.0).abs() < 5.0 * deviation, "the mean is {mean}");
    let tenth = |n: f64| {
        let (from, to) =
            (least + (most - least) * n / 10.0, least + (most - least) * (n + 1.0) / 10.0);
        values.iter().filter(|value| (from..to).contains(*value)).count() as f64
    };
    for n in 0..10 {
        let share = tenth(f64::from(n)) / count;
        assert!((0.05..0.15).contains(&share), "the tenth {n} has {share} of all");
    }
}

/// Formats a time as an HTTP date. The day of the week is not checked.
fn imf_fixdate(seconds: u64) -> String {
    let (mut days, mut year) = (seconds / 86_400, 1970);
    let leap = |year: u64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let names =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!(
        "Mon, {:02} {} {year} {hours:02}:{minutes:02}:{:02} GMT",
        days + 1,
        names[month],
        seconds % 60
    )
}

#[tokio::test(start_paused = true)]
async fn the_delay_doubles_up_to_the_cap_and_is_reset_by_a_healthy_connection() {
    let policy = Reconnection::resilient().jitter(0.0);
    let mock = Mock::new((0..8).map(|_| Answer::Refused));
    let all = reported(mock.source().reconnection(policy.clone())).await;
    assert_eq!(delays(&all), [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);

    // A connection that ends without an event is a failure. One with an event is not.
    let mock =
        Mock::new(["", ":\n\n", "data: x\n\n", "data: y\n\n", ""].map(Answer::Ends).into_iter());
    let all = reported(mock.source().reconnection(policy.clone())).await;
    assert_eq!(delays(&all), [1000, 2000, 1000, 1000, 1000]);

    // A connection that is cut at once is a failure even with events. Without events it is one too,
    // until it has lasted longer than the delay before it.
    let cut = || lasts(0, "data: x\n\n", true);
    let silent = |seconds| lasts(seconds, ":\n\n", true);
    let script = [cut(), cut(), cut(), cut(), silent(8), silent(17), cut()];
    let all = reported(Mock::new(script).source().reconnection(policy)).await;
    assert_eq!(delays(&all), [1000, 2000, 4000, 8000, 16_000, 1000, 2000]);
}

#[tokio::test(start_paused = true)]
async fn the_delay_is_reset_although_every_connection_is_cut_after_a_while() {
    let outage = || (0..7).map(|_| Answer::Refused);
    let policy = Reconnection::resilient().jitter(0.0);
    // Clean ends, even after a short time.
    let script = outage().chain((0..3).map(|_| lasts(5, "data: x\n\n", false)));
    let all = reported(Mock::new(script).source().reconnection(policy.clone())).await;
    assert_eq!(delays(&all)[6..], [60_000, 1000, 1000, 1000]);
    // Cuts, if the connection lasted longer than the delay before it.
    let script = (0..9).map(|_| lasts(30, "data: x\n\n", true));
    let all = reported(Mock::new(script).source().reconnection(policy.clone())).await;
    assert_eq!(delays(&all), [1000; 9]);
    let script = (0..4).map(|_| Answer::Refused);
    let script = script.chain([7, 15, 33].map(|seconds| lasts(seconds, "data: x\n\n", true)));
    let all = reported(Mock::new(script).source().reconnection(policy)).await;
    assert_eq!(delays(&all), [1000, 2000, 4000, 8000, 16_000, 32_000, 1000]);
    // With jitter, one short delay resets the growth, so later delays are short too.
    let script = outage().chain((0..200).map(|_| lasts(30, "data: x\n\n", true)));
    let all = reported(Mock::new(script).source()).await;
    assert!(delays(&all)[107..].iter().all(|&delay| delay <= 1000), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn connections_that_break_at_once_are_backed_off_even_without_a_base_delay() {
    let policy = Reconnection::resilient().jitter(0.0).base(Duration::ZERO);
    let script = (0..4).map(|_| lasts(0, "data: x\n\n", true));
    let all = reported(Mock::new(script).source().reconnection(policy)).await;
    assert_eq!(delays(&all), [0, 100, 200, 400]);
}

#[tokio::test(start_paused = true)]
async fn full_jitter_is_spread_over_the_whole_delay() {
    let mut first = Vec::new();
    for _ in 0..1000 {
        let mut updates = Mock::new([Answer::Refused]).source().updates();
        let Some(Ok(Update::Reconnecting(again))) = updates.next().await else { panic!() };
        first.push(again.delay.as_secs_f64());
    }
    spread(&first, 0.1, 1.0);
}

#[tokio::test(start_paused = true)]
async fn the_delay_of_a_server_is_a_minimum_and_jitter_only_adds_to_it() {
    let mut first = Vec::new();
    for _ in 0..1000 {
        let mut updates = Mock::new([Answer::Ends("retry: 3000\n\ndata\n\n")]).source().updates();
        loop {
            if let Some(Ok(Update::Reconnecting(again))) = updates.next().await {
                break first.push(again.delay.as_secs_f64());
            }
        }
    }
    spread(&first, 3.0, 6.0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_0_has_a_floor() {
    let mock = Mock::new([Answer::Ends("retry: 0\ndata\n\n"), Answer::Stays("")]);
    assert!(reported(mock.source().reconnection(steady())).await[2].contains("again 2 in 100:"));
    let zero = steady().base(Duration::ZERO);
    let mock = Mock::new([Answer::Ends("retry: 0\ndata\n\n"), Answer::Stays("")]);
    assert!(reported(mock.source().reconnection(zero)).await[2].contains("again 2 in 0:"));
}

#[tokio::test(start_paused = true)]
async fn a_huge_reconnection_time_is_an_hour_or_is_kept_by_the_standard_policy() {
    let ages = "retry: 99999999999999999999\ndata\n\n";
    let mock = Mock::new([Answer::Ends(ages), Answer::Stays("")]);
    let all = reported(mock.source().reconnection(steady())).await;
    assert!(all[2].starts_with("again 2 in 3600000:"), "{all:?}");
    assert_eq!(all[3], "opened 2");
    let mock = Mock::new([Answer::Ends(ages), Answer::Stays("")]);
    let all = reported(mock.source().reconnection(Reconnection::standard())).await;
    assert!(all[2].starts_with("again 2 in 18446744073709551615:"), "{all:?}");
    assert_eq!(all.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_standard_policy_follows_the_letter_of_the_standard() {
    let mock =
        Mock::new([Answer::Refused, Answer::Ends(""), Answer::Cut(""), Answer::Status(500, &[])]);
    let all = reported(mock.source().reconnection(Reconnection::standard())).await;
    assert_eq!(
        all,
        [
            "again 2 in 3000: the request failed",
            "opened 2",
            "again 3 in 3000: the stream ended",
            "opened 3",
            "again 4 in 3000: the connection was lost",
            "fatal: not an event stream: the status is 500 Internal Server Error, not 200 \
             (http://server/events)",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_policy_never_reads_one_connection() {
    let never = || Reconnection::never();
    let mock = Mock::new([Answer::Ends("data: x\n\n")]);
    assert_eq!(reported(mock.source().reconnection(never())).await, ["opened 1", "event x"]);
    let mock = Mock::new([Answer::Cut("data: x\n\n")]);
    let all = reported(mock.source().reconnection(never())).await;
    assert_eq!(all, ["opened 1", "event x", "fatal: the connection was lost"]);
    let mock = Mock::new([Answer::Refused]);
    assert_eq!(reported(mock.source().reconnection(never())).await, ["fatal: the request failed"]);
}

#[tokio::test(start_paused = true)]
async fn the_source_gives_up_after_a_number_of_attempts_or_a_time() {
    let refused = || Mock::new((0..20).map(|_| Answer::Refused));
    let all = reported(refused().source().reconnection(steady().attempts(3))).await;
    assert_eq!(all.len(), 3);
    assert_eq!(all[2], "fatal: gave up after 3 attempts without an event: the request failed");

    // An event between failures resets the count. A connection without one does not.
    for (open, attempts) in [("data: x\n\n", 4), (":\n\nid: 1\n\n", 2)] {
        let mock =
            Mock::new([Answer::Refused, Answer::Ends(open), Answer::Refused, Answer::Refused]);
        let all = reported(mock.source().reconnection(steady().attempts(2))).await;
        let last = all.last().unwrap();
        assert!(last.starts_with("fatal: gave up after 2 attempts without an event: "), "{last}");
        assert_eq!(mock.asked().len(), attempts, "{open:?}");
    }

    let mock = refused();
    let started = tokio::time::Instant::now();
    let all = reported(mock.source().reconnection(steady().give_up_after(5 * SECOND))).await;
    assert!(all.last().unwrap().starts_with("fatal: gave up"), "{all:?}");
    assert_eq!((mock.asked().len(), started.elapsed().as_secs()), (6, 5));

    // The time in which a connection is open does not count, but connections without an event do
    // not start the count anew either.
    let quiet = Mock::new((0..20).map(|_| lasts(30, ":\n\n", false)));
    let started = tokio::time::Instant::now();
    let all = reported(quiet.source().reconnection(steady().give_up_after(5 * SECOND))).await;
    let last = all.last().unwrap();
    assert_eq!(last, "fatal: gave up after 6 attempts without an event: the stream ended");
    assert_eq!(started.elapsed().as_secs(), 6 * 30 + 5);
    let busy = Mock::new((0..20).map(|_| lasts(30, "data: x\n\n", true)));
    let all = reported(busy.source().reconnection(steady().give_up_after(5 * SECOND))).await;
    assert_eq!(delays(&all).len(), 20);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honored_in_both_forms() {
    let mock = Mock::new([
        Answer::Status(503, &[("retry-after", "30")]),
        Answer::Status(429, &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]),
        Answer::Status(408, &[("retry-after", "soon")]),
        Answer::Stays(""),
    ]);
    let all = reported(mock.source().reconnection(steady())).await;
    let cause = "not an event stream: the status is";
    let url = "(http://server/events, retry-after:";
    for (reported, expected) in all.iter().zip([
        format!("again 2 in 30000: {cause} 503 Service Unavailable, not 200 {url} 30)"),
        format!(
            "again 3 in 1000: {cause} 429 Too Many Requests, not 200 {url} Sun, 06 Nov 1994 08:49:37 GMT)"
        ),
        format!("again 4 in 1000: {cause} 408 Request Timeout, not 200 {url} soon)"),
    ]) {
        assert_eq!(*reported, expected);
    }

    let soon = std::time::SystemTime::now() + 100 * SECOND;
    let seconds = soon.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let date: &'static str = Box::leak(imf_fixdate(seconds).into_boxed_str());
    let headers: &'static [_] = Box::leak(Box::new([("retry-after", date)]));
    let mut updates = Mock::new([Answer::Status(503, headers)]).source().updates();
    let Some(Ok(Update::Reconnecting(again))) = updates.next().await else { panic!() };
    assert!((90..=160).contains(&again.delay.as_secs()), "{:?}", again.delay);
}
