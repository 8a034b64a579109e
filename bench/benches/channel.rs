//! The cost of one hop through a channel, from a producer to a consumer, compared with other
//! channels: for items of 64 bytes, on one thread and between two.
//!
//! Run it with `cargo bench --bench channel`. It needs no other process. All take turns; the result
//! is the median of the turns, with the minimum and the maximum. Ours encodes each event and yields
//! bytes that are ready to be sent; the others pass on an existing [`Bytes`], and encode nothing.
//! `mutex + swap` is the limit of the design: a buffer under a lock that the consumer takes whole.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body::Body as _;
use tower_sse::{Buffer, EncodedEvent, Event, EventBody, EventSender, event_channel};

const EVENTS: usize = 200_000;
const TURNS: usize = 9;
const DATA: &str = "0123456789012345678901234567890123456789012345678901234567890123";
const CAPACITY: usize = 64;

/// Sends this number of items on one thread or between two, and returns how many were received.
type Hop = fn(bool) -> usize;

const HOPS: [(&str, Hop); 8] = [
    ("limit: mutex + swap, copied", swapped),
    ("ours: Event::new", ours_new),
    ("ours: Event of Bytes", ours_bytes),
    ("ours: EncodedEvent", ours_encoded),
    ("tokio mpsc", tokio_mpsc),
    ("tokio mpsc, recv_many", tokio_many),
    ("futures-channel", futures_mpsc),
    ("kanal", kanal_bounded),
];

fn main() {
    println!("ns an item of 64 bytes, median of {TURNS} turns (least–greatest)\n");
    println!("| | one thread | two threads |\n|---|---|---|");
    let mut times = vec![[Vec::new(), Vec::new()]; HOPS.len()];
    for _ in 0..TURNS {
        for ((_, hop), times) in HOPS.iter().zip(&mut times) {
            for (two, times) in [false, true].into_iter().zip(times) {
                let started = Instant::now();
                assert_eq!(hop(two), EVENTS);
                times.push(started.elapsed().as_nanos() as f64 / EVENTS as f64);
            }
        }
    }
    for ((name, _), times) in HOPS.iter().zip(&mut times) {
        print!("| {name} |");
        for times in times {
            times.sort_by(f64::total_cmp);
            print!(" {:.0} ({:.0}–{:.0}) |", times[TURNS / 2], times[0], times[TURNS - 1]);
        }
        println!();
    }
}

/// Runs both until they are done: in turns on one thread, or each on its own thread.
fn run<P, C>(two: bool, producer: P, consumer: C) -> usize
where
    P: Future<Output = ()> + Send + 'static,
    C: Future<Output = usize>,
{
    if two {
        let producing = thread::spawn(move || block_on(producer));
        let received = block_on(consumer);
        producing.join().expect("it does not panic");
        return received;
    }
    let (mut producer, mut consumer) = (pin!(producer), pin!(consumer));
    let mut context = Context::from_waker(Waker::noop());
    let mut producing = true;
    loop {
        producing = producing && producer.as_mut().poll(&mut context).is_pending();
        if let Poll::Ready(received) = consumer.as_mut().poll(&mut context) {
            return received;
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

fn ours_new(two: bool) -> usize {
    ours(two, async |events| {
        for _ in 0..EVENTS {
            events.send(Event::new(DATA)).await.expect("the body is there");
        }
    })
}

fn ours_bytes(two: bool) -> usize {
    ours(two, async |events| {
        let data = tower_sse::EventData::try_from(Bytes::from_static(DATA.as_bytes()));
        let data = data.expect("it is UTF-8");
        for _ in 0..EVENTS {
            events.send(Event::new(data.clone())).await.expect("the body is there");
        }
    })
}

fn ours_encoded(two: bool) -> usize {
    ours(two, async |events| {
        let event: EncodedEvent = Event::new(DATA).encode();
        for _ in 0..EVENTS {
            events.send(event.clone()).await.expect("the body is there");
        }
    })
}

fn ours<F>(two: bool, produce: impl FnOnce(EventSender) -> F + Send + 'static) -> usize
where
    F: Future<Output = ()> + Send,
{
    let (events, receiver) = event_channel(Buffer::fixed(CAPACITY));
    let mut body = EventBody::from(receiver).without_greeting().without_keep_alive();
    run(two, async move { produce(events).await }, async move {
        let mut bytes = 0;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
        }
        bytes / (DATA.len() + 8)
    })
}

fn swapped(two: bool) -> usize {
    #[derive(Default)]
    struct Shared {
        buffer: BytesMut,
        events: usize,
        over: bool,
        sender: Option<Waker>,
        receiver: Option<Waker>,
    }
    let shared = Arc::new(Mutex::new(Shared::default()));
    let sending = shared.clone();
    let producer = async move {
        for _ in 0..EVENTS {
            poll_fn(|cx| {
                let mut shared = sending.lock().expect("nobody panics");
                if shared.events == CAPACITY {
                    shared.sender = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                shared.events += 1;
                shared.buffer.extend_from_slice(DATA.as_bytes());
                shared.receiver.take().into_iter().for_each(Waker::wake);
                Poll::Ready(())
            })
            .await;
        }
        let mut shared = sending.lock().expect("nobody panics");
        shared.over = true;
        shared.receiver.take().into_iter().for_each(Waker::wake);
    };
    run(two, producer, async move {
        let mut received = 0;
        let take = |cx: &mut Context<'_>| {
            let mut shared = shared.lock().expect("nobody panics");
            if shared.events == 0 {
                shared.receiver = Some(cx.waker().clone());
                return if shared.over { Poll::Ready(None) } else { Poll::Pending };
            }
            let taken = (shared.buffer.split().freeze(), shared.events);
            shared.events = 0;
            shared.sender.take().into_iter().for_each(Waker::wake);
            Poll::Ready(Some(taken))
        };
        while let Some((_, events)) = poll_fn(take).await {
            received += events;
        }
        received
    })
}

fn tokio_mpsc(two: bool) -> usize {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(CAPACITY);
    run(two, tokio_sending(sender), async move {
        let mut received = 0;
        while receiver.recv().await.is_some() {
            received += 1;
        }
        received
    })
}

fn tokio_many(two: bool) -> usize {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(CAPACITY);
    run(two, tokio_sending(sender), async move {
        let (mut received, mut items) = (0, Vec::with_capacity(CAPACITY));
        while receiver.recv_many(&mut items, CAPACITY).await > 0 {
            received += items.len();
            items.clear();
        }
        received
    })
}

async fn tokio_sending(sender: tokio::sync::mpsc::Sender<Bytes>) {
    let item = Bytes::from_static(DATA.as_bytes());
    for _ in 0..EVENTS {
        sender.send(item.clone()).await.expect("the receiver is there");
    }
}

fn futures_mpsc(two: bool) -> usize {
    let (mut sender, mut receiver) = futures_channel::mpsc::channel(CAPACITY);
    let producer = async move {
        let item = Bytes::from_static(DATA.as_bytes());
        for _ in 0..EVENTS {
            sender.feed(item.clone()).await.expect("the receiver is there");
        }
    };
    run(two, producer, async move {
        let mut received = 0;
        while receiver.next().await.is_some() {
            received += 1;
        }
        received
    })
}

fn kanal_bounded(two: bool) -> usize {
    let (sender, receiver) = kanal::bounded_async(CAPACITY);
    let producer = async move {
        let item = Bytes::from_static(DATA.as_bytes());
        for _ in 0..EVENTS {
            sender.send(item.clone()).await.expect("the receiver is there");
        }
    };
    run(two, producer, async move {
        let mut received = 0;
        while receiver.recv().await.is_ok() {
            received += 1;
        }
        received
    })
}
