//! `SseGovern`: event streams of other services.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_sse::{EndReason, Event, Farewell, KeepAlive, Shutdown, SseGovern, layer::SseBody};

use crate::{
    foreign::{Foreign, Last, lines, parse, read, stream},
    support::{ends::Ends, http::get},
};

const SECOND: Duration = Duration::from_secs(1);

/// Sends a request through a layer to a service that answers with this response.
async fn governed(layer: &SseGovern, response: Response<Foreign>) -> Response<SseBody<Foreign>> {
    let mut response = Some(response);
    let service = service_fn(move |_: Request<()>| {
        let response = response.take().unwrap();
        async move { Ok::<_, Infallible>(response) }
    });
    layer.layer(service).oneshot(get("/")).await.unwrap()
}

async fn text(layer: &SseGovern, body: Foreign) -> (String, Option<String>) {
    let (bytes, error) = read(governed(layer, stream(body)).await.into_body()).await;
    (String::from_utf8(bytes).unwrap(), error.map(|error| error.to_string()))
}

#[tokio::test(start_paused = true)]
async fn keep_alives_go_out_between_events_only() {
    let layer = SseGovern::new().keep_alive(KeepAlive::every(10 * SECOND));
    let body = Foreign::new(
        [(25_000, "data: 1\n\n"), (12_000, ": hi\n"), (12_000, "data: 2\n"), (60_000, "\n")],
        Last::Ends,
    );
    let expected = "<>\n<>\ndata: 1\n\n<>\n: hi\n<>\ndata: 2\n\n".replace("<>", ": keep-alive");
    assert_eq!(text(&layer, body).await, (expected, None));
    let without = SseGovern::new().without_keep_alive();
    let body = Foreign::new([(60_000, "data: 1\n\n")], Last::Ends);
    assert_eq!(text(&without, body).await.0, "data: 1\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_stream_gets_headers_and_other_responses_pass_unchanged() {
    let layer = SseGovern::new();
    let mut response = stream(Foreign::new([(0, "data: 1\n\n")], Last::Ends));
    response.headers_mut().insert("content-length", HeaderValue::from_static("9"));
    let governed_response = governed(&layer, response).await;
    let headers = governed_response.headers();
    assert_eq!(headers["x-accel-buffering"], "no");
    assert_eq!(headers["cache-control"], "no-store, no-transform");
    assert_eq!(headers["content-type"], "text/event-stream; charset=utf-8");
    assert!(!headers.contains_key("content-length"));
    let mut own = stream(Foreign::new([(0, "data: 1\n\n")], Last::Ends));
    own.headers_mut().insert("cache-control", HeaderValue::from_static("no-cache"));
    assert_eq!(governed(&layer, own).await.headers()["cache-control"], "no-cache");

    let shutdown = Shutdown::now();
    shutdown.start();
    let layer = layer.shutdown(&shutdown).max_streams(0).keep_alive(KeepAlive::every(SECOND));
    for kind in ["text/html", "text/event-stream-like", "application/json"] {
        let mut page = Response::new(Foreign::new([(60_000, "page")], Last::Ends));
        page.headers_mut().insert("content-type", HeaderValue::from_static(kind));
        page.headers_mut().insert("content-length", HeaderValue::from_static("4"));
        let passed = governed(&layer, page).await;
        assert_eq!((passed.status().as_u16(), passed.headers().len()), (200, 2), "{kind}");
        assert_eq!(read(passed.into_body()).await.0, b"page");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_the_stream_with_a_farewell() {
    // Between events, in the middle of one that ends in time, and of one that does not.
    for (first, second, expected, is_cut) in [
        ("data: 1\n\n", "data: 2\n\n", "data: 1\n\nretry: 1000\n\n", false),
        ("data: 1\n", "\ndata: 2\n\n", "data: 1\n\nretry: 1000\n\n", false),
        ("data: 1\n", "data: 2\n", "data: 1\ndata: 2\n", true),
    ] {
        let shutdown = Shutdown::new(Farewell::new().retry(SECOND));
        let mut ends = Ends::new();
        let layer = SseGovern::new().shutdown(&shutdown).on_disconnect(ends.hook());
        let body = Foreign::new([(0, first), (1500, second)], Last::Waits);
        let reading = tokio::spawn(async move { text(&layer, body).await });
        sleep(SECOND).await;
        let start = Instant::now();
        shutdown.start();
        let (text, error) = reading.await.unwrap();
        assert_eq!((text.as_str(), error.is_some()), (expected, is_cut), "{first:?}");
        let limit = if is_cut { SECOND } else { SECOND / 2 };
        assert!(start.elapsed() <= limit + SECOND / 20, "{:?}", start.elapsed());
        let end = ends.only();
        assert_eq!(end.events(), u64::from(!is_cut));
        let reason = if is_cut { EndReason::Failed } else { EndReason::ShutDown };
        assert_eq!(end.reason(), reason);
        assert_eq!(shutdown.streams(), 0);
        // New streams are refused.
        let layer = SseGovern::new().shutdown(&shutdown);
        let refused = governed(&layer, stream(Foreign::new([(0, "data: 1\n\n")], Last::Waits)));
        assert_eq!(refused.await.status(), 503);
    }
}

#[tokio::test(start_paused = true)]
async fn lifetimes_limits_and_ends_are_those_of_own_streams() {
    let mut ends = Ends::new();
    let layer = SseGovern::new()
        .max_lifetime(100 * SECOND)
        .farewell(Farewell::new().event(Event::new("bye")))
        .without_keep_alive()
        .max_streams(1)
        .on_disconnect(ends.hook());
    let start = Instant::now();
    let waits = || stream(Foreign::new([(0, "data: 1\n\n")], Last::Waits));
    let first = governed(&layer, waits()).await;
    assert_eq!(governed(&layer, waits()).await.status(), 503);
    let (bytes, error) = read(first.into_body()).await;
    assert_eq!(String::from_utf8(bytes).unwrap(), "data: 1\n\ndata: bye\n\n");
    assert!(error.is_none() && (80..=100).contains(&start.elapsed().as_secs()));
    assert_eq!(ends.only().reason(), EndReason::Expired);
    let fails = Foreign::new([(0, "data: 1\n\n")], Last::Fails);
    let (bytes, error) = text(&layer, fails).await;
    assert_eq!(bytes, "data: 1\n\n");
    assert!(error.unwrap().contains("the model is gone"));
    assert_eq!(ends.only().reason(), EndReason::Failed);
    let ends_by_itself = Foreign::new([(0, "data: 1\n\ndata: in")], Last::Ends);
    assert_eq!(text(&layer, ends_by_itself).await, ("data: 1\n\ndata: in".into(), None));
    assert_eq!(ends.only().reason(), EndReason::Finished);
    drop(governed(&layer, waits()).await);
    assert_eq!(ends.only().reason(), EndReason::ClientGone);
}

#[tokio::test(start_paused = true)]
async fn an_encoded_body_gets_nothing_but_its_end() {
    let shutdown = Shutdown::new(Farewell::new().retry(SECOND));
    let layer = SseGovern::new().shutdown(&shutdown).keep_alive(KeepAlive::every(SECOND));
    let mut response = stream(Foreign::new([(10_000, "compressed")], Last::Waits));
    response.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
    response.headers_mut().insert("content-length", HeaderValue::from_static("100"));
    let response = governed(&layer, response).await;
    assert!(response.headers().contains_key("content-length"));
    let reading = tokio::spawn(read(response.into_body()));
    sleep(20 * SECOND).await;
    shutdown.start();
    let (bytes, error) = reading.await.unwrap();
    assert_eq!(bytes, b"compressed");
    assert!(error.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Inserted blocks change no event, however the stream is cut and whenever they are inserted.
    #[test]
    fn inserted_blocks_change_no_event(
        text in lines(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_u64..5000), 0..12),
        stops_after in prop::option::of(0_u64..20_000),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let (bytes, whole) = runtime.block_on(async {
            let mut at: Vec<_> = cuts.iter().map(|(cut, pause)| (cut.index(text.len() + 1), *pause)).collect();
            at.push((text.len(), 1));
            at.sort_unstable();
            let mut from = 0;
            let chunks = at.into_iter().map(|(cut, pause)| {
                let chunk = Bytes::copy_from_slice(&text.as_bytes()[from..cut]);
                from = cut;
                (pause, chunk)
            });
            let shutdown = Shutdown::new(Farewell::new().retry(SECOND));
            let layer = SseGovern::new()
                .keep_alive(KeepAlive::every(SECOND / 2))
                .shutdown(&shutdown);
            if let Some(after) = stops_after {
                tokio::spawn(async move {
                    sleep(Duration::from_millis(after)).await;
                    shutdown.start();
                });
            }
            let body = governed(&layer, stream(Foreign::new(chunks, Last::Ends))).await.into_body();
            (read(body).await.0, parse(text.as_bytes()))
        });
        let events: Vec<_> = parse(&bytes).into_iter().filter(|event| !event.data().is_empty() || event.retry().is_none()).collect();
        let expected: Vec<_> = whole.into_iter().filter(|event| !event.data().is_empty() || event.retry().is_none()).collect();
        if stops_after.is_none() {
            prop_assert_eq!(events, expected);
        } else {
            prop_assert!(expected.starts_with(&events), "{:?}\n{:?}\n{:?}", String::from_utf8_lossy(&bytes), events, expected);
        }
    }
}
