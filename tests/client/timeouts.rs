//! Timeouts, and connections without events.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::HeaderMap;
use http_body::Frame;
use tower_sse::{EventSource, Update};

use crate::{
    steady,
    support::{
        SECOND,
        mock::{Answer, Mock, body, reported},
    },
};

/// Polls a future once, which must be ready.
fn futures_executor_free<F: std::future::Future>(future: F) -> F::Output {
    futures_util::FutureExt::now_or_never(future).expect("it is ready at once")
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_loss_after_the_idle_timeout_and_comments_end_the_silence() {
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
    assert_eq!(again.cause.to_string(), "no bytes received for 10s");
}

/// On a running clock: a paused clock does not advance while a task is ready.
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
async fn a_missing_response_head_is_a_loss_after_the_header_timeout() {
    let mock = Mock::new([Answer::Never, Answer::Stays("data: x\n\n")]);
    let all = reported(mock.source().reconnection(steady()).header_timeout(10 * SECOND)).await;
    assert_eq!(all, ["again 2 in 1000: no response head within 10s", "opened 2", "event x"]);
    let asked = mock.asked();
    assert_eq!((asked[1].at - asked[0].at).as_secs(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_zero_is_off() {
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
    assert_eq!(reported(source).await, ["opened 1", "event x"]);
}

#[test]
fn without_a_runtime_the_first_wait_is_an_error() {
    let mut source = Mock::new([Answer::Refused]).source();
    let error = futures_executor_free(source.next_event()).unwrap().unwrap_err();
    assert!(error.is_fatal());
    assert_eq!(error.to_string(), "an event source needs a tokio runtime with its timer enabled");
    assert!(futures_executor_free(source.next_event()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_always_ready_lets_other_tasks_run() {
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
