//! cl-sse, client: its demo, whose server is ours.

use http::{Request, Response};
use tokio::time::sleep;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tower_sse::{BoxError, Event, SseLayer, event_channel_handler};

use super::{
    SECOND,
    support::{decode, http::get},
};

#[tokio::test(start_paused = true)]
async fn c23_a_page_ten_events_two_seconds_apart_a_hang_up_and_the_client_comes_back() {
    let hello = event_channel_handler(|_, events| async move {
        for n in 0..10 {
            events.send(Event::new(format!("Hello World! {n}"))).await?;
            sleep(2 * SECOND).await;
        }
        Ok(())
    })
    .retry(3 * SECOND);
    let pages = service_fn(|request: Request<()>| async move {
        Ok::<_, BoxError>(Response::new(match request.uri().path() {
            "/" => "index".to_owned(),
            "/sse" => "page".to_owned(),
            path => panic!("{path} reached the pages"),
        }))
    });
    let demo = ServiceBuilder::new().layer(SseLayer::new(hello).path("/events")).service(pages);
    for (path, text) in [("/", "index"), ("/sse", "page")] {
        let response = demo.clone().oneshot(get(path)).await.unwrap();
        let bytes =
            http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        assert_eq!(bytes, text);
    }
    for _ in ["the browser", "the browser, back again"] {
        let started = tokio::time::Instant::now();
        let response = demo.clone().oneshot(get("/events")).await.unwrap();
        let bytes =
            http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        assert_eq!(started.elapsed().as_secs(), 20);
        assert!(bytes.starts_with(b": connected\nretry: 3000\n\n"));
        let data: Vec<_> = decode(bytes).into_iter().map(|(_, data, _)| data).collect();
        assert_eq!(data, (0..10).map(|n| format!("Hello World! {n}")).collect::<Vec<_>>());
    }
}
