//! Graceful shutdown of whole servers with open streams, over real sockets: axum, hyper and warp,
//! HTTP/1.1 and HTTP/2, in each mode. Two of the hundred clients have stopped reading, one on each
//! protocol. No client leaves by itself.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{Router, serve::Listener};
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyDataStream, BodyExt as _, Empty};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tower::{Layer as _, Service};
use tower_sse::{
    BoxError, EndReason, Event, EventBody, EventSender, Farewell, Shutdown, SseLayer,
    event_channel_handler, shutdown::ShutdownIo,
};
use warp::{Filter as _, Reply as _};

use crate::support::{decode, http::request, read_text};

/// The limit for anything a server does, generous because the machine may be loaded.
const LIMIT: Duration = Duration::from_secs(30);

const READERS: usize = 98;

/// Over HTTP/2, streams share connections.
const PER_CONNECTION: usize = 7;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Now,
    Farewell,
    Finish,
    Paced,
}

impl Mode {
    fn shutdown(self) -> Shutdown {
        let quick = Farewell::new().cut_after(Duration::from_secs(1));
        let bye = quick.clone().event(Event::new("bye")).retry(Duration::from_secs(2));
        Shutdown::new(match self {
            Self::Now => quick,
            Self::Farewell => bye,
            Self::Finish => bye.grace_period(Duration::from_secs(5)),
            Self::Paced => bye.stagger_over(Duration::from_millis(500)),
        })
    }

    /// The data of the events that a reader gets.
    fn expected(self) -> &'static [&'static str] {
        match self {
            Self::Now => &["hello"],
            Self::Farewell | Self::Paced => &["hello", "bye"],
            Self::Finish => &["hello", "finishing", "finished", "bye"],
        }
    }

    fn reason(self) -> EndReason {
        if self == Self::Finish { EndReason::Finished } else { EndReason::ShutDown }
    }
}

/// The state that the streams of a server share.
#[derive(Clone)]
struct Streams {
    shutdown: Option<Shutdown>,
    finishes: bool,
    /// The number of events sent to the clients that do not read.
    flooded: Arc<AtomicU64>,
    ended: Arc<AtomicUsize>,
    ended_by_reader_reason: Arc<AtomicUsize>,
    reason: EndReason,
}

impl Streams {
    fn new(mode: Mode, shutdown: Option<Shutdown>) -> Self {
        Self {
            shutdown,
            finishes: mode == Mode::Finish,
            flooded: Arc::default(),
            ended: Arc::default(),
            ended_by_reader_reason: Arc::default(),
            reason: mode.reason(),
        }
    }

    /// Runs a stream: one that sends `hello` and stays open, or one that sends without an end.
    async fn run(self, path: String, events: EventSender) -> Result<(), BoxError> {
        if path == "/flood" {
            loop {
                events.send(Event::new("x".repeat(1024))).await?;
                self.flooded.fetch_add(1, SeqCst);
            }
        }
        events.send(Event::new("hello")).await?;
        if !self.finishes {
            return std::future::pending().await;
        }
        events.ending().await;
        events.send(Event::new("finishing")).await?;
        sleep(Duration::from_millis(300)).await;
        events.send(Event::new("finished")).await?;
        Ok(())
    }

    fn handler<B: Send + 'static>(&self) -> tower_sse::EventChannelHandler<B> {
        let streams = self.clone();
        let handler = event_channel_handler(move |request: Request<B>, events| {
            streams.clone().run(request.uri().path().to_owned(), events)
        });
        let streams = self.clone();
        let handler = handler.on_disconnect(move |end| streams.count(end.reason()));
        match &self.shutdown {
            Some(shutdown) => handler.shutdown(shutdown),
            None => handler,
        }
    }

    fn body(&self, path: &'static str) -> EventBody {
        let streams = self.clone();
        let body = EventBody::new(move |events| streams.run(path.to_owned(), events));
        let streams = self.clone();
        let body = body.on_disconnect(move |end| streams.count(end.reason()));
        match &self.shutdown {
            Some(shutdown) => body.shutdown(shutdown),
            None => body,
        }
    }

    fn count(&self, reason: EndReason) {
        self.ended.fetch_add(1, SeqCst);
        if reason == self.reason {
            self.ended_by_reader_reason.fetch_add(1, SeqCst);
        }
    }
}

type Io = ShutdownIo<TcpStream>;

/// Wraps the connections of a listener so that the shutdown can cut them.
struct Cutting {
    listener: TcpListener,
    shutdown: Shutdown,
}

impl Listener for Cutting {
    type Io = Io;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Io, SocketAddr) {
        let (stream, addr) = Listener::accept(&mut self.listener).await;
        (self.shutdown.cut_io(stream), addr)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The future of a server, which completes when the server has shut down.
type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn axum_serve(listener: TcpListener, streams: Streams, signal: oneshot::Receiver<()>) {
    let app = Router::new().fallback_service(streams.handler());
    match streams.shutdown {
        Some(shutdown) => {
            let started = shutdown.start_when(signal);
            let listener = Cutting { listener, shutdown };
            axum::serve(listener, app).with_graceful_shutdown(started).await.unwrap();
        }
        None => {
            let signal = async { drop(signal.await) };
            axum::serve(listener, app).with_graceful_shutdown(signal).await.unwrap();
        }
    }
}

async fn hyper_graceful(listener: TcpListener, streams: Streams, signal: oneshot::Receiver<()>) {
    serve(listener, streams.handler(), streams.shutdown, signal).await;
}

/// Warp filters under the layer.
async fn warp_under_layer(listener: TcpListener, streams: Streams, signal: oneshot::Receiver<()>) {
    let pages = warp::path("page").map(|| "a page");
    let layer = SseLayer::new(streams.handler()).path_prefix("/");
    serve(listener, layer.layer(warp::service(pages)), streams.shutdown, signal).await;
}

/// Serves with the graceful shutdown of hyper-util.
async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    shutdown: Option<Shutdown>,
    signal: oneshot::Receiver<()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let graceful = GracefulShutdown::new();
    let cutting = shutdown.clone().unwrap_or_default();
    let mut started = Box::pin(async {
        let _ = signal.await;
        if let Some(shutdown) = &shutdown {
            shutdown.start();
        }
    });
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            () = &mut started => break,
        };
        let io = TokioIo::new(cutting.cut_io(stream));
        let service = TowerToHyperService::new(service.clone());
        let builder = auto::Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection(io, service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move { connection.await.is_ok() });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// The server of warp, whose connections cannot be wrapped. Overdue streams end it from outside,
/// together with its runtime, as when `main` returns.
async fn warp_alone(listener: TcpListener, streams: Streams, signal: oneshot::Receiver<()>) {
    let listener = listener.into_std().unwrap();
    let main = move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            let shutdown = streams.shutdown.clone();
            let started = shutdown.clone().unwrap_or_default().start_when(signal);
            let filter = warp::path::full().map(move |path: warp::path::FullPath| {
                let path = if path.as_str() == "/flood" { "/flood" } else { "/events" };
                let (head, body) = streams.body(path).into_http_response().into_parts();
                let mut reply = warp::reply::stream(BodyDataStream::new(body)).into_response();
                *reply.headers_mut() = head.headers;
                reply
            });
            let server = warp::serve(filter).incoming(listener).graceful(started).run();
            tokio::select! {
                () = server => {}
                () = async { shutdown.unwrap_or_default().overdue().await } => {}
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
    };
    tokio::task::spawn_blocking(main).await.unwrap();
}

/// A client that keeps its connection open and reads its stream to the end.
type Reader = JoinHandle<Vec<String>>;

/// Reads a stream to its end, which must be a clean one. Sends to `begun` after the first event.
async fn read(mut body: Incoming, begun: tokio::sync::mpsc::UnboundedSender<()>) -> Vec<String> {
    let mut text = Vec::new();
    let mut begun = Some(begun);
    while let Some(frame) = body.frame().await {
        text.extend_from_slice(frame.expect("a clean end").data_ref().unwrap());
        if text.ends_with(b"data: hello\n\n") {
            begun.take().into_iter().for_each(|begun| begun.send(()).unwrap());
        }
    }
    decode(text).into_iter().map(|(_, data, _)| data).collect()
}

async fn http1(addr: SocketAddr) -> http1::SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn http2(addr: SocketAddr) -> http2::SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let io = TokioIo::new(stream);
    let (client, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Opens the streams of the clients that read: half over HTTP/1.1, half over HTTP/2.
async fn readers(addr: SocketAddr) -> Vec<Reader> {
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let mut readers = Vec::new();
    for _ in 0..READERS / 2 {
        let mut client = http1(addr).await;
        let begun = begun.clone();
        readers.push(tokio::spawn(async move {
            let response = client.send_request(request(Method::GET, "/events")).await.unwrap();
            let read = read(response.into_body(), begun).await;
            drop(client);
            read
        }));
    }
    for _ in 0..READERS / 2 / PER_CONNECTION {
        let client = http2(addr).await;
        for _ in 0..PER_CONNECTION {
            let (mut client, begun) = (client.clone(), begun.clone());
            readers.push(tokio::spawn(async move {
                let response = client.send_request(request(Method::GET, "/events")).await.unwrap();
                read(response.into_body(), begun).await
            }));
        }
    }
    assert_eq!(readers.len(), READERS);
    for _ in 0..READERS {
        timeout(LIMIT, begins.recv()).await.expect("a hello").unwrap();
    }
    readers
}

/// Runs a server through its shutdown.
async fn run<S, F>(server: S, mode: Mode)
where
    S: FnOnce(TcpListener, Streams, oneshot::Receiver<()>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let shutdown = mode.shutdown();
    let streams = Streams::new(mode, Some(shutdown.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (signal, signals) = oneshot::channel();
    let serving: Serving = Box::pin(server(listener, streams.clone(), signals));
    let serving = tokio::spawn(serving);

    let readers = readers(addr).await;
    // One client does not read its socket, another one does not read its HTTP/2 stream.
    let mut stalled_1 = TcpStream::connect(addr).await.unwrap();
    stalled_1.write_all(b"GET /flood HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let mut client = http2(addr).await;
    let stalled_2 = client.send_request(request(Method::GET, "/flood")).await.unwrap();
    timeout(LIMIT, until_stalled(&streams)).await.expect("the floods stall");
    assert_eq!(shutdown.streams(), READERS + 2);

    signal.send(()).unwrap();
    timeout(LIMIT, serving).await.expect("the server ends").unwrap();
    for reader in readers {
        assert_eq!(timeout(LIMIT, reader).await.unwrap().unwrap(), mode.expected());
    }
    shutdown.finished_within(LIMIT).await.unwrap();
    assert_eq!(streams.ended.load(SeqCst), READERS + 2);
    // In the mode `Finish`, the two streams that were cut did not finish.
    let cut = if mode == Mode::Finish { 2 } else { 0 };
    assert_eq!(streams.ended_by_reader_reason.load(SeqCst), READERS + 2 - cut);
    drop((stalled_1, stalled_2, client));
}

/// Waits until no more events are sent to the clients that do not read.
async fn until_stalled(streams: &Streams) {
    let mut before = 0;
    loop {
        sleep(Duration::from_millis(200)).await;
        let now = streams.flooded.load(SeqCst);
        // More than the windows of both protocols.
        if now == before && now > 100 {
            return;
        }
        before = now;
    }
}

/// Runs a server through a shutdown without a `Shutdown` for its streams, and asserts that it
/// hangs.
async fn hangs<S, F>(server: S)
where
    S: FnOnce(TcpListener, Streams, oneshot::Receiver<()>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let streams = Streams::new(Mode::Now, None);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (signal, signals) = oneshot::channel();
    let serving: Serving = Box::pin(server(listener, streams.clone(), signals));
    let mut serving = tokio::spawn(serving);
    let readers = readers(addr).await;
    signal.send(()).unwrap();
    assert!(timeout(Duration::from_secs(1), &mut serving).await.is_err(), "it has ended");
    assert_eq!(streams.ended.load(SeqCst), 0);
    // The server ends when the last client has left.
    readers.into_iter().for_each(|reader| reader.abort());
    timeout(LIMIT, serving).await.expect("the server ends").unwrap();
}

macro_rules! servers {
    ($($server:ident)*) => {$(
        mod $server {
            use super::{Mode, hangs, run};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn ends_now() {
                run(super::$server, Mode::Now).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn ends_with_a_farewell() {
                run(super::$server, Mode::Farewell).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn lets_handlers_finish() {
                run(super::$server, Mode::Finish).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn ends_staggered() {
                run(super::$server, Mode::Paced).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn hangs_without_a_shutdown() {
                hangs(super::$server).await;
            }
        }
    )*};
}

servers! { axum_serve hyper_graceful warp_under_layer warp_alone }

#[tokio::test(start_paused = true)]
async fn every_mode_ends_a_body_without_a_server() {
    for mode in [Mode::Now, Mode::Farewell, Mode::Finish, Mode::Paced] {
        let shutdown = mode.shutdown();
        let streams = Streams::new(mode, Some(shutdown.clone()));
        let body = streams.body("/events");
        let reading = tokio::spawn(read_text(body));
        sleep(Duration::from_secs(1)).await;
        shutdown.start();
        let events = decode(reading.await.unwrap());
        let data: Vec<_> = events.into_iter().map(|(_, data, _)| data).collect();
        assert_eq!(data, mode.expected(), "{mode:?}");
    }
}
