//! A handler that fails: its events go out first, then the stream ends with the error.

use std::{collections::HashMap, error::Error as _, fmt};

use http::{Method, Request};
use http_body::Body as _;
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;
use tower_sse::{EndReason, Event, EventBody, Refusal, event_channel_handler};

use crate::support::{
    SECOND, decode,
    ends::Ends,
    handlers::spawned_if,
    http::{Server, call, get, read_incoming, request, soon},
    log::Log,
    read_all,
};

/// A handler that sends three events and fails.
fn fails<B: Send + 'static>() -> tower_sse::EventChannelHandler<B> {
    event_channel_handler(|_, events| async move {
        for n in 0..3 {
            events.send(Event::new(format!("number {n}"))).await?;
        }
        let inner = std::io::Error::other("inner");
        Err(std::io::Error::other(inner).into())
    })
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_after_all_events_is_logged_and_reaches_the_hook() {
    let mut ends = Ends::new();
    let mut body = EventBody::new(|events| async move {
        for n in 0..200 {
            events.send(Event::new(n)).await?;
        }
        Err("broken".into())
    })
    .on_disconnect(ends.hook());
    let (frames, error) = read_all(&mut body).await;
    assert_eq!(error.unwrap().get_ref().to_string(), "broken");
    assert_eq!(frames.concat().windows(6).filter(|window| window == b"data: ").count(), 200);
    assert!(body.is_end_stream());
    assert!(body.next_chunk().await.is_none());
    let end = ends.only();
    assert_eq!((end.reason(), end.events()), (EndReason::Failed, 200));
    assert_eq!(end.error().unwrap().to_string(), "broken");

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

    let log = Log::start();
    let app = event_channel_handler(|_, _| async { Err("cannot write".into()) });
    let (_, error) = read_all(&mut call(&app, get("/")).await.into_body()).await;
    assert!(error.is_some());
    let lines = log.lines();
    assert_eq!(lines.iter().any(|line| line.contains("cannot write")), cfg!(feature = "tracing"));
}

#[tokio::test(start_paused = true)]
async fn the_error_waits_10_ms_and_has_its_cause_but_no_source() {
    let mut body = call(&fails(), get("/")).await.into_body();
    let started = Instant::now();
    let (frames, error) = read_all(&mut body).await;
    assert_eq!(decode(frames.concat()).len(), 3);
    assert!((10..20).contains(&started.elapsed().as_millis()));
    let error = error.unwrap();
    assert!(error.source().is_none());
    assert!(error.get_ref().is::<std::io::Error>());
}

#[tokio::test]
async fn over_http_1_events_arrive_before_an_error_and_the_last_chunk_is_missing() {
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
async fn over_http_2_events_arrive_before_an_error_and_the_stream_is_reset() {
    let server = Server::start(fails()).await;
    let (mut client, _) = server.http2().await;
    for _ in 0..20 {
        let answer = soon(client.send_request(request(Method::GET, "/"))).await.unwrap();
        assert_eq!(answer.status(), 200);
        let (bytes, error) = read_incoming(answer.into_body()).await;
        assert_eq!(decode(bytes).len(), 3);
        // The stream is reset, and the connection stays open.
        let error = format!("{:?}", error.unwrap());
        assert!(error.contains("Reset") && error.contains("INTERNAL_ERROR"), "{error}");
    }
}

/// curl drops the data that comes in one segment with the reset. `TCP_NODELAY` sends the events before it; without it
/// curl loses them in most tries.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_2_curl_gets_the_events_before_an_error() {
    let server = Server::start_over(fails(), |stream| {
        stream.set_nodelay(true).unwrap();
        stream
    })
    .await;
    let url = format!("http://{}/", server.address());
    for _ in 0..10 {
        let mut curl = tokio::process::Command::new("curl");
        let curl = curl.args(["-sN", "--max-time", "20", "--http2-prior-knowledge", &url]);
        let output = curl.output().await.expect("`ci/test` installs curl");
        // 92: the stream was not closed cleanly.
        assert_eq!(output.status.code(), Some(92), "{output:?}");
        assert_eq!(decode(output.stdout).len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_ends_the_stream_although_a_sender_is_kept() {
    // A sender that is kept elsewhere does not keep the stream open.
    let (keep, kept) = std::sync::mpsc::channel();
    let handler = event_channel_handler(move |_, events| {
        keep.send(events).unwrap();
        async { Err("thrown".into()) }
    });
    let started = Instant::now();
    let (frames, error) = read_all(&mut call(&handler, get("/")).await.into_body()).await;
    assert_eq!(frames, [": connected\n"]);
    assert!(error.is_some() && started.elapsed() < SECOND);
    assert!(kept.recv().unwrap().is_closed());
}

#[tokio::test(start_paused = true)]
async fn an_error_whose_display_panics_is_still_a_failure() {
    #[derive(Debug)]
    struct BadDisplay;
    impl fmt::Display for BadDisplay {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("in Display")
        }
    }
    impl std::error::Error for BadDisplay {}

    let _log = Log::start();
    let mut ends = Ends::new();
    let mut body = EventBody::new(|_| async { Err(BadDisplay.into()) }).on_disconnect(ends.hook());
    assert!(read_all(&mut body).await.1.is_some());
    assert_eq!(ends.only().reason(), EndReason::Failed);

    let handler = event_channel_handler::<_, _, ()>(|_, _| async { Ok(()) })
        .on_connect(|_| async { Err(Refusal::from(BadDisplay)) });
    assert_eq!(handler.oneshot(Request::new(())).await.unwrap().status(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_end_is_logged_unless_it_is_the_error_of_a_send() {
    for (spawn_handler, logged) in [(false, 2), (true, 2)] {
        let log = Log::start();
        let panics = EventBody::with_options(spawned_if(spawn_handler), |events| async move {
            events.close();
            panic!("after the end")
        });
        let fails = EventBody::with_options(spawned_if(spawn_handler), |events| async move {
            events.close();
            Err("after the end".into())
        });
        let notices = EventBody::with_options(spawned_if(spawn_handler), |events| async move {
            events.close();
            events.send(Event::new("late")).await?;
            Ok(())
        });
        let notices_encoded =
            EventBody::with_options(spawned_if(spawn_handler), |events| async move {
                events.close();
                Ok(events.send(Event::new("late").encode()).await?)
            });
        for body in [panics, fails, notices, notices_encoded] {
            let mut ends = Ends::new();
            let mut body = body.on_disconnect(ends.hook());
            body.next_chunk().await.unwrap().unwrap();
            sleep(SECOND).await;
            assert!(read_all(&mut body).await.1.is_none());
            assert_eq!(ends.only().reason(), EndReason::Finished);
        }
        let lines = log.lines();
        assert_eq!(lines.len(), if cfg!(feature = "tracing") { logged } else { 0 }, "{lines:?}");
    }
}
