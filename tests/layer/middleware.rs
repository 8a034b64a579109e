//! What the layers of tower and tower-http do to a stream: the table in `docs/middleware.md`, row by row.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, sleep};
use tower::{
    BoxError, Layer, Service, ServiceBuilder, ServiceExt as _,
    buffer::BufferLayer,
    limit::{ConcurrencyLimitLayer, RateLimitLayer},
    load_shed::{LoadShedLayer, error::Overloaded},
    retry::{Policy, RetryLayer},
    timeout::{TimeoutLayer, error::Elapsed},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{CompressionLayer, predicate::SizeAbove},
    decompression::DecompressionLayer,
    timeout::{ResponseBodyDeadlineLayer, ResponseBodyTimeoutLayer},
    trace::TraceLayer,
};
use tower_sse::{
    Connect, EndReason, Event, EventBody, EventChannelHandler, KeepAlive, event_channel_handler,
};

use crate::support::{
    ends::Ends,
    handlers::{idle, one_event_then_idle, sends},
    http::get,
};

const SECOND: Duration = Duration::from_secs(1);

const TABLE: &str = include_str!("../../docs/middleware.md");

/// A request that accepts a compressed response.
fn gzip() -> Request<()> {
    Request::get("/").header("accept-encoding", "gzip").body(()).unwrap()
}

/// Reads a body for a time. Returns how many chunks came, and how it ended, if it did.
async fn read_for<B>(body: B, time: Duration) -> (usize, Option<Result<(), BoxError>>)
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let mut body = std::pin::pin!(body);
    let mut chunks = 0;
    let ends = async {
        loop {
            match body.as_mut().frame().await {
                None => return Ok(()),
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(_)) => chunks += 1,
            }
        }
    };
    let end = tokio::time::timeout(time, ends).await.ok();
    (chunks, end)
}

/// A handler whose `on_connect` takes a second.
fn slow_to_connect() -> EventChannelHandler<()> {
    one_event_then_idle().on_connect(|connect: Connect| async move {
        sleep(SECOND).await;
        Ok(connect.accept())
    })
}

/// A service that answers with an event stream.
trait Streams<B>: Service<Request<()>, Response = Response<B>, Error: Into<BoxError>> {}

impl<B, S> Streams<B> for S where
    S: Service<Request<()>, Response = Response<B>, Error: Into<BoxError>>
{
}

async fn body<B>(service: impl Streams<B>) -> B {
    let Ok(response) = service.oneshot(get("/")).await else { panic!("a response") };
    response.into_body()
}

/// Asserts that four streams can be open at the same time.
async fn assert_four_streams<B: Body<Data = Bytes, Error: Into<BoxError>>>(
    service: &(impl Streams<B> + Clone),
) {
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(body(service.clone()).await);
    }
    for stream in open {
        assert_eq!(read_for(stream, SECOND).await.0, 1);
    }
}

#[test]
fn each_row_of_the_table_names_its_test() {
    let source = include_str!("middleware.rs");
    let rows: Vec<_> = TABLE.lines().filter(|line| line.starts_with("| `")).collect();
    let tests: Vec<_> = rows
        .iter()
        .map(|row| row.trim_end_matches('|').rsplit('|').next().unwrap().trim().trim_matches('`'))
        .collect();
    for test in &tests {
        assert!(source.contains(&format!("async fn {test}()")), "{test}");
    }
    assert_eq!(rows.len(), source.matches("#[tokio::test(").count() - 1, "{tests:?}");
}

#[tokio::test(start_paused = true)]
async fn timeout_is_about_the_head() {
    let layer = TimeoutLayer::new(SECOND / 2);
    let (chunks, end) =
        read_for(body(layer.layer(one_event_then_idle())).await, 3600 * SECOND).await;
    assert!(chunks > 200 && end.is_none(), "{chunks} {end:?}");
    for slow in [slow_to_connect(), idle().commit_within(SECOND)] {
        let error = layer.layer(slow).oneshot(get("/")).await.unwrap_err();
        assert!(error.is::<Elapsed>());
    }
    let layer = tower_http::timeout::TimeoutLayer::with_status_code(
        StatusCode::REQUEST_TIMEOUT,
        SECOND / 2,
    );
    let response = layer.layer(slow_to_connect()).oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn body_timeout_needs_a_shorter_keep_alive() {
    let layer = ResponseBodyTimeoutLayer::new(10 * SECOND);
    let mut ends = Ends::new();
    for (keep_alive, is_cut) in [(5, false), (0, true)] {
        let handler = one_event_then_idle()
            .keep_alive(KeepAlive::every(keep_alive * SECOND))
            .on_disconnect(ends.hook());
        let (_, end) = read_for(body(layer.layer(handler)).await, 60 * SECOND).await;
        assert_eq!(end.is_some_and(|end| end.is_err()), is_cut);
        assert_eq!(ends.next().await.reason(), EndReason::ClientGone);
    }
}

#[tokio::test(start_paused = true)]
async fn body_deadline_cuts() {
    let layer = ResponseBodyDeadlineLayer::new(60 * SECOND);
    let began = Instant::now();
    let (_, end) = read_for(body(layer.layer(one_event_then_idle())).await, 3600 * SECOND).await;
    assert!(end.unwrap().is_err());
    assert_eq!(began.elapsed().as_secs(), 60);
    // This is a clean end.
    let handler = one_event_then_idle().max_lifetime(60 * SECOND);
    let (_, end) = read_for(body(handler).await, 3600 * SECOND).await;
    assert!(end.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn concurrency_limit_counts_heads() {
    let service = ConcurrencyLimitLayer::new(2).layer(one_event_then_idle());
    assert_four_streams(&service).await;
    // While `on_connect` decides, a place is taken.
    let service = ConcurrencyLimitLayer::new(1).layer(slow_to_connect());
    let began = Instant::now();
    let _streams = tokio::join!(body(service.clone()), body(service));
    assert_eq!(began.elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn rate_limit_counts_requests() {
    let mut service =
        RateLimitLayer::new(1, 60 * SECOND).layer(sends(vec![Event::new("x"); 10_000]));
    let response = service.ready().await.unwrap().call(get("/")).await.unwrap();
    let (chunks, end) = read_for(response.into_body(), SECOND).await;
    assert!(chunks > 1 && end.unwrap().is_ok());
    assert!(service.ready().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn load_shed_ends_a_browser_for_good() {
    let service = ServiceBuilder::new()
        .layer(LoadShedLayer::new())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(slow_to_connect());
    let (first, second) =
        tokio::join!(service.clone().oneshot(get("/")), service.oneshot(get("/")));
    assert!(first.is_ok());
    assert!(second.unwrap_err().is::<Overloaded>());
    // A limit of the handler is a stream for a browser, which tells it to come back.
    let browser = Request::get("/").header("accept", "text/event-stream").body(()).unwrap();
    let response = one_event_then_idle().max_streams(0).oneshot(browser).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert!(text.starts_with(b"retry: "), "{text:?}");
}

/// Sends a request again after a 5xx.
#[derive(Clone)]
struct OnServerError(usize);

impl Policy<Request<()>, Response<EventBody>, Infallible> for OnServerError {
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<()>,
        result: &mut Result<Response<EventBody>, Infallible>,
    ) -> Option<Self::Future> {
        let failed = result.as_ref().is_ok_and(|response| response.status().is_server_error());
        self.0 = self.0.checked_sub(usize::from(failed))?;
        failed.then(|| std::future::ready(()))
    }

    fn clone_request(&mut self, request: &Request<()>) -> Option<Request<()>> {
        Some(request.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn retry_sees_the_head_only() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let fails = event_channel_handler(move |_, _events| {
        counted.fetch_add(1, SeqCst);
        async { Err("it fails".into()) }
    });
    let layer = RetryLayer::new(OnServerError(3));
    let (_, end) = read_for(body(layer.layer(fails.clone())).await, SECOND).await;
    assert!(end.unwrap().is_err());
    assert_eq!(calls.swap(0, SeqCst), 1);
    // With a late commit, the status says that the handler has failed.
    let response = layer.layer(fails.commit_within(SECOND)).oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(calls.load(SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn buffer_queues_requests() {
    let service = BufferLayer::new(1).layer(one_event_then_idle());
    assert_four_streams(&service).await;
}

#[tokio::test(start_paused = true)]
async fn catch_panic_has_nothing_to_catch() {
    let layer = CatchPanicLayer::custom(|_| -> Response<http_body_util::Empty<Bytes>> {
        panic!("it caught a panic")
    });
    let panics = event_channel_handler(|_, _events| async { panic!("the handler panics") });
    let mut ends = Ends::new();
    let (_, end) =
        read_for(body(layer.layer(panics.on_disconnect(ends.hook()))).await, SECOND).await;
    assert!(end.unwrap().is_err());
    assert_eq!(ends.next().await.reason(), EndReason::Failed);
    let hook = one_event_then_idle().on_connect(|_| async { panic!("on_connect panics") });
    let response = layer.layer(hook).oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test(start_paused = true)]
async fn compression_leaves_streams_alone_unless_told() {
    let handler = sends(vec![Event::new("x".repeat(1000)); 10]);
    let response = CompressionLayer::new().layer(handler.clone()).oneshot(gzip()).await.unwrap();
    assert!(!response.headers().contains_key("content-encoding"));
    // Told to, it flushes each chunk.
    let layer = CompressionLayer::new().compress_when(SizeAbove::new(0));
    let compressed = layer.layer(one_event_then_idle());
    let response = compressed.clone().oneshot(gzip()).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let response = DecompressionLayer::new().layer(compressed).oneshot(get("/")).await.unwrap();
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Ok(Some(frame)) = tokio::time::timeout(SECOND, body.frame()).await {
        bytes.extend(frame.unwrap().into_data().unwrap());
    }
    assert_eq!(String::from_utf8(bytes).unwrap(), ": connected\ndata: x\n\n");
}

#[tokio::test(start_paused = true)]
async fn trace_logs_the_head() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (responses, ends) = (seen.clone(), seen.clone());
    let layer = TraceLayer::new_for_http()
        .on_response(move |_: &Response<EventBody>, _: Duration, _: &tracing::Span| {
            responses.lock().unwrap().push("response");
        })
        .on_eos(move |_: Option<&http::HeaderMap>, _: Duration, _: &tracing::Span| {
            ends.lock().unwrap().push("eos");
        });
    let handler = event_channel_handler(|_, events| async move {
        for n in 0..10 {
            sleep(SECOND).await;
            events.send(Event::new(n)).await?;
        }
        Ok(())
    });
    let request = get("/").map(|()| http_body_util::Empty::<Bytes>::new());
    let response = layer.layer(handler).oneshot(request).await.unwrap();
    let (chunks, end) = read_for(response.into_body(), 60 * SECOND).await;
    assert!(chunks >= 10 && end.unwrap().is_ok());
    assert_eq!(*seen.lock().unwrap(), ["response", "eos"]);
}
