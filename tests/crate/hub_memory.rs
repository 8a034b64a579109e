//! The costs of a hub: memory of readers and of the history, allocations of publishing.

use std::{
    cell::Cell,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::FutureExt;
use tower_sse::{
    Event, EventBody, Hub,
    hub::{History, Publication, Selection, Subscription},
};

use crate::heap;

/// A waker like that of a task: a clone only increments a count.
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn topics() -> Selection {
    Selection::new(["a"]).unwrap()
}

fn subscribe(hub: &Hub, selection: Selection) -> Subscription {
    hub.subscribe(selection).now_or_never().expect("it does not wait").unwrap()
}

fn publish(hub: &Hub, event: Event) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(hub.publish("a", event)).poll(&mut cx) {
        Poll::Ready(published) => published.unwrap().woken,
        Poll::Pending => panic!("the memory backend never waits"),
    }
}

fn wait(subscription: &mut Subscription, cx: &mut Context<'_>) {
    while subscription.poll_next(cx).is_ready() {}
}

fn wait_for_bytes(body: &mut EventBody, cx: &mut Context<'_>) -> usize {
    let mut bytes = 0;
    while let Poll::Ready(chunk) = pin!(body.next_chunk()).poll(cx) {
        bytes += chunk.unwrap().unwrap().len();
    }
    bytes
}

fn bodies(make: impl Fn() -> EventBody, cx: &mut Context<'_>) -> (Vec<EventBody>, usize) {
    let mut bodies = Vec::with_capacity(10_000);
    let before = heap::bytes();
    for _ in 0..10_000 {
        let mut body = make().without_keep_alive();
        wait_for_bytes(&mut body, cx);
        bodies.push(body);
    }
    (bodies, (heap::bytes() - before) / 10_000)
}

#[test]
fn readers_and_history_cost_as_much_as_promised() {
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);

    // The memory of an idle subscription, compared with an idle handler.
    let hub = Hub::new();
    let (mut readers, with_hub) = bodies(|| subscribe(&hub, topics()).into_body(), &mut cx);
    let (plain, without) = bodies(|| EventBody::new(|_| std::future::pending()), &mut cx);
    println!("an idle stream: {with_hub} bytes of a hub, {without} of a handler that does nothing");
    assert!(with_hub < without + 600);
    drop(plain);
    // Each reader has a topic of its own.
    let number = Cell::new(0);
    let own = || {
        number.set(number.get() + 1);
        Selection::new([format!("user.{}", number.get())]).unwrap()
    };
    let (apart, with_topic) = bodies(|| subscribe(&hub, own()).into_body(), &mut cx);
    println!("with a topic of its own: {with_topic}");
    assert!(with_topic < without + 800, "{with_topic}");
    drop(apart);

    // One encoding, one append, and one wake for each reader. The first round grows the buffers.
    for round in 0..3 {
        let before = heap::allocations();
        let waking = woken.0.load(Relaxed);
        let event = Event::new("x".repeat(64));
        let made = heap::allocations();
        assert_eq!(publish(&hub, event), 10_000);
        let publishing = heap::allocations() - made;
        assert_eq!(woken.0.load(Relaxed) - waking, 10_000);
        let mut bytes = 0;
        for reader in &mut readers {
            bytes += wait_for_bytes(reader, &mut cx);
        }
        let reading = heap::allocations() - before - (made - before) - publishing;
        assert!(bytes > 10_000 * 64);
        println!(
            "round {round}: {publishing} allocations to publish, {reading} to read 10,000 times"
        );
        if round > 0 {
            assert!(publishing <= 12, "{publishing}");
            // None for each reader: a stream allocates the room of its last event ID once.
            assert!(reading <= 16, "{reading}");
        }
    }
    drop(readers);
    drop(hub);

    // Readers that never read, and a hundred thousand events.
    const BOUND: usize = 4 << 20;
    let before = heap::bytes();
    let hub = Hub::builder().history(History::unlimited_events().max_bytes(BOUND)).build();
    let mut readers: Vec<_> = (0..1000).map(|_| subscribe(&hub, topics())).collect();
    for reader in &mut readers {
        wait(reader, &mut cx);
    }
    let idle = heap::bytes();
    for n in 0..100_000 {
        publish(&hub, Event::new(format!("{n} {}", "x".repeat(n % 300))));
    }
    let full = heap::bytes() - idle;
    let stats = hub.stats();
    println!("a history of {BOUND} bytes: {full} on the heap, {stats:?}");
    assert!(stats.bytes <= BOUND);
    assert!(full <= BOUND + BOUND / 10, "{full}");
    drop(readers);
    drop(hub);

    // The names and the bookkeeping of many topics count too.
    for name in [8, 250] {
        let before = heap::bytes();
        let total = History::unlimited_events().max_bytes(BOUND);
        let hub = Hub::builder().total_history(total).build();
        for n in 0..30_000 {
            let publication = Publication::new(format!("{n:0name$}"), "x");
            let publishing = pin!(hub.publish_all([publication.key("key")])).poll(&mut cx);
            assert!(publishing.is_ready());
        }
        let full = heap::bytes() - before;
        println!("topics of {name} bytes: {full} on the heap, {:?}", hub.stats());
        assert!(full <= BOUND + BOUND / 10, "{full}");
    }
    // Topics without readers leave nothing.
    let hub = Hub::new();
    let stays = subscribe(&hub, topics());
    let one = heap::bytes();
    drop(
        (0..100_000)
            .map(|n| subscribe(&hub, Selection::new([n.to_string()]).unwrap()))
            .collect::<Vec<_>>(),
    );
    let left = heap::bytes() as isize - one as isize;
    println!("{left} bytes more after 100,000 topics");
    assert!(left < 64 << 10, "{left}");
    drop(stays);
    drop(hub);
    assert!(heap::bytes() <= before + 4096, "all of it is given back");
}
