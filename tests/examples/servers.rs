//! The examples `hyper`, `axum` and `warp`.

use http::{Request, StatusCode, Version};

use crate::{
    streams::{after_events, event, events, stalled, ticks},
    support::process::{Example, send},
};

#[tokio::test]
async fn hyper_serves_http_1_and_http_2_on_one_port() {
    let mut hyper = Example::start("hyper", &[]).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let get = |path| send(hyper.addr, version, Request::get(path), Default::default());
        let mut reply = get("/ticks").await;
        assert_eq!(reply.head.version, version);
        reply.assert_event_stream();
        assert_eq!(events(&reply.blocks(3).await), ticks(2));
        drop(reply);
        let elsewhere = get("/").await;
        assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
        assert_eq!(elsewhere.text().await, "try /ticks and /numbers\n");
        let line = hyper.line().await;
        assert!(after_events(&line, "/ticks: client_gone after ").parse::<u32>().unwrap() >= 2);
    }
}

#[tokio::test]
async fn hyper_sends_as_many_numbers_as_the_client_takes() {
    let hyper = Example::start("hyper", &[]).await;
    let text = hyper.get("/numbers").await.blocks(1001).await;
    let expected: Vec<_> = (0..1000).map(|n: u32| event("message", n.to_string(), None)).collect();
    assert_eq!(events(&text), expected);
}

#[tokio::test]
async fn hyper_cuts_a_client_that_has_stopped_reading() {
    let mut hyper = Example::start("hyper", &["--write-timeout", "500ms"]).await;
    let mut idle = hyper.get("/ticks").await;
    let socket = stalled(&hyper, "/numbers");
    let line = hyper.line().await;
    assert_ne!(after_events(&line, "/numbers: client_gone after "), "0");
    assert_eq!(events(&idle.blocks(3).await), ticks(2));
    drop(socket);
}

#[tokio::test]
async fn axum_cuts_a_client_that_has_stopped_reading() {
    let mut axum = Example::start("axum", &["--write-timeout", "500ms"]).await;
    let socket = stalled(&axum, "/numbers");
    let line = axum.line().await;
    assert_ne!(after_events(&line, "/numbers: client_gone after "), "0");
    drop(socket);
}

#[tokio::test]
async fn axum_has_a_route_a_handler_and_a_layer() {
    let axum = Example::start("axum", &[]).await;
    let mut route = axum.get("/ticks").await;
    route.assert_event_stream();
    assert_eq!(events(&route.blocks(2).await), ticks(1));

    // One path, routed by `Accept`.
    let page = axum.get("/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("vary"), "accept");
    assert!(page.text().await.starts_with("<!doctype html>"));
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let page = axum.send(Request::get("/").header("accept", browser)).await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let mut stream = axum.send(Request::get("/").header("accept", "text/event-stream")).await;
    stream.assert_event_stream();
    assert_eq!(stream.header("vary"), "accept");
    assert_eq!(events(&stream.blocks(2).await), ticks(1));

    // Over the whole router, routed by path.
    let clock = axum.get("/clock").await;
    clock.assert_event_stream();
    let clock = events(&clock.text().await);
    assert_eq!(clock.len(), 1);
    assert!(clock[0].1.parse::<u64>().unwrap() > 1_700_000_000, "{clock:?}");

    // The layer does not take over a route below it.
    let request = Request::get("/rooms/kitchen").header("accept", "text/event-stream");
    let room = axum.send(request.header("last-event-id", "2")).await;
    room.assert_event_stream();
    assert_eq!(room.header("x-room"), "open");
    let expected: Vec<_> =
        (3..5).map(|n| event("message", format!("kitchen {n}"), Some(n))).collect();
    assert_eq!(events(&room.text().await), expected);
    let all = axum.get("/rooms/kitchen").await.text().await;
    assert_eq!(events(&all).len(), 5);
    let attic = axum.get("/rooms/attic").await;
    assert_eq!(attic.status(), StatusCode::NOT_FOUND);
    assert_eq!(attic.text().await, "there is no attic");
    let invalid = Request::get("/rooms/kitchen").header("last-event-id", &b"\xff"[..]);
    let invalid = axum.send(invalid).await;
    assert_eq!(invalid.status(), StatusCode::BAD_REQUEST);
    assert_eq!(invalid.text().await, "header Last-Event-ID: not UTF-8 at byte 0");
}

#[tokio::test]
async fn warp_has_streams_next_to_its_filters_and_inside() {
    let warp = Example::start("warp", &[]).await;
    let hello = warp.get("/hello").await;
    assert_eq!(hello.status(), StatusCode::OK);
    assert_eq!(hello.text().await, "hello");
    let mut beside = warp.get("/ticks").await;
    beside.assert_event_stream();
    assert_eq!(events(&beside.blocks(2).await), ticks(1));
    let inside = warp.get("/countdown/3").await;
    inside.assert_event_stream();
    let expected: Vec<_> =
        (0..=3).rev().map(|n: u32| event("message", n.to_string(), None)).collect();
    assert_eq!(events(&inside.text().await), expected);
    assert_eq!(warp.get("/elsewhere").await.status(), StatusCode::NOT_FOUND);
}
