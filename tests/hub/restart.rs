//! A thousand readers over sockets, and a restart that breaks all connections in the middle.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http_body_util::Full;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tower_sse::{Event, EventSource, Hub, Reconnection};

use crate::support::process::PATIENCE;

const READERS: usize = 1000;

const EVENTS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_readers_lose_nothing_when_all_connections_break() {
    let hub = Hub::new();
    let connects = Arc::new(AtomicUsize::new(0));
    let counted = connects.clone();
    let handler = hub.handler(move |connect| {
        counted.fetch_add(1, SeqCst);
        async move { connect.accept().topics(["a", "b"]) }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let (restart, mut restarted) = tokio::sync::mpsc::channel::<()>(1);
    let server = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (socket, _) = accepted.unwrap();
                    let service = TowerToHyperService::new(handler.clone());
                    let serve = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service);
                    connections.spawn(serve);
                }
                Some(()) = restarted.recv() => connections.abort_all(),
            }
            while connections.try_join_next().is_some() {}
        }
    });

    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let client: Client<_, Full<bytes::Bytes>> =
            Client::builder(TokioExecutor::new()).build_http();
        let policy = Reconnection::resilient().base(Duration::from_millis(50));
        let mut source = EventSource::get(client, uri.clone()).reconnection(policy);
        readers.spawn(async move {
            let mut seen = Vec::with_capacity(EVENTS);
            while seen.len() < EVENTS {
                let event = source.next_event().await.unwrap().unwrap();
                assert_eq!(event.event_type(), "message", "{}", event.data());
                seen.push(event.data().parse::<usize>().unwrap());
            }
            seen
        });
    }
    timeout(PATIENCE, async {
        while hub.stats().readers < READERS {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    for n in 0..EVENTS {
        hub.publish(["a", "b"][n % 2], Event::new(n)).await.unwrap();
        if n == EVENTS / 2 {
            restart.send(()).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    timeout(PATIENCE, async {
        while let Some(seen) = readers.join_next().await {
            assert!(seen.unwrap().into_iter().eq(0..EVENTS), "in order, each once");
        }
    })
    .await
    .unwrap();
    assert!(connects.load(SeqCst) >= 2 * READERS, "{connects:?}: all have reconnected");
    assert_eq!(hub.stats().gaps, 0);
    server.abort();
}
