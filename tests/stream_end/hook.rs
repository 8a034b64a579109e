//! The hook `on_disconnect`: once for each stream, after everything else, with the reason.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use http::Response;
use tokio::time::sleep;
use tower_sse::{
    BoxError, Buffer, EndReason, Event, EventBody, EventChannelHandler, EventSender, event_channel,
    event_channel_handler,
};

use crate::support::{
    SECOND,
    ends::Ends,
    handlers::{body_of_events, idle, idle_body, sends},
    http::{call, get},
    read_all,
};

#[tokio::test(start_paused = true)]
async fn the_hook_runs_once_however_the_stream_ends() {
    // Finished: the end is known with the last frame.
    let mut ends = Ends::new();
    let mut body = body_of_events(2).on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    let end = ends.only();
    assert_eq!(
        (end.reason(), end.events(), end.last_event_id()),
        (EndReason::Finished, 2, Some("1"))
    );
    drop(body);
    ends.none();

    // Dropped without a poll.
    let mut ends = Ends::new();
    drop(idle_body().on_disconnect(ends.hook()).into_http_response());
    let end = ends.only();
    assert_eq!((end.reason(), end.events(), end.bytes()), (EndReason::ClientGone, 0, 0));

    // Dropped while it is open.
    let mut ends = Ends::new();
    let mut body = idle_body().on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    sleep(5 * SECOND).await;
    drop(body);
    let end = ends.only();
    assert_eq!((end.reason(), end.bytes()), (EndReason::ClientGone, 12));
    assert_eq!(end.duration(), 5 * SECOND);

    // Closed while the handler runs.
    let mut ends = Ends::new();
    let mut body = EventBody::new(|events| async move {
        events.send(Event::new("last")).await?;
        events.close();
        events.close();
        assert!(events.send(Event::new("late")).await.unwrap_err().is_closed());
        std::future::pending().await
    })
    .on_disconnect(ends.hook());
    let (frames, error) = read_all(&mut body).await;
    assert!(frames.concat().ends_with(b"data: last\n\n") && error.is_none());
    assert_eq!(ends.only().reason(), EndReason::Finished);

    // Closed before a send: a handler that returns the error of that send has not failed.
    let mut ends = Ends::new();
    let mut body = EventBody::new(|events| async move {
        events.close();
        events.send(Event::new("late")).await?;
        Ok(())
    })
    .on_disconnect(ends.hook());
    assert!(read_all(&mut body).await.1.is_none());
    assert_eq!(ends.only().reason(), EndReason::Finished);

    // Failed from a task.
    let mut ends = Ends::new();
    let (events, receiver) = event_channel(Buffer::default());
    let mut body = EventBody::from(receiver).on_disconnect(ends.hook());
    events.try_send(Event::new("x")).unwrap();
    events.fail("no more");
    let (frames, error) = read_all(&mut body).await;
    assert!(frames.concat().ends_with(b"data: x\n\n"));
    assert_eq!(error.unwrap().to_string(), "event stream failed: no more");
    assert_eq!(ends.only().reason(), EndReason::Failed);

    // The streams of a handler, with each reason.
    let finished: EventChannelHandler<()> = sends(vec![Event::new("x")]);
    let failed = event_channel_handler(|_, _| async { Err("x".into()) });
    let closed = event_channel_handler(|_, events| async move {
        events.close();
        std::future::pending().await
    });
    for (handler, reason) in [
        (finished, EndReason::Finished),
        (failed, EndReason::Failed),
        (closed, EndReason::Finished),
    ] {
        let mut ends = Ends::new();
        let handler = handler.on_disconnect(ends.hook());
        read_all(&mut call(&handler, get("/")).await.into_body()).await;
        assert_eq!(ends.only().reason(), reason);
    }
    for polls in [0, 1] {
        let mut ends = Ends::new();
        let handler = idle().on_disconnect(ends.hook());
        let mut body = call(&handler, get("/")).await.into_body();
        for _ in 0..polls {
            body.next_chunk().await.unwrap().unwrap();
        }
        ends.none();
        drop(body);
        assert_eq!(ends.only().reason(), EndReason::ClientGone);
    }

    // A response that is dropped without being polled.
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, _| async { Ok(()) }).on_disconnect(ends.hook());
    let response: Response<EventBody> = call(&handler, get("/")).await;
    ends.none();
    drop(response);
    let end = ends.only();
    assert_eq!((end.reason(), end.bytes()), (EndReason::ClientGone, 0));
}

#[tokio::test(start_paused = true)]
async fn the_handler_is_dropped_and_its_events_counted_before_the_hook_runs() {
    struct Reports(EventSender, Arc<Mutex<Vec<String>>>);
    impl Drop for Reports {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(format!("handler, closed: {}", self.0.is_closed()));
        }
    }
    let order = Arc::new(Mutex::new(Vec::new()));
    let (reports, hook) = (order.clone(), order.clone());
    let mut body = EventBody::new(move |events| async move {
        events.send(Event::new("x")).await?;
        let _reports = Reports(events, reports);
        pending().await
    })
    .on_disconnect(move |end| hook.lock().unwrap().push(format!("hook, events: {}", end.events())));
    body.next_chunk().await.unwrap().unwrap();
    drop(body);
    assert_eq!(*order.lock().unwrap(), ["handler, closed: true", "hook, events: 1"]);

    // Without an event.
    let order = Arc::new(Mutex::new(Vec::new()));
    struct Drops(Arc<Mutex<Vec<&'static str>>>);
    impl Drop for Drops {
        fn drop(&mut self) {
            self.0.lock().unwrap().push("handler");
        }
    }
    let (reports, hook) = (Drops(order.clone()), order.clone());
    let mut body = EventBody::new(|_| async move {
        let _reports = reports;
        std::future::pending().await
    })
    .on_disconnect(move |_| hook.lock().unwrap().push("hook"));
    body.next_chunk().await.unwrap().unwrap();
    drop(body);
    assert_eq!(*order.lock().unwrap(), ["handler", "hook"]);
}

#[tokio::test(start_paused = true)]
async fn the_hook_gets_the_error_and_the_last_event_id() {
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, _| async {
        Err(std::io::Error::from(std::io::ErrorKind::NotFound).into())
    })
    .on_disconnect(ends.hook());
    read_all(&mut call(&handler, get("/")).await.into_body()).await;
    let end = ends.only();
    let error = end.error().unwrap().downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);

    let handler = sends(vec![Event::new("x").with_id(7)]).on_disconnect(ends.hook());
    read_all(&mut call(&handler, get("/")).await.into_body()).await;
    let end = ends.only();
    assert!(end.error().is_none());
    assert_eq!((end.events(), end.last_event_id()), (1, Some("7")));
}

#[tokio::test(start_paused = true)]
async fn after_the_end_senders_are_closed_and_the_hook_has_run() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, SeqCst);
        }
    }
    let open = Arc::new(AtomicUsize::new(0));
    let mut ends = Ends::new();
    let counts = open.clone();
    let (keep, kept) = std::sync::mpsc::channel();
    let handler = event_channel_handler(move |_, events| {
        counts.fetch_add(1, SeqCst);
        let counted = Counted(counts.clone());
        keep.send(events.clone()).unwrap();
        async move {
            let _counted = counted;
            events.send(Event::new("x")).await?;
            Err::<(), BoxError>("odd".into())
        }
    })
    .on_disconnect(ends.hook());
    let mut body = call(&handler, get("/")).await.into_body();
    read_all(&mut body).await;
    let events = kept.recv().unwrap();
    assert!(events.is_closed());
    events.closed().await;
    assert_eq!(open.load(SeqCst), 0);
    assert_eq!(ends.only().reason(), EndReason::Failed);
}
