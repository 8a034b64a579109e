//! A handler inside its body is polled only if it was woken: an event that is ready never waits until
//! the handler has computed the next one, and no wake is lost.

use std::{
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use futures_channel::mpsc;
use futures_util::{StreamExt as _, stream, task::AtomicWaker};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tower::service_fn;
use tower_sse::{BoxError, Buffer, Event, EventBody, EventSender, HandlerOptions};

use crate::support::{
    http::{LIMIT, Server, request, soon},
    never_hangs, poll, read_all,
    waker::Woken,
};

/// Lets others run as a future does that has a waker only.
async fn yield_by_waker() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A future and the number of its polls.
fn counted<F: Future>(future: F) -> (impl Future<Output = F::Output>, Arc<AtomicUsize>) {
    let polls = Arc::new(AtomicUsize::new(0));
    let count = polls.clone();
    let future = async move {
        let mut future = pin!(future);
        poll_fn(|cx| {
            count.fetch_add(1, SeqCst);
            future.as_mut().poll(cx)
        })
        .await
    };
    (future, polls)
}

/// The number of events that the client has received.
type Received = Arc<AtomicUsize>;

/// Computes event `n`, and blocks the thread until event `n - 1` has arrived.
fn compute(n: usize, received: &Received) -> Event {
    let limit = Instant::now() + LIMIT / 2;
    while received.load(SeqCst) < n {
        assert!(
            Instant::now() < limit,
            "event {n} is computed, and the one before has not arrived"
        );
        thread::sleep(Duration::from_millis(1));
    }
    Event::new(n)
}

const COMPUTED: usize = 20;

fn yields_to_tokio(received: Received) -> EventBody {
    EventBody::new(|events| async move {
        for n in 0..COMPUTED {
            events.send(compute(n, &received)).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    })
}

fn yields_by_its_waker(received: Received) -> EventBody {
    EventBody::new(|events| async move {
        for n in 0..COMPUTED {
            events.send(compute(n, &received)).await?;
            yield_by_waker().await;
        }
        Ok(())
    })
}

fn stream_that_yields(received: Received) -> EventBody {
    let computed = stream::unfold(0, move |n| {
        let received = received.clone();
        async move {
            if n > 0 {
                tokio::task::yield_now().await;
            }
            (n < COMPUTED).then(|| (compute(n, &received), n + 1))
        }
    });
    EventBody::from_stream(computed)
}

/// Reads a body, and counts its events while they arrive.
async fn count_events(mut body: Incoming, received: &Received) -> Result<(), hyper::Error> {
    let mut text = Vec::new();
    while let Some(frame) = soon(body.frame()).await {
        text.extend_from_slice(frame?.data_ref().unwrap());
        received.store(String::from_utf8_lossy(&text).matches("\n\n").count(), SeqCst);
    }
    Ok(())
}

#[test]
fn an_event_arrives_before_the_handler_computes_the_next_one() {
    type Source = fn(Received) -> EventBody;
    let sources: [(&str, Source); 3] = [
        ("tokio's yield_now", yields_to_tokio),
        ("its waker", yields_by_its_waker),
        ("a stream", stream_that_yields),
    ];
    // The handler blocks the only thread of the server. The client has a thread of its own.
    let servers =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let servers = servers.unwrap();
    let clients = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, source) in sources {
        for http2 in [false, true] {
            let received = Received::default();
            let counts = received.clone();
            let server = servers.block_on(Server::start(service_fn(move |_| {
                let body = source(counts.clone()).without_greeting();
                async move { Ok::<_, BoxError>(body.into_http_response()) }
            })));
            let read = clients.block_on(async {
                let request = request(http::Method::GET, "/");
                let response = match http2 {
                    true => soon(server.http2().await.0.send_request(request)).await.unwrap(),
                    false => soon(server.http1().await.send_request(request)).await.unwrap(),
                };
                count_events(response.into_body(), &received).await
            });
            assert!(read.is_ok(), "{name}, HTTP/2: {http2}: {read:?}");
            assert_eq!(received.load(SeqCst), COMPUTED, "{name}, HTTP/2: {http2}");
        }
    }
}

#[test]
fn the_second_poll_in_a_turn_is_pending_after_one_send() {
    fn check<Fut: Future + Send + 'static>(yield_once: fn() -> Fut) {
        let sent = Arc::new(AtomicUsize::new(0));
        let sends = sent.clone();
        let mut body = EventBody::new(move |events| async move {
            for n in 0..3 {
                events.send(Event::new(n)).await?;
                sends.fetch_add(1, SeqCst);
                yield_once().await;
            }
            pending().await
        })
        .without_greeting()
        .without_keep_alive();
        let (woken, waker) = Woken::new();
        for n in 0..3 {
            let Poll::Ready(Some(Ok(chunk))) = poll(&mut body, &waker) else { panic!("no event") };
            assert_eq!(chunk, format!("data: {n}\n\n"));
            let before = woken.count();
            assert!(poll(&mut body, &waker).is_pending());
            assert_eq!(sent.load(SeqCst), n + 1, "the handler was not polled");
            assert_eq!(woken.count(), before + 1, "it is woken for the next one");
        }
    }
    check(yield_by_waker);
    // Outside of a runtime it calls its waker at once.
    check(tokio::task::yield_now);
}

#[tokio::test]
async fn a_handler_that_yields_to_tokio_sends_one_frame_in_a_turn() {
    const EVENTS: usize = 10;
    let mut body = EventBody::new(|events| async move {
        for n in 0..EVENTS {
            events.send(Event::new(n)).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    })
    .without_greeting();
    let (mut frames, mut turns) = (0, 0);
    // As a server: polls until the body is pending.
    let end = poll_fn(|cx| {
        turns += 1;
        loop {
            match pin!(body.next_chunk()).poll(cx) {
                Poll::Ready(Some(chunk)) => {
                    assert_eq!(chunk.unwrap(), format!("data: {frames}\n\n"));
                    frames += 1;
                    assert_eq!(frames, turns, "one frame in each turn");
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    soon(end).await;
    assert_eq!(frames, EVENTS);
}

#[test]
fn fifty_events_one_a_wake_cost_at_most_105_polls_of_the_handler() {
    let (go_on, mut wait) = mpsc::unbounded();
    let (handler_polls, polls_of) = std::sync::mpsc::channel();
    let mut body = EventBody::new(move |events| {
        let (handler, polls) = counted(async move {
            while let Some(n) = wait.next().await {
                events.send(Event::new(n)).await?;
            }
            Ok(())
        });
        handler_polls.send(polls).unwrap();
        handler
    })
    .without_greeting()
    .without_keep_alive();
    let (woken, waker) = Woken::new();
    assert!(poll(&mut body, &waker).is_pending());
    let polls = polls_of.recv().unwrap();
    for n in 0..50 {
        go_on.unbounded_send(n).unwrap();
        assert_eq!(woken.count(), n + 1, "one wake for each event");
        let Poll::Ready(Some(Ok(chunk))) = poll(&mut body, &waker) else { panic!("no event") };
        assert_eq!(chunk, format!("data: {n}\n\n"));
        // A server polls until the body is pending.
        assert!(poll(&mut body, &waker).is_pending());
        // Polls that nothing has woken, as a server does when the client sends something.
        assert!(poll(&mut body, &waker).is_pending());
    }
    assert!(polls.load(SeqCst) <= 105, "{} polls", polls.load(SeqCst));
    drop(go_on);
    assert!(matches!(poll(&mut body, &waker), Poll::Ready(None)));
}

#[test]
fn a_flood_is_as_many_frames_as_it_fills_buffers() {
    const EVENTS: usize = 10_000;
    for (buffer, capacity) in [(Buffer::default(), 64), (Buffer::fixed(256), 256)] {
        let (handler_polls, polls_of) = std::sync::mpsc::channel();
        let options = HandlerOptions::new().buffer(buffer).without_greeting().without_keep_alive();
        let mut body = EventBody::with_options(options, move |events| {
            let (handler, polls) = counted(async move {
                for n in 0..EVENTS {
                    events.send(Event::new(n)).await?;
                }
                Ok(())
            });
            handler_polls.send(polls).unwrap();
            handler
        });
        let (mut frames, mut turns, mut bytes) = (0, 1, 0);
        let (woken, waker) = Woken::new();
        loop {
            match poll(&mut body, &waker) {
                Poll::Ready(None) => break,
                Poll::Ready(Some(chunk)) => {
                    (frames, bytes) = (frames + 1, bytes + chunk.unwrap().len());
                }
                Poll::Pending => {
                    assert_eq!(woken.count(), turns, "it is woken for the next turn");
                    turns += 1;
                }
            }
            assert!(turns < EVENTS);
        }
        let expected = EVENTS.div_ceil(capacity);
        println!("{buffer:?}: {frames} frames, {turns} turns, {bytes} bytes");
        assert_eq!(frames, expected, "one for each full buffer");
        assert!(turns <= bytes.div_ceil(48 << 10), "{turns} turns for {bytes} bytes");
        let polls = polls_of.recv().unwrap().load(SeqCst);
        assert!(polls <= expected + turns + 1, "{polls} polls for {expected} buffers");
    }
}

/// How long the tests below look for a lost wake.
const STRESS: Duration = Duration::from_millis(1500);

/// Work of a changing length, which a compiler cannot remove.
fn spin(random: &mut u64, most: u64) {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    for _ in 0..(*random >> 33) % most {
        std::hint::spin_loop();
    }
}

/// Wakes the handler in each round: the one before has ended when all of its events have arrived.
///
/// With `sends` it makes an event ready before the wake. Without, it is a wake for nothing.
struct WakesInRounds {
    ready: AtomicUsize,
    received: AtomicUsize,
    stop: AtomicBool,
    waker: AtomicWaker,
}

/// How many threads make an event ready in each round.
const SENDERS: usize = 2;

impl WakesInRounds {
    fn run(&self, sends: bool, mut random: u64) {
        for round in 0.. {
            while self.received.load(SeqCst) < round * SENDERS {
                if self.stop.load(SeqCst) {
                    return;
                }
                thread::yield_now();
            }
            if self.stop.load(SeqCst) {
                return;
            }
            spin(&mut random, 500);
            self.ready.fetch_add(usize::from(sends), SeqCst);
            self.waker.wake();
        }
    }

    /// The handler. Its polls take a while after it has looked for events, so that threads wake it
    /// meanwhile.
    async fn handle(&self, events: EventSender) -> Result<(), BoxError> {
        let (mut sent, mut random) = (0, 7);
        poll_fn(|cx| {
            self.waker.register(cx.waker());
            while sent < self.ready.load(SeqCst) {
                if let Err(error) = events.try_send(Event::new(sent)) {
                    return Poll::Ready(Err(error.into()));
                }
                sent += 1;
            }
            spin(&mut random, 500);
            Poll::Pending
        })
        .await
    }
}

#[test]
fn no_wake_is_lost_while_the_handler_is_polled() {
    let rounds = never_hangs(|| {
        let shared = Arc::new(WakesInRounds {
            ready: AtomicUsize::new(0),
            received: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        let handled = shared.clone();
        let mut body = EventBody::new(|events| async move { handled.handle(events).await })
            .without_greeting()
            .without_keep_alive();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let reads = shared.clone();
        let reading = runtime.spawn(async move {
            let mut next = 0;
            while !reads.stop.load(SeqCst) {
                let chunk = body.next_chunk().await.unwrap().unwrap();
                for event in std::str::from_utf8(&chunk).unwrap().split_terminator("\n\n") {
                    assert_eq!(event, format!("data: {next}"));
                    next += 1;
                }
                reads.received.store(next, SeqCst);
            }
        });
        let threads: Vec<_> = [true, true, false]
            .into_iter()
            .zip(1..)
            .map(|(sends, seed)| {
                let shared = shared.clone();
                thread::spawn(move || shared.run(sends, seed))
            })
            .collect();
        // Every event of a round needs a wake: after a lost one nothing arrives any more.
        let (start, mut last) = (Instant::now(), (Instant::now(), 0));
        while start.elapsed() < STRESS {
            thread::sleep(Duration::from_millis(20));
            let received = shared.received.load(SeqCst);
            if received > last.1 {
                last = (Instant::now(), received);
            }
            assert!(last.0.elapsed() < Duration::from_secs(1), "nothing after {received} events");
        }
        shared.stop.store(true, SeqCst);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        reading.abort();
        last.1 / SENDERS
    });
    println!("{rounds} rounds");
    assert!(rounds > 100, "only {rounds} rounds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_other_threads_arrives_through_a_handler() {
    const EACH: usize = 5_000;
    const TASKS: usize = 4;
    for capacity in [1, 8, 64] {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(capacity);
        let options = HandlerOptions::new().buffer(Buffer::fixed(capacity)).without_keep_alive();
        let mut body = EventBody::with_options(options, move |events| async move {
            while let Some(n) = receiver.recv().await {
                events.send(Event::new(n)).await?;
            }
            Ok(())
        })
        .without_greeting();
        for task in 0..TASKS {
            let sender = sender.clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    sender.send(task * EACH + n).await.unwrap();
                }
            });
        }
        drop(sender);
        let read = tokio::spawn(async move { read_all(&mut body).await });
        let (frames, error) =
            tokio::time::timeout(Duration::from_secs(30), read).await.unwrap().unwrap();
        assert!(error.is_none());
        let text = String::from_utf8(frames.concat()).unwrap();
        let numbers = text.split_terminator("\n\n");
        let numbers = numbers.map(|event| event.strip_prefix("data: ").unwrap().parse().unwrap());
        let mut numbers: Vec<usize> = numbers.collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..TASKS * EACH));
    }
}

#[test]
fn the_greeting_goes_out_before_a_handler_that_has_yielded_computes() {
    let has_computed = Arc::new(AtomicBool::new(false));
    let mut body = EventBody::new({
        let has_computed = has_computed.clone();
        move |events| async move {
            yield_by_waker().await;
            has_computed.store(true, SeqCst);
            events.send(Event::new("x")).await?;
            pending().await
        }
    })
    .without_keep_alive();
    let (_woken, waker) = Woken::new();
    assert!(poll(&mut body, &waker).is_ready());
    // The server asks again at once, before it writes.
    assert!(poll(&mut body, &waker).is_pending());
    assert!(!has_computed.load(SeqCst));
    assert!(poll(&mut body, &waker).is_ready());
    assert!(has_computed.load(SeqCst));
}
