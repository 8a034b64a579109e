//! The client of the feature `hyper-client`, over TLS.

use std::{process::Command, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tokio::{net::TcpListener, time::timeout};
use tokio_rustls::TlsAcceptor;
use tower_sse::{BoxError, Event, EventBody, EventSource};

use crate::support::{
    mock,
    process::{Process, executable},
};

const LIMIT: Duration = Duration::from_secs(20);

/// Starts a server for `localhost` with a self-signed certificate. Returns its port and the
/// certificate.
pub(crate) async fn tls_server(protocols: &[&[u8]]) -> (u16, String) {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(socket).await else { return };
                let service = TowerToHyperService::new(tower::service_fn(answer));
                let mut server = auto::Builder::new(TokioExecutor::new());
                server.http2().max_concurrent_streams(1);
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (port, signed.cert.pem())
}

/// Responds with one event: the HTTP version, the method and the last event ID of the request.
async fn answer(request: Request<Incoming>) -> Result<Response<EventBody>, BoxError> {
    let version = if request.version() == Version::HTTP_2 { "h2" } else { "h1" };
    let last = request.headers().get("last-event-id").map_or("none", |id| id.to_str().unwrap());
    let text = format!("{version} {} {last}", request.method());
    let stays_open = request.uri().path() == "/open";
    let body = EventBody::new(move |events| async move {
        events.send(Event::new(text).with_id(7)).await?;
        if stays_open {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    Ok(body.into_http_response())
}

#[tokio::test]
async fn a_source_speaks_tls_with_the_roots_of_the_system_over_both_versions() {
    for (protocols, version) in [(&[&b"h2"[..], b"http/1.1"][..], "h2"), (&[b"http/1.1"], "h1")] {
        let (port, certificate) = tls_server(protocols).await;
        let folder = std::env::temp_dir().join(format!("tower-sse-{}-{port}", std::process::id()));
        std::fs::write(&folder, certificate).unwrap();
        // This variable names the root certificates of the system.
        let mut command = Command::new(executable("sse_cat"));
        command.env("SSL_CERT_FILE", &folder).env_remove("SSL_CERT_DIR");
        command.args([&format!("https://localhost:{port}/"), "--max-events", "2"]);
        let mut process = Process::start(&mut command);
        let mut lines = Vec::new();
        while lines.len() < 6 {
            lines.push(process.line().await);
        }
        std::fs::remove_file(&folder).unwrap();
        let event =
            |last| format!(r#"{{"event":"message","data":"{version} GET {last}","id":"7"}}"#);
        assert_eq!(lines[0], r#"{"opened":{"status":200,"attempt":1}}"#);
        assert_eq!(lines[1], event("none"));
        assert!(lines[2].starts_with(r#"{"reconnecting":{"attempt":2,"delay_ms":"#), "{lines:?}");
        assert_eq!(lines[4], event("7"));
        assert_eq!(lines[5], r#"{"closed":true}"#);
    }
}

#[tokio::test]
async fn an_untrusted_certificate_is_a_failed_attempt() {
    let (port, _) = tls_server(&[b"http/1.1"]).await;
    let source = EventSource::new(format!("https://localhost:{port}/"));
    let policy = tower_sse::Reconnection::never();
    let mut source = source.reconnection(policy);
    let error = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap_err();
    assert!(error.is_fatal());
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn a_source_is_made_from_a_url_or_a_request_and_an_invalid_url_is_its_first_item() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(tower::service_fn(answer));
            let server = auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                let _ = server.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    let mut source = EventSource::new(format!("http://{address}/"));
    let event = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap();
    assert_eq!(event.data(), "h1 GET none");
    let request = Request::post(format!("http://{address}/")).body(Bytes::from("hello")).unwrap();
    let mut source = EventSource::send(request).with_last_event_id(3);
    let event = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap();
    assert_eq!(event.data(), "h1 POST 3");
    // With the default policy, a request for each of these would be retried without an end.
    for wrong in ["http://[", "no url", "localhost:8080", "/events", "ftp://localhost/", "http://"]
    {
        let reported = timeout(LIMIT, mock::reported(EventSource::new(wrong))).await.unwrap();
        assert_eq!(reported, ["fatal: invalid URI"], "{wrong}");
    }
    let request = Request::get("/events").body("").unwrap();
    assert_eq!(mock::reported(EventSource::send(request)).await, ["fatal: invalid URI"]);
}

/// Names the URL of the server in a child process of a test.
const CHILD_URL: &str = "TOWER_SSE_TEST_URL";

/// Runs a test of this file in a child process, which trusts the certificate. A process reads the root
/// certificates once.
async fn child_of(test: &str, url: String, certificate: &str) {
    let path = std::env::temp_dir().join(format!("tower-sse-{}-{test}.pem", std::process::id()));
    std::fs::write(&path, certificate).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env("SSL_CERT_FILE", &path).env_remove("SSL_CERT_DIR").env(CHILD_URL, url);
    command.args(["--exact", &format!("hyper_client::{test}"), "--nocapture"]);
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = timeout(3 * LIMIT, run).await.expect("the child ends").unwrap();
    std::fs::remove_file(path).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}

async fn next_data(source: &mut EventSource) -> String {
    let event = timeout(LIMIT, source.next_event()).await.expect("an event in time");
    event.unwrap().unwrap().data().to_owned()
}

/// Over HTTP/2, a server that allows one stream for each connection.
#[tokio::test]
async fn open_sources_do_not_share_a_connection() {
    if let Ok(url) = std::env::var(CHILD_URL) {
        let mut sources: Vec<_> = (0..3).map(|_| EventSource::new(&*url)).collect();
        for source in &mut sources {
            assert_eq!(next_data(source).await, "h2 GET none");
        }
        return;
    }
    let (port, certificate) = tls_server(&[b"h2"]).await;
    let (relay, connections) = relay(port, None).await;
    let url = format!("https://localhost:{relay}/open");
    child_of("open_sources_do_not_share_a_connection", url, &certificate).await;
    assert_eq!(*connections.lock().unwrap(), 3);
}

/// The first connection is dead after a while, as after a change of the network.
#[tokio::test]
async fn a_dead_connection_is_not_used_again() {
    if let Ok(url) = std::env::var(CHILD_URL) {
        let policy = tower_sse::Reconnection::resilient().base(Duration::from_millis(10));
        let source = EventSource::new(&*url).reconnection(policy);
        let mut source = source.idle_timeout(Duration::from_secs(3));
        assert_eq!(next_data(&mut source).await, "h2 GET none");
        assert_eq!(next_data(&mut source).await, "h2 GET 7");
        return;
    }
    let (port, certificate) = tls_server(&[b"h2"]).await;
    let (relay, connections) = relay(port, Some(Duration::from_secs(2))).await;
    let url = format!("https://localhost:{relay}/open");
    child_of("a_dead_connection_is_not_used_again", url, &certificate).await;
    assert_eq!(*connections.lock().unwrap(), 2);
}

/// Relays connections to a port, and counts them. The first one is dead after some time: it stays open,
/// and no byte passes.
async fn relay(to: u16, first_lasts: Option<Duration>) -> (u16, Arc<std::sync::Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(std::sync::Mutex::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let is_first = {
                let mut count = counted.lock().unwrap();
                *count += 1;
                *count == 1
            };
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let copy = tokio::io::copy_bidirectional(&mut socket, &mut server);
                match first_lasts.filter(|_| is_first) {
                    Some(time) => {
                        let _ = timeout(time, copy).await;
                        tokio::time::sleep(10 * LIMIT).await;
                    }
                    None => drop(copy.await),
                }
            });
        }
    });
    (port, connections)
}
