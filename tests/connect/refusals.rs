//! Refusals: retry later, stop, or any status.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use http::{Method, StatusCode};
use tower_sse::{Connect, Refusal};

use crate::support::{
    ends::Ends,
    handlers::counts,
    http::{Server, call, get, read_incoming, request},
    read_text,
};

#[tokio::test(start_paused = true)]
async fn retry_later_is_a_200_with_a_retry_and_an_end() {
    let mut ends = Ends::new();
    let (handler, ran) = counts();
    let handler = handler.on_disconnect(ends.hook()).on_connect(|_| async {
        Err(Refusal::retry_later(Duration::from_secs(5)..Duration::from_secs(30)))
    });
    let mut drawn = Vec::new();
    for _ in 0..100 {
        let response = call(&handler, get("/")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store, no-transform");
        let text = read_text(response.into_body()).await;
        let retry = text.strip_prefix("retry: ").unwrap().strip_suffix("\n\n").unwrap();
        drawn.push(retry.parse::<u64>().unwrap());
    }
    assert!(drawn.iter().all(|retry| (5_000..=30_000).contains(retry)), "{drawn:?}");
    assert!(drawn.iter().any(|retry| *retry != drawn[0]), "{drawn:?}");
    assert_eq!(ran.load(SeqCst), 0);
    ends.none();
}

#[tokio::test]
async fn retry_later_and_stop_work_over_a_socket() {
    let (handler, ran) = counts();
    let handler = handler.on_connect(|connect: Connect| async move {
        Err(match connect.uri().path() {
            "/stop" => Refusal::stop(),
            _ => Refusal::retry_later(Duration::from_secs(1)),
        })
    });
    let server = Server::start(handler).await;
    for http2 in [false, true] {
        for (path, status, text) in [("/stop", 204, ""), ("/", 200, "retry: 1000\n\n")] {
            let answer = if http2 {
                server.http2().await.0.send_request(request(Method::GET, path)).await
            } else {
                server.http1().await.send_request(request(Method::GET, path)).await
            };
            let answer = answer.unwrap();
            assert_eq!(answer.status(), status);
            let (bytes, error) = read_incoming(answer.into_body()).await;
            assert!(error.is_none());
            assert_eq!(bytes, text.as_bytes());
        }
    }
    assert_eq!(ran.load(SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_with_a_status_sets_retry_after() {
    let (handler, _) = counts();
    let handler = handler.on_connect(|_| async {
        Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE).retry_after(Duration::from_millis(1500)))
    });
    let response = call(&handler, get("/")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "2");
}
