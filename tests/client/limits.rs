//! Backoff and limits, over real sockets.

use std::time::Duration;

use futures_util::StreamExt as _;
use http::Request;
use tokio::time::timeout;
use tower_sse::{EventSource, Reconnection, Update};

use crate::support::socket::{Act, refusal, server, stream};

const LIMIT: Duration = Duration::from_secs(20);

/// Returns the delays of a number of reconnects.
async fn delays(source: EventSource, count: usize) -> Vec<u128> {
    let mut updates = source.updates();
    let mut delays = Vec::new();
    while delays.len() < count {
        if let Update::Reconnecting(again) =
            timeout(LIMIT, updates.next()).await.unwrap().unwrap().unwrap()
        {
            delays.push(again.delay.as_millis());
        }
    }
    delays
}

/// The policy with delays of 100, 200, 400 ms and so on.
fn doubling() -> Reconnection {
    Reconnection::resilient().base(Duration::from_millis(100)).jitter(0.0)
}

#[tokio::test]
async fn a_quiet_connection_that_lasts_longer_than_its_delay_is_no_failure() {
    // Comments only, and a cut after a while, as of a load balancer.
    let (url, _) = server([Act::Lasts(Duration::from_millis(400))]).await;
    let source = EventSource::new(url).reconnection(doubling());
    assert_eq!(delays(source, 6).await, [100; 6]);
    // A connection that ends at once is one.
    let (url, _) = server([Act::Writes(stream(":\n\n"))]).await;
    let source = EventSource::new(url).reconnection(doubling());
    assert_eq!(delays(source, 4).await, [100, 200, 400, 800]);
}

#[tokio::test]
async fn connections_without_an_event_count_for_the_limits() {
    let no_event = || stream("{\"error\": \"this is no event\"}");
    let (url, seen) = server([Act::Writes(no_event())]).await;
    let policy = Reconnection::resilient().base(Duration::from_millis(10)).attempts(3);
    let mut source = EventSource::new(url).reconnection(policy);
    let error = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "gave up after 3 attempts without an event: the stream ended");
    assert!(error.has_given_up() && error.is_fatal());
    assert_eq!(seen.requests(), 3);

    let (url, seen) = server([Act::Writes(no_event())]).await;
    let policy = doubling().give_up_after(Duration::from_secs(1));
    let mut source = EventSource::new(url).reconnection(policy);
    let error = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap_err();
    assert!(error.has_given_up());
    // After 100, 200 and 400 ms; another 800 ms would be too much.
    assert_eq!(seen.requests(), 4);
}

#[tokio::test]
async fn a_retry_after_longer_than_the_limit_of_the_caller_fails_at_once() {
    let quota = || Act::Writes(refusal("429 Quota\r\nretry-after: 3600", "insufficient_quota"));
    let second = Duration::from_secs(1);
    let policies = [
        Reconnection::resilient().give_up_after(60 * second),
        Reconnection::resilient().max_server_delay(60 * second),
        // These have a limit of their own.
        Reconnection::until_opened(),
        Reconnection::until_event(),
    ];
    for policy in policies {
        let (url, seen) = server([quota()]).await;
        let source = EventSource::send(Request::post(url).body("").unwrap());
        let mut source = source.reconnection(policy.clone());
        let error = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap_err();
        let message = error.to_string();
        let start =
            "gave up after 1 attempt without an event; the server asks for a delay of 3600s: ";
        assert!(message.starts_with(start), "{message}");
        assert!(message.ends_with("insufficient_quota"), "{message}");
        assert_eq!(error.status().unwrap(), 429);
        assert_eq!(seen.requests(), 1, "{policy:?}");
    }
    // Without a limit the source waits, with little jitter.
    for _ in 0..20 {
        let (url, _) = server([quota()]).await;
        let delay = delays(EventSource::new(url), 1).await[0];
        assert!((3_600_000..=3_660_000).contains(&delay), "{delay}");
    }
}

#[tokio::test]
async fn jitter_alone_is_no_reason_to_give_up() {
    for _ in 0..20 {
        let (url, _) = server([Act::Writes(refusal("503 Busy\r\nretry-after: 6", ""))]).await;
        let policy = Reconnection::resilient().give_up_after(Duration::from_secs(10));
        let delay = delays(EventSource::new(url).reconnection(policy), 1).await[0];
        assert!((6_000..=10_000).contains(&delay), "{delay}");
    }
}

#[tokio::test]
async fn events_that_are_too_large_do_not_reset_the_limits() {
    let text = stream(&format!("data: {}\n\n", "x".repeat(100)));
    let (url, seen) = server([Act::Writes(text)]).await;
    let policy = Reconnection::resilient().base(Duration::from_millis(10)).attempts(3);
    let mut source = EventSource::new(url).reconnection(policy).max_event_bytes(50);
    let mut errors = Vec::new();
    while let Some(event) = timeout(LIMIT, source.next_event()).await.unwrap() {
        errors.push(event.unwrap_err());
    }
    assert_eq!(seen.requests(), 3);
    assert!(errors.pop().unwrap().has_given_up());
    assert!(errors.iter().all(|error| error.as_too_large().is_some()) && errors.len() == 3);
}

#[tokio::test]
async fn the_presets_for_one_answer_have_limits() {
    // Each connection lasts longer than its delay, and gives no event.
    let (url, seen) = server([Act::Lasts(Duration::from_millis(150))]).await;
    let policy = Reconnection::until_event().base(Duration::from_millis(10));
    let source = EventSource::send(Request::post(url).body("").unwrap());
    let mut source = source.reconnection(policy);
    let error = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap_err();
    assert!(error.has_given_up());
    assert_eq!(seen.requests(), 5);
}

#[tokio::test]
async fn a_server_may_say_that_another_attempt_is_useless() {
    let quota = refusal("429 Quota\r\nx-should-retry: false", "insufficient_quota");
    let (url, seen) = server([Act::Writes(quota)]).await;
    let mut source = EventSource::new(url);
    let error = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap_err();
    assert!(error.is_fatal() && !error.refused().unwrap().is_temporary());
    assert_eq!(seen.requests(), 1);
}

#[tokio::test]
async fn a_rule_of_the_caller_sees_headers_and_body() {
    let quota = refusal("429 Too Many Requests\r\nx-should-retry: false", "insufficient_quota");
    let policies = [
        Reconnection::resilient().stop_on(|refused| {
            refused.headers().get("x-should-retry").is_some_and(|value| value == "false")
        }),
        Reconnection::resilient().stop_on(|refused| refused.body() == "insufficient_quota"),
    ];
    for policy in policies {
        let busy = Act::Writes(refusal("429 Too Many Requests\r\nretry-after-ms: 1", "slow down"));
        let (url, seen) = server([busy, Act::Writes(quota.clone())]).await;
        let mut source = EventSource::new(url).reconnection(policy);
        let error = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.body().unwrap(), "insufficient_quota");
        assert!(!error.has_given_up());
        assert_eq!(seen.requests(), 2);
    }
}

#[tokio::test]
async fn a_head_that_never_comes_ends_within_the_default_header_timeout() {
    let (url, seen) = server([Act::Holds(String::new())]).await;
    let mut source = EventSource::send(Request::post(url).body("").unwrap());
    // The request is sent on a running clock. Then time is paused, and passes at once.
    let waiting = timeout(Duration::from_millis(500), source.next_event()).await;
    assert!(waiting.is_err());
    tokio::time::pause();
    let error = source.next_event().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "no response head within 30s");
    assert!(error.is_timeout() && error.is_fatal());
    assert_eq!(seen.requests(), 1);
}

#[tokio::test]
async fn the_helpers_serve_a_loop_of_an_application() {
    let (url, seen) = server([
        Act::Writes(refusal("429 Busy\r\nretry-after-ms: 100", "")),
        Act::Writes(refusal("503 Busy", "")),
        Act::Writes(stream("data: x\n\n")),
    ])
    .await;
    let client: hyper_util::client::legacy::Client<_, http_body_util::Full<bytes::Bytes>> =
        hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
            .build_http();
    let policy = Reconnection::resilient().base(Duration::from_millis(10)).jitter(0.0);
    let mut waited = Vec::new();
    for failures in 1.. {
        let response = client.get(url.parse().unwrap()).await.unwrap();
        if response.status() == 200 {
            break;
        }
        let retry_after = tower_sse::client::retry_after(response.headers());
        waited.push(policy.delay(failures, retry_after).as_millis());
        tokio::time::sleep(policy.delay(failures, retry_after)).await;
    }
    assert_eq!(waited, [100, 200]);
    assert_eq!(seen.requests(), 3);
}
