//! The responses that a source reads, and its reaction to others.

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Request;
use http_body_util::Full;
use tower_sse::{BoxError, Event, EventSource, Reconnection, Update, event_channel_handler};

use crate::support::mock::{Answer, Mock, reported};

#[tokio::test(start_paused = true)]
async fn no_content_ends_the_source_without_an_error() {
    for policy in [Reconnection::resilient(), Reconnection::standard(), Reconnection::never()] {
        let mock = Mock::new([Answer::Status(204, &[]), Answer::Stays("")]);
        assert!(reported(mock.source().reconnection(policy)).await.is_empty());
        assert_eq!(mock.asked().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_policy_decides_whether_a_status_is_fatal() {
    let fate = async |status, policy: Reconnection| {
        let mock = Mock::new([Answer::Status(status, &[]), Answer::Stays("")]);
        let reported = reported(mock.source().reconnection(policy)).await;
        reported[0].split(' ').next().unwrap().to_owned()
    };
    for status in [400, 401, 403, 404, 405, 410, 451, 201, 206, 304, 300] {
        assert_eq!(fate(status, Reconnection::resilient()).await, "fatal:", "{status}");
    }
    for status in [408, 429, 500, 501, 502, 503, 504, 599] {
        assert_eq!(fate(status, Reconnection::resilient()).await, "again", "{status}");
        assert_eq!(fate(status, Reconnection::standard()).await, "fatal:", "{status}");
    }
    let only_401 = || Reconnection::resilient().stop_on(|refused| refused.status() == 401);
    assert_eq!(fate(401, only_401()).await, "fatal:");
    assert_eq!(fate(404, only_401()).await, "again");
}

#[tokio::test(start_paused = true)]
async fn a_fatal_status_is_reported_with_its_headers() {
    let mock = Mock::new([Answer::Status(401, &[("www-authenticate", "Bearer")])]);
    let mut source = mock.source();
    let error = source.next_event().await.unwrap().unwrap_err();
    assert!(error.is_fatal());
    assert_eq!(error.status().unwrap(), 401);
    assert_eq!(error.headers().unwrap()["www-authenticate"], "Bearer");
    assert!(source.next_event().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn only_an_event_stream_without_content_encoding_is_read() {
    for (headers, error) in [
        (
            &[("content-type", "text/html")][..],
            "the content type is \"text/html\", not text/event-stream",
        ),
        (&[], "the content type is missing, not text/event-stream"),
        (
            &[("content-type", "text/event-stream"), ("content-encoding", "gzip")],
            "the content encoding is \"gzip\": decode the body before it is read",
        ),
        (
            &[
                ("content-type", "text/event-stream"),
                ("content-encoding", "identity"),
                ("content-encoding", "gzip"),
            ],
            "the content encoding is \"gzip\": decode the body before it is read",
        ),
        (
            &[("content-type", "text/event-stream"), ("content-type", "text/html")],
            "the content type is \"text/html\", not text/event-stream",
        ),
    ] {
        let mock = Mock::new([Answer::Status(200, headers)]);
        assert_eq!(
            reported(mock.source()).await,
            [format!("fatal: not an event stream: {error} (http://server/events)")]
        );
    }
    for content_type in
        ["TEXT/EVENT-STREAM", "text/event-stream;charset=UTF-8", "text/event-stream ; a=b"]
    {
        let headers: &'static [_] =
            Box::leak(Box::new([("content-type", content_type), ("content-encoding", "identity")]));
        let mock = Mock::new([Answer::Status(200, headers)]);
        assert_eq!(reported(mock.source().reconnection(Reconnection::never())).await, ["opened 1"]);
    }
    let several = &[
        ("content-type", "text/html"),
        ("content-type", "text/event-stream"),
        ("content-type", ""),
        ("content-encoding", ""),
    ];
    let mock = Mock::new([Answer::Status(200, several)]);
    assert_eq!(reported(mock.source().reconnection(Reconnection::never())).await, ["opened 1"]);
}

#[tokio::test(start_paused = true)]
async fn an_opened_connection_reports_status_and_headers() {
    let headers = &[("content-type", "text/event-stream"), ("x-node", "7")];
    let mut updates = Mock::new([Answer::Status(200, headers)]).source().updates();
    let Some(Ok(Update::Opened(opened))) = updates.next().await else { panic!() };
    assert_eq!((opened.status.as_u16(), opened.attempt), (200, 1));
    assert_eq!(opened.headers["x-node"], "7");
}

#[tokio::test(start_paused = true)]
async fn a_source_reads_a_handler_of_this_crate_reconnects_and_has_limits() {
    let server = event_channel_handler(|request: Request<Full<Bytes>>, events| async move {
        let last = request.headers().get("last-event-id");
        let n: u64 = last.map_or(Ok(0), |last| last.to_str()?.parse().map_err(BoxError::from))?;
        events.send(Event::new("x".repeat(100))).await?;
        events.send(Event::new(n + 1).with_id(n + 1)).await?;
        Ok(())
    });
    let mut source = EventSource::get(server, "/events").max_event_bytes(50);
    for n in 1..=3 {
        let error = source.next_event().await.unwrap().unwrap_err();
        assert_eq!(error.as_too_large().unwrap().limit(), 50);
        assert_eq!(source.next_event().await.unwrap().unwrap().data(), n.to_string());
    }
}
