//! The spans, logs and metrics of event sources.

use std::time::Duration;

use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue};
use tower_sse::{EventSource, Reconnection};

use crate::support::{
    log::Log,
    meter::{Value, counting},
    mock::{Answer, Mock},
};

/// Reads a source of these answers to the end of the script.
async fn read(script: impl IntoIterator<Item = Answer>) -> EventSource {
    let mock = Mock::new(script);
    let mut source = EventSource::get(mock, "http://server/events?token=secret")
        .reconnection(Reconnection::resilient().jitter(0.0).factor(1.0))
        .header_timeout(Duration::ZERO);
    while let Ok(Some(_)) = tokio::time::timeout(Duration::from_secs(3600), source.next()).await {}
    source
}

#[tokio::test(start_paused = true)]
async fn each_reconnect_is_logged_and_the_first_one_is_a_warning() {
    let log = Log::start();
    let _source = read([
        Answer::Refused,
        Answer::Refused,
        Answer::Status(503, &[("retry-after", "2")]),
        Answer::Ends("data: x\n\n"),
        Answer::Cut(""),
        Answer::Refused,
        Answer::Stays(""),
    ])
    .await;
    let refused = "the request failed: connection refused";
    let line = |level: &str, attempt: u64, delay: f64, cause: &str| {
        format!(
            "{level} message=event source reconnects attempt={attempt} delay={delay:?} cause={cause} url=http://server/events"
        )
    };
    let busy = "not an event stream: the status is 503 Service Unavailable, not 200 \
                (http://server/events, retry-after: 2)";
    let opened = || "DEBUG message=event source opened".to_owned();
    let expected = [
        line("WARN", 2, 1.0, refused),
        line("DEBUG", 3, 1.0, refused),
        line("DEBUG", 4, 2.0, busy),
        opened(),
        line("WARN", 5, 1.0, "the stream ended"),
        opened(),
        line("WARN", 6, 1.0, "the connection was lost: connection reset"),
        line("DEBUG", 7, 1.0, refused),
        opened(),
    ];
    assert_eq!(log.all_lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_that_the_application_asks_for_is_logged() {
    let log = Log::start();
    let mut source =
        Mock::new([Answer::Stays("data: a\n\n"), Answer::Stays("data: b\n\n")]).source();
    source.reconnect();
    for data in ["a", "b"] {
        assert_eq!(source.next_event().await.unwrap().unwrap().data(), data);
        source.reconnect();
    }
    let line = "DEBUG message=event source reconnects attempt=2 delay=0.0 cause=the application has \
                asked for it url=http://server/events";
    let opened = "DEBUG message=event source opened";
    assert_eq!(log.all_lines(), [opened, line, opened]);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_a_span() {
    let log = Log::start();
    let script = [
        Answer::Refused,
        Answer::Status(302, &[("location", "/moved")]),
        Answer::Ends("id: 7\ndata: x\n\n"),
        Answer::Status(404, &[]),
    ];
    let _source = read(script).await;
    let span = |attempt: u64, rest: &str| {
        format!(
            "event_source_attempt attempt={attempt} method=\"GET\" url=http://server/events{rest}"
        )
    };
    assert_eq!(
        log.spans(),
        [
            span(1, " outcome=\"failed\""),
            span(2, " status=302 status=200 outcome=\"opened\""),
            span(3, " last_event_id=\"7\" status=404 outcome=\"failed\""),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_is_polled_in_the_span_of_its_attempt() {
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry());
    let service = tower::service_fn(|_: http::Request<http_body_util::Full<bytes::Bytes>>| async {
        tokio::task::yield_now().await;
        let span = tracing::Span::current().metadata().map(|span| span.name());
        http::Response::builder()
            .status(404)
            .body(http_body_util::Full::<bytes::Bytes>::from(span.unwrap_or("no span")))
    });
    let mut source = EventSource::get(service, "/");
    let error = source.next_event().await.unwrap().unwrap_err();
    assert_eq!(error.body().unwrap(), "event_source_attempt");
    assert!(tracing::Span::current().metadata().is_none());
}

#[test]
fn connections_events_and_reconnects_are_counted() {
    let (open, counted) = counting(async {
        let source = read([
            Answer::Refused,
            Answer::Ends("data: a\n\ndata: b\n\n"),
            Answer::Ends(""),
            Answer::Stays("data: c\n\ndata: d\n\n"),
        ])
        .await;
        let mut closed = read([Answer::Stays("")]).await;
        closed.close();
        // Updates count events too, and the unfinished event is one.
        let updates = Mock::new([Answer::Ends(":\n\ndata: e\n\ndata: f")]).source();
        let policy = Reconnection::never();
        let mut updates = updates.with_unfinished().reconnection(policy).updates();
        while updates.next().await.is_some() {}
        source
    });
    assert_eq!(counted.get("tower_sse_client_connected"), Value::Gauge(1.0));
    assert_eq!(counted.counter("tower_sse_client_events_total"), 6);
    assert_eq!(counted.counter("tower_sse_client_reconnects_total"), 3);
    let Value::Histogram { count, .. } = counted.get("tower_sse_client_open_seconds") else {
        panic!()
    };
    // One is still open.
    assert_eq!(count, 4);
    drop(open);
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_logged() {
    let log = Log::start();
    let mock = Mock::new([
        Answer::Status(503, &[("set-cookie", "session=s3cret"), ("retry-after", "1")]),
        Answer::Status(302, &[("location", "/moved?token=s3cret")]),
        Answer::Status(404, &[("set-cookie", "session=s3cret")]),
    ]);
    let mut source = EventSource::get(mock, "http://user:s3cret@server/events?token=s3cret")
        .headers(|_| async {
            let name = http::header::AUTHORIZATION;
            Ok(HeaderMap::from_iter([(name, HeaderValue::from_static("Bearer s3cret"))]))
        });
    while source.next().await.is_some() {}
    let all = format!("{:?} {:?}", log.all_lines(), log.spans());
    assert!(all.contains("event source reconnects") && all.contains("outcome"), "{all}");
    assert!(!all.contains("s3cret"), "{all}");
}
