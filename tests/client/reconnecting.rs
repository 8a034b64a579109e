//! What is lost and comes back, when, and what survives it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use tower_sse::{BoxError, EventSource, Reconnection, Update, client::ReadyState};

use super::mock::{Answer, Mock, body, told};

const SECOND: Duration = Duration::from_secs(1);

/// One second, always, so that what is told can be written down.
fn steady() -> Reconnection {
    Reconnection::resilient().jitter(0.0).factor(1.0)
}

#[tokio::test(start_paused = true)]
async fn the_last_event_id_survives_every_kind_of_loss() {
    let mock = Mock::new([
        Answer::Ends("id: 1\ndata: a\n\n"),
        Answer::Cut("data: b\n\n"),
        Answer::Refused,
        Answer::Status(503, &[]),
        Answer::Ends("id: 2\n\nid: 3\ndata: lost"),
        Answer::Cut(": nothing\n\n"),
        Answer::Ends("id:\ndata: c\n\n"),
        Answer::Stays("data: d\n\n"),
    ]);
    let told = told(mock.source().reconnection(steady())).await;
    let events: Vec<_> = told.iter().filter(|told| told.starts_with("event")).collect();
    assert_eq!(events, ["event a", "event b", "event c", "event d"]);
    let ids: Vec<_> = mock.ids();
    let ids: Vec<_> = ids.iter().map(Option::as_deref).collect();
    // An id in a block without data counts, one in a block that never ended does not, an event
    // without an id clears nothing, and an empty id does.
    let one = Some("1");
    assert_eq!(ids, [None, one, one, one, one, Some("2"), Some("2"), None]);
}

#[tokio::test(start_paused = true)]
async fn the_reconnection_time_survives_too_and_counts_at_once() {
    let mock = Mock::new([
        Answer::Ends("retry: 5000\n\ndata: a\n\n"),
        Answer::Refused,
        Answer::Cut("retry: 7000\ndata: never ended"),
        Answer::Stays(""),
    ]);
    let told = told(mock.source().reconnection(steady())).await;
    assert_eq!(
        told,
        [
            "opened 1",
            "block, id none, retry Some(5000)",
            "event a",
            "again 2 in 5000: the stream ended",
            "again 3 in 5000: the request failed",
            "opened 3",
            "again 4 in 7000: the connection was lost",
            "opened 4",
        ]
    );
    let at: Vec<_> = mock.asked().iter().map(|asked| asked.at).collect();
    let waited: Vec<_> = at.windows(2).map(|two| (two[1] - two[0]).as_secs()).collect();
    assert_eq!(waited, [5, 5, 7]);
}

#[tokio::test(start_paused = true)]
async fn blocks_without_data_are_told_of_for_they_may_set_an_id() {
    let mock = Mock::new([
        Answer::Cut("id: 1\n\ndata: x\n\nevent: only\n\nid:\nretry: 5\n\nid: never ended"),
        Answer::Stays(""),
    ]);
    let told = told(mock.source().reconnection(steady())).await;
    assert_eq!(
        told[..4],
        ["opened 1", "block, id 1, retry None", "event x", "block, id , retry Some(5)"]
    );
    assert_eq!(mock.ids(), [None, None]);
    let mut source = Mock::new([Answer::Stays("id: 1\n\ndata: x\n\n")]).source();
    assert_eq!(source.next_event().await.unwrap().unwrap().data(), "x");
}

#[tokio::test(start_paused = true)]
async fn a_partial_event_is_dropped_by_a_reconnect() {
    let mock = Mock::new([
        Answer::Cut("event: x\ndata: half"),
        Answer::Cut("data: ha\r"),
        Answer::Cut("\u{feff}dat"),
        Answer::Stays("\u{feff}data: whole\n\n"),
    ]);
    let mut source = mock.source().reconnection(steady());
    let event = source.next_event().await.unwrap().unwrap();
    assert_eq!((event.event_type().as_str(), event.data()), ("message", "whole"));
}

/// The delays that were told, in milliseconds.
fn delays(told: &[String]) -> Vec<u64> {
    let delays = told.iter().filter_map(|told| told.split(" in ").nth(1)?.split(':').next());
    delays.map(|delay| delay.parse().unwrap()).collect()
}

/// A connection that gives this and, so many seconds later, ends or is cut.
fn lasts(seconds: u32, text: &'static str, cut: bool) -> Answer {
    let end = futures_util::stream::once(async move {
        tokio::time::sleep(seconds * SECOND).await;
        cut.then(|| Err(std::io::Error::other("cut")))
    });
    Answer::Body(body([text], end.filter_map(std::future::ready)))
}

#[tokio::test(start_paused = true)]
async fn the_delay_doubles_up_to_the_cap_and_starts_again_after_health() {
    let policy = Reconnection::resilient().jitter(0.0);
    let mock = Mock::new((0..8).map(|_| Answer::Refused));
    let all = told(mock.source().reconnection(policy.clone())).await;
    assert_eq!(delays(&all), [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);

    // An opened connection that ends without an event is a failure; one with an event is not.
    let mock =
        Mock::new(["", ":\n\n", "data: x\n\n", "data: y\n\n", ""].map(Answer::Ends).into_iter());
    let all = told(mock.source().reconnection(policy.clone())).await;
    assert_eq!(delays(&all), [1000, 2000, 1000, 1000, 1000]);

    // One that is cut at once is, however many events it has given; and so is one that has given
    // none, until it has lasted.
    let cut = || lasts(0, "data: x\n\n", true);
    let silent = |seconds| lasts(seconds, ":\n\n", true);
    let script = [cut(), cut(), cut(), cut(), silent(59), silent(60), cut()];
    let all = told(Mock::new(script).source().reconnection(policy)).await;
    assert_eq!(delays(&all), [1000, 2000, 4000, 8000, 16_000, 1000, 2000]);
}

#[tokio::test(start_paused = true)]
async fn the_delay_starts_again_after_health_behind_what_cuts_every_connection() {
    let outage = || (0..7).map(|_| Answer::Refused);
    let policy = Reconnection::resilient().jitter(0.0);
    // Ends that are clean, however soon they come.
    let script = outage().chain((0..3).map(|_| lasts(5, "data: x\n\n", false)));
    let all = told(Mock::new(script).source().reconnection(policy.clone())).await;
    assert_eq!(delays(&all)[6..], [60_000, 1000, 1000, 1000]);
    // Cuts, if the connection was worth the delay before it.
    let script = (0..9).map(|_| lasts(30, "data: x\n\n", true));
    let all = told(Mock::new(script).source().reconnection(policy.clone())).await;
    assert_eq!(delays(&all), [1000; 9]);
    let script = (0..4).map(|_| Answer::Refused);
    let script = script.chain([7, 15, 33].map(|seconds| lasts(seconds, "data: x\n\n", true)));
    let all = told(Mock::new(script).source().reconnection(policy)).await;
    assert_eq!(delays(&all), [1000, 2000, 4000, 8000, 16_000, 32_000, 1000]);
    // With jitter a delay is short sooner or later, and then all of them are.
    let script = outage().chain((0..200).map(|_| lasts(30, "data: x\n\n", true)));
    let all = told(Mock::new(script).source()).await;
    assert!(delays(&all)[107..].iter().all(|&delay| delay <= 1000), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_first_delay_what_breaks_at_once_is_not_asked_without_a_pause() {
    let policy = Reconnection::resilient().jitter(0.0).base(Duration::ZERO);
    let script = (0..4).map(|_| lasts(0, "data: x\n\n", true));
    let all = told(Mock::new(script).source().reconnection(policy)).await;
    assert_eq!(delays(&all), [0, 100, 200, 400]);
}

#[tokio::test(start_paused = true)]
async fn full_jitter_is_spread_over_all_of_the_delay() {
    let mut first = Vec::new();
    for _ in 0..1000 {
        let mut updates = Mock::new([Answer::Refused]).source().updates();
        let Some(Ok(Update::Reconnecting(again))) = updates.next().await else { panic!() };
        first.push(again.delay.as_secs_f64());
    }
    spread(&first, 0.1, 1.0);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_tells_is_a_minimum_and_jitter_goes_upward() {
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

/// All within, and evenly spread: the mean of so many is within five standard deviations.
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

#[tokio::test(start_paused = true)]
async fn retry_0_has_a_floor() {
    let mock = Mock::new([Answer::Ends("retry: 0\ndata\n\n"), Answer::Stays("")]);
    assert!(told(mock.source().reconnection(steady())).await[2].contains("again 2 in 100:"));
    let zero = steady().base(Duration::ZERO);
    let mock = Mock::new([Answer::Ends("retry: 0\ndata\n\n"), Answer::Stays("")]);
    assert!(told(mock.source().reconnection(zero)).await[2].contains("again 2 in 0:"));
}

#[tokio::test(start_paused = true)]
async fn a_reconnection_time_of_ages_is_an_hour_or_for_ever() {
    let ages = "retry: 99999999999999999999\ndata\n\n";
    let mock = Mock::new([Answer::Ends(ages), Answer::Stays("")]);
    let all = told(mock.source().reconnection(steady())).await;
    assert!(all[2].starts_with("again 2 in 3600000:"), "{all:?}");
    assert_eq!(all[3], "opened 2");
    let mock = Mock::new([Answer::Ends(ages), Answer::Stays("")]);
    let all = told(mock.source().reconnection(Reconnection::standard())).await;
    assert!(all[2].starts_with("again 2 in 18446744073709551615:"), "{all:?}");
    assert_eq!(all.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn standard_is_the_letter_of_the_standard() {
    let mock =
        Mock::new([Answer::Refused, Answer::Ends(""), Answer::Cut(""), Answer::Status(500, &[])]);
    let all = told(mock.source().reconnection(Reconnection::standard())).await;
    assert_eq!(
        all,
        [
            "again 2 in 3000: the request failed",
            "opened 2",
            "again 3 in 3000: the stream ended",
            "opened 3",
            "again 4 in 3000: the connection was lost",
            "fatal: not an event stream: the status is 500 Internal Server Error, not 200",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn never_reads_one_connection() {
    let never = || Reconnection::never();
    let mock = Mock::new([Answer::Ends("data: x\n\n")]);
    assert_eq!(told(mock.source().reconnection(never())).await, ["opened 1", "event x"]);
    let mock = Mock::new([Answer::Cut("data: x\n\n")]);
    let all = told(mock.source().reconnection(never())).await;
    assert_eq!(all, ["opened 1", "event x", "fatal: the connection was lost"]);
    let mock = Mock::new([Answer::Refused]);
    assert_eq!(told(mock.source().reconnection(never())).await, ["fatal: the request failed"]);
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_after_so_many_attempts_or_so_long() {
    let refused = || Mock::new((0..20).map(|_| Answer::Refused));
    let all = told(refused().source().reconnection(steady().attempts(3))).await;
    assert_eq!(all.len(), 3);
    assert_eq!(all[2], "fatal: gave up, with 3 failed attempts since the last connection");

    // A connection in between makes the next failure the first.
    let mock = Mock::new([Answer::Refused, Answer::Ends(""), Answer::Refused, Answer::Refused]);
    let all = told(mock.source().reconnection(steady().attempts(2))).await;
    assert_eq!(
        all.last().unwrap(),
        "fatal: gave up, with 2 failed attempts since the last connection"
    );
    assert_eq!(mock.asked().len(), 4);

    let mock = refused();
    let started = tokio::time::Instant::now();
    let all = told(mock.source().reconnection(steady().give_up_after(5 * SECOND))).await;
    assert!(all.last().unwrap().starts_with("fatal: gave up"), "{all:?}");
    assert_eq!((mock.asked().len(), started.elapsed().as_secs()), (6, 5));
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_loss_after_the_idle_timeout_and_comments_are_no_silence() {
    let ticking = |count: usize| {
        let ticks = futures_util::stream::unfold(0, move |n| async move {
            tokio::time::sleep(9 * SECOND).await;
            (n < count).then(|| (Ok(Frame::data(":\n\n".into())), n + 1))
        });
        Answer::Body(body(["data: a\n\n"], ticks.chain(futures_util::stream::pending())))
    };
    let mock = Mock::new([ticking(5), Answer::Stays("")]);
    let started = tokio::time::Instant::now();
    let mut updates = mock.source().reconnection(steady()).idle_timeout(10 * SECOND).updates();
    let mut comments = 0;
    let again = loop {
        match updates.next().await.unwrap().unwrap() {
            Update::Comment(_) => comments += 1,
            Update::Reconnecting(again) => break again,
            _ => {}
        }
    };
    assert_eq!(comments, 5);
    assert_eq!(started.elapsed().as_secs(), 5 * 9 + 10);
    assert!(again.cause.is_timeout());
    assert_eq!(again.cause.to_string(), "no byte for 10s");
}

/// On a clock that runs: a paused one stands still as long as something is ready.
#[tokio::test]
async fn chunks_without_bytes_are_silence() {
    let kinds: [fn() -> Frame<Bytes>; 2] =
        [|| Frame::data(Bytes::new()), || Frame::trailers(HeaderMap::new())];
    for frame in kinds {
        let frames = futures_util::stream::repeat_with(move || Ok(frame()));
        let mock = Mock::new([Answer::Body(body([], frames)), Answer::Stays("data: x\n\n")]);
        let policy = steady().base(Duration::ZERO);
        let mut source = mock.source().reconnection(policy).idle_timeout(SECOND / 10);
        let event = tokio::time::timeout(20 * SECOND, source.next_event()).await;
        assert_eq!(event.unwrap().unwrap().unwrap().data(), "x");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_comes_is_a_loss_after_the_header_timeout() {
    let mock = Mock::new([Answer::Never, Answer::Stays("data: x\n\n")]);
    let all = told(mock.source().reconnection(steady()).header_timeout(10 * SECOND)).await;
    assert_eq!(all, ["again 2 in 1000: no response head within 10s", "opened 2", "event x"]);
    let asked = mock.asked();
    assert_eq!((asked[1].at - asked[0].at).as_secs(), 11);
}

#[tokio::test(start_paused = true)]
async fn timeouts_of_zero_are_none() {
    let late = body(
        [],
        futures_util::stream::once(async {
            tokio::time::sleep(SECOND).await;
            Ok(Frame::data("data: x\n\n".into()))
        })
        .chain(futures_util::stream::pending()),
    );
    let mock = Mock::new([Answer::Body(late)]);
    let source = mock.source().idle_timeout(Duration::ZERO).header_timeout(Duration::ZERO);
    let source = source.headers(|_| async {
        tokio::time::sleep(SECOND).await;
        Ok(HeaderMap::new())
    });
    assert_eq!(told(source).await, ["opened 1", "event x"]);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honored_in_both_forms() {
    let mock = Mock::new([
        Answer::Status(503, &[("retry-after", "30")]),
        Answer::Status(429, &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]),
        Answer::Status(408, &[("retry-after", "soon")]),
        Answer::Stays(""),
    ]);
    let all = told(mock.source().reconnection(steady())).await;
    let cause = "not an event stream: the status is";
    assert_eq!(all[0], format!("again 2 in 30000: {cause} 503 Service Unavailable, not 200"));
    assert_eq!(all[1], format!("again 3 in 1000: {cause} 429 Too Many Requests, not 200"));
    assert_eq!(all[2], format!("again 4 in 1000: {cause} 408 Request Timeout, not 200"));

    let soon = std::time::SystemTime::now() + 100 * SECOND;
    let seconds = soon.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let date: &'static str = Box::leak(imf_fixdate(seconds).into_boxed_str());
    let headers: &'static [_] = Box::leak(Box::new([("retry-after", date)]));
    let mut updates = Mock::new([Answer::Status(503, headers)]).source().updates();
    let Some(Ok(Update::Reconnecting(again))) = updates.next().await else { panic!() };
    assert!((90..=200).contains(&again.delay.as_secs()), "{:?}", again.delay);
}

/// A date as HTTP has it, of today or tomorrow: the calendar is counted on day by day.
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
async fn closing_ends_it_and_drops_the_connection_at_once() {
    let (alive, gone) = tokio::sync::oneshot::channel::<()>();
    let hold = futures_util::stream::once(async move {
        let _alive = alive;
        std::future::pending().await
    });
    let mock = Mock::new([Answer::Body(body(["data: x\n\n"], hold))]);
    let mut source = mock.source();
    assert_eq!(source.ready_state(), ReadyState::Connecting);
    source.next_event().await.unwrap().unwrap();
    assert_eq!(source.ready_state(), ReadyState::Open);
    // Polled once more, so that it waits for the body.
    assert!(futures_util::FutureExt::now_or_never(source.next_event()).is_none());
    source.close();
    assert!(gone.await.is_err(), "the body was dropped");
    assert_eq!(mock.copies(), 1, "the service was dropped");
    assert_eq!(source.ready_state(), ReadyState::Closed);
    for _ in 0..3 {
        assert!(source.next_event().await.is_none());
        assert!(source.next_update().await.is_none());
    }
}

/// Whoever catches it can go on polling, as a task that reads many sources may.
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_application_comes_through_once_and_is_the_end() {
    for place in ["provider", "its future", "ready", "call", "future", "body"] {
        let panics = move |here| assert!(place != here, "on purpose");
        let open = move || {
            let body = futures_util::stream::poll_fn(move |_| {
                panics("body");
                std::task::Poll::Pending::<Option<std::io::Result<Frame<Bytes>>>>
            });
            let response = Response::builder().header("content-type", "text/event-stream");
            response.body(StreamBody::new(body)).map_err(BoxError::from)
        };
        let service = tower::service_fn(move |_: http::Request<Full<Bytes>>| {
            panics("call");
            async move {
                panics("future");
                open()
            }
        });
        let service = Unready { service, panics: place == "ready" };
        let mut source = EventSource::get(service, "/events").headers(move |_| {
            panics("provider");
            async move {
                panics("its future");
                Ok(HeaderMap::new())
            }
        });
        let polled = std::panic::AssertUnwindSafe(source.next_event()).catch_unwind().await;
        assert!(polled.is_err(), "{place}");
        assert_eq!(source.ready_state(), ReadyState::Closed);
        source.reconnect();
        for _ in 0..2 {
            assert!(source.next_event().await.is_none(), "{place}");
            assert!(source.next_update().await.is_none(), "{place}");
        }
    }
}

struct Unready<S> {
    service: S,
    panics: bool,
}

impl<S: tower::Service<R>, R> tower::Service<R> for Unready<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), S::Error>> {
        assert!(!self.panics, "on purpose");
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.service.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_too_large_is_an_item_and_the_next_one_comes() {
    let mock = Mock::new([Answer::Stays("data: 0123456789\n\nid: 1\ndata: x\n\n")]);
    let all = told(mock.source().max_event_bytes(12)).await;
    let error = "error: the event that starts at byte 0 is larger than 12 bytes";
    assert_eq!(all, ["opened 1", error, "event x"]);
}

#[test]
fn without_a_runtime_the_first_wait_is_an_error_and_no_panic() {
    let mut source = Mock::new([Answer::Refused]).source();
    let error = futures_executor_free(source.next_event()).unwrap().unwrap_err();
    assert!(error.is_fatal());
    assert_eq!(error.to_string(), "an event source needs a tokio runtime with its timer enabled");
    assert!(futures_executor_free(source.next_event()).is_none());
}

/// Polls what needs no waker.
fn futures_executor_free<F: std::future::Future>(future: F) -> F::Output {
    futures_util::FutureExt::now_or_never(future).expect("it is ready at once")
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_always_ready_lets_others_run() {
    let comments = futures_util::stream::repeat_with(|| Ok(Frame::data(":\n".into())));
    let mut source: EventSource = Mock::new([Answer::Body(body([], comments))]).source();
    let waited = tokio::time::timeout(SECOND, async {
        tokio::select! {
            biased;
            _ = source.next_event() => unreachable!("there is no event"),
            () = async { for _ in 0..100 { tokio::task::yield_now().await } } => {}
        }
    });
    waited.await.unwrap();
}
