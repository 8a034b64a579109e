//! Panics in application code: contained, logged, and the failure of the stream.

use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    task::Poll,
};

use futures_util::stream;
use http::Request;
use tower::ServiceExt as _;
use tower_sse::{BoxError, Connect, EndReason, Event, EventBody, event_channel_handler};

use crate::support::{
    ends::Ends,
    handlers::{body_of_events, spawned_if},
    http::{call, get},
    log::Log,
    read_all, read_text,
};

#[tokio::test(start_paused = true)]
async fn a_panic_anywhere_in_a_handler_is_its_failure() {
    let in_call =
        EventBody::new(|_| -> std::future::Ready<Result<(), BoxError>> { panic!("in call") });
    let in_poll = EventBody::new(|_| async {
        tokio::task::yield_now().await;
        panic!("in poll")
    });
    let after_an_event = EventBody::new(|events| async move {
        events.send(Event::new("x")).await?;
        panic!("in poll")
    });
    let in_source =
        EventBody::from_stream(stream::poll_fn(|_| -> Poll<Option<Event>> { panic!("in source") }));
    let in_task = EventBody::with_options(spawned_if(true), |_| async { panic!("in task") });
    for body in [in_call, in_poll, after_an_event, in_source, in_task] {
        let mut ends = Ends::new();
        let (_, error) = read_all(&mut body.on_disconnect(ends.hook())).await;
        let error = error.unwrap().get_ref().to_string();
        assert!(error.starts_with("the handler panicked: in "), "{error}");
        let end = ends.only();
        assert_eq!(end.reason(), EndReason::Failed);
        assert!(end.error().unwrap().to_string().contains("panicked: in "));
    }

    // With a payload that is not text.
    let mut ends = Ends::new();
    let in_call =
        event_channel_handler(|_, _| -> std::future::Ready<Result<(), BoxError>> { panic_any(7) });
    let in_poll = event_channel_handler(|_, events| async move {
        events.send(Event::new("x")).await?;
        panic_any(vec![1])
    });
    let spawn_handler = event_channel_handler(|_, _| async { panic!("in task") }).spawn_handler();
    for handler in [in_call, in_poll, spawn_handler] {
        let handler = handler.on_disconnect(ends.hook());
        let (_, error) = read_all(&mut call(&handler, get("/")).await.into_body()).await;
        assert!(error.is_some());
        assert_eq!(ends.only().reason(), EndReason::Failed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_drop_of_a_handler_is_contained() {
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    // Before its first poll, and after it.
    for polls in [0, 1] {
        let mut ends = Ends::new();
        let guard = PanicsInDrop;
        let mut body = EventBody::new(move |_| async move {
            let _guard = guard;
            pending().await
        })
        .on_disconnect(ends.hook());
        for _ in 0..polls {
            body.next_chunk().await.unwrap().unwrap();
        }
        assert!(catch_unwind(AssertUnwindSafe(|| drop(body))).is_ok());
        assert_eq!(ends.only().reason(), EndReason::ClientGone);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_on_connect_is_a_500_and_one_in_a_hook_is_logged() {
    let handler = || event_channel_handler(|_, _| async { Ok(()) });
    let in_call = handler().on_connect(|_: Connect| -> std::future::Ready<_> { panic!("in call") });
    let in_poll = handler().on_connect(|_| async { panic!("in poll") });
    for handler in [in_call, in_poll] {
        let mut ends = Ends::new();
        let response = call(&handler.on_disconnect(ends.hook()), get("/")).await;
        assert_eq!(response.status(), 500);
        assert_eq!(read_text(response.into_body()).await, "");
        ends.none();
    }

    let log = Log::start();
    let body = EventBody::new(|_| async { Ok(()) }).on_disconnect(|_| panic!("in the hook"));
    assert_eq!(read_text(body).await, ": connected\n");
    let logged = log.lines().iter().any(|line| line.contains("in the hook"));
    assert_eq!(logged, cfg!(feature = "tracing"));

    let body = body_of_events(1).on_disconnect(|_| panic!("in the hook"));
    assert!(read_text(body).await.ends_with("data: 0\n\n"));
}

#[tokio::test(start_paused = true)]
async fn a_panic_whose_payload_panics_when_dropped_is_contained() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in the payload's drop");
        }
    }

    let mut ends = Ends::new();
    let mut body = EventBody::new(|_| async { panic_any(Bomb) }).on_disconnect(ends.hook());
    let (_, error) = read_all(&mut body).await;
    assert_eq!(error.unwrap().get_ref().to_string(), "the handler panicked: no message");
    assert_eq!(ends.only().reason(), EndReason::Failed);

    drop(EventBody::new(|_| async { Ok(()) }).on_disconnect(|_| panic_any(Bomb)));

    let handler = event_channel_handler::<_, _, ()>(|_, _| async { Ok(()) })
        .on_connect(|_| async { panic_any(Bomb) });
    assert_eq!(handler.oneshot(Request::new(())).await.unwrap().status(), 500);
}
