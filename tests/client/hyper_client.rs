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
                let server = auto::Builder::new(TokioExecutor::new());
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
    let body = EventBody::new(|events| async move {
        events.send(Event::new(text).with_id(7)).await?;
        Ok(())
    });
    Ok(body.into_response())
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
