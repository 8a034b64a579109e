//! A browser reconnects after each kind of end and refusal that allows it, and after the time that
//! the server has set.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    response::{Html, Response},
    routing::get,
};
use futures_util::stream;
use serde_json::Value;
use tokio::time::sleep;
use tower::ServiceExt as _;
use tower_sse::{
    BoxError, Buffer, Connect, Event, EventBody, EventChannelHandler, EventSender, Farewell,
    HandlerOptions, Refusal, Shutdown, event_channel_handler,
};

use super::engine::Browser;
use crate::server::Server;

/// A page that opens a stream and records its events with their times.
const PAGE: &str = "<!doctype html><title>returns</title><link rel=icon href='data:,'><script>
    const seen = [];
    const see = (what) => seen.push([what, performance.now()]);
    const source = new EventSource('/events/' + location.hash.slice(1));
    source.onopen = () => see('open');
    source.onerror = () => see(source.readyState === 2 ? 'closed' : 'error');
    source.onmessage = (event) => see(event.data);
    source.addEventListener('bye', () => see('bye'));
    </script>";

const MILLISECOND: Duration = Duration::from_millis(1);

/// The delays that the server sets.
const AWAY: RangeInclusive<Duration> = Duration::from_millis(400)..=Duration::from_millis(800);

fn bye() -> Farewell {
    Farewell::new().event(Event::new("").with_type("bye")).retry(AWAY)
}

/// How the first stream of a page ends or is refused, and what the page sees until then.
const CASES: [(&str, &[&str]); 12] = [
    ("shutdown", &["open", "hello", "bye", "error"]),
    ("shutdown-now", &["open", "hello", "error"]),
    ("shutdown-finish", &["open", "hello", "finished", "bye", "error"]),
    ("shutdown-paced", &["open", "hello", "bye", "error"]),
    ("lifetime", &["open", "hello", "bye", "error"]),
    ("deadline", &["open", "hello", "bye", "error"]),
    ("evicted", &["open", "hello", "error"]),
    ("revoked", &["open", "hello", "error"]),
    ("failed", &["open", "hello", "error"]),
    ("refused-shutdown", &["open", "error"]),
    ("refused-full", &["open", "error"]),
    ("refused-by-hand", &["open", "error"]),
];

/// A body whose handler sends `hello` and then runs `then`.
fn hello<Fut>(then: impl Fn(EventSender) -> Fut + Send + 'static) -> EventBody
where
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    hello_with(HandlerOptions::new(), then)
}

fn hello_with<Fut>(
    options: HandlerOptions,
    then: impl Fn(EventSender) -> Fut + Send + 'static,
) -> EventBody
where
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    EventBody::with_options(options, move |events: EventSender| async move {
        events.send(Event::new("hello")).await?;
        then(events).await
    })
    .retry(AWAY)
}

fn waits() -> EventBody {
    hello(|_| std::future::pending())
}

/// A shutdown that starts after the page has seen `hello`.
fn soon(farewell: Farewell) -> Shutdown {
    let shutdown = Shutdown::new(farewell);
    tokio::spawn(shutdown.start_when(sleep(200 * MILLISECOND)));
    shutdown
}

fn first_stream(case: &str) -> EventBody {
    let expiry = std::time::Instant::now() + 200 * MILLISECOND;
    match case {
        "shutdown" => waits().shutdown(&soon(bye())),
        "shutdown-now" => waits().shutdown(&soon(Farewell::new())),
        "shutdown-paced" => waits().shutdown(&soon(bye().stagger_over(200 * MILLISECOND))),
        "shutdown-finish" => hello(|events| async move {
            events.ending().await;
            events.send(Event::new("finished")).await?;
            Ok(())
        })
        .shutdown(&soon(bye().grace_period(Duration::from_secs(10)))),
        "lifetime" => waits().max_lifetime(250 * MILLISECOND).farewell(bye()),
        "deadline" => waits().deadline(expiry).farewell(bye()),
        "revoked" => hello(|events| async move {
            sleep(200 * MILLISECOND).await;
            events.revoke();
            std::future::pending().await
        }),
        "failed" => hello(|_| async { Err("no more".into()) }),
        "evicted" => {
            let options = HandlerOptions::new().spawn_handler().buffer(Buffer::fixed(1));
            hello_with(options.send_timeout(100 * MILLISECOND), |events| async move {
                for n in 0.. {
                    events.send(Event::new(n)).await?;
                }
                Ok(())
            })
        }
        other => panic!("no case {other}"),
    }
}

/// A handler that refuses.
fn refusing(case: &str) -> EventChannelHandler<Body> {
    let handler = event_channel_handler(|_, _| std::future::pending());
    match case {
        "refused-shutdown" => {
            let shutdown = Shutdown::new(bye());
            shutdown.start();
            handler.shutdown(&shutdown)
        }
        "refused-full" => handler.max_streams(0).retry_after(AWAY),
        "refused-by-hand" => {
            handler.on_connect(|_: Connect| async { Err(Refusal::retry_later(AWAY)) })
        }
        other => panic!("no case {other}"),
    }
}

async fn events(
    Path(case): Path<String>,
    State(requests): State<Arc<AtomicUsize>>,
    request: Request,
) -> Response {
    if requests.fetch_add(1, SeqCst) > 0 {
        return waits().into_http_response().map(Body::new);
    }
    if case.starts_with("refused") {
        let Ok(response) = refusing(&case).oneshot(request).await;
        return response.map(Body::new);
    }
    let body = first_stream(&case);
    if case != "evicted" {
        return body.into_http_response().map(Body::new);
    }
    // Stands for a browser that does not read for a while: the first chunks are taken, then none.
    let chunks = stream::unfold((body, 0), |(mut body, taken)| async move {
        if taken == 2 {
            sleep(500 * MILLISECOND).await;
        }
        let chunk = body.next_chunk().await?;
        let is_hello = chunk.as_ref().is_ok_and(|chunk| chunk.ends_with(b"data: hello\n\n"));
        Some((chunk, (body, if is_hello { 2 } else { taken })))
    });
    let mut response = EventBody::default().into_http_response().map(|_| Body::from_stream(chunks));
    response.headers_mut().remove("content-length");
    response
}

#[tokio::test]
async fn a_browser_reconnects_after_every_end_and_refusal_when_it_was_told_to() {
    let browser = Browser::start().await;
    for (case, expected) in CASES {
        let requests = Arc::new(AtomicUsize::new(0));
        let app = Router::new()
            .route("/", get(Html(PAGE)))
            .route("/events/{case}", get(events))
            .with_state(requests.clone());
        let server = Server::plain(app).await;
        browser.goto(&format!("http://{}/#{case}", server.addr)).await;
        let total = expected.len() + 2;
        browser.until(&format!("seen.length >= {total}")).await;
        let seen = browser.eval("seen").await;
        let seen: Vec<(String, f64)> = serde_json::from_value::<Vec<(String, f64)>>(seen).unwrap();
        let whats: Vec<_> = seen.iter().map(|(what, _)| what.as_str()).collect();
        assert_eq!(whats, [expected, &["open", "hello"]].concat(), "{case}");
        let away = seen[expected.len()].1 - seen[expected.len() - 1].1;
        let (least, most) = (AWAY.start().as_millis() as f64, AWAY.end().as_millis() as f64);
        // The clocks of the browser and the load of the machine make this inexact.
        assert!((least - 50.0..most + 2000.0).contains(&away), "{case}: back after {away} ms");
        assert_eq!(requests.load(SeqCst), 2, "{case}");
        assert_eq!(browser.eval("source.readyState").await, Value::from(1));
    }
}
