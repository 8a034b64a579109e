//! Real sockets: a hyper server for any service, and independent clients.

use std::{fmt::Debug, future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Empty;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tower_sse::{BoxError, EventBody, EventChannelHandler};

/// The limit for anything on a real socket, far above the usual time.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Waits for a future that must complete within the limit.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    timeout(LIMIT, what).await.expect("within the limit")
}

/// Returns a `GET` request without a body, for a service that is called without a server.
pub(crate) fn get(uri: &str) -> Request<()> {
    Request::get(uri).body(()).unwrap()
}

/// Calls a handler without a server.
pub(crate) async fn call<B: Send + 'static>(
    handler: &EventChannelHandler<B>,
    request: Request<B>,
) -> Response<EventBody> {
    let Ok(response) = tower::ServiceExt::oneshot(handler.clone(), request).await;
    response
}

/// A hyper server for HTTP/1.1 and HTTP/2, which runs until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start<S, B>(service: S) -> Self
    where
        S: tower::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError> + Debug,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::start_over(service, |stream| stream).await
    }

    /// Starts a server that wraps its sockets.
    pub(crate) async fn start_over<S, B, Io>(service: S, wrap: fn(TcpStream) -> Io) -> Self
    where
        S: tower::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError> + Debug,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = TowerToHyperService::new(service.clone());
                let io = TokioIo::new(wrap(stream));
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(io, service).await;
                });
            }
        });
        Self { address, accepting }
    }

    /// Returns the address of the server.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects, and sends this text.
    pub(crate) async fn raw(&self, request: &str) -> Raw {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        Raw { stream, read: Vec::new() }
    }

    /// Connects, and requests a path over HTTP/1.1.
    pub(crate) async fn get_raw(&self, path: &str) -> Raw {
        self.raw(&format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await
    }

    /// Connects a client that speaks HTTP/1.1.
    pub(crate) async fn http1(&self) -> http1::SendRequest<Empty<Bytes>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Connects a client that speaks HTTP/2. Returns its socket too, so that a test can close it
    /// without a frame.
    pub(crate) async fn http2(&self) -> (http2::SendRequest<Empty<Bytes>>, std::net::TcpStream) {
        let stream = TcpStream::connect(self.address).await.unwrap().into_std().unwrap();
        let socket = stream.try_clone().unwrap();
        let io = TokioIo::new(TcpStream::from_std(stream).unwrap());
        let (client, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        (client, socket)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Returns a request without a body, for a client of this module.
pub(crate) fn request(method: http::Method, path: &str) -> Request<Empty<Bytes>> {
    let uri = format!("http://test{path}");
    Request::builder().method(method).uri(uri).body(Empty::new()).unwrap()
}

/// A client that reads the bytes on the wire.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    /// Reads until the received text contains this.
    pub(crate) async fn until(&mut self, what: &str) {
        while !self.text().contains(what) {
            let n = soon(self.stream.read_buf(&mut self.read)).await.unwrap();
            assert!(n > 0, "no {what:?} in {:?}", self.text());
        }
    }

    /// Reads to the end of the connection, however it ends.
    pub(crate) async fn read_to_end(&mut self) {
        while soon(self.stream.read_buf(&mut self.read)).await.is_ok_and(|n| n > 0) {}
    }

    /// Returns the received text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

/// Reads a body to its end. Returns its bytes, and the error at the end.
pub(crate) async fn read_incoming(mut body: Incoming) -> (Vec<u8>, Option<hyper::Error>) {
    let mut read = Vec::new();
    while let Some(frame) = soon(http_body_util::BodyExt::frame(&mut body)).await {
        match frame {
            Ok(frame) => read.extend_from_slice(frame.data_ref().unwrap()),
            Err(error) => return (read, Some(error)),
        }
    }
    (read, None)
}

/// Reads a body until the received text contains this.
pub(crate) async fn read_until(body: &mut Incoming, what: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(what) {
        let frame = soon(http_body_util::BodyExt::frame(body)).await;
        let frame = frame.unwrap_or_else(|| panic!("no {what:?} in {read:?}")).unwrap();
        read.extend_from_slice(frame.data_ref().unwrap());
    }
    String::from_utf8(read).unwrap()
}
