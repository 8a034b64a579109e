//! `SseRelay`: event streams of another server, passed on.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::ACCEPT};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use tokio::time::{Instant, sleep};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_sse::{
    BoxError, EndReason, Event, Farewell, Hub, KeepAlive, Refusal, Shutdown, SseRelay,
    hub::runs::{RunState, Runs},
    layer::{SseBody, relay::RelayError},
};

use crate::{
    foreign::{Foreign, Last, lines, parse, read, stream},
    support::{ends::Ends, http::get},
};

const SECOND: Duration = Duration::from_secs(1);

type Answer = Result<Response<Foreign>, BoxError>;

/// Returns a client of an upstream that answers once, after this many milliseconds.
fn upstream(
    after: u64,
    answer: Answer,
) -> impl tower::Service<
    Request<()>,
    Response = Response<Foreign>,
    Error = BoxError,
    Future: Send + 'static,
> + Send
+ 'static {
    let mut answer = Some(answer);
    service_fn(move |_: Request<()>| {
        let answer = answer.take().expect("the relay sends a request once");
        async move {
            sleep(Duration::from_millis(after)).await;
            answer
        }
    })
}

/// A request of a page.
fn page() -> Request<()> {
    let mut request = get("http://upstream/events");
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    request
}

async fn relayed(relay: &SseRelay, after: u64, answer: Answer) -> Response<SseBody<Foreign>> {
    relay.send(upstream(after, answer), page()).await
}

async fn text(relay: &SseRelay, after: u64, answer: Answer) -> (u16, String, Option<String>) {
    let response = relayed(relay, after, answer).await;
    let status = response.status().as_u16();
    let (bytes, error) = read(response.into_body()).await;
    (status, String::from_utf8(bytes).unwrap(), error.map(|error| error.to_string()))
}

/// Names a failure in an event of its own.
fn telling() -> SseRelay {
    SseRelay::new().without_keep_alive().error_event(|error| {
        Some(Event::new(match error {
            RelayError::Service(_) => "service".to_owned(),
            RelayError::FirstByteTimeout => "first byte".to_owned(),
            RelayError::UnexpectedResponse(response) => {
                format!("unexpected {}", response.status().as_u16())
            }
            RelayError::Body(_) => "body".to_owned(),
            RelayError::Incomplete => "incomplete".to_owned(),
            RelayError::IdleTimeout => "idle".to_owned(),
            RelayError::EventTooLarge => "too large".to_owned(),
            other => panic!("{other}"),
        }))
    })
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_keeps_its_status_and_headers() {
    let mut limited = Response::new(Foreign::new([(0, "slow down")], Last::Ends));
    *limited.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    for (name, value) in [("retry-after", "7"), ("content-type", "text/plain")] {
        limited.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let response = relayed(&SseRelay::new(), 4000, Ok(limited)).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(response.headers().len(), 2);
    assert_eq!(read(response.into_body()).await.0, b"slow down");

    let mut open = stream(Foreign::new([(0, "\u{feff}id: 1\r\ndata: a\r\n\r\n")], Last::Ends));
    for (name, value) in [
        ("content-length", "20"),
        ("x-request-id", "42"),
        ("cache-control", "private"),
        ("connection", "x-hop, close"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
    ] {
        open.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    *open.status_mut() = StatusCode::CREATED;
    let response = relayed(&SseRelay::new(), 4000, Ok(open)).await;
    assert_eq!(response.status(), 201);
    let mut names: Vec<_> = response.headers().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cache-control", "content-type", "x-accel-buffering", "x-request-id"]);
    assert_eq!(response.headers()["cache-control"], "private");
    assert_eq!(read(response.into_body()).await.0, b"id: 1\r\ndata: a\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_silent_upstream_gets_a_stream_with_keep_alives() {
    let ten = SseRelay::new().keep_alive(KeepAlive::every(10 * SECOND));
    let answer = || Ok(stream(Foreign::new([(0, "data: a\n"), (25_000, "\n: hi\n")], Last::Ends)));
    let start = Instant::now();
    let response = relayed(&ten, 30_000, answer()).await;
    assert_eq!((response.status().as_u16(), start.elapsed().as_secs()), (200, 5));
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let (bytes, error) = read(response.into_body()).await;
    let expected = ": connected\n<><><><>data: a\n\n: hi\n".replace("<>", ": keep-alive\n");
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 55);

    // The time is a setting, and so is whether there is one.
    let start = Instant::now();
    let response = relayed(&ten.clone().commit_within(SECOND), 30_000, answer()).await;
    assert_eq!((response.status().as_u16(), start.elapsed().as_secs()), (200, 1));
    let mut created = answer().unwrap();
    *created.status_mut() = StatusCode::CREATED;
    let response = relayed(&ten.clone().without_commit(), 30_000, Ok(created)).await;
    assert_eq!((response.status().as_u16(), start.elapsed().as_secs()), (201, 31));
    // A client that does not ask for a stream gets the answer of any kind.
    let response = ten.send(upstream(30_000, answer()), get("http://upstream/")).await;
    assert_eq!((response.status().as_u16(), start.elapsed().as_secs()), (200, 61));
    // Without keep-alives nothing is inserted.
    let plain = SseRelay::new().without_keep_alive();
    let (_, text, _) = text(&plain, 30_000, answer()).await;
    assert_eq!(text, "data: a\n\n: hi\n");
}

#[tokio::test(start_paused = true)]
async fn each_failure_in_each_phase_has_the_documented_outcome() {
    let relay = telling()
        .first_byte_timeout(20 * SECOND)
        .idle_timeout(40 * SECOND)
        .max_event_bytes(20)
        .retry_after(SECOND);
    let open = |chunks: &[(u64, &'static str)], last| {
        Ok(stream(Foreign::new(chunks.iter().copied(), last)))
    };
    let refused = |status: u16| {
        let body = Foreign::new([(0, "no")], Last::Ends);
        Ok(Response::builder().status(status).body(body).unwrap())
    };
    let fails = || Err(BoxError::from("connection refused"));
    let (event, part) = ((0, "data: a\n\n"), (0, "data: a\n\ndata: b"));
    for (name, after, answer, status, expected, is_cut) in [
        // Before the response has begun. A browser's `EventSource` is told when to come back.
        ("service", 1000, fails(), 200, "retry: 1000\n\n", false),
        ("status", 1000, refused(503), 503, "no", false),
        ("silence", 60_000, refused(200), 200, "data: first byte\n\n", true),
        // After that, before the answer.
        ("late service", 6000, fails(), 200, "data: service\n\n", true),
        ("late status", 6000, refused(503), 200, "data: unexpected 503\n\n", true),
        ("late page", 6000, refused(200), 200, "data: unexpected 200\n\n", true),
        // Before the first byte.
        ("head only", 0, open(&[], Last::Waits), 200, "data: first byte\n\n", true),
        ("late head only", 6000, open(&[], Last::Waits), 200, "data: first byte\n\n", true),
        ("empty", 0, open(&[], Last::Ends), 200, "", false),
        ("cut at once", 0, open(&[], Last::Fails), 200, "data: body\n\n", true),
        // Between events.
        ("ends", 6000, open(&[event], Last::Ends), 200, "data: a\n\n", false),
        ("fails", 0, open(&[event], Last::Fails), 200, "data: a\n\ndata: body\n\n", true),
        ("idle", 0, open(&[event], Last::Waits), 200, "data: a\n\ndata: idle\n\n", true),
        // Inside an event.
        ("ends in", 0, open(&[part], Last::Ends), 200, "data: a\n\ndata: incomplete\n\n", true),
        ("fails in", 0, open(&[part], Last::Fails), 200, "data: a\n\ndata: body\n\n", true),
        ("idle in", 0, open(&[part], Last::Waits), 200, "data: a\n\ndata: idle\n\n", true),
        (
            "large",
            0,
            open(&[event, (0, ": c\ndata: 0123456789"), (0, "012345\n\n")], Last::Waits),
            200,
            "data: a\n\n: c\ndata: too large\n\n",
            true,
        ),
    ] {
        let start = Instant::now();
        let mut ends = Ends::new();
        let (got, text, error) =
            text(&relay.clone().on_disconnect(ends.hook()), after, answer).await;
        assert_eq!((got, text.as_str(), error.is_some()), (status, expected, is_cut), "{name}");
        if name.contains("head only") || name == "silence" {
            assert_eq!(start.elapsed().as_secs(), 20, "{name}");
        }
        if name.starts_with("idle") {
            assert_eq!(start.elapsed().as_secs(), 40, "{name}");
        }
        if is_cut {
            let end = ends.only();
            assert_eq!(end.reason(), EndReason::Failed, "{name}");
            assert!(end.error().unwrap().is::<RelayError>(), "{name}");
        }
    }

    // A client that is no browser gets a status.
    let plain = |after, answer| {
        let relay = relay.clone();
        async move { relay.send(upstream(after, answer), get("http://upstream/")).await }
    };
    let response = plain(0, fails()).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (502, &"1".parse().unwrap())
    );
    assert_eq!(plain(30_000, refused(200)).await.status(), 504);
    let own = relay
        .clone()
        .error_response(|error| Refusal::new(StatusCode::IM_A_TEAPOT).body(error.to_string()));
    let response = own.send(upstream(0, fails()), page()).await;
    assert_eq!(response.status(), 418);
    let (bytes, _) = read(response.into_body()).await;
    assert_eq!(bytes, b"the request to the upstream has failed: connection refused");
    // A service that panics has failed.
    let panics = service_fn(|_: Request<()>| async { panic!("oh") as Answer });
    let response = relay.send(panics, get("/")).await;
    assert_eq!(response.status(), 502);
}

#[tokio::test(start_paused = true)]
async fn the_body_of_a_late_refusal_is_in_the_error() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let relay = SseRelay::new().error_event({
        let seen = seen.clone();
        move |error| {
            let RelayError::UnexpectedResponse(response) = error else { panic!("{error}") };
            let headers = response.headers().len();
            seen.lock().unwrap().push((headers, response.body().clone(), error.to_string()));
            None
        }
    });
    let large = Bytes::from(vec![b'x'; 100 << 10]);
    for (chunk, last) in [
        (Bytes::from_static(b"{\"error\": 1}"), Last::Ends),
        (Bytes::from_static(b"{\"error\": 2}"), Last::Waits),
        (large, Last::Waits),
    ] {
        let body = Foreign::new([(1, chunk)], last);
        let response = Response::builder().status(429).header("retry-after", "7").body(body);
        let (_, text, error) = text(&relay, 6000, Ok(response.unwrap())).await;
        assert_eq!(text, ": connected\n");
        assert!(error.unwrap().contains("the status is 429"));
    }
    let seen = seen.lock().unwrap();
    let lengths: Vec<_> = seen.iter().map(|(headers, body, _)| (*headers, body.len())).collect();
    assert_eq!(lengths, [(1, 12), (1, 12), (1, 64 << 10)]);
    assert!(seen[0].2.contains("429 Too Many Requests"), "{}", seen[0].2);
}

#[tokio::test(start_paused = true)]
async fn only_the_last_event_makes_a_stream_complete() {
    let done = telling().until_data("[DONE]").until_type("message_stop");
    for (chunks, last, expected, is_cut) in [
        (
            &["data: a\n\n", "data: [DONE]\n\n"][..],
            Last::Ends,
            "data: a\n\ndata: [DONE]\n\n",
            false,
        ),
        (&["data: a\n\ndata: [DO", "NE]\n\n"], Last::Fails, "data: a\n\ndata: [DONE]\n\n", false),
        // It is the end also if the connection stays open, or if more comes.
        (&["data: [DONE]\n\n"], Last::Waits, "data: [DONE]\n\n", false),
        (&["data: [DONE]\n\ndata: b\n\n", "data: c\n\n"], Last::Ends, "data: [DONE]\n\n", false),
        (
            &["event: message_stop\r\ndata: {}\r\n\r\ndata: b\n\n"],
            Last::Waits,
            "event: message_stop\r\ndata: {}\r\n\r\n",
            false,
        ),
        // Some servers leave out the last line ends.
        (&["data: [DONE]"], Last::Ends, "data: [DONE]\n\n", false),
        (&["data: [DONE]\n"], Last::Ends, "data: [DONE]\n\n", false),
        (&["data: [DONE]\r"], Last::Ends, "data: [DONE]\r\n\n", false),
        (&["data: [DONE]\r\n\r"], Last::Waits, "data: [DONE]\r\n\r\n", false),
        (&["data: a\n\n"], Last::Ends, "data: a\n\ndata: incomplete\n\n", true),
        (&[], Last::Ends, "data: incomplete\n\n", true),
        (&["data: a\n\ndata: [DONE"], Last::Ends, "data: a\n\ndata: incomplete\n\n", true),
        (&["data: a\n\ndata: [DONE]"], Last::Fails, "data: a\n\ndata: body\n\n", true),
    ] {
        let start = Instant::now();
        let body = Foreign::new(chunks.iter().map(|chunk| (0, *chunk)), last);
        let (_, text, error) = text(&done, 0, Ok(stream(body))).await;
        assert_eq!((text.as_str(), error.is_some()), (expected, is_cut), "{chunks:?} {last:?}");
        assert!(start.elapsed() <= SECOND / 10, "{chunks:?} {last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_after_the_last_event_has_the_whole_stream() {
    let mut ends = Ends::new();
    let relay = telling().until_data("[DONE]").on_disconnect(ends.hook());
    for (last, reason) in
        [("data: [DONE]\n\n", EndReason::Finished), ("data: b\n\n", EndReason::ClientGone)]
    {
        let open = stream(Foreign::new([(0, last)], Last::Waits));
        let mut body = relayed(&relay, 0, Ok(open)).await.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), last);
        assert!(futures_util::poll!(body.frame()).is_pending());
        drop(body);
        assert_eq!(ends.only().reason(), reason);
    }
    // The error event has gone out, and the client leaves before the error.
    let open = stream(Foreign::new([(0, "data: b\n\n")], Last::Fails));
    let mut body = relayed(&relay, 0, Ok(open)).await.into_body();
    for _ in 0..2 {
        body.frame().await.unwrap().unwrap();
    }
    drop(body);
    let end = ends.only();
    assert_eq!((end.reason(), end.events()), (EndReason::Failed, 1));

    // A body that never ends does not keep the stream open.
    let endless = futures_util::stream::repeat_with(|| {
        Ok::<_, BoxError>(http_body::Frame::data(Bytes::from_static(b"data: [DONE]\n\n")))
    });
    let service = service_fn(move |_: Request<()>| {
        let body = http_body_util::StreamBody::new(endless.clone());
        async {
            Ok::<_, BoxError>(
                stream(Foreign::new([] as [(u64, Bytes); 0], Last::Ends)).map(|_| body),
            )
        }
    });
    let body = relay.send(service, page()).await.into_body();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "data: [DONE]\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_has_failed() {
    let panics = service_fn(|_: Request<()>| async {
        let body = Foreign::new([(0, "data: a\n\n"), (0, "data: b\n\n")], Last::Ends);
        let mut frames = 0;
        let body = body.map_frame(move |frame| {
            frames += 1;
            assert!(frames < 2, "oh");
            frame
        });
        let head = stream(Foreign::new([] as [(u64, Bytes); 0], Last::Ends));
        Ok::<_, Infallible>(head.map(|_| body))
    });
    let body = telling().send(panics, page()).await.into_body();
    let mut body = std::pin::pin!(body);
    for expected in ["data: a\n\n", "data: body\n\n"] {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), expected);
    }
    body.frame().await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn the_size_of_an_event_does_not_depend_on_chunks() {
    let text_of = "data: 1\n\ndata: 123456789\n\ndata: c\n\n";
    for cut in 0..text_of.len() {
        for (max, expected) in [(17, text_of), (16, "data: 1\n\ndata: too large\n\n")] {
            let chunks = [(0, &text_of[..cut]), (0, &text_of[cut..])];
            let relay = telling().max_event_bytes(max).inspect(|_| {});
            let (_, text, _) = text(&relay, 0, Ok(stream(Foreign::new(chunks, Last::Ends)))).await;
            assert_eq!(text, expected, "at most {max}, cut at {cut}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_not_the_silence_of_the_upstream() {
    let relay = telling().idle_timeout(10 * SECOND);
    let chunks = [(0, "data: a\n\n"), (1000, "data: b\n\n"), (1000, "data: c\n\n")];
    let mut body =
        relayed(&relay, 0, Ok(stream(Foreign::new(chunks, Last::Ends)))).await.into_body();
    for expected in ["data: a\n\n", "data: b\n\n", "data: c\n\n"] {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, expected);
        sleep(60 * SECOND).await;
    }
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_the_upstream_finish_within_its_grace() {
    for (pause, expected) in [
        (5_000, "data: a\n\ndata: b\n\nretry: 1000\n\n"),
        // The second event is not complete when the grace is over.
        (20_000, "data: a\n\nretry: 1000\n\n"),
    ] {
        let farewell = Farewell::new().retry(SECOND).grace_period(10 * SECOND);
        let shutdown = Shutdown::new(farewell);
        let mut ends = Ends::new();
        let relay =
            SseRelay::new().without_keep_alive().shutdown(&shutdown).on_disconnect(ends.hook());
        let body = Foreign::new([(0, "data: a\n\ndata: b"), (pause, "\n\n")], Last::Ends);
        let reading = tokio::spawn({
            let relay = relay.clone();
            async move { text(&relay, 0, Ok(stream(body))).await }
        });
        sleep(SECOND).await;
        let start = Instant::now();
        shutdown.start();
        let (_, text, error) = reading.await.unwrap();
        assert_eq!((text.as_str(), error), (expected, None));
        assert!(start.elapsed() <= 10 * SECOND + SECOND / 20, "{:?}", start.elapsed());
        let reason = if pause < 10_000 { EndReason::Finished } else { EndReason::ShutDown };
        assert_eq!(ends.only().reason(), reason);
        // New requests do not reach the upstream.
        let response = relayed(&relay, 0, Err("it is called".into())).await;
        assert_eq!(response.status(), 200);
        let (bytes, _) = read(response.into_body()).await;
        assert_eq!(bytes, b"retry: 1000\n\n");
    }
}

/// Counts how many of its clones are left.
#[derive(Clone)]
struct Held(#[expect(dead_code, reason = "it is counted")] Arc<()>);

#[tokio::test(start_paused = true)]
async fn the_upstream_is_dropped_with_its_client() {
    let held = Arc::new(());
    let sends = |after, chunks: &'static [(u64, &'static str)]| {
        let guard = Held(held.clone());
        service_fn(move |_: Request<()>| {
            let guard = guard.clone();
            async move {
                sleep(Duration::from_millis(after)).await;
                let body = Foreign::new(chunks.iter().copied(), Last::Waits);
                let body = body.map_frame(move |frame| {
                    let _ = &guard;
                    frame
                });
                let head = stream(Foreign::new([] as [(u64, Bytes); 0], Last::Ends));
                Ok::<_, Infallible>(head.map(|_| body))
            }
        })
    };
    let relay = SseRelay::new().max_streams(1);
    // Before the head.
    let mut waiting = Box::pin(relay.send(sends(60_000, &[]), page()));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let refused = relay.send(upstream(0, Err("it is called".into())), get("/")).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(Arc::strong_count(&held), 3);
    drop(waiting);
    assert_eq!(Arc::strong_count(&held), 1);
    // After the head: before the answer, and in the stream.
    for (after, frames) in [(60_000, 1), (0, 1)] {
        let service = sends(after, &[(0, "data: a\n\n")]);
        let mut response = relay.send(service, page()).await;
        for _ in 0..frames {
            response.body_mut().frame().await.unwrap().unwrap();
        }
        assert!(Arc::strong_count(&held) > 1);
        drop(response);
        assert_eq!(Arc::strong_count(&held), 1, "after {after} ms");
    }
    // A place is free again, and a response that is not a stream takes none.
    let page_of = |last| Ok(Response::new(Foreign::new([(0, "page")], last)));
    let first = relayed(&relay, 0, page_of(Last::Waits)).await;
    let second = relayed(&relay, 0, page_of(Last::Ends)).await;
    assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::OK));
}

#[tokio::test(start_paused = true)]
async fn requests_are_passed_on_without_the_headers_of_a_connection() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let client = {
        let seen = seen.clone();
        service_fn(move |request: Request<()>| {
            let names: Vec<_> = request.headers().keys().map(|it| it.as_str().to_owned()).collect();
            seen.lock().unwrap().push((request.method().clone(), names.join(" ")));
            async { Ok::<_, Infallible>(Response::new(Foreign::new([(0, "x")], Last::Ends))) }
        })
    };
    let service = SseRelay::new().commit_within(SECOND).layer(client);
    for method in ["GET", "POST", "HEAD"] {
        let request = Request::builder().method(method).uri("/");
        let request = ["connection", "x-hop", "accept-encoding", "authorization", "last-event-id"]
            .into_iter()
            .fold(request, |request, name| request.header(name, "x-hop"));
        let response = service.clone().oneshot(request.body(()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    let seen = seen.lock().unwrap().clone();
    let expected = [
        ("GET", "authorization last-event-id"),
        ("POST", "authorization last-event-id"),
        // A response without a body cannot begin before the answer.
        ("HEAD", "authorization last-event-id accept-encoding"),
    ];
    let expected: Vec<_> =
        expected.map(|(method, names)| (method.parse().unwrap(), names.to_owned())).into();
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn an_encoded_stream_is_passed_on_as_it_is_or_fails() {
    let encoded = || {
        let mut response = stream(Foreign::new([(20_000, "compressed")], Last::Ends));
        response.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
        Ok(response)
    };
    let relay = telling().keep_alive(KeepAlive::every(SECOND));
    let (status, body, _) = text(&relay, 0, encoded()).await;
    assert_eq!((status, body.as_str()), (200, "compressed"));
    let (status, body, _) = text(&telling(), 6000, encoded()).await;
    assert_eq!((status, body.as_str()), (200, "data: unexpected 200\n\n"));
}

#[tokio::test(start_paused = true)]
async fn events_are_seen_once_and_panics_are_contained() {
    let bytes = Arc::new(AtomicUsize::new(0));
    let relay = SseRelay::new()
        .without_keep_alive()
        .inspect({
            let bytes = bytes.clone();
            move |event| {
                bytes.fetch_add(event.data().len(), Relaxed);
            }
        })
        .inspect(|_| panic!("oh"))
        .until(|event| event.data() == "panics" && panic!("oh"));
    let chunks = [(0, "data: 12\n\ndata: "), (0, "345\n\nid: 7\n\ndata: panics\n\n")];
    let (_, got, error) = text(&relay, 0, Ok(stream(Foreign::new(chunks, Last::Ends)))).await;
    assert_eq!(got, "data: 12\n\ndata: 345\n\nid: 7\n\ndata: panics\n\n");
    assert!(error.unwrap().contains("cut short"));
    assert_eq!(bytes.load(Relaxed), 2 + 3 + 6);

    let panics = SseRelay::new()
        .without_keep_alive()
        .error_event(|_| panic!("oh"))
        .error_response(|_| panic!("oh"));
    let cut = || Ok(stream(Foreign::new([(0, "data: a\n\n")], Last::Fails)));
    let (_, got, error) = text(&panics, 0, cut()).await;
    assert_eq!((got.as_str(), error.is_some()), ("data: a\n\n", true));
    let response = panics.send(upstream(0, Err("gone".into())), get("/")).await;
    assert_eq!(response.status(), 502);
}

#[tokio::test(start_paused = true)]
async fn a_run_keeps_the_upstream_although_its_reader_leaves() {
    let runs = Runs::new(&Hub::new());
    let relay = SseRelay::new().until_data("[DONE]");
    let chunks = [(0, "id: 1\ndata: a\n\n"), (60_000, "data: b\n\ndata: [DONE]\n\n")];
    let client = upstream(60_000, Ok(stream(Foreign::new(chunks, Last::Waits))));
    let run = runs.start("ann", move |events, _stop| async move {
        let mut upstream = relay.events(client, page());
        while let Some(event) = upstream.next().await {
            events.send(event?.without_id()).await?;
        }
        Ok(())
    });
    let run = run.await.unwrap();
    drop(run.subscribe().await.unwrap());
    sleep(150 * SECOND).await;
    let mut reader = run.subscribe().await.unwrap();
    let mut data = Vec::new();
    while let Some(entry) = reader.next().await {
        data.push(entry.unwrap().event().data().to_owned());
    }
    assert_eq!(data, ["a", "b", "[DONE]", "finished"]);

    let fails = |answer: Answer| {
        let mut events = SseRelay::new().events(upstream(0, answer), page());
        async move { (events.next().await.unwrap().unwrap_err(), events.next().await.is_none()) }
    };
    let (error, is_over) = fails(Err("gone".into())).await;
    assert!(matches!(error, RelayError::Service(_)) && is_over, "{error}");
    let (error, is_over) = fails(Ok(Response::new(Foreign::new([(0, "x")], Last::Ends)))).await;
    assert!(matches!(error, RelayError::UnexpectedResponse(_)) && is_over, "{error}");
    assert_eq!(runs.list("ann")[0].state, RunState::Finished);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whole events are passed on byte for byte, however the stream is cut; inserted blocks change no event.
    #[test]
    fn whole_events_are_passed_on(
        text in lines(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_u64..5000), 0..12),
        keeps_alive in any::<bool>(),
        sees in any::<bool>(),
        after in 0_u64..10_000,
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (bytes, is_cut) = runtime.block_on(async {
            let mut at: Vec<_> = cuts.iter().map(|(cut, pause)| (cut.index(text.len() + 1), *pause)).collect();
            at.push((text.len(), 1));
            at.sort_unstable();
            let mut from = 0;
            let chunks = at.into_iter().map(|(cut, pause)| {
                let chunk = Bytes::copy_from_slice(&text.as_bytes()[from..cut]);
                from = cut;
                (pause, chunk)
            });
            let mut relay = SseRelay::new().without_keep_alive();
            if keeps_alive {
                relay = relay.keep_alive(KeepAlive::every(SECOND / 2));
            }
            if sees {
                let seen = seen.clone();
                relay = relay.inspect(move |event| seen.lock().unwrap().push(event.clone()));
            }
            let body = relayed(&relay, after, Ok(stream(Foreign::new(chunks, Last::Ends)))).await;
            let (bytes, error) = read(body.into_body()).await;
            (bytes, error.is_some())
        });
        let counts = |events: Vec<Event>| -> Vec<Event> {
            events.into_iter().filter(|event| !event.data().is_empty()).collect()
        };
        let whole = parse(text.as_bytes());
        prop_assert_eq!(counts(parse(&bytes)), counts(whole.clone()));
        if sees {
            prop_assert_eq!(&*seen.lock().unwrap(), &whole);
        }
        if !keeps_alive {
            let plain = text.strip_prefix('\u{feff}').unwrap_or(&text).as_bytes();
            prop_assert!(plain.starts_with(&bytes));
            prop_assert_eq!(is_cut, bytes.len() < plain.len());
        }
    }
}
