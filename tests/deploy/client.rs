//! A client that sees how a stream ends, over HTTP/1.1 or over HTTP/2 with TLS.

use std::{fs, net::SocketAddr, path::Path, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;
use tower_sse::BoxError;

use crate::support::process::PATIENCE;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// A self-signed certificate for 127.0.0.1.
pub(crate) struct Certificate(CertificateDer<'static>);

impl Certificate {
    /// Creates a certificate, and writes it and its key into a folder: `cert.pem`, `key.pem`, and both in
    /// `both.pem`.
    pub(crate) fn new(folder: &Path) -> Self {
        let signed = rcgen::generate_simple_self_signed(["127.0.0.1".into()]).unwrap();
        let (certificate, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
        fs::write(folder.join("cert.pem"), &certificate).unwrap();
        fs::write(folder.join("key.pem"), &key).unwrap();
        fs::write(folder.join("both.pem"), certificate + &key).unwrap();
        Self(signed.cert.der().clone())
    }
}

/// An address that a client can connect to.
#[derive(Clone)]
pub(crate) struct Front {
    /// For messages.
    pub(crate) name: &'static str,
    addr: SocketAddr,
    tls: Option<TlsConnector>,
}

trait Io: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

impl Front {
    pub(crate) fn plain(name: &'static str, addr: SocketAddr) -> Self {
        Self { name, addr, tls: None }
    }

    pub(crate) fn tls(name: &'static str, addr: SocketAddr, certificate: &Certificate) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.0.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { name, addr, tls: Some(TlsConnector::from(Arc::new(config))) }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Requests a stream on a connection of its own. Returns after the head of the response.
    pub(crate) async fn open(&self, path: &str) -> Opened {
        self.open_with(path, &[]).await
    }

    /// Requests a stream with further headers.
    pub(crate) async fn open_with(&self, path: &str, headers: &[(&str, &str)]) -> Opened {
        self.try_open(path, headers).await.unwrap_or_else(|error| {
            panic!("{}: {path}: {error}", self.name);
        })
    }

    pub(crate) async fn try_open(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Opened, BoxError> {
        let (response, socket, connection) =
            timeout(PATIENCE, self.connect(path, headers)).await??;
        let label = format!("{}: {path}", self.name);
        Ok(Opened { response, socket, label, _connection: connection })
    }

    async fn connect(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(Response<Incoming>, std::net::TcpStream, Connection), BoxError> {
        let mut request = Request::get(path).header("accept", "text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let stream = TcpStream::connect(self.addr).await?;
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let socket = stream.try_clone()?;
        let stream = TcpStream::from_std(stream)?;
        let Some(tls) = &self.tls else {
            let request = request.header("host", "example.org").body(Empty::<Bytes>::new())?;
            let io = TokioIo::new(stream);
            let (mut client, connection) = http1::handshake(io).await?;
            let connection = tokio::spawn(async move { drop(connection.await) });
            let connection = Connection(connection);
            return Ok((client.send_request(request).await?, socket, connection));
        };
        let name = ServerName::try_from("127.0.0.1")?;
        let stream: Pin<Box<dyn Io>> = Box::pin(tls.connect(name, stream).await?);
        let (mut client, connection) = http2::Builder::new(TokioExecutor::new())
            // The client takes so many bytes without reading.
            .initial_stream_window_size(1 << 16)
            .initial_connection_window_size(1 << 16)
            .handshake(TokioIo::new(stream))
            .await?;
        let connection = Connection(tokio::spawn(async move { drop(connection.await) }));
        let uri = format!("https://{}{path}", self.addr);
        let request = request.uri(uri).body(Empty::<Bytes>::new())?;
        Ok((client.send_request(request).await?, socket, connection))
    }
}

/// A connection, closed when it is dropped.
pub(crate) struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How a stream has ended for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Like a stream that is complete.
    Clean,
    /// The body was cut.
    Error,
}

/// A response, and its connection.
pub(crate) struct Opened {
    pub(crate) response: Response<Incoming>,
    socket: std::net::TcpStream,
    /// For messages.
    label: String,
    _connection: Connection,
}

impl Opened {
    /// Closes the connection without a word of HTTP/2, as the system does for a program that is killed.
    pub(crate) fn close_socket(self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// Reads until a text has come.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains(text) {
            let frame = timeout(PATIENCE, self.response.frame()).await;
            let Ok(Some(Ok(frame))) = frame else {
                panic!("{}: {frame:?} after {}", self.label, String::from_utf8_lossy(&read));
            };
            read.extend_from_slice(frame.data_ref().unwrap());
        }
        String::from_utf8(read).unwrap()
    }

    /// Reads to the end.
    pub(crate) async fn rest(&mut self) -> (String, End) {
        let rest = self.within(PATIENCE).await;
        rest.unwrap_or_else(|| panic!("{}: the body does not end", self.label))
    }

    /// Reads to the end, or returns `None` if it does not come within a time.
    pub(crate) async fn within(&mut self, time: Duration) -> Option<(String, End)> {
        let (mut read, until) = (Vec::new(), Instant::now() + time);
        let end = loop {
            match tokio::time::timeout_at(until, self.response.frame()).await.ok()? {
                None => break End::Clean,
                Some(Err(_)) => break End::Error,
                Some(Ok(frame)) => read.extend_from_slice(&frame.into_data().unwrap_or_default()),
            }
        };
        Some((String::from_utf8(read).unwrap(), end))
    }
}
