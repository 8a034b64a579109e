//! What a stream says before a shutdown ends it.

use std::{convert::Infallible, future::pending};

use futures_util::{StreamExt as _, stream};
use http::{Request, Response, StatusCode};
use tokio::time::sleep;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_sse::{BoxError, Buffer, EndReason, Event, EventBody, Shutdown, SseLayer, event_channel};

use crate::support::{
    SECOND,
    ends::Ends,
    farewells::{BYE, PLAIN_BYE, body_that_obeys, bye, plain_bye, reading},
    handlers::one_event_then_idle,
    http::{call, get},
    never_hangs, read_text,
};

#[tokio::test(start_paused = true)]
async fn the_farewell_follows_all_events_and_precedes_the_end() {
    let mut ends = Ends::new();
    let shutdown = Shutdown::new(bye());
    let handler = one_event_then_idle().shutdown(&shutdown).on_disconnect(ends.hook());
    let reading = reading(call(&handler, get("/")).await.into_body());
    sleep(SECOND).await;
    assert_eq!(shutdown.streams(), 1);
    assert!(!shutdown.is_started());
    shutdown.start();
    let (text, after) = reading.await.unwrap();
    assert_eq!(text, format!(": connected\ndata: x\n\n{BYE}"));
    assert_eq!(after, SECOND);
    let end = ends.only();
    assert_eq!(end.reason(), EndReason::ShutDown);
    // The farewell does not count as an event, but its ID is the last event ID.
    assert_eq!((end.events(), end.last_event_id()), (1, Some("9")));
    assert_eq!(end.bytes(), text.len() as u64);
    assert!(end.error().is_none());
    assert_eq!(shutdown.streams(), 0);
    shutdown.finished().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_without_farewell_says_nothing() {
    let shutdown = Shutdown::now();
    let reading =
        reading(call(&one_event_then_idle().shutdown(&shutdown), get("/")).await.into_body());
    sleep(SECOND).await;
    shutdown.start();
    assert_eq!(reading.await.unwrap(), (": connected\ndata: x\n\n".into(), SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_every_kind_of_body() {
    let shutdown = Shutdown::new(bye());
    let (events, receiver) = event_channel(Buffer::fixed(4));
    let bodies = [
        EventBody::new(|events| async move {
            events.send(Event::new("x")).await?;
            pending().await
        }),
        EventBody::from_stream(stream::iter([Event::new("x")]).chain(stream::pending())),
        EventBody::from(receiver),
        call(&one_event_then_idle(), get("/")).await.into_body(),
        call(&one_event_then_idle().spawn_handler(), get("/")).await.into_body(),
    ];
    events.send(Event::new("x")).await.unwrap();
    let reading: Vec<_> = bodies.map(|body| reading(body.shutdown(&shutdown))).into();
    sleep(SECOND).await;
    assert_eq!(shutdown.streams(), 5);
    shutdown.start();
    for reading in reading {
        assert!(reading.await.unwrap().0.ends_with(&format!("data: x\n\n{BYE}")));
    }
    assert!(events.is_closed());
}

#[tokio::test(start_paused = true)]
async fn queued_events_of_a_slow_client_still_go_out() {
    let shutdown = Shutdown::new(bye());
    let (events, receiver) = event_channel(Buffer::fixed(100));
    let mut body = EventBody::from(receiver).shutdown(&shutdown);
    body.next_chunk().await.unwrap().unwrap();
    for n in 0..100 {
        events.send(Event::new(n)).await.unwrap();
    }
    shutdown.start();
    // The body was not polled yet, so its senders are still open.
    assert!(!events.is_closed());
    let text = read_text(body).await;
    assert_eq!(text.matches("data: ").count(), 101);
    assert!(text.ends_with(BYE));
    assert!(events.send(Event::new("late")).await.unwrap_err().is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_says_its_farewell_for_every_reason_of_the_end() {
    let mut ends = Ends::new();
    // The handler returns when it is notified.
    let shutdown = Shutdown::new(plain_bye().grace_period(60 * SECOND));
    let body =
        body_that_obeys().shutdown(&shutdown).max_lifetime(20 * SECOND).on_disconnect(ends.hook());
    shutdown.start();
    assert_eq!(read_text(body).await, PLAIN_BYE);
    assert_eq!(ends.only().reason(), EndReason::Finished);
    // The lifetime ends the stream within the grace period.
    let shutdown = Shutdown::new(plain_bye().grace_period(60 * SECOND));
    let body = EventBody::new(|_| pending()).without_keep_alive().without_greeting();
    let body = body.shutdown(&shutdown).max_lifetime(20 * SECOND).on_disconnect(ends.hook());
    shutdown.start();
    assert_eq!(read_text(body).await, PLAIN_BYE);
    assert_eq!(ends.only().reason(), EndReason::Expired);
    // The handler returns before the staggered end.
    let shutdown = Shutdown::new(plain_bye().stagger_over(1_000_000 * SECOND));
    let body = EventBody::new(|_| async {
        sleep(SECOND).await;
        Ok(())
    });
    let body = body.without_greeting().shutdown(&shutdown);
    shutdown.start();
    assert_eq!(read_text(body).await, PLAIN_BYE);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_starts_while_the_last_bytes_go_out_still_says_the_farewell() {
    let shutdown = Shutdown::new(plain_bye());
    let body = EventBody::new(|events| async move {
        events.send(Event::new("x".repeat(100_000))).await?;
        Ok(())
    });
    let mut body = body.shutdown(&shutdown).without_greeting();
    assert_eq!(body.next_chunk().await.unwrap().unwrap().len(), 64 << 10);
    shutdown.start();
    assert!(read_text(body).await.ends_with(PLAIN_BYE));
}

#[tokio::test(start_paused = true)]
async fn a_layer_ends_the_streams_of_any_handler() {
    let shutdown = Shutdown::new(bye());
    let events = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(EventBody::new(|_| pending()).into_http_response())
    });
    let inner = service_fn(|_: Request<()>| async {
        Ok::<_, BoxError>(Response::new(String::from("a page")))
    });
    let service = SseLayer::new(events).path("/events").shutdown(&shutdown).layer(inner);
    let request = |uri| Request::get(uri).header("accept", "text/event-stream").body(()).unwrap();
    let response = service.clone().oneshot(request("/events")).await.unwrap();
    assert_eq!(shutdown.streams(), 1);
    shutdown.start();
    let read = |body| async move {
        let bytes = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        String::from_utf8(bytes.into()).unwrap()
    };
    assert_eq!(read(response.into_body()).await, format!(": connected\n{BYE}"));
    shutdown.finished().await;

    let response = service.clone().oneshot(request("/events")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(read(response.into_body()).await, "retry: 2000\n\n");
    let response = service.clone().oneshot(get("/events")).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    // The inner service still serves.
    let page = service.oneshot(request("/page")).await.unwrap();
    assert_eq!(read(page.into_body()).await, "a page");
}

#[test]
fn a_shutdown_needs_no_runtime() {
    never_hangs(|| {
        let shutdown = Shutdown::new(bye());
        let body = EventBody::new(|_| pending()).shutdown(&shutdown).without_keep_alive();
        shutdown.start();
        let text = futures_util::future::FutureExt::now_or_never(read_text(body)).unwrap();
        assert_eq!(text, format!(": connected\n{BYE}"));
    });
}
