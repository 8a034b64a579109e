//! The server behind the proxies: a path for each measurement.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Body, serve::ListenerExt as _};
use http::HeaderValue;
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tower_sse::{
    BoxError, EndReason, Event, EventChannelHandler, KeepAlive, Refusal, event_channel_handler,
};

use crate::support::process::PATIENCE;

/// How many events `/ticks` sends, and how often.
pub(crate) const TICKS: u32 = 8;
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// How long `/late` waits with its first byte after the head.
pub(crate) const LATE: Duration = Duration::from_millis(1500);
/// The keep-alive of `/kept`.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// How many events `/flood` sends at most, each of a kilobyte on the wire.
pub(crate) const FLOOD: u64 = 128_000;

/// The end of a stream, as its hook has reported it.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) at: Instant,
    pub(crate) reason: EndReason,
    pub(crate) bytes: u64,
}

/// What the server knows of its streams, by their numbers.
#[derive(Clone, Default)]
pub(crate) struct Streams {
    ends: Arc<Mutex<HashMap<u64, Ended>>>,
    written: Arc<Mutex<HashMap<u64, Arc<AtomicU64>>>>,
}

/// The number of a stream, from its query: `?7`.
#[derive(Clone, Copy)]
struct Number(u64);

impl Streams {
    /// Waits until the hook has been told of the end of a stream.
    pub(crate) async fn ended(&self, number: u64) -> Ended {
        let ended = async {
            loop {
                if let Some(end) = self.ends.lock().unwrap().get(&number) {
                    return end.clone();
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, ended).await.expect("the hook is called")
    }

    /// Returns the number of events that a `/flood` has written.
    pub(crate) fn written(&self, number: u64) -> u64 {
        let written = self.written.lock().unwrap();
        written.get(&number).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Gives each stream of a handler its number, and notes the end.
    fn watch(&self, handler: EventChannelHandler<Body>) -> EventChannelHandler<Body> {
        let ends = self.ends.clone();
        handler
            .on_connect(|mut connect| async move {
                if let Some(number) = connect.uri().query().and_then(|query| query.parse().ok()) {
                    connect.extensions_mut().insert(Number(number));
                }
                Ok(connect.accept())
            })
            .on_disconnect(move |end| {
                let Some(&Number(number)) = end.extensions().get() else { return };
                let ended = Ended { at: Instant::now(), reason: end.reason(), bytes: end.bytes() };
                ends.lock().unwrap().insert(number, ended);
            })
    }
}

/// A server on a port of its own, ended when it is dropped.
pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    pub(crate) streams: Streams,
    /// The time from which `/ticks` counts.
    pub(crate) start: Instant,
    task: JoinHandle<std::io::Result<()>>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts a server after a change of its listener.
    pub(crate) async fn start_with(change: impl FnOnce(&TcpListener)) -> Self {
        let (start, streams) = (Instant::now(), Streams::default());
        let ticks = event_channel_handler(move |_, events| async move {
            for _ in 0..TICKS {
                events.send(Event::display(start.elapsed().as_micros())).await?;
                sleep(TICK).await;
            }
            Ok(())
        });
        let late = event_channel_handler(|_, events| async move {
            sleep(LATE).await;
            Ok(events.send(Event::new("late")).await?)
        });
        let silent = || {
            event_channel_handler(|_, events| async move {
                events.send(Event::new("open")).await?;
                std::future::pending().await
            })
        };
        let fails = event_channel_handler(|_, events| async move {
            for n in 1..=3 {
                events.send(Event::new(n)).await?;
            }
            Err(BoxError::from("it fails"))
        });
        let written = streams.written.clone();
        let flood = event_channel_handler(move |request, events| {
            let count = Arc::new(AtomicU64::new(0));
            if let Some(&Number(number)) = request.extensions().get() {
                written.lock().unwrap().insert(number, count.clone());
            }
            async move {
                // `data: `, and the two ends of lines.
                let event = Event::new("x".repeat(1000 - 8)).encode();
                for _ in 0..FLOOD {
                    events.send(event.clone()).await?;
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
        });
        let echo = event_channel_handler(|request, events| async move {
            let last = request.headers().get("last-event-id").map(HeaderValue::as_bytes);
            let last = String::from_utf8_lossy(last.unwrap_or_default()).into_owned();
            Ok(events.send(Event::new(last).with_id(8)).await?)
        });
        let stays = |_, _| async { Ok(()) };
        let app = Router::new()
            .route_service("/ticks", ticks)
            .route_service("/late", late.without_greeting())
            .route_service("/silent", streams.watch(silent().without_keep_alive()))
            .route_service(
                "/kept",
                streams.watch(silent().keep_alive(KeepAlive::every(KEEP_ALIVE))),
            )
            .route_service("/fails", fails)
            .route_service("/flood", streams.watch(flood))
            .route_service(
                "/echo",
                echo.on_connect(|connect| async {
                    Ok(connect.accept().header("x-own", HeaderValue::from_static("kept")))
                }),
            )
            .route_service(
                "/later",
                event_channel_handler(stays).on_connect(|_| async {
                    Err(Refusal::retry_later(Duration::from_millis(700)))
                }),
            )
            .route_service(
                "/stop",
                event_channel_handler(stays).on_connect(|_| async { Err(Refusal::stop()) }),
            )
            .route("/ready", axum::routing::get(|| async {}));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        change(&listener);
        let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
        let task = tokio::spawn(async move { axum::serve(listener, app).await });
        Self { addr, streams, start, task }
    }
}
