//! ring.sse: the event channel handler.

use std::{
    collections::HashMap,
    panic::panic_any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tokio::time::{Instant, sleep};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_sse::{
    BoxError, Buffer, Connect, EndReason, Event, EventBody, EventChannelHandler, EventId,
    EventType, KeepAlive, LastEventId, ResponseHead, SendError, SseLayer, event_channel,
    event_channel_handler,
};

use super::{
    SECOND, endless, sends,
    support::{
        decode,
        ends::Ends,
        http::{Server, call, get},
        log::Log,
        read_all, read_text,
    },
    timed, wire,
};

#[tokio::test(start_paused = true)]
async fn r1_a_function_becomes_a_handler_and_options_are_setters() {
    fn is_service<S: tower::Service<Request<()>, Response = Response<EventBody>>>(service: S) -> S {
        service
    }
    async fn f(request: Request<()>, events: tower_sse::EventSender) -> Result<(), BoxError> {
        events.send(Event::new(request.uri().path())).await?;
        Ok(())
    }
    let plain = is_service(event_channel_handler(f));
    let with_options =
        is_service(event_channel_handler(f).buffer(Buffer::fixed(1)).without_greeting());
    let body = plain.oneshot(get("/a")).await.unwrap().into_body();
    assert_eq!(read_text(body).await, ": connected\n\ndata: /a\n\n");
    let body = with_options.oneshot(get("/b")).await.unwrap().into_body();
    assert_eq!(read_text(body).await, "data: /b\n\n");
}

#[tokio::test(start_paused = true)]
async fn r2_the_function_gets_request_head_and_events_and_raises_by_an_error() {
    let handler = event_channel_handler(|request: Request<&'static str>, events| async move {
        let head = request.extensions().get::<ResponseHead>().unwrap();
        let seen = format!(
            "{} {} {} {} {}",
            request.method(),
            request.uri(),
            request.headers()["x-who"].to_str()?,
            request.body(),
            head.headers()["content-type"].to_str()?,
        );
        events.send(Event::new(seen)).await?;
        Err("raised".into())
    });
    let request = Request::put("/a?b=1").header("x-who", "me").body("the body").unwrap();
    let mut body = call(&handler, request).await.into_body();
    let (frames, error) = read_all(&mut body).await;
    let sent = "PUT /a?b=1 me the body text/event-stream";
    assert_eq!(decode(frames.concat()), [("message".into(), sent.into(), None)]);
    assert_eq!(error.unwrap().get_ref().to_string(), "raised");
}

#[tokio::test(start_paused = true)]
async fn r3_the_function_runs_while_events_go_out() {
    let ticks = || {
        event_channel_handler(|_, events| async move {
            for n in 0..3 {
                sleep(SECOND).await;
                events.send(Event::new(n)).await?;
            }
            Ok(())
        })
        .without_greeting()
    };
    let each_in_its_second = [(1000, "data: 0\n\n"), (2000, "data: 1\n\n"), (3000, "data: 2\n\n")];
    for handler in [ticks(), ticks().spawn_handler()] {
        let chunks = timed(call(&handler, get("/")).await.into_body()).await;
        assert_eq!(each_in_its_second.map(|(at, text)| (at, text.to_owned())), chunks[..]);
    }

    let elsewhere = event_channel_handler(|_, events| async move {
        let (spawn_handler, in_thread) = (events.clone(), events);
        tokio::spawn(async move { spawn_handler.send(Event::new("task")).await });
        tokio::task::spawn_blocking(move || in_thread.blocking_send(Event::new("thread")))
            .await??;
        Ok(())
    });
    let text = read_text(call(&elsewhere, get("/")).await.into_body()).await;
    assert!(text.contains("data: task\n\n") && text.contains("data: thread\n\n"), "{text:?}");
}

#[tokio::test(start_paused = true)]
async fn r4_the_head_is_decided_and_out_before_the_function_starts() {
    let started = Arc::new(AtomicBool::new(false));
    let starts = started.clone();
    let handler = event_channel_handler(move |_, _| {
        starts.store(true, SeqCst);
        async { Ok(()) }
    })
    .on_connect(|connect| async move {
        sleep(SECOND).await;
        Ok(connect.accept().header("x-session", HeaderValue::from_static("7")))
    });
    let response = call(&handler, get("/")).await;
    assert_eq!(response.headers()["x-session"], "7");
    assert!(!started.load(SeqCst));
    read_text(response.into_body()).await;
    assert!(started.load(SeqCst));
}

#[tokio::test(start_paused = true)]
async fn r5_the_status_is_200() {
    assert_eq!(call(&sends(vec![Event::new("x")]), get("/")).await.status(), StatusCode::OK);
    assert_eq!(EventBody::from(event_channel(Buffer::default()).1).into_response().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn r6_the_headers_suit_a_stream_and_give_way_to_the_applications() {
    let response = call(&endless(), get("/")).await;
    let mut headers: Vec<_> = response
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    assert_eq!(
        headers,
        [
            "cache-control: no-store, no-transform",
            "content-type: text/event-stream",
            "x-accel-buffering: no"
        ]
    );
    let own = [
        ("cache-control", "no-cache"),
        ("content-type", "text/event-stream; charset=utf-8"),
        ("x-accel-buffering", "yes"),
    ];
    let handler = endless().on_connect(move |connect: Connect| async move {
        let accept = connect.accept();
        Ok(own.into_iter().fold(accept, |accept, (name, value)| {
            accept.header(name, HeaderValue::from_static(value))
        }))
    });
    let response = call(&handler, get("/")).await;
    assert_eq!(response.headers().len(), 3);
    for (name, value) in own {
        assert_eq!(response.headers()[name], value);
    }
}

#[tokio::test(start_paused = true)]
async fn r7_the_handler_serves_any_method_and_the_layer_negotiates() {
    for method in [Method::GET, Method::POST, Method::PUT, Method::OPTIONS, Method::DELETE] {
        for accept in ["text/html", "text/event-stream", "nonsense"] {
            let request = Request::builder().method(&method).header("accept", accept).body(());
            let response = call(&sends(vec![Event::new("x")]), request.unwrap()).await;
            assert_eq!(read_text(response.into_body()).await, ": connected\n\ndata: x\n\n");
        }
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
async fn r8_buffer_heartbeat_and_disconnect_are_options() {
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
    let first = ": connected\n\ndata: 0\n\ndata: 1\n\n".to_owned();
    assert_eq!(chunks, [(0, first), (2000, ": still here\n\n".to_owned())]);
    assert_eq!((ends.only().dropped(), EndReason::Finished), (1, EndReason::Finished));
}

#[test]
fn r9_a_buffer_is_fixed_dropping_or_sliding_and_has_a_default() {
    assert_eq!(Buffer::default(), Buffer::fixed(64));
    let (events, _receiver) = event_channel(Buffer::default());
    let accepted = (0..1000).take_while(|n| events.try_send(Event::new(*n)).is_ok()).count();
    assert_eq!(accepted, 64);
    for buffer in [Buffer::dropping(2), Buffer::sliding(2)] {
        let (events, _receiver) = event_channel(buffer);
        assert!((0..10).all(|n| events.try_send(Event::new(n)).is_ok()));
        assert_eq!(events.dropped(), 8);
    }
}

#[tokio::test(start_paused = true)]
async fn r10_n_means_n_and_bytes_are_bounded_too() {
    let (events, receiver) = event_channel(Buffer::fixed(3));
    let mut body = EventBody::from(receiver).without_greeting();
    for _ in 0..2 {
        for n in 0..3 {
            events.try_send(Event::new(n)).unwrap();
        }
        let error = events.try_send(Event::new("one more")).unwrap_err();
        assert!(error.is_full());
        assert_eq!(error.into_event(), Some(Event::new("one more")));
        body.next_chunk().await.unwrap().unwrap();
    }

    let (events, _receiver) = event_channel(Buffer::fixed(1000).max_bytes(100));
    let accepted = (0..1000).take_while(|_| events.try_send(Event::new("xx")).is_ok()).count();
    assert_eq!(accepted, 10, "10 bytes each");
}

/// Sends 0 to 5 in task while nobody reads, and reads what is left of them.
async fn left_of_six(buffer: Buffer) -> (String, u64, bool) {
    let waits = Arc::new(AtomicBool::new(false));
    let waited = waits.clone();
    let mut ends = Ends::new();
    let handler = event_channel_handler::<_, _, ()>(move |_, events| {
        let waits = waits.clone();
        async move {
            for n in 0..6 {
                events.send(Event::new(n)).await?;
                sleep(SECOND).await;
            }
            waits.store(false, SeqCst);
            Ok(())
        }
    })
    .without_greeting()
    .without_keep_alive()
    .buffer(buffer)
    .spawn_handler()
    .on_disconnect(ends.hook());
    waited.store(true, SeqCst);
    let mut body = call(&handler, get("/")).await.into_body();
    assert!(body.next_chunk().now_or_never().is_none());
    sleep(20 * SECOND).await;
    let waited = waited.load(SeqCst);
    let data: String = decode(read_text(body).await).into_iter().map(|(_, data, _)| data).collect();
    (data, ends.only().dropped(), waited)
}

#[tokio::test(start_paused = true)]
async fn r11_fixed_waits_dropping_loses_the_newest_sliding_the_oldest() {
    assert_eq!(left_of_six(Buffer::fixed(2)).await, ("012345".into(), 0, true));
    assert_eq!(left_of_six(Buffer::dropping(2)).await, ("01".into(), 4, false));
    assert_eq!(left_of_six(Buffer::sliding(2)).await, ("45".into(), 4, false));

    // And for a sender that was moved away.
    for (buffer, left) in [(Buffer::dropping(2), "01"), (Buffer::sliding(2), "45")] {
        let (events, receiver) = event_channel(buffer);
        tokio::spawn(async move {
            for n in 0..6 {
                events.send(Event::new(n)).await.unwrap();
            }
            assert_eq!(events.dropped(), 4);
        })
        .await
        .unwrap();
        let decoded = decode(read_text(EventBody::from(receiver)).await);
        assert_eq!(decoded.into_iter().map(|(_, data, _)| data).collect::<String>(), left);
    }
}

#[test]
fn r12_an_event_has_type_data_id_retry_comments_and_fields() {
    let event = Event::new("d")
        .with_type("t")
        .with_id("i")
        .with_retry(3 * SECOND)
        .with_comment("c")
        .with_field("f", "v");
    assert_eq!(wire(event), ": c\nevent: t\nid: i\nretry: 3000\ndata: d\nf: v\n\n");
}

#[test]
fn r13_anything_that_can_be_shown_is_sent_as_its_text() {
    assert_eq!(wire(Event::new("text")), "data: text\n\n");
    assert_eq!(wire(Event::display(1.5)), "data: 1.5\n\n");
    assert_eq!(wire(Event::display(StatusCode::NOT_FOUND)), "data: 404 Not Found\n\n");
    assert_eq!(wire(Event::from("text")), "data: text\n\n");
}

#[test]
fn r14_ids_and_data_are_made_of_integers_and_of_what_can_be_displayed() {
    assert_eq!(wire(Event::new(-7).with_id(u64::MAX)), format!("id: {}\ndata: -7\n\n", u64::MAX));
    let uuid = uuid::Uuid::new_v4();
    let event = Event::display(uuid).with_id(EventId::from_display(uuid).unwrap());
    assert_eq!(wire(event), format!("id: {uuid}\ndata: {uuid}\n\n"));
}

#[test]
fn r15_an_empty_type_makes_no_line() {
    assert_eq!(wire(Event::new("x").with_type("")), "data: x\n\n");
}

#[test]
fn r16_an_explicit_empty_id_resets_the_last_event_id() {
    let events = [Event::new("a").with_id(7), Event::new("b"), Event::new("c").with_id("")];
    let bytes = events.map(wire).concat();
    assert!(bytes.ends_with(b"id: \ndata: c\n\n"));
    let ids: Vec<_> = decode(bytes).into_iter().map(|(_, _, id)| id).collect();
    assert_eq!(ids, [Some("7".into()), Some("7".into()), None]);
}

#[test]
fn r17_empty_data_is_one_line_and_an_event_without_data_is_not_dispatched() {
    assert_eq!(wire(Event::new("")), "data: \n\n");
    assert_eq!(decode(wire(Event::new(""))), [("message".into(), String::new(), None)]);

    let id_only = Event::default().with_id(7);
    let retry_only = Event::default().with_retry(SECOND);
    assert_eq!(wire(&id_only), "id: 7\n\n");
    assert_eq!(wire(&retry_only), "retry: 1000\n\n");
    let decoded = decode([id_only, retry_only, Event::new("x")].map(wire).concat());
    assert_eq!(decoded, [("message".into(), "x".into(), Some("7".into()))]);
}

#[test]
fn r18_cr_lf_and_crlf_each_end_one_line() {
    for (data, lines) in [("a\rb", "a\nb"), ("a\nb", "a\nb"), ("a\r\nb", "a\nb"), ("\n\r", "\n\n")]
    {
        let decoded = decode(wire(Event::new(data)));
        assert_eq!(decoded, [("message".into(), lines.into(), None)], "{data:?}");
    }
    let injected = decode(wire(Event::new("a\rdata: b\revent: evil\r\rdata: c")));
    assert_eq!(injected.len(), 1);
    assert_eq!(injected[0].0, "message");
}

#[test]
fn r19_every_line_end_counts() {
    for data in ["\n", "a\n", "a\n\n\n", "\n\na", "\n\n"] {
        assert_eq!(decode(wire(Event::new(data))), [("message".into(), data.into(), None)]);
    }
}

#[test]
fn r20_types_and_ids_cannot_hold_a_line_end() {
    for text in ["a\nb", "a\rb", "\r\n", "a\n\ndata: b"] {
        assert!(EventType::try_from(text).is_err(), "{text:?}");
        assert!(EventId::try_from(text).is_err(), "{text:?}");
        assert!(EventId::from_display(text).is_err(), "{text:?}");
    }
    for text in ["a\0", "\t", "a\u{1b}[1m", "\u{7f}"] {
        assert!(EventId::try_from(text).is_err(), "{text:?}");
    }
    assert!(std::panic::catch_unwind(|| Event::new("x").with_type("a\nb")).is_err());
    assert!(std::panic::catch_unwind(|| Event::new("x").with_id("a\nb")).is_err());
}

#[tokio::test(start_paused = true)]
async fn r23_text_is_utf_8() {
    // Cut anywhere, into frames too.
    let text = "äß漢字😀\u{2028}".repeat(10_000);
    let event = Event::new(text.clone()).with_type(EventType::try_from("grüße").unwrap());
    let mut body = call(&sends(vec![event.clone()]), get("/")).await.into_body();
    let (frames, _) = read_all(&mut body).await;
    assert!(frames.len() > 1);
    assert_eq!(frames.concat(), [&b": connected\n\n"[..], &wire(&event)].concat());
    assert_eq!(decode(frames.concat()), [("grüße".into(), text, None)]);
}

#[tokio::test(start_paused = true)]
async fn r24_what_is_ready_goes_out_together_and_nothing_is_held_back() {
    let handler = event_channel_handler(|_, events| async move {
        for pause in [0, 1, 700] {
            sleep(Duration::from_millis(pause)).await;
            for n in 0..10 {
                events.send(Event::new(n)).await?;
            }
        }
        Ok(())
    });
    let chunks = timed(call(&handler, get("/")).await.into_body()).await;
    let ten: String = (0..10).map(|n| format!("data: {n}\n\n")).collect();
    let first = format!(": connected\n\n{ten}");
    // Timers round up to a millisecond, once each.
    let seen: Vec<_> = chunks.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(seen, [&*first, &*ten, &*ten]);
    for ((at, _), due) in chunks.iter().zip([0, 1, 701]) {
        assert!((due..=due + 3).contains(at), "{at} for {due}");
    }
}

#[tokio::test(start_paused = true)]
async fn r25_the_heartbeat_is_a_comment_and_can_be_switched_off() {
    let lasts_40_s = || {
        event_channel_handler(|_, events| async move {
            sleep(40 * SECOND).await;
            drop(events);
            Ok(())
        })
        .without_greeting()
    };
    let times = |chunks: Vec<(u128, String)>| -> Vec<u128> {
        assert!(chunks.iter().all(|(_, text)| text.starts_with(':') && text.ends_with("\n\n")));
        chunks.into_iter().map(|(at, _)| at).collect()
    };
    for (handler, beats) in [
        (lasts_40_s(), vec![15_000, 30_000]),
        (lasts_40_s().keep_alive(KeepAlive::every(10 * SECOND)), vec![10_000, 20_000, 30_000]),
        (lasts_40_s().keep_alive(KeepAlive::every(Duration::ZERO)), vec![]),
        (lasts_40_s().without_keep_alive(), vec![]),
    ] {
        let mut seen = times(timed(call(&handler, get("/")).await.into_body()).await);
        seen.retain(|at| *at < 40_000);
        assert_eq!(seen, beats);
    }
}

#[tokio::test(start_paused = true)]
async fn r26_each_event_restarts_the_heartbeat() {
    let handler = event_channel_handler(|_, events| async move {
        for pause in [9, 9, 9, 12] {
            sleep(pause * SECOND).await;
            events.send(Event::new("x")).await?;
        }
        Ok(())
    })
    .without_greeting()
    .keep_alive(KeepAlive::every(10 * SECOND));
    let chunks = timed(call(&handler, get("/")).await.into_body()).await;
    let seen: Vec<_> = chunks.iter().map(|(at, text)| (at / 1000, &text[..1])).collect();
    assert_eq!(seen, [(9, "d"), (18, "d"), (27, "d"), (37, ":"), (39, "d")]);
}

#[tokio::test(start_paused = true)]
async fn r27_an_error_ends_the_stream_abnormally_is_logged_and_reaches_the_hook() {
    let log = Log::start();
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, events| async move {
        let unserializable = HashMap::from([(vec![1], 2)]);
        events.send(Event::new(serde_json::to_string(&unserializable)?)).await?;
        Ok(())
    })
    .on_disconnect(ends.hook());
    let (_, error) = read_all(&mut call(&handler, get("/")).await.into_body()).await;
    let text = error.unwrap().get_ref().to_string();
    assert!(text.contains("key must be a string"), "{text}");
    let end = ends.only();
    assert_eq!((end.reason(), end.error().unwrap().to_string()), (EndReason::Failed, text.clone()));
    if cfg!(feature = "tracing") {
        let lines = log.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("ERROR") && lines[0].contains(&text), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r28_what_is_queued_goes_out_after_the_application_has_closed() {
    for close in [true, false] {
        let (events, receiver) = event_channel(Buffer::default());
        for n in 0..3 {
            events.try_send(Event::new(n)).unwrap();
        }
        let another = events.clone();
        if close {
            another.close();
        }
        drop(events);
        drop(another);
        let decoded = decode(read_text(EventBody::from(receiver)).await);
        assert_eq!(decoded.iter().map(|(_, data, _)| data).collect::<Vec<_>>(), ["0", "1", "2"]);
    }
}

#[tokio::test]
async fn r29_a_gone_client_is_noticed_at_once() {
    let mut ends = Ends::new();
    let handler = endless().without_keep_alive().on_disconnect(ends.hook());
    let server = Server::start(handler).await;
    let mut client = server.get_raw("/").await;
    client.until(": connected").await;
    ends.none();
    drop(client);
    assert_eq!(ends.next().await.reason(), EndReason::ClientGone);
}

#[tokio::test(start_paused = true)]
async fn r30_after_the_end_a_send_gives_the_event_back() {
    let (events, receiver) = event_channel(Buffer::default());
    drop(EventBody::from(receiver));
    assert!(events.is_closed());
    let event = Event::new("x").with_id(7);
    let back = |result: Result<(), SendError>| {
        let error = result.unwrap_err();
        assert!(error.is_closed());
        error.into_event().unwrap()
    };
    assert_eq!(back(events.send(event.clone()).await), event);
    assert_eq!(back(events.try_send(event.clone())), event);
    assert_eq!(back(events.blocking_send(event.clone())), event);
}

#[tokio::test(start_paused = true)]
async fn r31_the_hook_runs_once_at_any_end_with_its_reason() {
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
        let handler = endless().on_disconnect(ends.hook());
        let mut body = call(&handler, get("/")).await.into_body();
        for _ in 0..polls {
            body.next_chunk().await.unwrap().unwrap();
        }
        ends.none();
        drop(body);
        assert_eq!(ends.only().reason(), EndReason::ClientGone);
    }
}

#[tokio::test(start_paused = true)]
async fn r32_the_hook_gets_the_functions_result() {
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
async fn r33_an_odd_panic_does_not_skip_the_hook() {
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
async fn r34_a_function_that_throws_ends_the_stream() {
    // A sender that is kept elsewhere keeps nothing open.
    let (keep, kept) = std::sync::mpsc::channel();
    let handler = event_channel_handler(move |_, events| {
        keep.send(events).unwrap();
        async { Err("thrown".into()) }
    });
    let started = Instant::now();
    let (frames, error) = read_all(&mut call(&handler, get("/")).await.into_body()).await;
    assert_eq!(frames, [": connected\n\n"]);
    assert!(error.is_some() && started.elapsed() < SECOND);
    assert!(kept.recv().unwrap().is_closed());
}

#[tokio::test(start_paused = true)]
async fn r39_the_last_event_id_comes_from_the_header_or_the_query() {
    let handler = event_channel_handler(|request: Request<()>, events| async move {
        let last = request.extensions().get::<LastEventId>();
        events.send(Event::new(last.map_or("none", LastEventId::as_str))).await?;
        Ok(())
    })
    .without_greeting();
    let with_header = |uri| Request::get(uri).header("last-event-id", "7").body(()).unwrap();
    for (request, found) in [
        (get("/"), "none"),
        (with_header("/"), "7"),
        (get("/?last_event_id=8"), "8"),
        (get("/?lastEventId=a%20b"), "a b"),
        (with_header("/?lastEventId=8"), "7"),
    ] {
        let text = read_text(call(&handler, request).await.into_body()).await;
        assert_eq!(text, format!("data: {found}\n\n"));
    }
    let no_query = handler.without_last_event_id_query();
    let text = read_text(call(&no_query, get("/?lastEventId=8")).await.into_body()).await;
    assert_eq!(text, "data: none\n\n");
}

#[tokio::test(start_paused = true)]
async fn r40_twenty_events_a_second_apart_then_closed_and_told() {
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, events| async move {
        for n in 0..20 {
            let event = Event::new(serde_json::json!({ "foo": n }).to_string())
                .with_type("foo")
                .with_id(EventId::from_display(uuid::Uuid::new_v4())?);
            events.send(event).await?;
            sleep(SECOND).await;
        }
        events.close();
        Ok(())
    })
    .on_disconnect(ends.hook());
    let chunks = timed(call(&handler, get("/")).await.into_body()).await;
    let seconds: Vec<_> = chunks.iter().map(|(at, _)| at / 1000).collect();
    assert_eq!(seconds, (0..20).collect::<Vec<_>>());
    let decoded = decode(chunks.into_iter().map(|(_, text)| text).collect::<String>());
    let mut ids = std::collections::HashSet::new();
    for (n, (event_type, data, id)) in decoded.into_iter().enumerate() {
        assert_eq!((event_type, data), ("foo".into(), format!("{{\"foo\":{n}}}")));
        ids.insert(id.unwrap().parse::<uuid::Uuid>().unwrap());
    }
    assert_eq!(ids.len(), 20);
    let end = ends.only();
    assert_eq!((end.reason(), end.events()), (EndReason::Finished, 20));
    assert_eq!(end.duration().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn r41_the_answer_is_200_with_the_headers_and_its_body_is_the_channel() {
    let (events, receiver) = event_channel(Buffer::default());
    let response = EventBody::from(receiver).without_greeting().into_response();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    for text in ["a", "b"] {
        events.send(Event::new(text)).await.unwrap();
        assert_eq!(
            body.next_chunk().await.unwrap().unwrap(),
            Bytes::from(format!("data: {text}\n\n"))
        );
    }
    drop(events);
    assert!(body.next_chunk().await.is_none());
}
