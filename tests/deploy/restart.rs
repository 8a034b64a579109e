//! A rolling restart: two nodes of the example `hub`, with haproxy and `deploy/haproxy.cfg` in front of them,
//! while readers read and writers write. No client notices more than the end of its stream.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tower_sse::{EventSource, Reconnection, client::Update};

use crate::{
    proxy::{Kind, Options, Proxy},
    redis_server::Redis,
    support::process::{Example, PATIENCE},
};

const READERS: usize = 40;
const WRITERS: usize = 4;
/// Longer than the two checks that haproxy needs to notice that a node leaves.
const DRAIN: &str = "4s";

/// Starts a node, at the address of one that has ended or at a new one.
async fn node(url: &str, name: &str, addr: Option<SocketAddr>) -> Example {
    let addr = addr.map_or("127.0.0.1:0".into(), |addr| addr.to_string());
    let args = ["--backend", url, "--node", name, "--drain", DRAIN];
    Example::start_at("hub", &addr, &args).await
}

type PostClient = Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

/// Writes events until it is told to stop, and then one that says so. Each must be taken at the first attempt.
async fn write(client: PostClient, url: String, event_type: String, stop: Arc<AtomicBool>) -> u64 {
    let post = async |data: String| {
        let request = Request::post(&url)
            .header("event-type", &event_type)
            .body(data.clone().into())
            .unwrap();
        let answer = timeout(PATIENCE, client.request(request)).await.expect("an answer");
        let answer = answer.unwrap_or_else(|error| panic!("event {data}: {error:?}"));
        let status = answer.status();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(status, 201, "event {data}: {text:?}");
    };
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        post(sent.to_string()).await;
        sent += 1;
        sleep(Duration::from_millis(15)).await;
    }
    post("over".into()).await;
    sent
}

/// Reads everything that the writers write, in order and once. Returns the number of events from each
/// writer, and how often the reader has connected again.
async fn read(url: String, reads: Arc<AtomicU64>) -> ([u64; WRITERS], u64) {
    let mut source = EventSource::new(url).reconnection(Reconnection::resilient());
    let (mut next, mut is_over, mut reconnects) = ([0; WRITERS], [false; WRITERS], 0);
    while is_over != [true; WRITERS] {
        let update = timeout(PATIENCE, source.next_update()).await.expect("an update");
        match update.unwrap().unwrap() {
            Update::Event(event) => {
                assert_ne!(event.event_type(), "gap", "{event:?}");
                let id = event
                    .event_type()
                    .as_str()
                    .strip_prefix("writer")
                    .expect("an event of a writer");
                let writer: usize = id.parse().unwrap();
                if event.data() == "over" {
                    is_over[writer] = true;
                    continue;
                }
                assert_eq!(event.data(), next[writer].to_string(), "of writer {writer}");
                next[writer] += 1;
                reads.fetch_add(1, Ordering::Relaxed);
            }
            // The end of a stream, with a farewell: not refused, not cut, no 503.
            Update::Reconnecting(lost) => {
                assert!(lost.cause.is_end(), "{lost:?}");
                reconnects += 1;
            }
            _ => {}
        }
    }
    (next, reconnects)
}

/// Waits until requests through the proxy come to a node.
async fn wait_for(client: &PostClient, proxy: &Proxy, name: &str) {
    let answered = async {
        loop {
            let uri = proxy.url("/stats").parse().unwrap();
            let answer = client.get(uri).await.unwrap();
            assert_eq!(answer.status(), 200);
            let stats = answer.into_body().collect().await.unwrap().to_bytes();
            let stats: serde_json::Value = serde_json::from_slice(&stats).unwrap();
            if stats["node"] == name {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, answered).await.expect("the node is used again");
}

async fn check_rolling_restart(url: &str) {
    let nodes = [node(url, "one", None).await, node(url, "two", None).await];
    let addrs = nodes.each_ref().map(|node| node.addr);
    // haproxy does not try a request again: the client would see that a node refuses it.
    let no_retries = ("timeout connect 5s", "timeout connect 5s\n    retries 0");
    let changes = vec![(no_retries.0.to_owned(), no_retries.1.to_owned())];
    let options = Options { changes, idle_timeout: None };
    let proxy = Proxy::start(Kind::Haproxy, &addrs, &options).await;
    let client: PostClient =
        Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();

    let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<JoinHandle<_>> = (0..READERS)
        .map(|_| tokio::spawn(read(proxy.url("/events?pattern=load.*&start=true"), reads.clone())))
        .collect();
    let writers: Vec<JoinHandle<_>> = (0..WRITERS)
        .map(|writer| {
            let client = client.clone();
            let url = proxy.url(&format!("/topics/load.{writer}"));
            tokio::spawn(write(client, url, format!("writer{writer}"), stop.clone()))
        })
        .collect();
    sleep(Duration::from_secs(1)).await;
    let mut new = Vec::new();
    for (number, old) in nodes.into_iter().enumerate() {
        let (addr, name) = (old.addr, ["one anew", "two anew"][number]);
        assert_eq!(old.get("/ready").await.status(), 200);
        // By systemd or Kubernetes, or by hand.
        if number == 0 {
            old.terminate();
        } else {
            old.interrupt();
        }
        let leaves = async {
            while old.get("/ready").await.status() != 503 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, leaves).await.expect("the node says that it leaves");
        assert!(old.ended_well().await);
        new.push(node(url, name, Some(addr)).await);
        wait_for(&client, &proxy, name).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut sent = [0; WRITERS];
    for (writer, task) in writers.into_iter().enumerate() {
        sent[writer] = task.await.unwrap();
    }
    let mut reconnects = 0;
    for reader in readers {
        let (read, times) = reader.await.unwrap();
        assert_eq!(read, sent);
        reconnects += times;
    }
    let all: u64 = sent.iter().sum();
    println!(
        "{all} events, {READERS} readers, {reconnects} reconnects: lost 0, twice 0, refused 0"
    );
    assert!(all > 200, "{all}");
    assert!(reconnects >= READERS as u64, "each stream was on a node that has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_over_redis_loses_no_event_and_refuses_no_request() {
    check_rolling_restart(&Redis::start().await.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_over_nats_loses_no_event_and_refuses_no_request() {
    check_rolling_restart(&crate::nats_server::NatsServer::start().url()).await;
}
