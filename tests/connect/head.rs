//! HEAD requests: decided as a GET, without a body, handler or hook.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use http::{HeaderValue, Method, Request, StatusCode};
use http_body::Body as _;
use tower_sse::{Connect, Refusal};

use crate::support::{
    ends::Ends,
    handlers::counts,
    http::{Server, call, read_incoming, request, soon},
};

#[tokio::test]
async fn head_is_decided_like_get_and_no_stream_follows() {
    let mut ends = Ends::new();
    let (handler, ran) = counts();
    let handler = handler.on_disconnect(ends.hook()).on_connect(|connect: Connect| async move {
        match connect.uri().path() {
            "/refused" => Err(Refusal::new(StatusCode::FORBIDDEN)),
            _ => Ok(connect.accept().header("x-decided", HeaderValue::from_static("yes"))),
        }
    });
    let in_process = Request::head("/").body(()).unwrap();
    let (plain, _) = counts();
    let response = call(&plain, in_process).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(response.body().is_end_stream());

    let server = Server::start(handler).await;
    for http2 in [false, true] {
        for (path, status) in [("/", 200), ("/refused", 403)] {
            let answer = if http2 {
                soon(server.http2().await.0.send_request(request(Method::HEAD, path))).await
            } else {
                soon(server.http1().await.send_request(request(Method::HEAD, path))).await
            };
            let answer = answer.unwrap();
            assert_eq!(answer.status(), status);
            if status == 200 {
                assert_eq!(answer.headers()["x-decided"], "yes");
                assert_eq!(answer.headers()["content-type"], "text/event-stream");
            }
            let (bytes, error) = read_incoming(answer.into_body()).await;
            assert!(bytes.is_empty() && error.is_none(), "{error:?}");
        }
    }
    assert_eq!(ran.load(SeqCst), 0);
    ends.none();
}

#[tokio::test]
async fn a_refused_head_request_has_no_body() {
    let (handler, _) = counts();
    let handler = handler.on_connect(|connect: Connect| async move {
        Err(match connect.uri().path() {
            "/retry_later" => Refusal::retry_later(Duration::from_secs(1)),
            _ => Refusal::new(StatusCode::UNAUTHORIZED).body("who are you?"),
        })
    });
    let server = Server::start(handler).await;
    for http2 in [false, true] {
        for (path, status) in [("/", 401), ("/retry_later", 200), ("/?last_event_id=%00", 400)] {
            let answer = if http2 {
                soon(server.http2().await.0.send_request(request(Method::HEAD, path))).await
            } else {
                soon(server.http1().await.send_request(request(Method::HEAD, path))).await
            };
            let answer = answer.unwrap();
            assert_eq!(answer.status(), status);
            let (bytes, error) = read_incoming(answer.into_body()).await;
            assert!(bytes.is_empty() && error.is_none(), "HTTP/2: {http2}, {path}: {error:?}");
        }
    }
}
