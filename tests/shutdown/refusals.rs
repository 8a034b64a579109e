//! Requests that arrive during a shutdown are turned away.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use http::{Method, Request, StatusCode};
use tokio::time::sleep;
use tower_sse::{Connect, EventBody, Farewell, Shutdown, event_channel_handler};

use crate::support::{
    SECOND,
    handlers::one_event_then_idle,
    http::{call, get},
    read_text,
};

#[tokio::test(start_paused = true)]
async fn new_requests_are_told_to_retry_later_and_no_handler_runs() {
    let shutdown = Shutdown::new(Farewell::new().retry(2 * SECOND..=4 * SECOND));
    let runs = Arc::new(AtomicUsize::new(0));
    let connects = runs.clone();
    let handler = one_event_then_idle().shutdown(&shutdown).on_connect(move |connect: Connect| {
        connects.fetch_add(1, SeqCst);
        async move { Ok(connect.accept()) }
    });
    shutdown.start();
    shutdown.started().await;
    let browser = Request::get("/").header("accept", "text/event-stream").body(()).unwrap();
    let response = call(&handler, browser).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = read_text(response.into_body()).await;
    let retry: u64 = text.strip_prefix("retry: ").unwrap().trim().parse().unwrap();
    assert!((2000..=4000).contains(&retry));

    for accept in [None, Some("*/*"), Some("text/event-stream, text/html")] {
        let request = Request::get("/");
        let request = match accept {
            Some(accept) => request.header("accept", accept),
            None => request,
        };
        let response = call(&handler, request.body(()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let after = response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
        assert!((2..=4).contains(&after), "{after}");
    }
    assert_eq!(runs.load(SeqCst), 0);
    let head = Request::builder().method(Method::HEAD).uri("/").body(()).unwrap();
    assert_eq!(call(&handler, head).await.status(), StatusCode::OK);
    assert_eq!(runs.load(SeqCst), 1);

    // A body without a request opens and says the farewell.
    let started = Arc::new(AtomicBool::new(false));
    let starts = started.clone();
    let body = EventBody::new(move |_| async move {
        starts.store(true, SeqCst);
        Ok(())
    });
    let text = read_text(body.shutdown(&shutdown)).await;
    assert!(text.starts_with(": connected\nretry: "), "{text}");
    assert!(!started.load(SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_request_still_in_on_connect_is_turned_away() {
    let shutdown = Shutdown::now();
    let handler = event_channel_handler(|_, _| pending())
        .on_connect(|connect: Connect| async move {
            sleep(SECOND).await;
            Ok(connect.accept())
        })
        .shutdown(&shutdown);
    let browser = Request::get("/").header("accept", "text/event-stream").body(()).unwrap();
    let (handler_1, handler_2) = (handler.clone(), handler);
    let other = tokio::spawn(async move { call(&handler_1, get("/")).await });
    let browser = tokio::spawn(async move { call(&handler_2, browser).await });
    sleep(SECOND / 2).await;
    shutdown.start();
    assert_eq!(other.await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    let text = read_text(browser.await.unwrap().into_body()).await;
    assert!(text.starts_with("retry: "), "{text}");
}
