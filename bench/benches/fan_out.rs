//! The cost of one step of fan-out without a server, compared with a broadcast of bytes and axum's
//! event streams. Events are published, and 10,000 bodies are polled by hand until they wait again.
//!
//! Run it with `cargo bench --bench fan_out`. It needs no other process. All take turns; the result
//! is the median of the turns, with the minimum and the maximum. Each body has a waker of its own,
//! as in a server. `limit` is a ring of encoded frames under a lock, with a slot for each waker.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future as _,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use axum::response::{IntoResponse as _, Sse, sse};
use bytes::Bytes;
use futures_util::{Stream as _, StreamExt as _};
use http::Request;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tower_service::Service as _;
use tower_sse::{
    Event, EventBody, Hub, KeepAlive,
    hub::{Publication, Topic},
};

const READERS: usize = 10_000;
const TURNS: usize = 15;
const BURSTS: [usize; 2] = [1, 10];
const DATA: &str = "0123456789012345678901234567890123456789012345678901234567890123";
const IDLE: std::time::Duration = std::time::Duration::from_secs(15);

/// Publishes this number of events, polls all readers until they wait, and returns the bytes that
/// each received.
type Step = Box<dyn FnMut(usize) -> usize>;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    let _guard = runtime.enter();
    let mut steps: [(&str, Step); 6] = [
        ("limit: ring of frames", ring()),
        ("ours: hub", ours(false)),
        ("ours: hub, keep-alive", ours(true)),
        ("tokio broadcast of Bytes", bytes()),
        ("axum Sse on broadcast", axum(false)),
        ("axum Sse on broadcast, keep-alive", axum(true)),
    ];
    println!("ns a delivered event, {READERS} readers, median of {TURNS} turns (least–greatest)\n");
    println!("| | one event | bursts of 10 |\n|---|---|---|");
    let mut times = vec![[Vec::new(), Vec::new()]; steps.len()];
    for _ in 0..TURNS {
        for ((_, step), times) in steps.iter_mut().zip(&mut times) {
            for (burst, times) in BURSTS.into_iter().zip(times) {
                step(burst);
                let started = Instant::now();
                let length = step(burst);
                let spent = started.elapsed().as_nanos() as f64;
                assert!(length >= burst * (DATA.len() + 8), "{length} bytes");
                times.push(spent / (READERS * burst) as f64);
            }
        }
    }
    for ((name, _), times) in steps.iter().zip(&mut times) {
        print!("| {name} |");
        for times in times {
            times.sort_by(f64::total_cmp);
            print!(" {:.0} ({:.0}–{:.0}) |", times[TURNS / 2], times[0], times[TURNS - 1]);
        }
        println!();
    }
}

/// A waker that counts its calls.
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A reader with its waker. Both are boxed, as in a connection.
struct Reader<T> {
    poll: Box<T>,
    task: Arc<Task>,
}

fn readers<T>(mut make: impl FnMut() -> T) -> Vec<Reader<T>> {
    let task = || Arc::new(Task(AtomicUsize::new(0)));
    (0..READERS).map(|_| Reader { poll: Box::new(make()), task: task() }).collect()
}

/// Polls all until they wait, and returns how many bytes the last one received.
fn drain<T>(
    readers: &mut [Reader<T>],
    mut poll: impl FnMut(&mut T, &mut Context<'_>) -> Poll<Option<usize>>,
) -> usize {
    let mut length = 0;
    for Reader { poll: reader, task } in readers {
        length = 0;
        let waker = Waker::from(task.clone());
        let mut context = Context::from_waker(&waker);
        while let Poll::Ready(Some(bytes)) = poll(reader, &mut context) {
            length += bytes;
        }
    }
    length
}

fn drain_bodies<B>(readers: &mut [Reader<B>]) -> usize
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    drain(readers, |body, cx| {
        Pin::new(body).poll_frame(cx).map(|frame| {
            let frame = frame.and_then(Result::ok);
            frame.map(|frame| frame.data_ref().map_or(0, Bytes::len))
        })
    })
}

fn ours(keep_alive: bool) -> Step {
    let hub = Hub::new();
    let topic = Topic::try_from("all").expect("it is one");
    let mut handler = hub.handler(|connect| async { connect.accept().topics(["all"]) });
    handler = if keep_alive {
        handler.keep_alive(KeepAlive::every(IDLE))
    } else {
        handler.without_keep_alive()
    };
    let mut bodies: Vec<Reader<EventBody>> = readers(|| {
        let response = pin!(handler.call(Request::new(())));
        match response.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => response.into_body(),
            Poll::Pending => unreachable!("nothing is waited for"),
        }
    });
    drain_bodies(&mut bodies);
    Box::new(move |burst| {
        let burst = (0..burst).map(|_| Publication::new(topic.clone(), Event::new(DATA)));
        let published = pin!(hub.publish_all(burst));
        let published = published.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(published, Poll::Ready(Ok(_))));
        drain_bodies(&mut bodies)
    })
}

fn encoded() -> Bytes {
    format!("data: {DATA}\n\n").into()
}

fn bytes() -> Step {
    let (publisher, _) = broadcast::channel::<Bytes>(64);
    let mut streams = readers(|| BroadcastStream::new(publisher.subscribe()));
    drain(&mut streams, |stream, cx| {
        Pin::new(stream).poll_next(cx).map(|it| it.and_then(Result::ok).map(|it| it.len()))
    });
    Box::new(move |burst| {
        for _ in 0..burst {
            publisher.send(encoded()).expect("there are readers");
        }
        drain(&mut streams, |stream, cx| {
            Pin::new(stream).poll_next(cx).map(|it| it.and_then(Result::ok).map(|it| it.len()))
        })
    })
}

fn axum(keep_alive: bool) -> Step {
    let (publisher, _) = broadcast::channel::<sse::Event>(64);
    let mut bodies = readers(|| {
        let events = BroadcastStream::new(publisher.subscribe());
        let events = events.filter_map(async |it| it.ok().map(Ok::<_, Infallible>));
        let sse = Sse::new(events);
        if keep_alive {
            let keep_alive = sse::KeepAlive::new().interval(IDLE);
            sse.keep_alive(keep_alive).into_response().into_body()
        } else {
            sse.into_response().into_body()
        }
    });
    drain_bodies(&mut bodies);
    Box::new(move |burst| {
        for _ in 0..burst {
            let event = sse::Event::default().data(DATA);
            publisher.send(event).expect("there are readers");
        }
        drain_bodies(&mut bodies)
    })
}

fn ring() -> Step {
    #[derive(Default)]
    struct Ring {
        frames: VecDeque<Bytes>,
        first: usize,
        wakers: Vec<Option<Waker>>,
    }
    let shared = Arc::new(Mutex::new(Ring::default()));
    shared.lock().expect("nobody panics").wakers.resize(READERS, None);
    let mut slot = 0;
    let mut places = readers(|| {
        slot += 1;
        (shared.clone(), 0, slot - 1)
    });
    let mut drain_all = move || {
        drain(&mut places, |(shared, next, slot), cx| {
            let mut ring = shared.lock().expect("nobody panics");
            *next = (*next).max(ring.first);
            let Some(frame) = ring.frames.get(*next - ring.first).cloned() else {
                ring.wakers[*slot] = Some(cx.waker().clone());
                return Poll::Pending;
            };
            *next += 1;
            Poll::Ready(Some(frame.len()))
        })
    };
    drain_all();
    Box::new(move |burst| {
        let mut frame = Vec::new();
        (0..burst).for_each(|_| frame.extend_from_slice(&encoded()));
        {
            let mut ring = shared.lock().expect("nobody panics");
            ring.frames.push_back(frame.into());
            if ring.frames.len() > 64 {
                ring.frames.pop_front();
                ring.first += 1;
            }
            ring.wakers.iter_mut().filter_map(Option::take).for_each(Waker::wake);
        }
        drain_all()
    })
}
