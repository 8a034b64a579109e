//! A thousand clients at a limit of a hundred streams: the limit is never exceeded, and no client
//! is refused below it.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::StatusCode;
use tokio::time::sleep;
use tower_sse::{Connect, Event, EventChannelHandler, event_channel_handler};

use crate::{
    assert_room, is_stream,
    support::{
        handlers::one_event_then_idle,
        http::{call, get},
    },
};

const MAX: usize = 100;

const CLIENTS: usize = 1000;

/// A client that tries again until it is admitted, stays for a while, and leaves: it drops the
/// response before the first poll, or the body before its end.
async fn client(handler: EventChannelHandler<()>, living: Arc<AtomicUsize>, exact: bool) {
    let step = |least, most| Duration::from_micros(fastrand::u64(least..most));
    sleep(step(0, 20_000)).await;
    loop {
        let response = call(&handler, get("/")).await;
        if !is_stream(&response) {
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            if exact {
                assert_eq!(living.load(SeqCst), MAX, "refused though there was a place");
            }
            sleep(step(100, 5_000)).await;
            continue;
        }
        assert!(living.fetch_add(1, SeqCst) < MAX, "more than the limit");
        let mut body = response.into_body();
        if fastrand::bool() {
            body.next_chunk().await.unwrap().unwrap();
        }
        sleep(step(0, 5_000)).await;
        living.fetch_sub(1, SeqCst);
        drop(body);
        return;
    }
}

async fn load(exact: bool) {
    let living = Arc::new(AtomicUsize::new(0));
    let handler = one_event_then_idle().max_streams(MAX);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(client(handler.clone(), living.clone(), exact)))
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(living.load(SeqCst), 0);
    assert_room(&handler, MAX, || get("/")).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_clients_never_exceed_the_limit_and_none_is_refused_below_it() {
    load(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_on_several_threads_never_exceed_the_limit() {
    load(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_over_sockets_never_exceed_the_limit() {
    let (living, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (lives, leaves, high) = (living.clone(), living.clone(), most.clone());
    let handler = event_channel_handler::<_, _, hyper::body::Incoming>(|_, events| async move {
        events.send(Event::new("x")).await?;
        pending().await
    })
    .on_disconnect(move |_| {
        leaves.fetch_sub(1, SeqCst);
    })
    .on_connect(move |connect: Connect| {
        high.fetch_max(lives.fetch_add(1, SeqCst) + 1, SeqCst);
        async move { Ok(connect.accept()) }
    })
    .max_streams(MAX);
    let server = Arc::new(crate::support::http::Server::start(handler).await);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(fastrand::u64(0..1000))).await;
                let mut client = server.get_raw("/").await;
                client.until("\r\n\r\n").await;
                let admitted = client.text().starts_with("HTTP/1.1 200");
                if admitted {
                    client.until("data: x").await;
                    sleep(Duration::from_millis(fastrand::u64(0..100))).await;
                }
                admitted
            })
        })
        .collect();
    let mut admitted = 0;
    for client in clients {
        admitted += usize::from(client.await.unwrap());
    }
    assert!(admitted >= MAX, "{admitted}");
    assert!(most.load(SeqCst) <= MAX, "{most:?}");
    crate::support::http::soon(async {
        while living.load(SeqCst) > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
