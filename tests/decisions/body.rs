//! The body: who polls what, in which order, and how it ends.

use std::{
    cell::Cell,
    error::Error as _,
    future::{Future, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc::channel,
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _, stream};
use http::{Method, Response};
use static_assertions::assert_impl_all;
use tokio::time::{Instant, sleep};
use tokio_io_timeout::TimeoutStream;
use tower::service_fn;
use tower_sse::{
    BoxError, Buffer, Connect, EndReason, Event, EventBody, EventBodyError, EventSender, KeepAlive,
    event_channel, event_channel_handler,
};

use super::{
    SECOND, Woken,
    support::{
        decode,
        ends::Ends,
        http::{Server, call, get, read_incoming, request, soon},
        log::Log,
        never_hangs, read_all, read_text,
    },
};

/// Polls a body once.
fn poll(body: &mut EventBody, waker: &Waker) -> Poll<Option<Result<Bytes, EventBodyError>>> {
    pin!(body.next_chunk()).poll(&mut Context::from_waker(waker))
}

/// Three chunks of a body that never has to wait, which would hang if it took its turn for ever.
fn three_chunks<Fut>(
    buffer: Buffer,
    handler: impl FnOnce(EventSender) -> Fut + Send + 'static,
) -> Vec<Bytes>
where
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    never_hangs(move || {
        let mut body = EventBody::new(handler).buffer(buffer).without_keep_alive();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut chunks = Vec::new();
            for _ in 0..3 {
                chunks.push(body.next_chunk().await.unwrap().unwrap());
            }
            chunks
        })
    })
}

#[test]
fn d01_a_handler_that_never_waits_does_not_hang_its_body() {
    for buffer in [Buffer::dropping(8), Buffer::sliding(8), Buffer::fixed(8)] {
        let chunks = three_chunks(buffer, |events| async move {
            loop {
                events.send(Event::new("x")).await?;
            }
        });
        assert!(chunks[0].starts_with(b": connected\n\ndata: x\n\n"), "{buffer:?}");
        assert!(chunks[2].starts_with(b"data: x\n\n"), "{buffer:?}");
        assert!(chunks.iter().all(|chunk| chunk.len() <= 13 + 8 * 9), "{buffer:?}");

        let from_stream = never_hangs(move || {
            let endless = stream::repeat_with(|| Event::new("x"));
            let mut body = EventBody::from_stream(endless).buffer(buffer).without_keep_alive();
            body.next_chunk().now_or_never()
        });
        assert!(from_stream.unwrap().unwrap().unwrap().starts_with(b": connected\n\ndata: x\n\n"));
    }
}

#[test]
fn d01_a_buffer_without_a_bound_in_events_does_not_hang_its_body_either() {
    for buffer in
        [Buffer::dropping(usize::MAX), Buffer::sliding(usize::MAX), Buffer::fixed(usize::MAX)]
    {
        let chunks = three_chunks(buffer.max_bytes(100), |events| async move {
            loop {
                events.send(Event::new("x")).await?;
            }
        });
        assert!(chunks[2].starts_with(b"data: x\n\n"), "{buffer:?}");
    }
}

#[test]
fn d01_a_sink_that_never_waits_does_not_hang_its_body() {
    for buffer in [Buffer::fixed(8), Buffer::dropping(8), Buffer::sliding(8)] {
        let chunks = three_chunks(buffer, |mut events| async move {
            let mut endless = stream::repeat_with(|| Ok(Event::new("x")));
            Ok(events.send_all(&mut endless).await?)
        });
        assert!(chunks[2].starts_with(b"data: x\n\n"), "{buffer:?}");
    }
}

#[test]
fn d01_a_sink_that_ignores_its_errors_does_not_hang_its_body() {
    use futures_util::SinkExt as _;

    for buffer in [Buffer::fixed(4), Buffer::dropping(4), Buffer::sliding(4)] {
        let is_pending = move |handler: EventBody| {
            let mut body = handler.buffer(buffer.max_event_bytes(4)).without_keep_alive();
            body.next_chunk().now_or_never().unwrap().unwrap().unwrap();
            // It was too large, or the stream was closed, again and again; and it let the body go on.
            matches!(body.next_chunk().now_or_never(), None | Some(None))
        };
        assert!(never_hangs(move || is_pending(EventBody::new(|mut events| async move {
            loop {
                let _ = events.feed(Event::new("too large")).await;
            }
        }))));
        assert!(never_hangs(move || is_pending(EventBody::new(|mut events| async move {
            events.close();
            loop {
                let _ = events.feed(Event::new("x")).await;
            }
        }))));
        assert!(never_hangs(move || is_pending(EventBody::new(|mut events| async move {
            let _open = events.clone();
            futures_util::SinkExt::<Event>::close(&mut events).await?;
            loop {
                let _ = events.send(Event::new("x")).await;
                let _ = events.feed(Event::new("x")).await;
            }
        }))));
    }
}

#[test]
fn d01_a_handler_that_ignores_the_end_does_not_hang_its_body() {
    let end = never_hangs(|| {
        let mut body = EventBody::new(|events| async move {
            events.close();
            loop {
                let _ = events.send(Event::new("x")).await;
            }
        })
        .without_greeting()
        .without_keep_alive();
        body.next_chunk().now_or_never().map(|chunk| chunk.is_none())
    });
    assert_eq!(end, Some(true));
}

#[test]
fn d01_the_head_gets_out_of_a_handler_that_never_waits() {
    let text = never_hangs(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let handler = event_channel_handler(|_, events| async move {
                loop {
                    events.send(Event::new("x")).await?;
                }
            })
            .buffer(Buffer::sliding(64));
            let server = Server::start(handler).await;
            let mut client = server.get_raw("/").await;
            client.until("data: x\n\n").await;
            client.text()
        })
    });
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text:?}");
}

/// A server that cuts a connection which takes nothing for a while.
fn cuts_stalled(
    stream: tokio::net::TcpStream,
) -> std::pin::Pin<Box<TimeoutStream<tokio::net::TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(Duration::from_millis(300)));
    Box::pin(stream)
}

#[tokio::test]
async fn d02_a_client_that_stops_reading_is_cut_by_a_write_timeout() {
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, events| async move {
        loop {
            events.send(Event::new("x".repeat(10_000))).await?;
        }
    })
    .on_disconnect(ends.hook());
    let server = Server::start_over(handler, cuts_stalled).await;
    let mut client = server.get_raw("/").await;
    client.until("xxx").await;
    let end = ends.next().await;
    assert_eq!(end.reason(), EndReason::ClientGone);
    assert!(end.bytes() > 100_000, "{end:?}");
}

#[tokio::test]
async fn d02_an_idle_stream_is_not_cut_by_a_write_timeout() {
    let (go_on, wait) = tokio::sync::oneshot::channel();
    let wait = Arc::new(Mutex::new(Some(wait)));
    let mut ends = Ends::new();
    let handler = event_channel_handler(move |_, events| {
        let wait = wait.lock().unwrap().take().unwrap();
        async move {
            wait.await?;
            events.send(Event::new("later")).await?;
            Ok(())
        }
    })
    .on_disconnect(ends.hook());
    let server = Server::start_over(handler, cuts_stalled).await;
    let mut client = server.get_raw("/").await;
    client.until(": connected").await;
    sleep(SECOND * 9 / 10).await;
    go_on.send(()).unwrap();
    client.until("data: later\n\n").await;
    assert_eq!(ends.next().await.reason(), EndReason::Finished);
}

#[tokio::test]
async fn d02_in_task_a_handler_goes_on_while_nobody_polls_its_body() {
    let (tell, mut dropped) = tokio::sync::watch::channel(0);
    let tell = Arc::new(tell);
    let handler = event_channel_handler(move |_, events| {
        let tell = tell.clone();
        async move {
            loop {
                events.send(Event::new("x".repeat(10_000))).await?;
                tell.send_replace(events.dropped());
                tokio::task::yield_now().await;
            }
        }
    })
    .buffer(Buffer::sliding(4))
    .spawn_handler();
    let server = Server::start(handler).await;
    let mut client = server.get_raw("/").await;
    client.until("xxx").await;
    // The client reads no more, so nobody takes anything any more: all that is sent makes an older
    // one go.
    for many in [1_000, 2_000, 3_000] {
        soon(dropped.wait_for(|dropped| *dropped > many)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn d03_inside_its_body_a_handler_is_paused_with_it_and_in_task_it_is_not() {
    for spawn_handler in [false, true] {
        let ticks = Arc::new(AtomicUsize::new(0));
        let counted = ticks.clone();
        let body = EventBody::new(move |_| async move {
            loop {
                counted.fetch_add(1, SeqCst);
                sleep(SECOND).await;
            }
        });
        let mut body = if spawn_handler { body.spawn_handler() } else { body };
        sleep(5 * SECOND).await;
        assert_eq!(ticks.load(SeqCst), 0, "it starts with the first poll");
        body.next_chunk().await.unwrap().unwrap();
        sleep(10 * SECOND + SECOND / 2).await;
        assert_eq!(ticks.load(SeqCst), if spawn_handler { 11 } else { 1 });
        drop(body);
        sleep(SECOND).await;
        let then = ticks.load(SeqCst);
        sleep(10 * SECOND).await;
        assert_eq!(ticks.load(SeqCst), then, "it is aborted with its body");
    }
}

/// Sends three events and fails.
fn fails<B: Send + 'static>() -> tower_sse::EventChannelHandler<B> {
    event_channel_handler(|_, events| async move {
        for n in 0..3 {
            events.send(Event::new(format!("number {n}"))).await?;
        }
        let inner = std::io::Error::other("inner");
        Err(std::io::Error::other(inner).into())
    })
}

#[tokio::test]
async fn d04_what_was_sent_before_an_error_arrives_over_http_1_without_a_last_chunk() {
    let server = Server::start(fails()).await;
    for _ in 0..20 {
        let mut client = server.get_raw("/").await;
        client.read_to_end().await;
        let text = client.text();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text:?}");
        assert!(text.contains("data: number 2\n\n"), "{text:?}");
        assert!(!text.ends_with("0\r\n\r\n"), "{text:?}");
    }
    let answer = server.http1().await.send_request(request(Method::GET, "/")).await.unwrap();
    let (bytes, error) = read_incoming(answer.into_body()).await;
    assert_eq!(decode(bytes).len(), 3);
    let error = error.unwrap();
    let cause = error.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(cause.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn d04_what_was_sent_before_an_error_arrives_over_http_2_and_the_stream_is_reset() {
    let server = Server::start(fails()).await;
    let (mut client, _) = server.http2().await;
    for _ in 0..20 {
        let answer = soon(client.send_request(request(Method::GET, "/"))).await.unwrap();
        assert_eq!(answer.status(), 200);
        let (bytes, error) = read_incoming(answer.into_body()).await;
        assert_eq!(decode(bytes).len(), 3);
        // A reset, and the connection lives on.
        let error = format!("{:?}", error.unwrap());
        assert!(error.contains("Reset") && error.contains("INTERNAL_ERROR"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn d04_the_error_frame_waits_and_names_its_cause_but_not_as_a_source() {
    let mut body = call(&fails(), get("/")).await.into_body();
    let started = Instant::now();
    let (frames, error) = read_all(&mut body).await;
    assert_eq!(decode(frames.concat()).len(), 3);
    assert!((10..20).contains(&started.elapsed().as_millis()));
    let error = error.unwrap();
    assert!(error.source().is_none());
    assert!(error.get_ref().is::<std::io::Error>());
}

#[tokio::test(start_paused = true)]
async fn d05_a_sender_that_is_kept_does_not_keep_the_connections_task() {
    for ends_itself in [false, true] {
        for spawn_handler in [false, true] {
            let (keep, kept) = channel();
            let body = EventBody::new(move |events| {
                keep.send(events).unwrap();
                pending()
            });
            let mut body = if spawn_handler { body.spawn_handler() } else { body };
            let (woken, waker) = Woken::new();
            assert!(poll(&mut body, &waker).is_ready(), "the greeting");
            while poll(&mut body, &waker).is_ready() {}
            // The task runs now if there is one.
            tokio::task::yield_now().await;
            let events = kept.recv().unwrap();
            drop(waker);
            assert!(Arc::strong_count(&woken) > 1, "the body waits");
            if ends_itself {
                events.close();
                let Poll::Ready(None) = poll(&mut body, Waker::noop()) else { panic!("no end") };
            } else {
                drop(body);
            }
            tokio::task::yield_now().await;
            assert_eq!(Arc::strong_count(&woken), 1, "ends itself: {ends_itself}, {spawn_handler}");
            assert!(events.is_closed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn d05_a_handlers_own_sends_do_not_wake_its_task() {
    let (go_on, mut wait) = tokio::sync::mpsc::channel(1);
    let mut body = EventBody::new(move |events| async move {
        while wait.recv().await.is_some() {
            for n in 0..3 {
                events.send(Event::new(n)).await?;
            }
        }
        Ok(())
    })
    .without_greeting();
    let (woken, waker) = Woken::new();
    assert!(poll(&mut body, &waker).is_pending());
    for round in 1..=3 {
        go_on.send(()).await.unwrap();
        assert_eq!(woken.count(), round, "by what it waits for");
        assert!(poll(&mut body, &waker).is_ready());
        assert!(poll(&mut body, &waker).is_pending());
        assert_eq!(woken.count(), round, "not by what it sends");
    }
}

#[test]
fn d05_wakers_are_called_outside_the_lock() {
    /// Looks into the channel when it is woken, which locks it.
    struct Looks(Mutex<Option<EventSender>>, AtomicUsize);
    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            let events = self.0.lock().unwrap().clone();
            events.into_iter().for_each(|events| drop(events.try_send(Event::new("reentrant"))));
            self.1.fetch_add(1, SeqCst);
        }
    }
    never_hangs(|| {
        let (events, receiver) = event_channel(Buffer::fixed(2));
        let mut body = EventBody::from(receiver).without_greeting().without_keep_alive();
        let looks = Arc::new(Looks(Mutex::new(Some(events.clone())), AtomicUsize::new(0)));
        let waker = Waker::from(looks.clone());
        assert!(poll(&mut body, &waker).is_pending());
        // The body is woken by a send, then a waiting sender by the body, and all by the end.
        events.try_send(Event::new(1)).unwrap();
        assert_eq!(looks.1.load(SeqCst), 1);
        let mut waits = Box::pin(events.send(Event::new(3)));
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(poll(&mut body, &waker).is_ready());
        assert_eq!(looks.1.load(SeqCst), 2);
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        looks.0.lock().unwrap().take();
        while poll(&mut body, &waker).is_ready() {}
        events.close();
        assert_eq!(looks.1.load(SeqCst), 3);
    });
}

#[tokio::test(start_paused = true)]
async fn d06_close_lets_out_what_is_queued_and_drops_the_handler_where_it_awaits() {
    struct Tells(Arc<AtomicBool>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    let was_dropped = Arc::new(AtomicBool::new(false));
    let tells = Tells(was_dropped.clone());
    let mut ends = Ends::new();
    let (keep, kept) = channel();
    let mut body = EventBody::new(move |events| async move {
        let _tells = tells;
        for n in 0..3 {
            events.send(Event::new(n)).await?;
        }
        keep.send(events.clone())?;
        pending().await
    })
    .on_disconnect(ends.hook());
    // The handler has sent, and waits for ever. Then somebody else closes.
    assert_eq!(decode(body.next_chunk().await.unwrap().unwrap()).len(), 3);
    let events = kept.recv().unwrap();
    events.send(Event::new("queued")).await.unwrap();
    events.close();
    assert!(events.send(Event::new("late")).await.unwrap_err().is_closed());
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "data: queued\n\n");
    assert!(body.next_chunk().await.is_none());
    assert!(was_dropped.load(SeqCst));
    assert_eq!(ends.only().reason(), EndReason::Finished);
}

#[tokio::test(start_paused = true)]
async fn d06_the_first_reason_wins() {
    type End = fn(&EventSender);
    let close: End = EventSender::close;
    let fail: End = |events| events.fail("failed");
    for (first, second, reason) in [
        (close, fail, EndReason::Finished),
        (fail, close, EndReason::Failed),
        (close, close, EndReason::Finished),
    ] {
        let mut ends = Ends::new();
        let mut body = EventBody::new(move |events| async move {
            events.send(Event::new("x")).await?;
            first(&events);
            second(&events);
            // The error of a send after the end is no failure of the handler.
            events.send(Event::new("late")).await?;
            Ok(())
        })
        .on_disconnect(ends.hook());
        let (frames, error) = read_all(&mut body).await;
        assert_eq!(decode(frames.concat()).len(), 1);
        assert_eq!(error.is_some(), reason == EndReason::Failed);
        assert_eq!(ends.only().reason(), reason);
    }
}

#[tokio::test(start_paused = true)]
async fn d06_fail_ends_a_stream_abnormally_from_a_task_and_closed_tells() {
    let mut ends = Ends::new();
    let (events, receiver) = event_channel(Buffer::default());
    let mut body = EventBody::from(receiver).on_disconnect(ends.hook());
    let waits = tokio::spawn({
        let events = events.clone();
        async move { events.closed().await }
    });
    tokio::spawn(async move {
        events.send(Event::new("x")).await.unwrap();
        sleep(SECOND).await;
        events.fail(std::io::Error::other("the task broke"));
        events.closed().await;
    });
    let (frames, error) = read_all(&mut body).await;
    assert_eq!(decode(frames.concat()).len(), 1);
    assert_eq!(error.unwrap().get_ref().to_string(), "the task broke");
    assert_eq!(ends.only().reason(), EndReason::Failed);
    waits.await.unwrap();

    // And it tells that a client is gone.
    let (events, receiver) = event_channel(Buffer::default());
    let mut closed = pin!(events.closed());
    assert!(closed.as_mut().now_or_never().is_none());
    drop(EventBody::from(receiver));
    closed.now_or_never().unwrap();
}

#[tokio::test(start_paused = true)]
async fn d07_a_panic_anywhere_in_a_handler_is_its_failure() {
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let in_call =
        EventBody::new(|_| -> std::future::Ready<Result<(), BoxError>> { panic!("in call") });
    let in_poll = EventBody::new(|_| async {
        tokio::task::yield_now().await;
        panic!("in poll")
    });
    let in_source =
        EventBody::from_stream(stream::poll_fn(|_| -> Poll<Option<Event>> { panic!("in source") }));
    let spawn_handler = EventBody::new(|_| async { panic!("in task") }).spawn_handler();
    for body in [in_call, in_poll, in_source, spawn_handler] {
        let mut ends = Ends::new();
        let (_, error) = read_all(&mut body.on_disconnect(ends.hook())).await;
        assert!(error.unwrap().get_ref().to_string().contains("panicked: in "));
        let end = ends.only();
        assert_eq!(end.reason(), EndReason::Failed);
        assert!(end.error().unwrap().to_string().contains("panicked: in "));
    }

    // In the drop of its future: while it is live, and before it was ever polled.
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
async fn d07_a_panic_in_on_connect_is_a_500_and_one_in_a_hook_is_logged() {
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
    assert_eq!(read_text(body).await, ": connected\n\n");
    let logged = log.lines().iter().any(|line| line.contains("in the hook"));
    assert_eq!(logged, cfg!(feature = "tracing"));
}

#[tokio::test(start_paused = true)]
async fn d07_the_hook_runs_once_also_for_a_response_that_nobody_polls() {
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, _| async { Ok(()) }).on_disconnect(ends.hook());
    let response: Response<EventBody> = call(&handler, get("/")).await;
    ends.none();
    drop(response);
    let end = ends.only();
    assert_eq!((end.reason(), end.bytes()), (EndReason::ClientGone, 0));
}

#[tokio::test(start_paused = true)]
async fn d07_the_handler_is_dropped_then_counted_then_the_hook_is_told() {
    struct Tells(EventSender, Arc<Mutex<Vec<String>>>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(format!("handler, closed: {}", self.0.is_closed()));
        }
    }
    let order = Arc::new(Mutex::new(Vec::new()));
    let (tells, hook) = (order.clone(), order.clone());
    let mut body = EventBody::new(move |events| async move {
        events.send(Event::new("x")).await?;
        let _tells = Tells(events, tells);
        pending().await
    })
    .on_disconnect(move |end| hook.lock().unwrap().push(format!("hook, events: {}", end.events())));
    body.next_chunk().await.unwrap().unwrap();
    drop(body);
    assert_eq!(*order.lock().unwrap(), ["handler, closed: true", "hook, events: 1"]);
}

#[test]
fn d08_between_two_pendings_go_64_kib_in_however_many_frames() {
    let handlers: [(fn() -> EventBody, usize); 2] = [
        // One event larger than that, sliced.
        (|| EventBody::from_stream(stream::iter([Event::new("x".repeat(300_000))])), 300_000 + 8),
        // Many small ones.
        (
            || EventBody::from_stream(stream::iter((0..5_000).map(|_| Event::new("x".repeat(92))))),
            500_000,
        ),
    ];
    for (make, total) in handlers {
        let mut body = make().without_greeting().without_keep_alive();
        let (woken, waker) = Woken::new();
        let (mut all, mut since, mut pendings, mut woken_before) = (0, 0, 0, 0);
        loop {
            match poll(&mut body, &waker) {
                Poll::Ready(None) => break,
                Poll::Ready(Some(chunk)) => {
                    let len = chunk.unwrap().len();
                    (all, since) = (all + len, since + len);
                    assert!(since <= 64 << 10, "{since}");
                }
                Poll::Pending => {
                    pendings += 1;
                    assert!(woken.count() > woken_before, "it goes on by itself");
                    (since, woken_before) = (0, woken.count());
                }
            }
        }
        assert_eq!(all, total);
        assert!(pendings >= total / (64 << 10));
    }
}

#[tokio::test(start_paused = true)]
async fn d09_greeting_and_retry_are_never_lost_to_a_buffer() {
    for buffer in [Buffer::dropping(1), Buffer::sliding(1), Buffer::fixed(1).max_bytes(1)] {
        let body = || {
            EventBody::new(|events| async move {
                for n in 0..9 {
                    let _ = events.try_send(Event::new(n));
                }
                Ok(())
            })
            .buffer(buffer)
            .retry(7 * SECOND)
        };
        let mut with_greeting = body();
        // Joined with what the handler's first poll gave.
        let first = with_greeting.next_chunk().await.unwrap().unwrap();
        assert!(first.starts_with(b": connected\nretry: 7000\n\ndata: "), "{first:?}");
        assert!(with_greeting.next_chunk().await.is_none());

        let text = read_text(body().without_greeting()).await;
        assert!(text.starts_with("retry: 7000\n\ndata: "), "{text:?}");
        assert_eq!(decode(text).len(), 1);
    }
}

#[test]
fn d13_a_stream_without_timers_runs_anywhere_and_one_with_them_says_so() {
    let log = Log::start();
    let one = || {
        EventBody::new(|events| async move {
            events.send(Event::new("x")).await?;
            Ok(())
        })
    };
    let text = read_text(one().without_keep_alive()).now_or_never().unwrap();
    assert_eq!(text, ": connected\n\ndata: x\n\n");
    assert_eq!(log.lines(), [""; 0]);

    // With keep-alives too, until one would have to be waited for.
    let text = read_text(one().keep_alive(KeepAlive::every(SECOND))).now_or_never().unwrap();
    assert_eq!(text, ": connected\n\ndata: x\n\n");
    assert_eq!(log.lines(), [""; 0]);
    let mut waits = EventBody::new(|_| pending()).keep_alive(KeepAlive::every(SECOND));
    waits.next_chunk().now_or_never().unwrap().unwrap().unwrap();
    for _ in 0..2 {
        assert!(waits.next_chunk().now_or_never().is_none());
    }
    assert_eq!(log.lines().len(), usize::from(cfg!(feature = "tracing")));

    // Made outside of a runtime, polled inside.
    let body = one().keep_alive(KeepAlive::every(SECOND));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert_eq!(runtime.block_on(read_text(body)), ": connected\n\ndata: x\n\n");
}

#[test]
fn d14_a_body_is_send_and_sync_though_its_handler_is_not_sync() {
    fn is_sync<T: Send + Sync + Unpin>(_: &T) {}
    assert_impl_all!(EventBody: Send, Sync, Unpin, http_body::Body<Data = Bytes>);
    let body = EventBody::new(|_| async {
        let not_sync = Cell::new(0);
        tokio::task::yield_now().await;
        not_sync.set(1);
        Ok(())
    });
    is_sync(&body);
    is_sync(&EventBody::from_stream(stream::once(async { Event::new("x") }).boxed()));
    assert!(!http_body::Body::is_end_stream(&body));
}

#[tokio::test(start_paused = true)]
async fn d15_counts_are_of_what_was_handed_to_the_server() {
    let mut ends = Ends::new();
    let three = |ends: &Ends| {
        EventBody::new(|events| async move {
            for n in 0..3 {
                events.send(Event::new(n).with_id(n)).await?;
                sleep(SECOND).await;
            }
            Ok(())
        })
        .on_disconnect(ends.hook())
    };
    for chunks in 0..=3 {
        let mut body = three(&ends);
        let mut bytes = 0;
        for _ in 0..chunks {
            bytes += body.next_chunk().await.unwrap().unwrap().len() as u64;
        }
        drop(body);
        let end = ends.only();
        assert_eq!((end.events(), end.bytes()), (chunks, bytes));
        let last = chunks.checked_sub(1).map(|last| last.to_string());
        assert_eq!(end.last_event_id().map(str::to_owned), last);
    }

    // Accepted, but never handed over.
    let (events, receiver) = event_channel(Buffer::default());
    events.send(Event::new("x").with_id(7)).await.unwrap();
    drop(EventBody::from(receiver).on_disconnect(ends.hook()));
    let end = ends.only();
    assert_eq!((end.events(), end.last_event_id()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn d15_an_id_that_a_sliding_buffer_dropped_was_not_handed_over() {
    // What slides out is still in a piece of small events, or in one that a large one has closed.
    for last in [Event::new("small"), Event::new("x".repeat(10_000))] {
        let mut ends = Ends::new();
        let (events, receiver) = event_channel(Buffer::sliding(3));
        for event in [Event::new("a").with_id(1), Event::new("b")] {
            events.try_send(event).unwrap();
        }
        events.try_send(last.encode()).unwrap();
        events.try_send(Event::new("c")).unwrap();
        drop(events);
        let body = EventBody::from(receiver).on_disconnect(ends.hook());
        let decoded = decode(read_text(body).await);
        assert_eq!(decoded.len(), 3);
        assert!(decoded.iter().all(|(_, _, id)| id.is_none()));
        let end = ends.only();
        assert_eq!((end.events(), end.dropped(), end.last_event_id()), (3, 1, None));
    }
}

#[tokio::test(start_paused = true)]
async fn d15_the_id_of_a_keep_alive_is_handed_over_too() {
    let mut ends = Ends::new();
    let position = Event::default().with_id("position");
    let mut body = EventBody::new(|_| pending())
        .without_greeting()
        .keep_alive(KeepAlive::every(SECOND).without_comment().event(position))
        .on_disconnect(ends.hook());
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "id: position\n\n");
    drop(body);
    let end = ends.only();
    assert_eq!((end.events(), end.last_event_id()), (0, Some("position")));
}

#[tokio::test(start_paused = true)]
async fn d15_an_event_that_is_cut_into_frames_counts_with_its_last_byte() {
    let mut ends = Ends::new();
    let large = |ends: &Ends| {
        EventBody::new(|events| async move {
            events.send(Event::new("x".repeat(100_000)).with_id(7)).await?;
            pending().await
        })
        .without_greeting()
        .on_disconnect(ends.hook())
    };
    let mut body = large(&ends);
    body.next_chunk().await.unwrap().unwrap();
    drop(body);
    let end = ends.only();
    assert_eq!((end.events(), end.last_event_id()), (0, None));
    let mut body = large(&ends);
    for _ in 0..2 {
        body.next_chunk().await.unwrap().unwrap();
    }
    drop(body);
    let end = ends.only();
    assert_eq!((end.events(), end.last_event_id()), (1, Some("7")));
}

#[tokio::test(start_paused = true)]
async fn d16_the_closure_is_called_at_the_first_poll_so_settings_after_new_apply() {
    let called = Arc::new(AtomicBool::new(false));
    let calls = called.clone();
    let body = EventBody::new(move |events| {
        calls.store(true, SeqCst);
        // Already the buffer that is set below.
        for n in 0..5 {
            events.try_send(Event::new(n)).unwrap();
        }
        async { Ok(()) }
    });
    let mut body = body.buffer(Buffer::dropping(2)).without_greeting();
    assert!(!called.load(SeqCst));
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "data: 0\n\ndata: 1\n\n");
    assert!(called.load(SeqCst));

    // Inside a handler of a framework.
    let service = service_fn(|_: http::Request<()>| async {
        let body = EventBody::new(|events| async move {
            events.send(Event::new("x")).await?;
            Ok(())
        });
        Ok::<_, BoxError>(body.into_response())
    });
    let response = tower::ServiceExt::oneshot(service, get("/")).await.unwrap();
    assert_eq!(read_text(response.into_body()).await, ": connected\n\ndata: x\n\n");
}
