//! The core without I/O: its states, deadlines and answers, as tables.

use http::Response;

use super::*;
use crate::client::{policy::Reconnection, refused::PendingRefusal};

const SECOND: Duration = Duration::from_secs(1);

/// A core with a delay of 1 s after each failure, and timeouts of 10 s and 20 s.
fn core() -> Core {
    let mut core = Core::new();
    core.backoff.policy = Reconnection::resilient().jitter(0.0).factor(1.0);
    core.header_timeout = Some(10 * SECOND);
    core.idle_timeout = Some(20 * SECOND);
    core
}

fn head(status: u16) -> response::Parts {
    let response = Response::builder().header("content-type", "text/event-stream");
    response.status(status).body(()).unwrap().into_parts().0
}

/// The states of a core, and how to get there from the start. The last loss of each is at the
/// time zero.
const STATES: [(&str, ReadyState); 8] = [
    ("invalid", ReadyState::Connecting),
    ("due", ReadyState::Connecting),
    ("waiting", ReadyState::Connecting),
    ("attempting", ReadyState::Connecting),
    ("refused", ReadyState::Connecting),
    ("open", ReadyState::Open),
    ("draining", ReadyState::Closed),
    ("closed", ReadyState::Closed),
];

fn core_in(state: &str, zero: Instant) -> Core {
    let mut core = core();
    match state {
        "invalid" => core.state = ConnectionState::Invalid(SourceErrorKind::Ended.into()),
        "due" => {}
        "waiting" => drop(core.handle_loss(Loss::retryable(SourceErrorKind::Ended), zero)),
        "attempting" => drop(core.handle_attempt(zero)),
        "refused" => {
            core.handle_attempt(zero);
            core.handle_refusal(zero);
        }
        "open" => {
            core.handle_attempt(zero);
            core.handle_open(zero);
        }
        "draining" => {
            core.handle_attempt(zero);
            core.handle_open(zero);
            core.state = ConnectionState::Draining(Drain::new(zero));
        }
        _ => core.handle_close(),
    }
    core
}

/// The name of the next action.
fn action(core: &mut Core) -> &'static str {
    match core.next_action() {
        Action::Connect => "connect",
        Action::Wait => "wait",
        Action::PollAttempt => "poll attempt",
        Action::PollRefusal => "poll refusal",
        Action::Read => "read",
        Action::Drain => "drain",
        Action::Fail(_) => "fail",
        Action::End => "end",
    }
}

fn next(next: &Next) -> String {
    match next {
        Next::Reconnect(next) => {
            format!("attempt {} in {:?}: {}", next.attempt, next.delay, next.cause)
        }
        Next::Fail(error) => format!("fail: {error}"),
        Next::End => "end".into(),
    }
}

#[test]
fn each_state_has_its_action_and_its_deadline() {
    let zero = Instant::now();
    for ((state, ready_state), (expected, deadline)) in STATES.into_iter().zip([
        ("fail", None),
        ("connect", None),
        ("wait", Some(SECOND)),
        ("poll attempt", Some(10 * SECOND)),
        ("poll refusal", Some(5 * SECOND)),
        // Only a silent connection has a deadline.
        ("read", None),
        ("drain", Some(SECOND / 20)),
        ("end", None),
    ]) {
        let mut core = core_in(state, zero);
        assert_eq!(core.ready_state(), ready_state, "{state}");
        assert_eq!(core.poll_timeout(), deadline.map(|time| zero + time), "{state}");
        assert_eq!(action(&mut core), expected, "{state}");
    }
    let mut core = core_in("invalid", zero);
    assert_eq!((action(&mut core), action(&mut core)), ("fail", "end"));
    assert_eq!(core.ready_state(), ReadyState::Closed);
}

#[test]
fn reconnect_and_close_lead_from_each_state_to_one() {
    let zero = Instant::now();
    for (state, _) in STATES {
        let mut core = core_in(state, zero);
        core.handle_reconnect();
        let expected = match state {
            "invalid" => "fail",
            "draining" => "drain",
            "closed" => "end",
            _ => "connect",
        };
        assert_eq!(action(&mut core), expected, "{state}");
        let mut core = core_in(state, zero);
        core.handle_close();
        assert_eq!((action(&mut core), core.poll_timeout()), ("end", None), "{state}");
    }
}

#[test]
fn a_deadline_does_nothing_before_its_time_and_then_moves_on() {
    let zero = Instant::now();
    for (state, deadline, expected, then) in [
        ("waiting", SECOND, None, "connect"),
        ("attempting", 10 * SECOND, Some("attempt 2 in 1s: no response head within 10s"), "wait"),
        ("open", 20 * SECOND, Some("attempt 2 in 1s: no bytes received for 20s"), "wait"),
    ] {
        let mut core = core_in(state, zero);
        core.handle_silence(|| zero);
        let before = action(&mut core);
        let early = zero + deadline - Duration::from_nanos(1);
        assert!(core.handle_timeout(early).is_none(), "{state}");
        assert_eq!(action(&mut core), before, "{state}");
        let timeout = core.handle_timeout(zero + deadline);
        assert_eq!(timeout.as_ref().map(next).as_deref(), expected, "{state}");
        assert_eq!(action(&mut core), then, "{state}");
    }
    for state in ["invalid", "due", "closed"] {
        let mut core = core_in(state, zero);
        assert!(core.handle_timeout(zero + 100 * SECOND).is_none(), "{state}");
    }
}

#[test]
fn silence_counts_from_when_the_body_was_found_silent() {
    let zero = Instant::now();
    let mut core = core_in("open", zero);
    let at = |seconds| zero + seconds * SECOND;
    core.handle_silence(|| at(30));
    core.handle_silence(|| at(35));
    assert_eq!(core.poll_timeout(), Some(at(50)));
    core.handle_bytes(":\n".into());
    assert_eq!(core.poll_timeout(), None);
    core.handle_silence(|| at(70));
    assert_eq!(core.poll_timeout(), Some(at(90)));
    // Without the timeout, the clock is not read.
    let mut core = core_in("open", zero);
    core.idle_timeout = None;
    core.handle_silence(|| panic!("the clock is read"));
    assert_eq!(core.poll_timeout(), None);
}

#[test]
fn deadlines_that_cannot_be_represented_never_come() {
    let zero = Instant::now();
    for state in ["attempting", "open"] {
        let mut core = core_in(state, zero);
        core.header_timeout = Some(Duration::MAX);
        core.idle_timeout = Some(Duration::MAX);
        core.handle_silence(|| zero);
        assert_eq!(core.poll_timeout(), None, "{state}");
    }
    let mut core = core();
    core.backoff.policy = Reconnection::standard().base(Duration::MAX);
    drop(core.handle_loss(Loss::retryable(SourceErrorKind::Ended), zero));
    assert!(core.poll_timeout().unwrap() > zero + Duration::from_secs(20 * 365 * 86_400));
}

#[test]
fn a_response_opens_redirects_ends_or_is_a_loss() {
    let zero = Instant::now();
    let respond = |core: &mut Core, status| match core.handle_response(&head(status), zero) {
        ResponseAction::Open => "open".into(),
        ResponseAction::Redirect => "redirect".into(),
        ResponseAction::Refuse(reason) => {
            core.handle_refusal(zero);
            assert_eq!(action(core), "poll refusal");
            let url = "http://server/".parse().unwrap();
            let refused = PendingRefusal::new(reason, head(status), url, 0).finish(true);
            next(&core.handle_refused(refused, zero, SystemTime::UNIX_EPOCH))
        }
        ResponseAction::Drop(dropped) => next(&dropped),
    };
    for (status, expected, then) in [
        (200, "open", "poll attempt"),
        (204, "end", "end"),
        (307, "redirect", "poll attempt"),
        (
            503,
            "attempt 2 in 1s: not an event stream: the status is 503 Service Unavailable, not 200 \
             (http://server/)",
            "wait",
        ),
        (
            404,
            "fail: not an event stream: the status is 404 Not Found, not 200 (http://server/)",
            "end",
        ),
    ] {
        let mut core = core_in("attempting", zero);
        assert_eq!(respond(&mut core, status), expected);
        assert_eq!(action(&mut core), then, "{status}");
    }
    // The limit counts the redirects of one attempt.
    let mut core = core_in("attempting", zero);
    for _ in 0..redirect::LIMIT {
        assert_eq!(respond(&mut core, 302), "redirect");
    }
    core.handle_attempt(zero);
    for _ in 0..redirect::LIMIT {
        assert_eq!(respond(&mut core, 302), "redirect");
    }
    assert_eq!(respond(&mut core, 302), "fail: more than 20 redirects in a row");
}

#[test]
fn a_loss_is_retried_unless_it_is_fatal_or_the_policy_forbids_it() {
    let zero = Instant::now();
    let (ended, fatal) = (
        || Loss::retryable(SourceErrorKind::Ended),
        || Loss::fatal(SourceErrorKind::Body("reset".into())),
    );
    let never = Reconnection::never();
    let twice = core().backoff.policy.attempts(2);
    let brief = core().backoff.policy.give_up_after(SECOND / 2);
    for (state, policy, loss, expected) in [
        ("open", core().backoff.policy, ended(), "attempt 2 in 1s: the stream ended"),
        ("open", core().backoff.policy, fatal(), "fail: the connection was lost"),
        ("open", never.clone(), ended(), "end"),
        // Nothing ends well that was never open.
        ("attempting", never, ended(), "fail: the stream ended"),
        ("attempting", twice.clone(), ended(), "attempt 2 in 1s: the stream ended"),
        (
            "waiting",
            twice,
            ended(),
            "fail: gave up after 2 attempts without an event: the stream ended",
        ),
        (
            "open",
            brief,
            ended(),
            "fail: gave up after 1 attempt without an event: the stream ended",
        ),
    ] {
        let mut core = core_in(state, zero);
        core.backoff.policy = policy;
        let lost = core.handle_loss(loss, zero);
        assert_eq!(next(&lost), expected, "{state}");
        if let Next::Fail(error) = lost {
            assert!(error.is_fatal(), "{state}");
        }
    }
    let mut core = core_in("waiting", zero);
    assert!(matches!(core.handle_missing_timer(), Next::Fail(error) if error.is_fatal()));
    assert_eq!(core.ready_state(), ReadyState::Closed);
}

/// Delays grow with each failure. `text` and the seconds that a connection lasted decide whether
/// its loss counts as one.
#[test]
fn the_delay_starts_again_after_a_healthy_connection() {
    for (text, lasted, cause, expected) in [
        ("data\n\n", 0, SourceErrorKind::Ended, 1),
        ("data\n\n", 0, SourceErrorKind::Body("cut".into()), 8),
        ("data\n\n", 5, SourceErrorKind::Body("cut".into()), 1),
        (":\n\n", 0, SourceErrorKind::Ended, 8),
        (":\n\n", 4, SourceErrorKind::Ended, 8),
        (":\n\n", 5, SourceErrorKind::Ended, 1),
    ] {
        let zero = Instant::now();
        let mut core = core();
        core.backoff.policy = Reconnection::resilient().jitter(0.0);
        for _ in 0..3 {
            drop(core.handle_loss(Loss::retryable(SourceErrorKind::Ended), zero));
        }
        core.handle_attempt(zero);
        core.handle_open(zero);
        core.handle_bytes(text.into());
        while core.next_event().is_some() {}
        let lost = core.handle_loss(Loss::retryable(cause), zero + lasted * SECOND);
        let Next::Reconnect(reconnecting) = lost else { panic!("{lost:?}") };
        assert_eq!(reconnecting.delay, expected * SECOND, "{text:?} {lasted}");
    }
}

#[test]
fn a_new_attempt_discards_what_was_not_read_and_keeps_the_last_event_id() {
    let zero = Instant::now();
    let mut core = core_in("open", zero);
    core.handle_bytes("id: 1\nretry: 7000\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata".into());
    assert!(matches!(core.next_event(), Some(Ok(Update::Event(event))) if event.data() == "a"));
    let lost = core.handle_loss(Loss::retryable(SourceErrorKind::Ended), zero);
    assert_eq!(next(&lost), "attempt 2 in 7s: the stream ended");
    assert_eq!(core.handle_attempt(zero), 2);
    assert!(core.next_event().is_none());
    assert_eq!(core.parser.last_event_id().unwrap(), &"1");
}
