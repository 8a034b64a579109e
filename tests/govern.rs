//! Streams that the server ends: shutdown, lifetime, deadline, eviction, revocation; on bodies,
//! with the clock paused.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _, stream};
use http::{Method, Request, Response, StatusCode};
use support::{
    ends::Ends,
    http::{call, get},
    never_hangs, read_all, read_text,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_sse::{
    BoxError, Buffer, Connect, EndReason, Event, EventBody, EventChannelHandler, EventSender,
    Farewell, Shutdown, SseLayer, event_channel, event_channel_handler,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn bye() -> Farewell {
    Farewell::new().event(Event::new("bye").with_type("end").with_id(9)).retry(2 * SECOND)
}

const BYE: &str = "event: end\nid: 9\nretry: 2000\ndata: bye\n\n";

/// Sends one event, and then never ends by itself.
fn endless<B: Send + 'static>() -> EventChannelHandler<B> {
    event_channel_handler(|_, events| async move {
        events.send(Event::new("x")).await?;
        pending().await
    })
}

/// Reads in a task, and tells the text, and how long it took to the end.
fn reading(body: EventBody) -> JoinHandle<(String, Duration)> {
    let start = Instant::now();
    tokio::spawn(async move {
        let text = read_text(body).await;
        (text, start.elapsed())
    })
}

// ===== shutdown =====

#[tokio::test(start_paused = true)]
async fn a_farewell_goes_out_behind_what_was_sent_and_before_the_end() {
    let mut ends = Ends::new();
    let shutdown = Shutdown::new(bye());
    let handler = endless().shutdown(&shutdown).on_disconnect(ends.hook());
    let reading = reading(call(&handler, get("/")).await.into_body());
    sleep(SECOND).await;
    assert_eq!(shutdown.streams(), 1);
    assert!(!shutdown.is_started());
    shutdown.start();
    let (text, after) = reading.await.unwrap();
    assert_eq!(text, format!(": connected\n\ndata: x\n\n{BYE}"));
    assert_eq!(after, SECOND);
    let end = ends.only();
    assert_eq!(end.reason(), EndReason::ShutDown);
    // The farewell is no event that was sent, but its id is the client's from then on.
    assert_eq!((end.events(), end.last_event_id()), (1, Some("9")));
    assert_eq!(end.bytes(), text.len() as u64);
    assert!(end.error().is_none());
    assert_eq!(shutdown.streams(), 0);
    shutdown.finished().await;
}

#[tokio::test(start_paused = true)]
async fn now_says_nothing() {
    let shutdown = Shutdown::now();
    let reading = reading(call(&endless().shutdown(&shutdown), get("/")).await.into_body());
    sleep(SECOND).await;
    shutdown.start();
    assert_eq!(reading.await.unwrap(), (": connected\n\ndata: x\n\n".into(), SECOND));
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_body_is_ended() {
    let shutdown = Shutdown::new(bye());
    let (events, receiver) = event_channel(Buffer::fixed(4));
    let bodies = [
        EventBody::new(|events| async move {
            events.send(Event::new("x")).await?;
            pending().await
        }),
        EventBody::from_stream(stream::iter([Event::new("x")]).chain(stream::pending())),
        EventBody::from(receiver),
        call(&endless(), get("/")).await.into_body(),
        call(&endless().spawn_handler(), get("/")).await.into_body(),
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
async fn a_handler_may_finish_within_the_grace_and_the_farewell_follows() {
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, events: EventSender| async move {
        events.send(Event::new("a")).await?;
        events.ending().await;
        assert!(events.is_ending() && !events.is_closed());
        sleep(10 * SECOND).await;
        events.send(Event::new("b")).await?;
        Ok(())
    });
    for handler in [handler.clone(), handler.spawn_handler()] {
        let shutdown = Shutdown::new(bye().grace_period(30 * SECOND));
        let handler = handler.shutdown(&shutdown).on_disconnect(ends.hook());
        let reading = reading(call(&handler, get("/")).await.into_body());
        sleep(SECOND).await;
        shutdown.start();
        let (text, after) = reading.await.unwrap();
        assert_eq!(text, format!(": connected\n\ndata: a\n\ndata: b\n\n{BYE}"));
        assert_eq!(after, 11 * SECOND);
        assert_eq!(ends.only().reason(), EndReason::Finished);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_finish_is_dropped_at_the_end_of_the_grace() {
    let mut ends = Ends::new();
    let shutdown = Shutdown::new(bye().grace_period(30 * SECOND));
    let handler = endless().shutdown(&shutdown).on_disconnect(ends.hook());
    let reading = reading(call(&handler, get("/")).await.into_body());
    sleep(SECOND).await;
    shutdown.start();
    shutdown.start();
    let finished = shutdown.finished_within(20 * SECOND).await.unwrap_err();
    assert_eq!(finished.streams(), 1);
    assert_eq!(finished.to_string(), "shutdown not finished in time: 1 event stream is still open");
    let (text, after) = reading.await.unwrap();
    // Keep-alives go on meanwhile.
    assert_eq!(text.matches(": keep-alive").count(), 2);
    assert!(text.ends_with(BYE));
    assert_eq!(after, 31 * SECOND);
    assert_eq!(ends.only().reason(), EndReason::ShutDown);
    shutdown.finished_within(Duration::ZERO).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_failure_within_the_grace_is_one_and_says_no_farewell() {
    let mut ends = Ends::new();
    let shutdown = Shutdown::new(bye().grace_period(30 * SECOND));
    let handler = event_channel_handler(|_, events: EventSender| async move {
        events.ending().await;
        Err("no more".into())
    })
    .shutdown(&shutdown)
    .on_disconnect(ends.hook());
    let mut body = call(&handler, get("/")).await.into_body();
    body.next_chunk().await.unwrap().unwrap();
    shutdown.start();
    let (frames, error) = read_all(&mut body).await;
    assert!(frames.is_empty() && error.is_some(), "{frames:?}");
    assert_eq!(ends.only().reason(), EndReason::Failed);
}

#[tokio::test(start_paused = true)]
async fn start_now_cuts_the_grace_short_and_says_nothing() {
    let shutdown = Shutdown::new(bye().grace_period(MINUTE).stagger_over(MINUTE));
    let reading = reading(call(&endless().shutdown(&shutdown), get("/")).await.into_body());
    sleep(SECOND).await;
    shutdown.start();
    sleep(SECOND).await;
    shutdown.start_now();
    shutdown.start_now();
    let (text, after) = reading.await.unwrap();
    assert_eq!((text.as_str(), after), (": connected\n\ndata: x\n\n", 2 * SECOND));

    let at_once = Shutdown::new(bye());
    at_once.start_now();
    let body = EventBody::new(|_| pending()).shutdown(&at_once);
    assert_eq!(read_text(body).await, ": connected\n\n");
}

#[tokio::test(start_paused = true)]
async fn the_first_reason_stands_also_if_the_shutdown_silences_the_farewell() {
    let mut ends = Ends::new();
    let shutdown = Shutdown::new(bye());
    let (events, receiver) = event_channel(Buffer::fixed(100).max_bytes(1 << 20));
    let mut body = EventBody::from(receiver)
        .shutdown(&shutdown)
        .deadline(std_in(SECOND))
        .farewell(bye())
        .on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    sleep(2 * SECOND).await;
    // Large events are given one by one, so that the end is decided before all is out.
    for _ in 0..3 {
        events.send(Event::new("x".repeat(10_000))).await.unwrap();
    }
    body.next_chunk().await.unwrap().unwrap();
    assert!(body.next_chunk().await.unwrap().unwrap().len() > 9_000);
    assert!(events.is_closed());
    shutdown.start_now();
    let rest = read_text(body).await;
    assert!(!rest.contains("bye"), "{rest}");
    assert_eq!(ends.only().reason(), EndReason::Expired);
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_behind_a_slow_client_still_goes_out() {
    let shutdown = Shutdown::new(bye());
    let (events, receiver) = event_channel(Buffer::fixed(100));
    let mut body = EventBody::from(receiver).shutdown(&shutdown);
    body.next_chunk().await.unwrap().unwrap();
    for n in 0..100 {
        events.send(Event::new(n)).await.unwrap();
    }
    shutdown.start();
    // Nobody has polled it yet, so it is still open for its senders.
    assert!(!events.is_closed());
    let text = read_text(body).await;
    assert_eq!(text.matches("data: ").count(), 101);
    assert!(text.ends_with(BYE));
    assert!(events.send(Event::new("late")).await.unwrap_err().is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_never_idle_ends_all_the_same() {
    let shutdown = Shutdown::new(bye().grace_period(10 * SECOND));
    let busy = |events: EventSender| async move {
        loop {
            events.send(Event::new("x")).await?;
            sleep(Duration::from_millis(10)).await;
        }
    };
    let of_shutdown = reading(EventBody::new(busy).shutdown(&shutdown).without_keep_alive());
    let of_lifetime = reading(EventBody::new(busy).max_lifetime(10 * SECOND));
    shutdown.start();
    let (text, after) = of_shutdown.await.unwrap();
    assert!(text.ends_with(BYE));
    assert!((10 * SECOND..11 * SECOND).contains(&after), "{after:?}");
    let after = of_lifetime.await.unwrap().1;
    assert!((8 * SECOND..11 * SECOND).contains(&after), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn the_ends_are_paced() {
    const STREAMS: u32 = 1000;
    let shutdown = Shutdown::new(Farewell::new().stagger_over(100 * SECOND));
    let reading: Vec<_> = (0..STREAMS)
        .map(|_| reading(EventBody::new(|_| pending()).shutdown(&shutdown).without_keep_alive()))
        .collect();
    sleep(SECOND).await;
    shutdown.start();
    let mut by_tenth = [0; 10];
    for reading in reading {
        let after = reading.await.unwrap().1 - SECOND;
        assert!(after <= 101 * SECOND, "{after:?}");
        by_tenth[((after.as_millis() / 10_000) as usize).min(9)] += 1;
    }
    // 100 in each are expected, with a deviation of 9.5: five of them.
    assert!(by_tenth.iter().all(|count| (52..=148).contains(count)), "{by_tenth:?}");
}

#[tokio::test(start_paused = true)]
async fn a_paced_handler_is_told_when_its_own_turn_comes() {
    let shutdown = Shutdown::new(Farewell::new().stagger_over(100 * SECOND).grace_period(SECOND));
    let body = || {
        let body = EventBody::new(|events: EventSender| async move {
            events.ending().await;
            Ok(())
        });
        reading(body.shutdown(&shutdown).without_keep_alive())
    };
    let reading: Vec<_> = (0..100).map(|_| body()).collect();
    sleep(SECOND).await;
    shutdown.start();
    let mut late = 0;
    for reading in reading {
        late += usize::from(reading.await.unwrap().1 > 30 * SECOND);
    }
    assert!((40..100).contains(&late), "{late}");
}

#[tokio::test(start_paused = true)]
async fn those_who_come_meanwhile_are_told_to_come_back_and_no_handler_runs() {
    let shutdown = Shutdown::new(Farewell::new().retry(2 * SECOND..=4 * SECOND));
    let runs = Arc::new(AtomicUsize::new(0));
    let connects = runs.clone();
    let handler = endless().shutdown(&shutdown).on_connect(move |connect: Connect| {
        connects.fetch_add(1, SeqCst);
        async move { Ok(connect.accept()) }
    });
    shutdown.start();
    shutdown.started().await;
    let browser = Request::get("/").header("accept", "text/event-stream").body(()).unwrap();
    let response = call(&handler, browser).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = read_text(response.into_body()).await;
    let retry: u64 = text.strip_prefix("retry: ").unwrap().trim().parse().unwrap();
    assert!((2000..=4000).contains(&retry));

    for accept in [None, Some("*/*"), Some("text/event-stream, text/html")] {
        let request = Request::get("/");
        let request = match accept {
            Some(accept) => request.header("accept", accept),
            None => request,
        };
        let response = call(&handler, request.body(()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let after = response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
        assert!((2..=4).contains(&after), "{after}");
    }
    assert_eq!(runs.load(SeqCst), 0);
    let head = Request::builder().method(Method::HEAD).uri("/").body(()).unwrap();
    assert_eq!(call(&handler, head).await.status(), StatusCode::OK);
    assert_eq!(runs.load(SeqCst), 1);

    // A body has no request to look at: it opens, and says goodbye.
    let started = Arc::new(AtomicBool::new(false));
    let starts = started.clone();
    let body = EventBody::new(move |_| async move {
        starts.store(true, SeqCst);
        Ok(())
    });
    let text = read_text(body.shutdown(&shutdown)).await;
    assert!(text.starts_with(": connected\n\nretry: "), "{text}");
    assert!(!started.load(SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_layer_ends_the_streams_of_any_handler() {
    let shutdown = Shutdown::new(bye());
    let events = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(EventBody::new(|_| pending()).into_response())
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
    assert_eq!(read(response.into_body()).await, format!(": connected\n\n{BYE}"));
    shutdown.finished().await;

    let response = service.clone().oneshot(request("/events")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(read(response.into_body()).await, "retry: 2000\n\n");
    let response = service.clone().oneshot(get("/events")).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    // The rest goes on.
    let page = service.oneshot(request("/page")).await.unwrap();
    assert_eq!(read(page.into_body()).await, "a page");
}

#[tokio::test(start_paused = true)]
async fn streams_are_counted_from_the_answer_to_the_hook() {
    let shutdown = Shutdown::now();
    let seen = Arc::new(AtomicUsize::new(0));
    let (sees, counted) = (seen.clone(), shutdown.clone());
    let handler = endless().shutdown(&shutdown).on_disconnect(move |_| {
        sees.store(counted.streams(), SeqCst);
    });
    let bodies: Vec<_> = [call(&handler, get("/")).await, call(&handler, get("/")).await].into();
    assert_eq!(shutdown.streams(), 2);
    let mut finished = Box::pin(shutdown.finished());
    assert!(timeout(SECOND, &mut finished).await.is_err());
    shutdown.start();
    // Nobody has polled them.
    assert!(timeout(SECOND, &mut finished).await.is_err());
    drop(bodies);
    assert_eq!((seen.load(SeqCst), shutdown.streams()), (1, 0));
    timeout(SECOND, finished).await.unwrap();

    // The setting moves a body from one to the other.
    let other = Shutdown::now();
    let body = EventBody::new(|_| pending()).shutdown(&other);
    assert_eq!(other.streams(), 1);
    let third = Shutdown::now();
    let body = body.shutdown(&third).keep_alive(Default::default());
    assert_eq!((other.streams(), third.streams()), (0, 1));
    drop(body);
    assert_eq!(third.streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_stream_that_is_cut_after_the_shutdown_was_shut_down() {
    let mut ends = Ends::new();
    let shutdown = Shutdown::new(bye());
    let handler = endless().shutdown(&shutdown).on_disconnect(ends.hook());
    let mut body = call(&handler, get("/")).await.into_body();
    body.next_chunk().await.unwrap().unwrap();
    shutdown.start();
    drop(body);
    assert_eq!(ends.only().reason(), EndReason::ShutDown);

    // But within its grace the client has left.
    let shutdown = Shutdown::new(bye().grace_period(SECOND));
    let handler = endless().shutdown(&shutdown).on_disconnect(ends.hook());
    let mut body = call(&handler, get("/")).await.into_body();
    body.next_chunk().await.unwrap().unwrap();
    shutdown.start();
    drop(body);
    assert_eq!(ends.only().reason(), EndReason::ClientGone);
}

#[tokio::test(start_paused = true)]
async fn overdue_is_when_streams_are_open_that_should_have_ended() {
    let farewell = bye().grace_period(10 * SECOND).stagger_over(5 * SECOND).cut_after(3 * SECOND);
    let shutdown = Shutdown::new(farewell);
    let stuck = EventBody::new(|_| pending()).shutdown(&shutdown);
    let start = Instant::now();
    let overdue = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.overdue().await }
    });
    sleep(SECOND).await;
    assert!(!overdue.is_finished());
    shutdown.start();
    overdue.await.unwrap();
    assert_eq!(start.elapsed(), 19 * SECOND);
    drop(stuck);
    assert!(timeout(MINUTE, shutdown.overdue()).await.is_err(), "nothing is open");

    // Now is now, but for what a connection takes to write.
    let shutdown = Shutdown::new(Farewell::new().grace_period(MINUTE).cut_after(3 * SECOND));
    let stuck = EventBody::new(|_| pending()).shutdown(&shutdown);
    shutdown.start();
    let start = Instant::now();
    let overdue = shutdown.overdue();
    let again = async {
        sleep(SECOND).await;
        shutdown.start_now();
    };
    tokio::join!(overdue, again);
    assert_eq!(start.elapsed(), 4 * SECOND);
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn a_wrapped_connection_is_cut_when_streams_are_overdue() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let shutdown = Shutdown::new(Farewell::new().cut_after(SECOND));
    let stuck = EventBody::new(|_| pending()).shutdown(&shutdown);
    let (mut near, far) = tokio::io::duplex(16);
    let mut far = shutdown.cut_io(far);
    near.write_all(b"hello").await.unwrap();
    let mut read = [0; 5];
    far.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hello");
    shutdown.start();
    let error = far.read(&mut read).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
    assert!(far.write(b"x").await.is_err() && far.flush().await.is_err());
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn start_when_waits_for_the_signal() {
    let shutdown = Shutdown::now();
    let started = tokio::spawn(shutdown.start_when(sleep(SECOND)));
    sleep(SECOND / 2).await;
    assert!(!shutdown.is_started());
    started.await.unwrap();
    assert!(shutdown.is_started());
    let never = Shutdown::now();
    drop(never.start_when(sleep(SECOND)));
    assert!(!never.is_started());
}

#[test]
fn a_shutdown_needs_no_runtime() {
    never_hangs(|| {
        let shutdown = Shutdown::new(bye());
        let body = EventBody::new(|_| pending()).shutdown(&shutdown).without_keep_alive();
        shutdown.start();
        let text = futures_util::future::FutureExt::now_or_never(read_text(body)).unwrap();
        assert_eq!(text, format!(": connected\n\n{BYE}"));
    });
}

// ===== lifetime and deadline =====

#[tokio::test(start_paused = true)]
async fn a_lifetime_ends_in_its_last_fifth_with_a_farewell() {
    let mut ends = Ends::new();
    for _ in 0..50 {
        let body = EventBody::new(|_| pending())
            .max_lifetime(100 * SECOND)
            .farewell(bye())
            .on_disconnect(ends.hook());
        let (text, after) = reading(body).await.unwrap();
        assert!(text.ends_with(BYE));
        assert!((80 * SECOND..=101 * SECOND).contains(&after), "{after:?}");
        assert_eq!(ends.only().reason(), EndReason::Expired);
    }
    // Zero is none.
    let body = EventBody::new(|_| pending()).max_lifetime(Duration::ZERO);
    assert!(timeout(1000 * SECOND, read_text(body)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_told_before_its_lifetime_is_over_and_the_lifetime_stands() {
    let mut ends = Ends::new();
    let body = EventBody::new(|events: EventSender| async move {
        events.ending().await;
        events.send(Event::new("soon")).await?;
        pending().await
    })
    .deadline(std_in(100 * SECOND))
    .farewell(bye().grace_period(10 * SECOND))
    .on_disconnect(ends.hook());
    let mut body = body.without_keep_alive();
    let start = Instant::now();
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": connected\n\n");
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "data: soon\n\n");
    assert_eq!(start.elapsed(), 90 * SECOND);
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), BYE);
    assert!(body.next_chunk().await.is_none());
    assert_eq!(start.elapsed(), 100 * SECOND);
    assert_eq!(ends.only().reason(), EndReason::Expired);
}

fn std_in(duration: Duration) -> std::time::Instant {
    (Instant::now() + duration).into_std()
}

#[tokio::test(start_paused = true)]
async fn a_deadline_from_on_connect_counts_if_it_is_the_earlier() {
    let mut ends = Ends::new();
    for (deadline, from, to) in [(50, 50, 51), (1000, 80, 101)] {
        let handler = endless()
            .on_connect(move |connect: Connect| async move {
                Ok(connect.accept().deadline(std_in(deadline * SECOND)))
            })
            .max_lifetime(100 * SECOND)
            .on_disconnect(ends.hook());
        let response = call(&handler, get("/")).await;
        let after = reading(response.into_body()).await.unwrap().1;
        assert!((from * SECOND..=to * SECOND).contains(&after), "{after:?}");
        assert_eq!(ends.only().reason(), EndReason::Expired);
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_before_it_begins_has_no_handler() {
    sleep(MINUTE).await;
    for spawn_handler in [false, true] {
        let mut ends = Ends::new();
        let mut body = EventBody::new(|_| async { panic!("it must not run") })
            .deadline(std_in(Duration::ZERO))
            .farewell(bye())
            .on_disconnect(ends.hook());
        if spawn_handler {
            body = body.spawn_handler();
        }
        assert_eq!(read_text(body).await, format!(": connected\n\n{BYE}"));
        assert_eq!(ends.only().reason(), EndReason::Expired);
    }
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_shutdown_and_lifetime_counts() {
    let mut ends = Ends::new();
    for (deadline, after, reason) in [(20, 20, EndReason::Expired), (100, 30, EndReason::ShutDown)]
    {
        let shutdown = Shutdown::new(bye().grace_period(30 * SECOND));
        let body = EventBody::new(|_| pending())
            .shutdown(&shutdown)
            .deadline(std_in(deadline * SECOND))
            .on_disconnect(ends.hook());
        let reading = reading(body);
        shutdown.start();
        assert_eq!(reading.await.unwrap().1, after * SECOND);
        assert_eq!(ends.only().reason(), reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_the_application_has_closed_has_finished_whatever_is_due() {
    let mut ends = Ends::new();
    let shutdown = Shutdown::new(bye());
    let (events, receiver) = event_channel(Buffer::fixed(4));
    let body = EventBody::from(receiver).shutdown(&shutdown).on_disconnect(ends.hook());
    events.send(Event::new("x")).await.unwrap();
    events.close();
    shutdown.start();
    assert_eq!(read_text(body).await, format!(": connected\n\ndata: x\n\n{BYE}"));
    assert_eq!(ends.only().reason(), EndReason::Finished);
}

#[tokio::test(start_paused = true)]
async fn the_longest_times_are_no_panic() {
    let farewell =
        bye().grace_period(Duration::MAX).stagger_over(Duration::MAX).cut_after(Duration::MAX);
    let shutdown = Shutdown::new(farewell.clone());
    let body = EventBody::new(|_| pending())
        .max_lifetime(Duration::MAX)
        .send_timeout(Duration::MAX)
        .farewell(farewell)
        .shutdown(&shutdown);
    let mut body = body.without_keep_alive();
    body.next_chunk().await.unwrap().unwrap();
    shutdown.start();
    assert!(timeout(SECOND, body.next_chunk()).await.is_err());
    assert!(timeout(SECOND, shutdown.overdue()).await.is_err());
}

// ===== slow readers =====

#[tokio::test(start_paused = true)]
async fn a_send_that_waits_for_too_long_evicts_its_stream() {
    let mut ends = Ends::new();
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let handler = event_channel_handler(move |_, events: EventSender| {
        let told = told.clone();
        async move {
            let second = events.clone();
            let mut n = 0;
            let error = loop {
                if let Err(error) = events.send(Event::new(n)).await {
                    break error;
                }
                n += 1;
            };
            assert!(error.is_timeout() && !error.is_closed());
            assert!(
                second.is_closed() && second.try_send(Event::new("x")).unwrap_err().is_closed()
            );
            told.send((n, Instant::now())).unwrap();
            assert!(error.to_string().contains("send_timeout"));
            Err(error.into_event().map_or("no event".into(), |event| event.data().into()))
        }
    })
    .spawn_handler()
    .buffer(Buffer::fixed(8))
    .send_timeout(5 * SECOND)
    .on_disconnect(ends.hook());
    let start = Instant::now();
    let mut body = call(&handler, get("/")).await.into_body();
    // It opens, and then nobody reads any more.
    body.next_chunk().await.unwrap().unwrap();
    let (n, at) = tells.recv().await.unwrap();
    assert_eq!(at - start, 5 * SECOND);
    assert!(n >= 8);
    ends.none();
    let (frames, error) = read_all(&mut body).await;
    assert!(frames.is_empty(), "what waited is gone: {frames:?}");
    let error = error.unwrap();
    assert!(error.to_string().contains("evicted"), "{error}");
    let end = ends.only();
    assert_eq!(end.reason(), EndReason::Evicted);
    assert!(end.error().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_evicted_and_then_cut_was_evicted() {
    let mut ends = Ends::new();
    let (events, receiver) = event_channel(Buffer::fixed(1));
    let mut body = EventBody::from(receiver).send_timeout(SECOND).on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    events.send(Event::new(1)).await.unwrap();
    let mut sink = events.clone();
    let error = sink.feed(Event::new(2)).await.unwrap_err();
    assert!(error.is_timeout());
    // A sink was not given an event that could come back.
    assert!(error.into_event().is_none());
    drop(body);
    assert_eq!(ends.only().reason(), EndReason::Evicted);
}

#[test]
fn a_thread_is_given_its_event_back_when_it_has_waited_for_too_long() {
    never_hangs(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (events, receiver) = event_channel(Buffer::fixed(1));
        let mut body = EventBody::from(receiver).send_timeout(Duration::from_millis(20));
        runtime.block_on(body.next_chunk()).unwrap().unwrap();
        events.blocking_send(Event::new(1)).unwrap();
        let error = events.blocking_send(Event::new(2)).unwrap_err();
        assert!(error.is_timeout());
        assert_eq!(error.into_event(), Some(Event::new(2)));
        assert!(events.is_closed());
    });
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_served_in_time_is_not_evicted_and_begins_anew() {
    let (events, receiver) = event_channel(Buffer::fixed(1));
    let mut body = EventBody::from(receiver).send_timeout(5 * SECOND).without_keep_alive();
    body.next_chunk().await.unwrap().unwrap();
    let sending = tokio::spawn(async move {
        for n in 0..10 {
            events.send(Event::new(n)).await.unwrap();
        }
    });
    for _ in 0..10 {
        sleep(4 * SECOND).await;
        body.next_chunk().await.unwrap().unwrap();
    }
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handler_inside_its_body_waits_with_it() {
    let mut ends = Ends::new();
    let body = EventBody::new(|events: EventSender| async move {
        for n in 0..3 {
            events.send(Event::new(n)).await?;
        }
        Ok(())
    })
    .buffer(Buffer::fixed(1))
    .send_timeout(SECOND)
    .on_disconnect(ends.hook());
    let mut body = body;
    body.next_chunk().await.unwrap().unwrap();
    sleep(MINUTE).await;
    assert_eq!(read_text(body).await, "data: 1\n\ndata: 2\n\n");
    assert_eq!(ends.only().reason(), EndReason::Finished);
}

// ===== revocation =====

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_revoked_gives_nothing_more() {
    let mut ends = Ends::new();
    let (events, receiver) = event_channel(Buffer::fixed(4));
    let mut body = EventBody::from(receiver).on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    events.send(Event::new("secret")).await.unwrap();
    events.revoke();
    events.close();
    assert!(events.is_closed() && events.is_ending());
    let (frames, error) = read_all(&mut body).await;
    assert!(frames.is_empty(), "{frames:?}");
    assert!(error.unwrap().to_string().contains("revoked"));
    assert_eq!(ends.only().reason(), EndReason::Revoked);
}

#[tokio::test(start_paused = true)]
async fn ending_and_closed_tell_all_who_wait() {
    let (events, receiver) = event_channel(Buffer::fixed(4));
    let shutdown = Shutdown::new(Farewell::new().grace_period(10 * SECOND));
    let body = EventBody::from(receiver).shutdown(&shutdown).without_keep_alive();
    let reading = reading(body);
    let start = Instant::now();
    let waiting: Vec<_> = (0..4)
        .map(|n| {
            let events = events.clone();
            tokio::spawn(async move {
                if n % 2 == 0 {
                    events.ending().await;
                } else {
                    events.closed().await;
                }
                start.elapsed()
            })
        })
        .collect();
    sleep(SECOND).await;
    shutdown.start();
    let mut told = Vec::new();
    for waiting in waiting {
        told.push(waiting.await.unwrap().as_secs());
    }
    assert_eq!(told, [1, 11, 1, 11]);
    reading.await.unwrap();
    assert_eq!(events.ending().await, ());
}
