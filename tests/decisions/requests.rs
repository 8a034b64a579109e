//! Requests, answers, the layer.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use tokio::io::AsyncWriteExt as _;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use tower_sse::{
    BoxError, Connect, EndReason, Event, EventChannelHandler, KeepAlive, LastEventId, Refusal,
    SseLayer, event_channel_handler,
    layer::{OriginalUri, SseService},
};

use super::support::{
    ends::Ends,
    http::{Server, call, get, read_incoming, request, soon},
    log::Log,
    read_text,
};

/// A handler that counts how often it runs, and sends one event.
fn counts<B: Send + 'static>() -> (EventChannelHandler<B>, Arc<AtomicUsize>) {
    let ran = Arc::new(AtomicUsize::new(0));
    let runs = ran.clone();
    let handler = event_channel_handler(move |_, events| {
        runs.fetch_add(1, SeqCst);
        async move {
            events.send(Event::new("x")).await?;
            Ok(())
        }
    });
    (handler, ran)
}

#[tokio::test(start_paused = true)]
async fn d17_come_back_is_a_200_with_a_retry_and_an_end() {
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
async fn d17_come_back_and_stop_over_a_socket() {
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
async fn d17_others_are_refused_with_a_retry_after() {
    let (handler, _) = counts();
    let handler = handler.on_connect(|_| async {
        Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE).retry_after(Duration::from_millis(1500)))
    });
    let response = call(&handler, get("/")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "2");
}

#[tokio::test]
async fn d18_head_is_decided_as_get_is_and_no_stream_follows() {
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
async fn d18_a_head_that_is_refused_has_no_body_either() {
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

#[tokio::test]
async fn d19_a_client_that_leaves_is_noticed_at_once_once_its_request_was_read() {
    let mut ends = Ends::new();
    let handler =
        event_channel_handler(|request: Request<hyper::body::Incoming>, events| async move {
            let body = request.into_body().collect().await?.to_bytes();
            events.send(Event::new(format!("{} bytes", body.len()))).await?;
            events.closed().await;
            Ok(())
        })
        .without_keep_alive()
        .on_disconnect(ends.hook());
    let server = Server::start(handler).await;

    let mut client = server.get_raw("/").await;
    client.until("data: 0 bytes\n\n").await;
    drop(client);
    assert_eq!(ends.next().await.reason(), EndReason::ClientGone);

    let post = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhello";
    let mut client = server.raw(post).await;
    client.until("data: 5 bytes\n\n").await;
    drop(client);
    assert_eq!(ends.next().await.reason(), EndReason::ClientGone);
}

#[tokio::test]
async fn d19_behind_a_body_that_nobody_reads_the_next_keep_alive_tells() {
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, events| async move {
        events.closed().await;
        Ok(())
    })
    .keep_alive(KeepAlive::every(Duration::from_millis(50)))
    .on_disconnect(ends.hook());
    let server = Server::start(handler).await;
    let post = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n\r\n";
    let mut client = server.raw(post).await;
    client.stream.write_all(&[b'x'; 100_000]).await.unwrap();
    client.until(": keep-alive").await;
    drop(client);
    assert_eq!(ends.next().await.reason(), EndReason::ClientGone);
}

type Page = Full<Bytes>;

/// A layer over a service whose pages say which method and path reached it.
fn over_pages(
    layer: &SseLayer<EventChannelHandler<()>>,
) -> impl Service<
    Request<()>,
    Response = Response<tower_sse::layer::SseBody<Page>>,
    Error = Mine,
    Future: Send,
> + Clone
+ use<> {
    layer.layer(service_fn(|request: Request<()>| async move {
        if request.uri().path() == "/fails" {
            return Err(Mine);
        }
        let page = format!("{} {}", request.method(), request.uri());
        Ok(Response::new(Page::from(page)))
    }))
}

/// An error that is no `std::error::Error`: the layer asks nothing of it.
#[derive(Debug, PartialEq)]
struct Mine;

/// The handler that the layers are made of: it sends the path that it sees, and the original one.
fn says_path() -> EventChannelHandler<()> {
    event_channel_handler(|request: Request<()>, events| async move {
        let original = request.extensions().get::<OriginalUri>();
        let original = original.map(|OriginalUri(uri)| format!(" of {uri}")).unwrap_or_default();
        events.send(Event::new(format!("{}{original}", request.uri()))).await?;
        Ok(())
    })
    .without_greeting()
}

/// Asks for a path with this `Accept`; returns the text of the answer, and its `Vary`.
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
async fn d20_a_path_is_matched_exactly_and_decides_alone() {
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
async fn d20_a_prefix_mounts() {
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
}

#[tokio::test(start_paused = true)]
async fn d20_accept_decides_by_what_is_named() {
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
}

#[tokio::test(start_paused = true)]
async fn d20_options_goes_to_the_inner_service() {
    for layer in [
        SseLayer::new(says_path()),
        SseLayer::new(says_path()).path("/a"),
        SseLayer::new(says_path()).path_prefix("/a"),
        SseLayer::new(says_path()).path("/a").accept(),
    ] {
        let accept = Some("text/event-stream");
        let (text, _) = ask(&layer, Method::OPTIONS, "/a", accept).await;
        assert_eq!(text, "OPTIONS /a");
        let (text, _) = ask(&layer, Method::POST, "/a", accept).await;
        assert!(text.starts_with("data: /"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn d20_the_inner_error_is_the_services_as_it_is() {
    let service = over_pages(&SseLayer::new(says_path()).path("/a"));
    assert_eq!(service.oneshot(get("/fails")).await.map(drop), Err(Mine));
}

#[tokio::test(start_paused = true)]
async fn d20_it_is_ready_when_the_inner_service_is() {
    let (inner, mut handle) = tower_test::mock::pair::<Request<()>, Response<Page>>();
    handle.allow(0);
    let mut service: SseService<_, _> = SseLayer::new(says_path()).path("/a").layer(inner);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_pending());
    handle.allow(1);
    assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));

    // An event stream uses up nothing of the inner service.
    let response = service.call(get("/a")).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
    let answer = tokio::spawn(service.call(get("/page")));
    let (asked, respond) = handle.next_request().await.unwrap();
    assert_eq!(asked.uri(), "/page");
    respond.send_response(Response::new(Page::from("page")));
    let response = answer.await.unwrap().unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "page");
    assert!(service.poll_ready(&mut cx).is_pending());

    // And its error, while it gets ready, is the service's.
    handle.send_error("inner");
    let Poll::Ready(Err(error)) = service.poll_ready(&mut cx) else { panic!("no error") };
    assert_eq!(error.to_string(), "inner");
}

#[tokio::test(start_paused = true)]
async fn d21_the_last_event_id_is_read_as_utf_8() {
    let handler = event_channel_handler(|request: Request<()>, events| async move {
        let last = request.extensions().get::<LastEventId>().unwrap();
        events.send(Event::new(last.as_str())).await?;
        Ok(())
    })
    .without_greeting();
    for (value, text) in [("ä\u{1f600}", "data: ä\u{1f600}\n\n"), ("a\tb", "data: a\tb\n\n")] {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        let request = Request::get("/").header("last-event-id", value).body(()).unwrap();
        assert_eq!(read_text(call(&handler, request).await.into_body()).await, text);
    }
    let value = HeaderValue::from_bytes(b"a\xff").unwrap();
    let request = Request::get("/").header("last-event-id", value).body(()).unwrap();
    assert_eq!(call(&handler, request).await.status(), 400);
    assert_eq!(call(&handler, get("/?last_event_id=a%0Ab")).await.status(), 400);
}

#[tokio::test(start_paused = true)]
async fn d23_the_query_is_in_nothing_that_is_shown_or_logged() {
    let log = Log::start();
    let shown = Arc::new(Mutex::new(String::new()));
    let shows = shown.clone();
    let handler = event_channel_handler::<_, _, ()>(|_, _| async { Err("failed".into()) })
        .on_connect(move |connect: Connect| {
            let accept = {
                let mut shown = shows.lock().unwrap();
                shown.push_str(&format!("{connect:?}"));
                let accept = connect.accept();
                shown.push_str(&format!("{accept:?}"));
                accept
            };
            async move { Ok(accept) }
        })
        .on_disconnect(|end| panic!("{end:?}"));
    let request = Request::get("/path?token=secret").header("cookie", "secret").body(()).unwrap();
    let mut body = call(&handler, request).await.into_body();
    while body.next_chunk().await.is_some_and(|chunk| chunk.is_ok()) {}
    let shown = shown.lock().unwrap().clone();
    assert!(shown.contains("/path") && !shown.contains("secret"), "{shown}");
    let logged = log.lines().concat();
    assert_eq!(logged.contains("failed"), cfg!(feature = "tracing"));
    assert!(!logged.contains("secret"), "{logged}");
}

#[tokio::test(start_paused = true)]
async fn d20_the_order_of_the_layers_setters_makes_no_difference() {
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

#[tokio::test(start_paused = true)]
async fn d20_options_and_connect_are_not_about_a_resource_and_go_to_the_inner_service() {
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

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn d23_the_handler_is_polled_in_the_span_of_its_request() {
    use tracing::Instrument as _;

    use tracing_subscriber::{Registry, registry::LookupSpan as _};

    fn span_name() -> &'static str {
        tracing::Span::current().metadata().map_or("none", tracing::Metadata::name)
    }

    /// The spans that the caller is in, from the outermost.
    fn scope() -> String {
        let span = tracing::Span::current();
        let names = span.with_subscriber(|(id, dispatch)| {
            let registry = dispatch.downcast_ref::<Registry>().unwrap();
            let scope = registry.span(id).unwrap().scope().from_root();
            scope.map(|span| span.name()).collect::<Vec<_>>()
        });
        names.unwrap().join(">")
    }

    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry());
    let handler = event_channel_handler::<_, _, ()>(|_, events| async move {
        for _ in 0..2 {
            events.send(Event::new(scope())).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    });
    for handler in [handler.clone(), handler.spawn_handler()] {
        let span = tracing::info_span!("request");
        let response = async { call(&handler, get("/")).await }.instrument(span).await;
        // The server polls the body outside of it.
        assert_eq!(span_name(), "none");
        let text = read_text(response.into_body()).await;
        let scope = "data: request>event_stream\n\n";
        assert_eq!(text, format!(": connected\n\n{scope}{scope}"));
        assert_eq!(span_name(), "none");
    }
}
