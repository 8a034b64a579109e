//! Late commit: the head waits for the first event, so a failure before it decides the status.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{HeaderValue, Method, Request, StatusCode};
use tokio::time::{Instant, sleep, timeout};
use tower_sse::{
    BoxError, EndReason, Event, EventBody, EventChannelHandler, Farewell, KeepAlive, Refusal,
    Shutdown, event_channel_handler,
};

use crate::support::{
    ends::Ends,
    handlers::{counts, spawned_if},
    http::{Server, call, get, read_incoming, request},
    read_all, read_text,
};

const SECOND: Duration = Duration::from_secs(1);

/// How a handler ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Finish {
    Returns,
    Fails,
    Refuses,
    RefusesInASource,
    Panics,
}

const FINISHES: [Finish; 5] =
    [Finish::Returns, Finish::Fails, Finish::Refuses, Finish::RefusesInASource, Finish::Panics];

/// An error with another one as its source.
#[derive(Debug)]
struct Outer(BoxError);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the model failed")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

fn refusal() -> Refusal {
    let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS).body("no capacity");
    refusal.header("x-request-id", HeaderValue::from_static("7"))
}

fn finish(how: Finish) -> Result<(), BoxError> {
    match how {
        Finish::Returns => Ok(()),
        Finish::Fails => Err("broken".into()),
        Finish::Refuses => Err(refusal().into_error()),
        Finish::RefusesInASource => Err(Outer(refusal().into_error()).into()),
        Finish::Panics => panic!("broken"),
    }
}

/// A handler that sends an event after some milliseconds, if at all, and ends after others.
fn handler(event: Option<u64>, end: (u64, Finish), spawned: bool) -> EventChannelHandler<()> {
    event_channel_handler(move |_, events| async move {
        let start = Instant::now();
        let until = |at| tokio::time::sleep_until(start + Duration::from_millis(at));
        if let Some(at) = event {
            until(at).await;
            events.send(Event::new("first")).await?;
        }
        until(end.0).await;
        finish(end.1)
    })
    .options(spawned_if(spawned))
}

/// The first event, the end of the handler and the time come in each order.
#[tokio::test(start_paused = true)]
async fn the_first_of_event_end_and_time_decides() {
    const WITHIN: u64 = 2000;
    for spawned in [false, true] {
        for event in [None, Some(0), Some(1000), Some(3000)] {
            for end in [0, 500, 1000, 2500, 4000] {
                for how in FINISHES {
                    let case = format!("{event:?}, {how:?} after {end} ms, spawned: {spawned}");
                    let mut ends = Ends::new();
                    let handler = handler(event, (end.max(event.unwrap_or(0)), how), spawned)
                        .commit_within(Duration::from_millis(WITHIN))
                        .on_disconnect(ends.hook());
                    let start = Instant::now();
                    let response = call(&handler, get("/")).await;
                    let took = start.elapsed().as_millis() as u64;
                    let head_at =
                        event.into_iter().chain([end.max(event.unwrap_or(0)), WITHIN]).min();
                    assert_eq!(took, head_at.unwrap(), "{case}");
                    let first_is_event = event.is_some_and(|event| event <= took);
                    let is_late = took == WITHIN && end.max(event.unwrap_or(0)) > WITHIN;
                    let is_stream = how == Finish::Returns || first_is_event || is_late;
                    let (status, headers) = (response.status(), response.headers().clone());
                    let (frames, error) = read_all(&mut response.into_body()).await;
                    let text = String::from_utf8(frames.concat()).unwrap();
                    if is_stream {
                        assert_eq!(
                            (status, &headers["content-type"]),
                            (StatusCode::OK, &HeaderValue::from_static("text/event-stream")),
                            "{case}"
                        );
                        let event = event.map_or("", |_| "data: first\n\n");
                        assert_eq!(text, format!(": connected\n{event}"), "{case}");
                        assert_eq!(error.is_some(), how != Finish::Returns, "{case}");
                    } else {
                        assert!(error.is_none(), "{case}");
                        let is_refusal = matches!(how, Finish::Refuses | Finish::RefusesInASource);
                        let expected = if is_refusal { 429 } else { 500 };
                        assert_eq!(status, expected, "{case}");
                        assert_eq!(text, if is_refusal { "no capacity" } else { "" }, "{case}");
                        assert_eq!(headers.contains_key("x-request-id"), is_refusal, "{case}");
                    }
                    let end = ends.next().await;
                    let failed = how != Finish::Returns;
                    let reason = if failed { EndReason::Failed } else { EndReason::Finished };
                    assert_eq!(end.reason(), reason, "{case}");
                    assert_eq!(end.events(), u64::from(event.is_some()), "{case}");
                    ends.none();
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_out_before_the_head() {
    let handler = handler(Some(5000), (6000, Finish::Returns), false)
        .keep_alive(KeepAlive::every(SECOND))
        .commit_within(10 * SECOND);
    let response = call(&handler, get("/")).await;
    assert_eq!(read_text(response.into_body()).await, ": connected\ndata: first\n\n");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_lifetime_and_a_shutdown_open_the_stream() {
    let shutdown = Shutdown::new(Farewell::new().retry(SECOND));
    for by_shutdown in [false, true] {
        let mut ends = Ends::new();
        let mut handler = handler(None, (60_000, Finish::Fails), false)
            .farewell(Farewell::new().retry(2 * SECOND))
            .on_disconnect(ends.hook())
            .commit_within(30 * SECOND);
        if by_shutdown {
            handler = handler.shutdown(&shutdown);
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                sleep(SECOND).await;
                shutdown.start();
            });
        } else {
            handler = handler.max_lifetime(SECOND);
        }
        let start = Instant::now();
        let response = call(&handler, get("/")).await;
        assert!(start.elapsed() <= SECOND, "{:?}", start.elapsed());
        assert_eq!(response.status(), 200);
        let text = read_text(response.into_body()).await;
        let retry = if by_shutdown { 1000 } else { 2000 };
        assert_eq!(text, format!(": connected\nretry: {retry}\n\n"));
        let reason = if by_shutdown { EndReason::ShutDown } else { EndReason::Expired };
        assert_eq!(ends.only().reason(), reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_request_and_a_refusal_of_on_connect_do_not_wait() {
    let (handler, ran) = counts();
    let handler = handler.commit_within(SECOND);
    let start = Instant::now();
    let head = Request::head("/").body(()).unwrap();
    assert_eq!(call(&handler, head).await.status(), 200);
    let refusing = handler.on_connect(|_| async { Err(refusal().into_error().into()) });
    let response = call(&refusing, get("/")).await;
    // `?` in the hook makes the same refusal of the error again.
    assert_eq!(response.status(), 429);
    assert_eq!((start.elapsed(), ran.load(SeqCst)), (Duration::ZERO, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_the_head_frees_its_place() {
    let mut ends = Ends::new();
    let handler = handler(None, (60_000, Finish::Returns), false)
        .max_streams(1)
        .on_disconnect(ends.hook())
        .commit_within(10 * SECOND);
    for _ in 0..3 {
        assert!(timeout(SECOND, call(&handler, get("/"))).await.is_err());
        assert_eq!(ends.only().reason(), EndReason::ClientGone);
    }
    // While it waits, it has a place.
    let waiting = tokio::spawn({
        let handler = handler.clone();
        async move { call(&handler, get("/")).await.status() }
    });
    sleep(SECOND).await;
    assert_eq!(call(&handler, get("/")).await.status(), 503);
    assert_eq!(waiting.await.unwrap(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_waits_by_itself_in_the_handler_of_a_framework() {
    let refuses = || EventBody::new(|_events| async { Err(refusal().into_error()) });
    assert_eq!(refuses().into_response_within(SECOND).await.status(), 429);
    let events = futures_util::stream::iter([Ok::<_, BoxError>(Event::new("one"))]);
    let response = EventBody::from_stream(events).into_response_within(SECOND).await;
    assert_eq!(response.headers()["cache-control"], "no-store, no-transform");
    assert_eq!(read_text(response.into_body()).await, ": connected\ndata: one\n\n");
    let fails = futures_util::stream::iter([Err::<Event, _>(refusal().into_error())]);
    assert_eq!(EventBody::from_stream(fails).into_response_within(SECOND).await.status(), 429);
    // A body that has begun does not wait, and loses nothing.
    let mut begun = EventBody::new(|events| async move {
        events.send(Event::new("one")).await?;
        sleep(SECOND).await;
        events.send(Event::new("two")).await?;
        Ok(())
    });
    begun.next_chunk().await.unwrap().unwrap();
    let response = begun.into_response_within(10 * SECOND).await;
    assert_eq!(read_text(response.into_body()).await, "data: two\n\n");
    assert_eq!(EventBody::default().into_response_within(SECOND).await.status(), 200);
}

#[test]
fn without_a_runtime_there_is_no_wait() {
    let body = EventBody::new(|_events| std::future::pending());
    let mut response = std::pin::pin!(body.into_response_within(SECOND));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(response) = response.as_mut().poll(&mut cx) else { panic!("it waits") };
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_client_over_a_socket_gets_the_status() {
    let tries = Arc::new(AtomicUsize::new(0));
    let handler = event_channel_handler(move |_request, events| {
        let is_first = tries.fetch_add(1, SeqCst).is_multiple_of(2);
        async move {
            if is_first {
                return Err(refusal().into_error());
            }
            events.send(Event::new("answer")).await?;
            Ok(())
        }
    });
    let server = Server::start(handler.commit_within(10 * SECOND)).await;
    for http2 in [false, true] {
        for expected in [(429, "no capacity"), (200, ": connected\ndata: answer\n\n")] {
            let request = request(Method::GET, "/");
            let response = match http2 {
                true => server.http2().await.0.send_request(request).await,
                false => server.http1().await.send_request(request).await,
            };
            let response = response.unwrap();
            let status = response.status().as_u16();
            let (bytes, error) = read_incoming(response.into_body()).await;
            assert!(error.is_none());
            assert_eq!((status, std::str::from_utf8(&bytes).unwrap()), expected);
        }
    }
}
