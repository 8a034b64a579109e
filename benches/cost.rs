//! Work whose instructions are counted: an event, with and without the settings that govern a
//! stream, and single steps. It also counts the bytes of an idle stream.
//!
//! `ci/cost` and `ci/instructions` run it under callgrind. To run it directly:
//!
//! ```text
//! cargo bench --bench cost --all-features                    bytes an idle stream
//! cargo bench --bench cost --all-features -- events 100000 governed
//! cargo bench --bench cost --all-features -- encode 100000     or parse, source, wake, govern, or fan-out
//! ```

use std::{
    alloc::{GlobalAlloc, Layout, System},
    future::Future,
    hint::black_box,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{Full, StreamBody};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tokio::sync::broadcast;
use tower::{Layer as _, Service as _};
use tower_sse::{
    BoxError, EncodedEvent, Event, EventBody, EventChannelHandler, EventParser, EventSource,
    EventType, Farewell, Shutdown, SseGovern, event_channel_handler,
};

const TICK: EventType = EventType::from_static("tick");
const STREAMS: usize = 1000;
const HOUR: Duration = Duration::from_secs(3600);

/// Counts the bytes that are allocated.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

#[allow(unsafe_code, reason = "a global allocator is")]
// SAFETY: every call is passed on to the system's allocator, and counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let _guard = runtime.as_ref().map(tokio::runtime::Runtime::enter);
    match args[..] {
        [] => {
            for (name, handler) in [("plain", plain(0)), ("governed", governed(0))] {
                println!("{name}: {} bytes an idle stream", idle(&handler));
            }
        }
        ["events", count, "plain"] => drain(&plain(count.parse().expect("a number"))),
        ["events", count, "governed"] => {
            observed(|| drain(&governed(count.parse().expect("a number"))));
        }
        ["encode", count] => encode(count.parse().expect("a number")),
        ["parse", count] => parse(count.parse().expect("a number")),
        ["source", count] => source(count.parse().expect("a number")),
        ["wake", count] => wake(count.parse().expect("a number")),
        ["govern", count] => govern(count.parse().expect("a number")),
        #[cfg(feature = "hub")]
        ["fan-out", count] => fan_out(count.parse().expect("a number")),
        _ => panic!(
            "cost [events COUNT plain|governed] [encode|parse|source|wake|govern|fan-out COUNT]"
        ),
    }
}

/// Sends this number of events, and keeps the stream open.
fn plain(events_to_send: u64) -> EventChannelHandler<()> {
    event_channel_handler(move |_, events| async move {
        let data = "x".repeat(64);
        for id in 0..events_to_send {
            events.send(Event::new(data.as_str()).with_type(&TICK).with_id(id)).await?;
        }
        std::future::pending().await
    })
}

/// The same, with every setting that governs a stream.
fn governed(events_to_send: u64) -> EventChannelHandler<()> {
    let farewell = Farewell::new().retry(HOUR).grace_period(HOUR).stagger_over(HOUR);
    plain(events_to_send)
        .shutdown(&Shutdown::new(farewell.clone()))
        .max_lifetime(24 * HOUR)
        .farewell(farewell)
        .send_timeout(HOUR)
        .max_streams(1 << 20)
        .max_streams_per(|_| Some(7), 1 << 20)
        .on_disconnect(|end| drop(black_box(end)))
}

fn open(handler: &EventChannelHandler<()>) -> EventBody {
    let mut context = Context::from_waker(Waker::noop());
    let mut handler = handler.clone();
    match pin!(handler.call(Request::new(()))).poll(&mut context) {
        Poll::Ready(Ok(response)) => response.into_body(),
        Poll::Pending => unreachable!("nothing is waited for"),
    }
}

/// Reads everything that is ready.
fn take(body: &mut EventBody) -> usize {
    let mut context = Context::from_waker(Waker::noop());
    let mut bytes = 0;
    // One pending result lets a server write. Two in a row mean that nothing is ready.
    let mut pending = 0;
    while pending < 2 {
        match pin!(body.next_chunk()).poll(&mut context) {
            Poll::Ready(chunk) => {
                bytes += chunk.and_then(Result::ok).map_or(0, |chunk| chunk.len());
                pending = 0;
            }
            Poll::Pending => pending += 1,
        }
    }
    bytes
}

fn drain(handler: &EventChannelHandler<()>) {
    let mut body = open(handler);
    black_box(take(&mut body));
}

/// Encodes this number of events, one after the other.
fn encode(events: u64) {
    let data = "x".repeat(64);
    let mut buffer = BytesMut::with_capacity(1 << 10);
    for id in 0..events {
        buffer.clear();
        Event::new(black_box(data.as_str())).with_type(&TICK).with_id(id).encode_to(&mut buffer);
        black_box(&buffer);
    }
}

/// A chunk of a hundred events.
fn hundred_events() -> Bytes {
    let mut chunk = BytesMut::new();
    for id in 0..100 {
        Event::new("x".repeat(160)).with_type(&TICK).with_id(id).encode_to(&mut chunk);
    }
    chunk.freeze()
}

/// Parses this number of events, in chunks of a hundred.
fn parse(events: u64) {
    let chunk = hundred_events();
    let mut parser = EventParser::new();
    let mut parsed = 0;
    while parsed < events {
        parser.push(chunk.clone());
        while let Some(event) = parser.next_event() {
            black_box(event.expect("it is one"));
            parsed += 1;
        }
    }
}

/// Reads this number of events from an event source, in chunks of a hundred.
fn source(events: u64) {
    let service = tower::service_fn(|_: Request<Full<Bytes>>| async {
        let frames =
            stream::repeat(hundred_events()).map(|chunk| Ok::<_, BoxError>(Frame::data(chunk)));
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(StreamBody::new(frames))
    });
    let mut source = EventSource::get(service, "/");
    let mut context = Context::from_waker(Waker::noop());
    let mut read = 0;
    while read < events {
        if let Poll::Ready(event) = pin!(source.next_event()).poll(&mut context) {
            black_box(event.expect("no end").expect("an event"));
            read += 1;
        }
    }
}

/// Passes this number of events of another service on, each a chunk of its own.
fn govern(events: u64) {
    let chunk = Event::new("x".repeat(64)).with_type(&TICK).encode().to_bytes();
    let service = tower::service_fn(move |_: Request<()>| {
        let chunk = chunk.clone();
        let frames = (0..events).map(move |_| Ok::<_, BoxError>(Frame::data(chunk.clone())));
        let body = StreamBody::new(stream::iter(frames));
        let response = Response::builder().header("content-type", "text/event-stream").body(body);
        async move { response }
    });
    let farewell = Farewell::new().retry(HOUR);
    let layer = SseGovern::new().shutdown(&Shutdown::new(farewell)).max_lifetime(24 * HOUR);
    let mut context = Context::from_waker(Waker::noop());
    let mut service = layer.layer(service);
    let Poll::Ready(response) = pin!(service.call(Request::new(()))).poll(&mut context) else {
        unreachable!("nothing is waited for")
    };
    let mut body = pin!(response.expect("a response").into_body());
    let mut read = 0;
    while read < events {
        if let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut context) {
            black_box(frame.expect("a frame"));
            read += 1;
        }
    }
}

/// Wakes a handler this number of times, for one event each: it reads a tokio broadcast and sends what
/// it reads. The body is polled until it is pending, as a server does.
fn wake(events: u64) {
    let (publisher, _) = broadcast::channel::<EncodedEvent>(16);
    let all = publisher.clone();
    let handler = event_channel_handler(move |_, events| {
        let mut all = all.subscribe();
        async move {
            while let Ok(event) = all.recv().await {
                events.send(event).await?;
            }
            Ok(())
        }
    });
    let mut body = open(&handler);
    black_box(take(&mut body));
    let event = Event::new("x".repeat(64)).encode();
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..events {
        assert!(publisher.send(event.clone()).is_ok(), "the handler reads");
        let mut chunks = 0;
        while let Poll::Ready(chunk) = pin!(body.next_chunk()).poll(&mut context) {
            black_box(chunk);
            chunks += 1;
        }
        assert_eq!(chunks, 1, "one chunk a wake");
    }
}

/// Publishes this number of events to ten readers, which read each event before the next.
#[cfg(feature = "hub")]
fn fan_out(events: u64) {
    let hub = tower_sse::Hub::new();
    let mut handler = hub.handler(|connect| async { connect.accept().topics(["all"]) });
    let mut context = Context::from_waker(Waker::noop());
    let mut bodies: Vec<EventBody> = (0..10)
        .map(|_| match pin!(handler.call(Request::new(()))).poll(&mut context) {
            Poll::Ready(Ok(response)) => response.into_body(),
            Poll::Pending => unreachable!("nothing is waited for"),
        })
        .collect();
    let data = "x".repeat(64);
    for _ in 0..events {
        for body in &mut bodies {
            black_box(take(body));
        }
        let published = pin!(hub.publish("all", data.as_str())).poll(&mut context);
        assert!(matches!(published, Poll::Ready(Ok(_))));
    }
}

/// Returns the number of bytes that a waiting stream and its handler use.
fn idle(handler: &EventChannelHandler<()>) -> usize {
    // The first stream allocates the parts that all streams share.
    let _first = open(handler);
    let before = BYTES.load(Relaxed);
    let bodies: Vec<EventBody> = (0..STREAMS)
        .map(|_| {
            let mut body = open(handler);
            take(&mut body);
            body
        })
        .collect();
    let each = (BYTES.load(Relaxed) - before) / STREAMS;
    drop(bodies);
    each
}

/// Runs the work with a subscriber and a recorder that are cheap themselves.
fn observed(run: impl FnOnce()) {
    let subscriber = tracing_subscriber::registry();
    tracing::subscriber::with_default(subscriber, || {
        metrics::with_local_recorder(&Cheap::default(), run);
    });
}

/// A recorder that keeps one number for all metrics.
#[derive(Default)]
struct Cheap(Arc<Sum>);

#[derive(Default)]
struct Sum(AtomicUsize);

impl Recorder for Cheap {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.0.clone())
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.0.clone())
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.0.clone())
    }
}

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value as usize, Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value as usize, Relaxed);
    }
}

impl GaugeFn for Sum {
    fn increment(&self, value: f64) {
        self.0.fetch_add(value as usize, Relaxed);
    }

    fn decrement(&self, value: f64) {
        self.0.fetch_sub(value as usize, Relaxed);
    }

    fn set(&self, value: f64) {
        self.0.store(value as usize, Relaxed);
    }
}

impl HistogramFn for Sum {
    fn record(&self, value: f64) {
        self.0.fetch_add(value as usize, Relaxed);
    }
}
