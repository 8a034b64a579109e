//! The inner service: its errors, its readiness, and other layers.

use std::task::{Context, Poll, Waker};

use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_http::cors::CorsLayer;
use tower_sse::{BoxError, Event, SseLayer, event_channel_handler, layer::SseService};

use crate::{
    Mine, Page, over_pages, says_path,
    support::{handlers::sends, http::get},
};

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_service_is_returned_unchanged() {
    let service = over_pages(&SseLayer::new(says_path()).path("/a"));
    assert_eq!(service.oneshot(get("/fails")).await.map(drop), Err(Mine));
}

#[tokio::test(start_paused = true)]
async fn the_layer_is_ready_when_the_inner_service_is() {
    let (inner, mut handle) = tower_test::mock::pair::<Request<()>, Response<Page>>();
    handle.allow(0);
    let mut service: SseService<_, _> = SseLayer::new(says_path()).path("/a").layer(inner);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_pending());
    handle.allow(1);
    assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));

    // An event stream does not use the readiness of the inner service.
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

    // An error of the inner service while it gets ready is returned.
    handle.send_error("inner");
    let Poll::Ready(Err(error)) = service.poll_ready(&mut cx) else { panic!("no error") };
    assert_eq!(error.to_string(), "inner");
}

#[tokio::test(start_paused = true)]
async fn cors_of_tower_http_works_over_a_layer_and_over_a_handler() {
    let cors = CorsLayer::new()
        .allow_origin("https://page.test".parse::<HeaderValue>().unwrap())
        .allow_credentials(true);
    let pages = service_fn(|_| async { Ok::<_, BoxError>(Response::new(String::new())) });
    let layer = SseLayer::new(sends(vec![Event::new("x")])).path("/");
    let service = ServiceBuilder::new().layer(cors).layer(layer).service(pages);
    let with_origin = |method| {
        let request = Request::builder().method(method).uri("/");
        request.header("origin", "https://page.test").body(()).unwrap()
    };
    let response = service.clone().oneshot(with_origin(Method::GET)).await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "https://page.test");
    assert_eq!(response.headers()["access-control-allow-credentials"], "true");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(bytes, ": connected\ndata: x\n\n");

    // The CORS layer responds to a preflight itself.
    let mut preflight = with_origin(Method::OPTIONS);
    let headers = preflight.headers_mut();
    headers.insert("access-control-request-method", HeaderValue::from_static("GET"));
    let response = service.oneshot(preflight).await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "https://page.test");
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());

    // The same over a handler without a layer.
    let handler = event_channel_handler(|_: Request<()>, _| async { Ok(()) });
    let service = ServiceBuilder::new().layer(CorsLayer::permissive()).service(handler);
    let response = service.oneshot(with_origin(Method::GET).map(|_| ())).await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
}
