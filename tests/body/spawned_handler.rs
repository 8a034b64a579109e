//! Where a handler runs: inside its body, or in a task of its own (`spawn_handler`).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures_util::FutureExt as _;
use tokio::time::{sleep, timeout};
use tower_sse::{Buffer, EndReason, Event, EventBody, HandlerOptions, event_channel_handler};

use crate::support::{
    SECOND,
    ends::Ends,
    handlers::{idle, sends, spawned_if},
    http::{Server, call, get, soon},
    read_all, read_text, timed,
};

#[tokio::test(start_paused = true)]
async fn the_handler_runs_while_its_events_go_out() {
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
async fn a_handler_is_paused_with_its_body_unless_it_is_spawned() {
    for spawn_handler in [false, true] {
        let ticks = Arc::new(AtomicUsize::new(0));
        let counted = ticks.clone();
        let mut body = EventBody::with_options(spawned_if(spawn_handler), move |_| async move {
            loop {
                counted.fetch_add(1, SeqCst);
                sleep(SECOND).await;
            }
        });
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

    // Its future is dropped with the body.
    let (alive, mut gone) = tokio::sync::mpsc::channel::<()>(1);
    let mut body = EventBody::with_options(spawned_if(true), move |_| async move {
        let _alive = alive;
        std::future::pending().await
    });
    body.next_chunk().await.unwrap().unwrap();
    drop(body);
    assert!(timeout(SECOND, gone.recv()).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_spawned_handler_goes_on_while_its_body_is_not_polled() {
    let mut ends = Ends::new();
    let options = HandlerOptions::new().spawn_handler().buffer(Buffer::sliding(2));
    let body = EventBody::with_options(options, |events| async move {
        for n in 0..10 {
            sleep(SECOND).await;
            events.send(Event::new(n).with_id(n)).await?;
        }
        drop(events);
        sleep(SECOND).await;
        Ok(())
    });
    let mut body = body.without_keep_alive().on_disconnect(ends.hook());
    body.next_chunk().await.unwrap().unwrap();
    sleep(20 * SECOND).await;
    let (frames, _) = read_all(&mut body).await;
    assert_eq!(frames.concat(), b"id: 8\ndata: 8\n\nid: 9\ndata: 9\n\n");
    let end = ends.only();
    assert_eq!((end.events(), end.dropped(), end.last_event_id()), (2, 8, Some("9")));
}

#[tokio::test]
async fn a_spawned_handler_goes_on_while_its_client_does_not_read() {
    let (report, mut dropped) = tokio::sync::watch::channel(0);
    let report = Arc::new(report);
    let handler = event_channel_handler(move |_, events| {
        let report = report.clone();
        async move {
            loop {
                events.send(Event::new("x".repeat(10_000))).await?;
                report.send_replace(events.dropped());
                tokio::task::yield_now().await;
            }
        }
    })
    .buffer(Buffer::sliding(4))
    .spawn_handler();
    let server = Server::start(handler).await;
    let mut client = server.get_raw("/").await;
    client.until("xxx").await;
    // The client stops reading, so the body takes no more events: each new one drops an older one.
    for many in [1_000, 2_000, 3_000] {
        soon(dropped.wait_for(|dropped| *dropped > many)).await.unwrap();
    }
}

#[test]
fn a_spawned_handler_whose_runtime_shuts_down_has_failed() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut ends = Ends::new();
    let mut body = EventBody::with_options(spawned_if(true), |events| async move {
        events.send(Event::new("a")).await?;
        std::future::pending().await
    })
    .without_keep_alive()
    .on_disconnect(ends.hook());
    runtime.block_on(async { body.next_chunk().await.unwrap().unwrap() });
    drop(runtime);
    let (_, error) = read_all(&mut body).now_or_never().unwrap();
    assert_eq!(error.unwrap().get_ref().to_string(), "the handler's task was cancelled");
    assert_eq!(ends.only().reason(), EndReason::Failed);
}

#[test]
fn a_stream_takes_no_thread_and_no_task_of_its_own() {
    // Without a runtime no task can be spawned: the poll of the body runs the handler.
    let app = sends(vec![Event::new("x")]).without_keep_alive();
    let body = call(&app, get("/")).now_or_never().unwrap().into_body();
    let text = read_text(body).now_or_never().unwrap();
    assert_eq!(text, ": connected\ndata: x\n\n");

    // With a runtime, ten thousand streams spawn no task.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut bodies = Vec::new();
        for _ in 0..10_000 {
            let mut body = call(&idle(), get("/")).await.into_body();
            body.next_chunk().await.unwrap().unwrap();
            bodies.push(body);
        }
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    });
}
