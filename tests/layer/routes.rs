//! Which requests the layer takes: by path, by prefix, by `Accept`.

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceBuilder, ServiceExt as _, service_fn};
use tower_sse::{
    BoxError, Event, EventChannelHandler, SseLayer, event_channel_handler, layer::OriginalUri,
};

use crate::{
    over_pages, says_path,
    support::{
        handlers::{counts, sends},
        http::get,
    },
};

/// Requests a path with this `Accept`. Returns the text of the response, and whether it varies by
/// `Accept`.
async fn ask(
    layer: &SseLayer<EventChannelHandler<()>>,
    method: Method,
    uri: &str,
    accept: Option<&str>,
) -> (String, bool) {
    let request = Request::builder().method(method).uri(uri);
    let request = accept.into_iter().fold(request, |it, accept| it.header("accept", accept));
    let request = request.body(()).unwrap();
    let response = over_pages(layer).oneshot(request).await.unwrap();
    let varies = response.headers().get("vary").is_some_and(|vary| vary == "accept");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (String::from_utf8(bytes.to_vec()).unwrap(), varies)
}

#[tokio::test(start_paused = true)]
async fn a_path_is_matched_exactly_and_decides_alone() {
    let layer = SseLayer::new(says_path()).path("/events");
    for (uri, accept, text) in [
        ("/events", None, "data: /events\n\n"),
        ("/events?a=1", Some("text/html"), "data: /events?a=1\n\n"),
        ("/events", Some("text/event-stream;q=0"), "data: /events\n\n"),
        ("/events/", Some("text/event-stream"), "GET /events/"),
        ("/events/1", None, "GET /events/1"),
        ("/Events", None, "GET /Events"),
        ("/", Some("text/event-stream"), "GET /"),
    ] {
        assert_eq!(ask(&layer, Method::GET, uri, accept).await, (text.to_owned(), false), "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_prefix_mounts_the_handler_in_any_service() {
    for prefix in ["/events", "/events/"] {
        let layer = SseLayer::new(says_path()).path_prefix(prefix);
        for (uri, text) in [
            ("/events", "data: / of /events\n\n"),
            ("/events/", "data: / of /events/\n\n"),
            ("/events/7?a=1", "data: /7?a=1 of /events/7?a=1\n\n"),
            ("/eventsource", "GET /eventsource"),
            ("/", "GET /"),
        ] {
            assert_eq!(
                ask(&layer, Method::GET, uri, None).await,
                (text.to_owned(), false),
                "{uri}"
            );
        }
    }

    // In a `ServiceBuilder`, by prefix and by `Accept`.
    let app = service_fn(|request: Request<()>| async move {
        Ok::<_, BoxError>(Response::new(format!("page {}", request.uri())))
    });
    let mounted = || {
        event_channel_handler(|request: Request<()>, events| async move {
            let original = request.extensions().get::<OriginalUri>();
            let whole = original.map_or("-".to_owned(), |OriginalUri(uri)| uri.to_string());
            events.send(Event::new(format!("{} of {whole}", request.uri()))).await?;
            Ok(())
        })
        .without_greeting()
    };
    let layer = SseLayer::new(mounted()).path_prefix("/events");
    let by_path = ServiceBuilder::new().layer(layer).service(app);
    for (uri, text) in [
        ("/", "page /"),
        ("/eventsource", "page /eventsource"),
        ("/events", "data: / of /events\n\n"),
        ("/events/7?a=1", "data: /7?a=1 of /events/7?a=1\n\n"),
    ] {
        let response = by_path.clone().oneshot(get(uri)).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), text, "{uri}");
    }

    let by_accept = ServiceBuilder::new().layer(SseLayer::new(mounted())).service(app);
    for (accept, text) in [("text/html", "page /any"), ("text/event-stream", "data: /any of -\n\n")]
    {
        let request = Request::builder().method(Method::GET).uri("/any").header("accept", accept);
        let response = by_accept.clone().oneshot(request.body(()).unwrap()).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), text);
    }
}

#[tokio::test(start_paused = true)]
async fn accept_decides_by_the_ranges_it_names() {
    let by_accept = SseLayer::new(says_path());
    let both = SseLayer::new(says_path()).path("/a").accept();
    for (accept, asks, takes) in [
        (Some("text/event-stream"), true, true),
        (Some("text/html, text/event-stream"), true, true),
        (Some("text/html;q=0.9, text/event-stream;q=0.8"), false, true),
        (Some("text/event-stream;q=0"), false, false),
        (Some("text/event-stream;q=0, */*"), false, false),
        (Some("*/*, text/event-stream;q=0.1"), true, true),
        (Some("*/*"), false, true),
        (Some("text/*"), false, true),
        (Some("text/html"), false, false),
        (None, false, true),
    ] {
        let answer = |events| if events { "data: /a\n\n" } else { "GET /a" };
        for (layer, events) in [(&by_accept, asks), (&both, takes)] {
            let (text, varies) = ask(layer, Method::GET, "/a", accept).await;
            assert_eq!(text, answer(events), "{accept:?}");
            assert!(varies, "both answers vary by it: {accept:?}");
        }
        let (text, varies) = ask(&both, Method::GET, "/b", accept).await;
        assert_eq!((text.as_str(), varies), ("GET /b", false), "{accept:?}");
    }

    let page = service_fn(|_| async { Ok::<_, BoxError>(Response::new(String::from("page"))) });
    let service = SseLayer::new(sends(vec![Event::new("x")])).layer(page);
    for (accept, is_events) in [("text/html", false), ("text/event-stream", true), ("*/*", false)] {
        let request = Request::get("/").header("accept", accept).body(()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        let content_type = response.headers().get("content-type");
        assert_eq!(content_type.is_some_and(|it| it == "text/event-stream"), is_events, "{accept}");
    }
}

#[tokio::test(start_paused = true)]
async fn options_and_connect_go_to_the_inner_service() {
    for (layer, takes_post) in [
        // Some protocols list both types for a POST that is not for a stream.
        (SseLayer::new(says_path()), false),
        (SseLayer::new(says_path()).path("/a"), true),
        (SseLayer::new(says_path()).path_prefix("/a"), true),
        (SseLayer::new(says_path()).path("/a").accept(), true),
    ] {
        let accept = Some("text/event-stream");
        let (text, _) = ask(&layer, Method::OPTIONS, "/a", accept).await;
        assert_eq!(text, "OPTIONS /a");
        let (text, _) = ask(&layer, Method::POST, "/a", accept).await;
        assert_eq!(text.starts_with("data: /"), takes_post, "{text}");
        let (text, _) = ask(&layer, Method::GET, "/a", accept).await;
        assert!(text.starts_with("data: /"), "{text}");
    }

    // So does CONNECT, under any prefix.
    let layer = SseLayer::new(counts::<()>().0).path_prefix("/");
    let inner =
        service_fn(|_: Request<()>| async { Ok::<_, BoxError>(Response::new(String::new())) });
    let service = layer.layer(inner);
    for (method, uri, is_stream) in [
        (Method::GET, "/any/where", true),
        (Method::POST, "/", true),
        (Method::OPTIONS, "/", false),
        (Method::OPTIONS, "*", false),
        (Method::CONNECT, "example.test:443", false),
    ] {
        let request = Request::builder().method(&method).uri(uri).body(()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(
            response.headers().contains_key("x-accel-buffering"),
            is_stream,
            "{method} {uri}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_order_of_the_setters_makes_no_difference() {
    for layer in [
        SseLayer::new(counts::<()>().0).path("/x").accept(),
        SseLayer::new(counts::<()>().0).accept().path("x"),
    ] {
        let inner =
            service_fn(|_: Request<()>| async { Ok::<_, BoxError>(Response::new(String::new())) });
        let service = layer.layer(inner);
        for (accept, is_stream) in
            [("text/html", false), ("*/*", true), ("text/event-stream", true)]
        {
            let request = Request::get("/x").header("accept", accept).body(()).unwrap();
            let response = service.clone().oneshot(request).await.unwrap();
            assert_eq!(response.headers().contains_key("x-accel-buffering"), is_stream, "{accept}");
            assert_eq!(response.headers()["vary"], "accept");
        }
    }
}
