//! The Pedestal module, where it differs from ring.sse.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, sleep};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tower_http::cors::CorsLayer;
use tower_sse::{
    BoxError, Buffer, EncodedEvent, EndReason, Event, EventBody, LastEventId, SseLayer,
    event_channel, event_channel_handler,
};

use super::{
    SECOND, endless, sends,
    support::{
        decode,
        ends::Ends,
        http::{Server, call, get, read_incoming, request},
        log::Log,
        read_all, read_text,
    },
    timed,
};

#[tokio::test(start_paused = true)]
async fn p3_bytes_that_are_encoded_already_can_be_sent() {
    let raw = "id: 1\r\ndata: a\r\n\r\n:a comment\ndata:b\n\n";
    let events = vec![EncodedEvent::from_bytes(raw).unwrap(), Event::new("c").encode()];
    let text = read_text(call(&sends(events), get("/")).await.into_body()).await;
    assert_eq!(text, format!(": connected\n\n{raw}data: c\n\n"));
    assert!(EncodedEvent::from_bytes("data: not whole\n").is_err());
}

#[tokio::test(start_paused = true)]
async fn p4_a_function_that_does_not_return_delivers() {
    let handler = event_channel_handler(|_, events| async move {
        events.send(Event::new("x")).await?;
        std::future::pending().await
    });
    let mut body = call(&handler, get("/")).await.into_body();
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": connected\n\ndata: x\n\n");

    // And one that blocks a thread of its own.
    let handler = event_channel_handler(|_, events| async move {
        let blocking = move || (0..1000).try_for_each(|n| events.blocking_send(Event::new(n)));
        tokio::task::spawn_blocking(blocking).await??;
        Ok(())
    });
    let text = read_text(call(&handler, get("/")).await.into_body()).await;
    assert_eq!(decode(text).len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn p5_a_first_comment_is_sent_at_once_and_can_be_switched_off() {
    let start = Instant::now();
    let mut body = call(&endless(), get("/")).await.into_body();
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": connected\n\n");
    assert_eq!(start.elapsed(), Duration::ZERO);

    let silent = endless().without_greeting().without_keep_alive();
    let mut body = call(&silent, get("/")).await.into_body();
    assert!(tokio::time::timeout(1000 * SECOND, body.next_chunk()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn p6_cors_from_tower_http_works_over_it() {
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
    assert_eq!(bytes, ": connected\n\ndata: x\n\n");

    // The preflight is the layer's: no stream.
    let mut preflight = with_origin(Method::OPTIONS);
    let headers = preflight.headers_mut();
    headers.insert("access-control-request-method", HeaderValue::from_static("GET"));
    let response = service.oneshot(preflight).await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "https://page.test");
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());

    // Over a handler alone, as over a layer.
    let handler = event_channel_handler(|_: Request<()>, _| async { Ok(()) });
    let service = ServiceBuilder::new().layer(CorsLayer::permissive()).service(handler);
    let response = service.oneshot(with_origin(Method::GET).map(|_| ())).await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
}

#[tokio::test(start_paused = true)]
async fn p12_more_than_fits_is_the_buffers_business_and_never_a_panic() {
    // 2,000 senders that wait at once.
    let (events, receiver) = event_channel(Buffer::fixed(10));
    for n in 0..2000 {
        let events = events.clone();
        tokio::spawn(async move { events.send(Event::new(n)).await.unwrap() });
    }
    drop(events);
    tokio::task::yield_now().await;
    let mut data: Vec<usize> = decode(read_text(EventBody::from(receiver)).await)
        .into_iter()
        .map(|(_, data, _)| data.parse().unwrap())
        .collect();
    assert!(data.is_sorted(), "served in the order in which they began to wait");
    data.dedup();
    assert_eq!(data.len(), 2000);

    // And 5,000 that never do.
    for buffer in [Buffer::dropping(10), Buffer::sliding(10)] {
        let (events, receiver) = event_channel(buffer);
        assert!((0..5000).all(|n| events.try_send(Event::new(n)).is_ok()));
        assert_eq!(events.dropped(), 4990);
        drop(events);
        assert_eq!(decode(read_text(EventBody::from(receiver)).await).len(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn p14_at_the_end_all_is_closed_and_the_hook_has_run() {
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

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn p15_each_cause_of_an_end_is_one_line_with_the_reason_a_field() {
    let log = Log::start();
    // The application closes, the client leaves, the handler fails.
    for (handler, leaves) in [
        (sends(vec![Event::new("x")]), false),
        (endless(), true),
        (event_channel_handler(|_, _| async { Err("odd".into()) }), false),
    ] {
        let mut body = call(&handler, get("/")).await.into_body();
        body.next_chunk().await.unwrap().unwrap();
        if !leaves {
            read_all(&mut body).await;
        }
    }
    let lines = log.all_lines();
    let ended: Vec<_> = lines.iter().filter(|line| line.contains("reason=")).collect();
    assert_eq!(ended.len(), 3, "{lines:?}");
    for (line, start) in ended.iter().zip([
        r#"DEBUG message=event stream ended reason="finished" events=1 "#,
        r#"DEBUG message=event stream ended reason="client_gone" events=0 "#,
        r#"ERROR message=event stream failed error=odd reason="failed" events=0 "#,
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
    // Only what is wrong is loud.
    assert_eq!(log.lines().len(), 1);
}

#[cfg(feature = "metrics")]
#[test]
fn p16_payload_sizes_are_a_histogram_and_active_streams_a_gauge() {
    use super::support::meter::{Value, counting};

    let (body, counted) = counting(async {
        let mut ended = call(&sends(vec![Event::new("1234")]), get("/")).await.into_body();
        read_all(&mut ended).await;
        call(&endless(), get("/")).await.into_body()
    });
    let sizes = Value::Histogram { count: 1, sum: "data: 1234\n\n".len() as f64 };
    assert_eq!(counted.get("tower_sse_event_bytes"), sizes);
    assert_eq!(counted.get("tower_sse_streams_open"), Value::Gauge(1.0));
    drop(body);
}

#[tokio::test]
async fn p17_a_client_that_left_is_no_error_in_the_log() {
    // One thread, so all that is logged is seen.
    let log = Log::start();
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, events| async move {
        loop {
            events.send(Event::new("x".repeat(1000))).await?;
        }
    })
    .on_disconnect(ends.hook());
    let server = Server::start(handler).await;
    let mut client = server.get_raw("/").await;
    client.until("xxx").await;
    drop(client);
    assert_eq!(ends.next().await.reason(), EndReason::ClientGone);
    assert_eq!(log.lines(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn p19_a_stream_resumes_after_the_last_event_id() {
    let counter = event_channel_handler(|request: Request<()>, events| async move {
        let last = request.extensions().get::<LastEventId>();
        let next = last.map_or(Ok(0), |last| last.as_str().parse::<u64>().map(|last| last + 1))?;
        for n in next..10 {
            events.send(Event::new(n).with_id(n)).await?;
        }
        Ok(())
    });
    let data = |text: String| decode(text).into_iter().map(|(_, data, _)| data).collect::<String>();
    let first = read_text(call(&counter, get("/")).await.into_body()).await;
    assert_eq!(data(first), "0123456789");
    let resumed = Request::get("/").header("last-event-id", "6").body(()).unwrap();
    let rest = read_text(call(&counter, resumed).await.into_body()).await;
    assert_eq!(data(rest), "789");
}

#[tokio::test(start_paused = true)]
async fn p20_it_counts_from_10_to_0_sends_close_and_closes() {
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, events| async move {
        for n in (0..=10).rev() {
            events.send(Event::new(n).with_type("counter")).await?;
            sleep(Duration::from_millis(1500)).await;
        }
        events.send(Event::new("bye").with_type("close")).await?;
        events.close();
        Ok(())
    })
    .on_disconnect(ends.hook());
    let chunks = timed(call(&handler, get("/")).await.into_body()).await;
    let tenths: Vec<_> = chunks.iter().map(|(at, _)| at / 100).collect();
    assert_eq!(tenths, (0..12).map(|n| n * 15).collect::<Vec<_>>());
    let decoded = decode(chunks.into_iter().map(|(_, text)| text).collect::<String>());
    let (last, counted) = decoded.split_last().unwrap();
    assert_eq!(*last, ("close".into(), "bye".into(), None));
    let counted: Vec<_> = counted.iter().map(|(_, data, _)| data.as_str()).collect();
    assert_eq!(counted.join(" "), "10 9 8 7 6 5 4 3 2 1 0");
    assert_eq!(ends.only().reason(), EndReason::Finished);
}

#[tokio::test(start_paused = true)]
async fn p22_a_counter_of_ten_events_reads_as_its_transcript() {
    let handler = event_channel_handler(|_, events| async move {
        for n in 0..10 {
            let event = Event::new(format!("{n} thread")).with_type("counter").with_id(n);
            events.send(event).await?;
            sleep(2 * SECOND).await;
        }
        Ok(())
    });
    let text = read_text(call(&handler, get("/counter")).await.into_body()).await;
    let counted = (0..10).map(|n| format!("event: counter\nid: {n}\ndata: {n} thread\n\n"));
    assert_eq!(text, format!(": connected\n\n{}", counted.collect::<String>()));
}

#[tokio::test]
async fn p23_end_to_end_with_a_client_that_is_not_ours() {
    let handler =
        event_channel_handler(|request: Request<hyper::body::Incoming>, events| async move {
            match request.uri().path() {
                "/counted" => {
                    for n in 0..20 {
                        events.send(Event::new(n).with_type("count").with_id(n)).await?;
                        tokio::task::yield_now().await;
                    }
                }
                "/strings" => {
                    for text in ["bare", "strings"] {
                        events.send(Event::new(text)).await?;
                    }
                }
                "/lines" => events.send(Event::new("one\r\ntwo\rthree\n")).await?,
                _ => {}
            }
            Ok(())
        });
    let server = Server::start(handler).await;
    let message = |data: &str| ("message".to_owned(), data.to_owned(), None);
    let counted = (0..20).map(|n: u8| ("count".to_owned(), n.to_string(), Some(n.to_string())));
    for (path, expected) in [
        ("/counted", counted.collect()),
        ("/strings", vec![message("bare"), message("strings")]),
        ("/lines", vec![message("one\ntwo\nthree\n")]),
        ("/completion", vec![]),
    ] {
        let answer = server.http1().await.send_request(request(Method::GET, path)).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let (bytes, error) = read_incoming(answer.into_body()).await;
        assert!(error.is_none(), "{path}: {error:?}");
        assert_eq!(decode(bytes), expected, "{path}");

        let (mut client, _) = server.http2().await;
        let answer = client.send_request(request(Method::GET, path)).await.unwrap();
        let (bytes, error) = read_incoming(answer.into_body()).await;
        assert!(error.is_none(), "{path}: {error:?}");
        assert_eq!(decode(bytes), expected, "{path} over HTTP/2");
    }
}

#[tokio::test(start_paused = true)]
async fn p24_a_body_can_be_driven_without_a_server_while_time_is_paused() {
    let real = std::time::Instant::now();
    let mut body = EventBody::new(|events| async move {
        sleep(Duration::from_secs(3600)).await;
        events.send(Event::new("an hour later")).await?;
        Ok(())
    })
    .without_keep_alive();
    let started = Instant::now();
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": connected\n\n");
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "data: an hour later\n\n");
    assert_eq!(started.elapsed().as_secs(), 3600);
    assert!(real.elapsed() < Duration::from_secs(60));
}
