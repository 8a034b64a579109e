//! Recipes: what everybody who serves or reads event streams meets sooner or later. There is no code
//! here, only docs.
//!
//! 1. [Clean up with `await` when a client has left](#clean-up-with-await-when-a-client-has-left)
//! 2. [Finish the work though the client left](#finish-the-work-though-the-client-left)
//! 3. [Go on while a client is slow](#go-on-while-a-client-is-slow)
//! 4. [Cut a client that has stopped reading](#cut-a-client-that-has-stopped-reading)
//! 5. [Shut down gracefully](#shut-down-gracefully)
//! 6. [Tame reconnect storms](#tame-reconnect-storms)
//! 7. [Go on where the client was](#go-on-where-the-client-was)
//! 8. [Authenticate a browser](#authenticate-a-browser)
//! 9. [Send a browser away, and have it back](#send-a-browser-away-and-have-it-back)
//! 10. [Six connections an origin](#six-connections-an-origin)
//! 11. [Proxies](#proxies)
//! 12. [Compression and CORS](#compression-and-cors)
//! 13. [Test a stream without a server](#test-a-stream-without-a-server)
//! 14. [Notice that a server is gone](#notice-that-a-server-is-gone)
//! 15. [Send headers that expire](#send-headers-that-expire)
//! 16. [Ask a language model](#ask-a-language-model)
//! 17. [Go on after a restart of your own](#go-on-after-a-restart-of-your-own)
//! 18. [Test a client without a network](#test-a-client-without-a-network)
//! 19. [Serve streams alone](#serve-streams-alone)
//!
//! # Clean up with `await` when a client has left
//!
//! `on_disconnect` runs where the body is dropped, so it can neither block nor await. Let it send
//! what is to be done to a task that can:
//!
//! ```
//! use tokio::sync::mpsc;
//! use tower_sse::{StreamEnd, event_channel_handler};
//!
//! #[derive(Clone)]
//! struct Session(u64);
//!
//! async fn forget(session: &Session) { /* a query */ }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (ended, mut ends) = mpsc::unbounded_channel::<StreamEnd>();
//! tokio::spawn(async move {
//!     while let Some(end) = ends.recv().await {
//!         if let Some(session) = end.extensions().get::<Session>() {
//!             forget(session).await;
//!         }
//!     }
//! });
//! let handler = event_channel_handler::<_, _, ()>(|_, _events| async { Ok(()) })
//!     .on_disconnect(move |end| drop(ended.send(end)));
//! # let _ = handler; }
//! ```
//!
//! What needs no `await` can stand in the handler as well: a value with a `Drop` is dropped with
//! the handler, where it awaits, before the hook is told.
//!
//! # Finish the work though the client left
//!
//! A handler is dropped with its client. Work that must be finished (a model's answer that was paid
//! for, and is to be saved) goes in a task, which is given the sender and takes its failure for
//! what it is: nobody listens any more.
//!
//! ```
//! use tower_sse::{Event, EventBody};
//!
//! # async fn next_token() -> Option<String> { None }
//! # async fn save(answer: &str) {}
//! let body = EventBody::new(|events| async move {
//!     tokio::spawn(async move {
//!         let mut answer = String::new();
//!         while let Some(token) = next_token().await {
//!             answer.push_str(&token);
//!             let _ = events.send(Event::new(token)).await; // the client may be gone
//!         }
//!         save(&answer).await;
//!     });
//!     Ok(())
//! });
//! # let _ = body;
//! ```
//!
//! The stream lasts until the task drops its sender. While a client is there and slow, the task
//! waits for it; with [`Buffer::dropping`](crate::Buffer::dropping) it would not.
//!
//! # Go on while a client is slow
//!
//! A server does not poll the body of a connection that takes nothing, so a handler inside its body
//! is paused: its timers too. That is backpressure, and right for most. A handler that must go on
//! meanwhile is given a task, and a buffer that says what is lost:
//!
//! ```
//! use std::time::Duration;
//! use tower_sse::{Buffer, Event, event_channel_handler};
//!
//! # fn read_sensor() -> u32 { 7 }
//! let latest = event_channel_handler::<_, _, ()>(|_, events| async move {
//!     let mut pace = tokio::time::interval(Duration::from_millis(100));
//!     loop {
//!         pace.tick().await;
//!         events.send(Event::new(read_sensor())).await?;
//!     }
//! })
//! .spawn_handler()
//! .buffer(Buffer::sliding(64));
//! # let _ = latest;
//! ```
//!
//! How many were dropped is told by [`EventSender::dropped`](crate::EventSender::dropped) and, at
//! the end, by [`StreamEnd::dropped`](crate::StreamEnd::dropped).
//!
//! # Cut a client that has stopped reading
//!
//! A client that keeps its connection and reads nothing keeps its stream for as long as the kernel
//! thinks that it lives. The body cannot end it, since nobody polls it. There are three places to cut
//! it:
//!
//! - The server, with a write timeout around the connection, for which there are crates,
//!   `tokio-io-timeout` one of them. Only writes that wait are timed, so idle streams are left
//!   alone. Below for hyper; for axum the example of that name has it in a `Listener`.
//! - A sender outside of the body, in a task or a thread: with
//!   [`send_timeout`](crate::EventBody::send_timeout) it evicts the stream when it has waited for
//!   too long. What waited is freed at once; the connection itself is left to the write timeout.
//! - The [shutdown](#shut-down-gracefully), in the end.
//!
//! Over HTTP/2 a client can stop reading one stream and keep the connection busy; that no write
//! timeout sees.
//!
//! Until then memory is bounded: by the buffer of the stream, and those of the socket.
//!
//! ```no_run
//! use std::time::Duration;
//! use hyper_util::{
//!     rt::{TokioExecutor, TokioIo},
//!     server::conn::auto,
//!     service::TowerToHyperService,
//! };
//! use tokio_io_timeout::TimeoutStream;
//! # use tower_sse::EventChannelHandler;
//!
//! # async fn serve(listener: tokio::net::TcpListener, ticks: EventChannelHandler<hyper::body::Incoming>) -> std::io::Result<()> {
//! loop {
//!     let (stream, _) = listener.accept().await?;
//!     let mut stream = TimeoutStream::new(stream);
//!     stream.set_write_timeout(Some(Duration::from_secs(30)));
//!     let io = TokioIo::new(Box::pin(stream));
//!     let service = TowerToHyperService::new(ticks.clone());
//!     tokio::spawn(async move {
//!         let server = auto::Builder::new(TokioExecutor::new());
//!         server.serve_connection(io, service).await.is_ok()
//!     });
//! }
//! # }
//! ```
//!
//! # Shut down gracefully
//!
//! A [`Shutdown`](crate::Shutdown) ends the streams when the server's own graceful shutdown begins.
//! Where the server's connections are in hand, as with hyper, each is wrapped so that it can be cut:
//!
//! ```no_run
//! use std::{pin::pin, time::Duration};
//! use hyper_util::{
//!     rt::{TokioExecutor, TokioIo},
//!     server::{conn::auto, graceful::GracefulShutdown},
//!     service::TowerToHyperService,
//! };
//! use tower_sse::{EventChannelHandler, Farewell, Shutdown};
//! # use hyper::body::Incoming;
//!
//! # async fn serve(listener: tokio::net::TcpListener, ticks: EventChannelHandler<Incoming>) -> std::io::Result<()> {
//! let shutdown = Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));
//! let mut interrupted = pin!(shutdown.start_when(tokio::signal::ctrl_c()));
//! let connections = GracefulShutdown::new();
//! let service = TowerToHyperService::new(ticks.shutdown(&shutdown));
//! loop {
//!     let (stream, _) = tokio::select! {
//!         accepted = listener.accept() => accepted?,
//!         () = &mut interrupted => break,
//!     };
//!     let io = TokioIo::new(shutdown.cut_io(stream));
//!     let server = auto::Builder::new(TokioExecutor::new());
//!     let connection = connections.watch(server.serve_connection(io, service.clone()).into_owned());
//!     tokio::spawn(async move { connection.await.is_ok() });
//! }
//! connections.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! With axum, a `Listener` of a few lines wraps what it accepts: see the example `shutdown`. Where
//! connections cannot be wrapped, as in `warp::serve`, let `main` end, and its runtime with it, when
//! streams are stuck:
//!
//! ```
//! # use tower_sse::Shutdown;
//! # async fn main_of(server: impl Future<Output = ()>, shutdown: Shutdown) {
//! tokio::select! {
//!     () = server => {}
//!     () = shutdown.overdue() => eprintln!("{} streams were stuck", shutdown.streams()),
//! }
//! # }
//! ```
//!
//! # Tame reconnect storms
//!
//! Clients that left together come back together, to a server that has just started. So everything
//! that sends clients away draws the time for each of them from a range:
//!
//! | | drawn |
//! |---|---|
//! | [`retry`](crate::EventBody::retry) | the reconnection time that a stream opens with |
//! | [`Farewell::retry`](crate::Farewell::retry) | the one that it ends with, at a shutdown or after its lifetime |
//! | [`max_lifetime`](crate::EventBody::max_lifetime) | the end, in the last fifth of it |
//! | [`Farewell::stagger_over`](crate::Farewell::stagger_over) | the ends at a shutdown |
//! | [`retry_after`](crate::EventChannelHandler::retry_after) | how long those stay away for whom there is no place |
//!
//! # Go on where the client was
//!
//! Give every event an id, and a client that reconnects tells the last one it has: browsers by
//! themselves, for as long as the page lives. Send what came after it, not the event itself.
//!
//! ```
//! use tower_sse::{Event, LastEventId, event_channel_handler};
//!
//! # struct Order { number: u64, text: String }
//! # async fn orders_after(number: u64) -> Vec<Order> { vec![] }
//! let orders = event_channel_handler::<_, _, ()>(|request, events| async move {
//!     let last = request.extensions().get::<LastEventId>();
//!     let last = last.and_then(|last| last.as_str().parse().ok()).unwrap_or(0);
//!     for order in orders_after(last).await {
//!         events.send(Event::new(order.text).with_id(order.number)).await?;
//!     }
//!     Ok(())
//! });
//! # let _ = orders;
//! ```
//!
//! A page that opens a new `EventSource` starts with none, and can put the id in the query:
//! `/orders?last_event_id=7`.
//!
//! # Authenticate a browser
//!
//! `EventSource` cannot set a header. What it sends is cookies: those of the same origin, and those
//! of another with `withCredentials`. Without cookies, let the page fetch a token that lives for
//! seconds and put it in the query, where logs may see it: hence the seconds. Both are checked in
//! [`on_connect`](crate::connect), before anything is sent.
//!
//! # Send a browser away, and have it back
//!
//! | the server answers | the browser |
//! |---|---|
//! | 200, an event stream, and later its end | comes back after the reconnection time, about 3 seconds unless `retry` says otherwise |
//! | 200, an event stream that is cut: failed, evicted, revoked | the same |
//! | what [`max_streams`](crate::EventChannelHandler::max_streams) and a [shutdown](crate::shutdown) answer | comes back after the time that was drawn for it |
//! | [`Refusal::retry_later`](crate::Refusal::retry_later): 200, a `retry`, the end | comes back after that time |
//! | [`Refusal::stop`](crate::Refusal::stop): 204 | never comes back; no error for other clients |
//! | any other status: 401, 429, 500, 503 | never comes back by itself |
//!
//! So a server that is full or shuts down should not answer 503 to an `EventSource`. And a stream
//! that is over for good should say so in an event, on which the page closes its `EventSource`;
//! else it comes back and finds the same end.
//!
//! # Six connections an origin
//!
//! Browsers open six connections to an origin over HTTP/1.1, over all tabs together. Six open
//! streams, and the seventh, and every other request with it, waits. Serve HTTP/2, whose streams
//! share one connection; or let a page have one stream for everything, and tabs share it (a
//! `SharedWorker`, a `BroadcastChannel`).
//!
//! # Proxies
//!
//! - Buffering: nginx holds a response back unless told not to, which `X-Accel-Buffering: no` does;
//!   it is sent by default.
//! - Rewriting: `Cache-Control: no-store, no-transform` keeps caches and compressing proxies away;
//!   sent by default.
//! - Idle timeouts: often 60 seconds (nginx's `proxy_read_timeout`), for some load balancers 30. A
//!   [`KeepAlive`](crate::KeepAlive) of 15 is below all of them. Something on the way that counts
//!   only whole responses needs the stream to end now and then, which costs nothing where clients
//!   resume.
//! - HTTP/1.0 to the upstream, nginx's default of old: set `proxy_http_version 1.1`.
//!
//! # Compression and CORS
//!
//! Both are layers of tower-http, around a handler as around anything else. Its `CompressionLayer`
//! leaves event streams alone by default, since each event would have to be flushed; a predicate of
//! yours can include them. `CorsLayer` goes outside, where it answers `OPTIONS` itself.
//!
//! # Test a stream without a server
//!
//! A body can be read as it is, with the clock paused so that nothing waits:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! tokio::time::pause(); // a test has #[tokio::test(start_paused = true)]
//!
//! let mut body = tower_sse::EventBody::new(|events| async move {
//!     tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
//!     events.send(tower_sse::Event::new("an hour later")).await?;
//!     Ok(())
//! })
//! .without_keep_alive()
//! .without_greeting();
//!
//! let chunk = body.next_chunk().await.unwrap().unwrap();
//! assert_eq!(chunk, "data: an hour later\n\n");
//! assert!(body.next_chunk().await.is_none());
//! # }
//! ```
//!
//! # Notice that a server is gone
//!
//! A connection that has died without a word is silent, and a total timeout would kill the healthy
//! ones. What tells is how long no byte has come: three times the server's keep-alive. A second
//! timeout is for the head alone.
//!
//! ```
//! use std::time::Duration;
//! use tower_sse::EventSource;
//!
//! # fn with(source: EventSource) -> EventSource {
//! source
//!     .idle_timeout(Duration::from_secs(45))
//!     .header_timeout(Duration::from_secs(10))
//! # }
//! ```
//!
//! A server that sends no keep-alive may be silent for as long as nothing happens; then there is no
//! idle timeout that is right.
//!
//! # Send headers that expire
//!
//! [`EventSource::headers`](crate::EventSource::headers) is asked at each attempt, and may take its
//! time. What it returns takes the place of the request's headers of the same name, and stays within
//! the origin if it is `Authorization` or a cookie. A 401 ends the source by default: with
//! [`stop_on`](crate::Reconnection::stop_on) it can be worth another attempt, with a new token.
//!
//! ```
//! use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
//! use tower_sse::{EventSource, Reconnection};
//!
//! # async fn fresh_token() -> Result<String, std::io::Error> { Ok("secret".into()) }
//! # fn with(source: EventSource) -> EventSource {
//! source
//!     .headers(|_| async {
//!         let token = format!("Bearer {}", fresh_token().await?);
//!         Ok(HeaderMap::from_iter([(AUTHORIZATION, token.try_into()?)]))
//!     })
//!     .reconnection(Reconnection::resilient().attempts(5).stop_on(|status| {
//!         status.is_client_error() && status != StatusCode::UNAUTHORIZED
//!     }))
//! # }
//! ```
//!
//! # Ask a language model
//!
//! A POST with a body, one connection (another one would be another answer), and an end by `[DONE]`:
//! whether it was reached tells a finished answer from one that was cut off.
//!
//! ```
//! use futures_util::StreamExt;
//! use http::Request;
//! use tower_sse::{EventSource, EventStreamExt, Reconnection};
//! # use bytes::Bytes;
//! # use http_body_util::Full;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
//! # let client = tower::service_fn(|_: Request<Full<Bytes>>| async {
//! #     http::Response::builder().header("content-type", "text/event-stream")
//! #         .body(Full::<Bytes>::from("data: Hi\n\ndata: [DONE]\n\n"))
//! # });
//! let request = Request::post("https://models.example/chat")
//!     .header("content-type", "application/json")
//!     .body(r#"{"stream": true}"#)?;
//! let mut tokens = EventSource::request(client, request)
//!     .reconnection(Reconnection::never())
//!     .until_data("[DONE]");
//! let mut answer = String::new();
//! while let Some(event) = tokens.next().await {
//!     answer.push_str(event?.data()); // with the feature `json`: `.json::<Token>()` before
//! }
//! assert!(tokens.is_reached());
//! # assert_eq!(answer, "Hi");
//! # Ok(()) }
//! ```
//!
//! # Go on after a restart of your own
//!
//! Store the last event ID with what you made of the event, in one transaction, and start with it:
//! [`EventSource::last_event_id`](crate::EventSource::last_event_id) and
//! [`with_last_event_id`](crate::EventSource::with_last_event_id).
//!
//! # Test a client without a network
//!
//! Any tower service is a server: a handler of this crate, a router, or a closure.
//!
//! ```
//! use http::Request;
//! use http_body_util::Full;
//! use tower_sse::{Event, EventSource, event_channel_handler};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), tower_sse::BoxError> {
//! let server = event_channel_handler(|request: Request<Full<bytes::Bytes>>, events| async move {
//!     let last = request.headers().get("last-event-id").map_or(0, |id| id.len());
//!     events.send(Event::new("x").with_id("x".repeat(last + 1).parse::<tower_sse::EventId>()?)).await?;
//!     Ok(())
//! });
//! let mut source = EventSource::get(server, "/events");
//! for id in ["x", "xx", "xxx"] {
//!     source.next_event().await.unwrap()?; // it reconnects, at once on a paused clock
//!     assert_eq!(source.last_event_id().unwrap(), id);
//! }
//! # Ok(()) }
//! ```
//!
//! # Serve streams alone
//!
//! A stream that waits costs what its server keeps for a connection. Under `axum::serve` that is about
//! 20 KB, of which a kilobyte is the stream: two read buffers, since HTTP/1.1 and HTTP/2 are told
//! apart by what comes, and a copy of the router. A server of streams alone, behind a proxy that speaks
//! HTTP/1.1 to it, needs neither, and takes 12 KB:
//!
//! ```no_run
//! use hyper::{body::Incoming, server::conn::http1, service::service_fn};
//! use hyper_util::rt::{TokioIo, TokioTimer};
//! use tokio::net::TcpListener;
//! use tower::Service as _;
//! use tower_sse::Hub;
//!
//! # async fn serve(hub: Hub) -> std::io::Result<()> {
//! let events = hub.handler(|connect| async { connect.accept().topics(["orders"]) });
//! // A handler is always ready, so it can be called without being asked.
//! let service = service_fn(move |request: http::Request<Incoming>| events.clone().call(request));
//! let mut server = http1::Builder::new();
//! server.timer(TokioTimer::new());
//! let listener = TcpListener::bind("127.0.0.1:8080").await?;
//! loop {
//!     let (stream, _) = listener.accept().await?;
//!     stream.set_nodelay(true)?;
//!     let connection = server.serve_connection(TokioIo::new(stream), service.clone());
//!     tokio::spawn(async move { drop(connection.await) });
//! }
//! # }
//! ```
//!
//! What is left is hyper's: 8 KiB to read a head into, which is kept (`max_buf_size` cannot be less),
//! and 8 KiB for what is written. Where 1,000 events a second go to each client, the setting
//! [`batch_window`](crate::EventBody::batch_window) makes a hundred writes of a thousand.
