//! Several nodes of the example `hub` over one engine, with haproxy in front of them.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use http::Request;
use tokio::time::timeout;
use tower_sse::{EventSource, Reconnection};

use crate::{
    redis_server::Redis,
    support::process::{Example, PATIENCE},
};

/// A haproxy in front of some nodes, which sends each request to the next one.
pub(crate) struct Proxy {
    child: Child,
    port: u16,
    folder: std::path::PathBuf,
}

impl Proxy {
    /// `check` is the line of the configuration that says how to find out whether a node is up. An answer that is silent for `seconds` is cut.
    pub(crate) async fn start(nodes: &[Example], check: &str, seconds: u32) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder =
            std::env::temp_dir().join(format!("tower-sse-haproxy-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let servers = nodes.iter().enumerate().map(|(number, node)| {
            format!("    server node{number} {} check inter 200ms\n", node.addr)
        });
        let config = format!(
            "defaults\n    mode http\n    timeout connect 5s\n    timeout client 60s\n    timeout \
             server {seconds}s\nfrontend in\n    bind 127.0.0.1:{port}\n    default_backend \
             nodes\nbackend nodes\n    balance roundrobin\n    {check}\n{}",
            servers.collect::<String>()
        );
        let file = folder.join("haproxy.cfg");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("`ci/test` installs haproxy");
        let proxy = Self { child, port, folder };
        let up = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, up).await.expect("haproxy starts");
        proxy
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Writers publish and readers read through haproxy, for `TOWER_SSE_STRESS` seconds. Readers reconnect
/// every few events, and mostly reach another node.
async fn check_moves(url: &str, names: &[&str]) {
    const WRITERS: usize = 4;
    let seconds = std::env::var("TOWER_SSE_STRESS").map_or(4, |text| text.parse().unwrap());
    let mut nodes = Vec::new();
    for node in names {
        nodes.push(Example::start("hub", &["--backend", url, "--node", node]).await);
    }
    let proxy = Proxy::start(&nodes, "option httpchk GET /health", 60).await;
    let read = |number: usize| {
        let url = proxy.url("/events?pattern=load.*&start=true");
        async move {
            let policy = Reconnection::resilient().base(Duration::ZERO);
            let mut source = EventSource::new(url).reconnection(policy);
            let (mut next, mut is_over, mut events) = ([0_usize; WRITERS], [false; WRITERS], 0);
            while is_over != [true; WRITERS] {
                let event = timeout(PATIENCE, source.next_event()).await.expect("an event");
                let event = event.unwrap().unwrap();
                assert_ne!(event.event_type(), "gap", "{event:?}");
                let (writer, value) = event.data().split_once(' ').unwrap();
                let writer: usize = writer.parse().unwrap();
                if value == "over" {
                    is_over[writer] = true;
                    continue;
                }
                assert_eq!(value, next[writer].to_string(), "reader {number}, writer {writer}");
                next[writer] += 1;
                events += 1;
                if events % (3 + number) == 0 {
                    source.reconnect();
                }
            }
            (events, source)
        }
    };
    let readers: Vec<_> = (0..3).map(|number| tokio::spawn(read(number))).collect();
    let until = Instant::now() + Duration::from_secs(seconds);
    let writers = (0..WRITERS).map(|writer| {
        let url = proxy.url(&format!("/topics/load.{writer}"));
        tokio::spawn(async move {
            let client: hyper_util::client::legacy::Client<_, http_body_util::Full<bytes::Bytes>> =
                hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
                    .build_http();
            let post = async |value: String| {
                let body = format!("{writer} {value}");
                let request = Request::post(&url).body(body.into()).unwrap();
                assert_eq!(client.request(request).await.unwrap().status(), 201);
            };
            let mut sent = 0;
            while Instant::now() < until {
                post(sent.to_string()).await;
                sent += 1;
                // The readers must keep up with their reconnects.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            post("over".into()).await;
            sent
        })
    });
    let mut sent = 0;
    for writer in writers.collect::<Vec<_>>() {
        sent += writer.await.unwrap();
    }
    for reader in readers {
        let (events, _source) = timeout(4 * PATIENCE, reader).await.unwrap().unwrap();
        assert_eq!(events, sent);
    }
    println!("{sent} events, 3 readers, {} nodes: lost 0, twice 0, gaps 0", names.len());
    assert!(sent > 50, "{sent}");
    let mut busy = 0;
    for node in &nodes {
        let stats = node.get("/stats").await.text().await;
        let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
        busy += usize::from(stats["published"].as_u64() > Some(0));
    }
    assert_eq!(busy, names.len(), "each node has the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_move_between_nodes_over_redis_get_each_event_once_and_in_order() {
    for names in [&["one", "two"][..], &["one", "two", "three"]] {
        check_moves(&Redis::start().await.url(), names).await;
    }
}

#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread")]
async fn readers_that_move_between_nodes_over_nats_get_each_event_once_and_in_order() {
    for names in [&["one", "two"][..], &["one", "two", "three"]] {
        check_moves(&crate::nats_server::NatsServer::start().url(), names).await;
    }
}
