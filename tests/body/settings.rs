//! Settings: when they apply, and that they can be set as a group.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use tokio::time::sleep;
use tower::service_fn;
use tower_sse::{
    BodyOptions, BoxError, Buffer, EndReason, Event, EventBody, HandlerOptions, KeepAlive,
    event_channel_handler,
};

use crate::support::{
    SECOND,
    ends::Ends,
    handlers::body_of_events,
    http::{call, get},
    read_text, timed,
};

#[tokio::test(start_paused = true)]
async fn the_closure_is_called_at_the_first_poll_so_later_settings_apply() {
    let called = Arc::new(AtomicBool::new(false));
    let calls = called.clone();
    let options = HandlerOptions::new().buffer(Buffer::dropping(2));
    let body = EventBody::with_options(options, move |events| {
        calls.store(true, SeqCst);
        for n in 0..5 {
            events.try_send(Event::new(n)).unwrap();
        }
        async { Ok(()) }
    });
    let mut body = body.without_greeting();
    assert!(!called.load(SeqCst));
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "data: 0\n\ndata: 1\n\n");
    assert!(called.load(SeqCst));

    // Inside a handler of another framework.
    let service = service_fn(|_: http::Request<()>| async {
        let body = EventBody::new(|events| async move {
            events.send(Event::new("x")).await?;
            Ok(())
        });
        Ok::<_, BoxError>(body.into_http_response())
    });
    let response = tower::ServiceExt::oneshot(service, get("/")).await.unwrap();
    assert_eq!(read_text(response.into_body()).await, ": connected\ndata: x\n\n");

    // Settings as a group.
    let options = BodyOptions::new().without_greeting();
    let with_buffer = HandlerOptions::from(options.clone()).buffer(Buffer::dropping(1));
    let body = EventBody::with_options(with_buffer, |events| async move {
        for n in 0..3 {
            events.try_send(Event::new(n))?;
        }
        assert_eq!(events.dropped(), 2);
        Ok(())
    });
    assert_eq!(read_text(body).await, "data: 0\n\n");
    assert_eq!(read_text(body_of_events(1).options(options)).await, "id: 0\ndata: 0\n\n");
}

#[tokio::test(start_paused = true)]
async fn buffer_keep_alive_and_hook_are_settings_of_a_handler() {
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, events| async move {
        for n in 0..3 {
            events.try_send(Event::new(n))?;
        }
        sleep(3 * SECOND).await;
        Ok(())
    })
    .buffer(Buffer::dropping(2))
    .keep_alive(KeepAlive::every(2 * SECOND).comment("still here"))
    .on_disconnect(ends.hook());
    let chunks = timed(call(&handler, get("/")).await.into_body()).await;
    let first = ": connected\ndata: 0\n\ndata: 1\n\n".to_owned();
    assert_eq!(chunks, [(0, first), (2000, ": still here\n".to_owned())]);
    assert_eq!((ends.only().dropped(), EndReason::Finished), (1, EndReason::Finished));
}
