//! Many topics, readers and patterns: what a reader costs beside them, and what they leave behind.

use std::{
    env,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tower_sse::{
    Event, Hub,
    hub::{History, Publication, Selection, Subscription, Topic},
};

use crate::heap;

const MIB: usize = 1 << 20;

/// Polls a future until it is done. It must not wait for anything but its turn.
fn poll_to_end<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}

fn subscribe(hub: &Hub, selection: Selection) -> Subscription {
    poll_to_end(hub.subscribe(selection)).unwrap()
}

fn publish(hub: &Hub, topic: &str) {
    hub.try_publish(Publication::new(topic, "x")).unwrap();
}

fn wait(reader: &mut Subscription) -> usize {
    let mut read = 0;
    while reader.poll_next(&mut Context::from_waker(Waker::noop())).is_ready() {
        read += 1;
    }
    read
}

fn user(number: usize) -> Selection {
    Selection::new([format!("user.{number}")]).unwrap()
}

/// Each reader has a topic of its own, and all have a pattern together that matches 20,000 topics.
#[test]
fn a_broad_pattern_beside_an_own_topic_costs_a_reader_less_than_4_kib() {
    const READERS: usize = 1000;
    let hub = Hub::new();
    for n in 0..20_000 {
        publish(&hub, &format!("public.{n}"));
    }
    let start = hub.position();
    let broad = |n| user(n).patterns(["public.>"]).unwrap();
    // The pattern itself is shared, and so is what it matches.
    let mut first = subscribe(&hub, broad(READERS).from_start());
    assert_eq!(wait(&mut first), 20_000);
    let before = heap::bytes();
    let mut readers: Vec<_> = (0..READERS)
        .map(|n| match n % 3 {
            0 => subscribe(&hub, broad(n)),
            1 => poll_to_end(hub.resume(broad(n), &start)).unwrap(),
            _ => subscribe(&hub, broad(n).last(1)),
        })
        .collect();
    let read: usize = readers.iter_mut().map(wait).sum();
    assert_eq!(read, READERS / 3 * 20_000);
    let each = (heap::bytes() - before) / READERS;
    println!("{each} bytes for a reader of its own topic and a pattern of 20,000");
    assert!(each < 4096, "{each}");
    publish(&hub, "public.7");
    publish(&hub, "public.new");
    publish(&hub, "user.7");
    let read: Vec<_> = readers.iter_mut().map(wait).collect();
    assert_eq!((read[6], read[7], read[8]), (2, 3, 2));
    drop(readers);
    drop(first);
    assert_eq!(hub.stats().readers, 0);
    let left = heap::bytes().saturating_sub(before);
    assert!(left < MIB, "{left}");
}

#[test]
fn readers_patterns_and_groups_that_are_gone_leave_no_memory_behind() {
    let hub = Hub::new();
    publish(&hub, "stays");
    let start = heap::bytes();
    let check = |what: &str| {
        let left = heap::bytes().saturating_sub(start);
        println!("{left} bytes left after {what}");
        assert!(left < MIB, "{left} bytes left after {what}");
    };
    // Each reader has a pattern of its own.
    let own = |n: usize| Selection::default().patterns([format!("*.{n}.>")]).unwrap();
    let readers: Vec<_> = (0..200_000).map(|n| subscribe(&hub, own(n))).collect();
    assert_eq!(hub.stats().readers, 200_000);
    drop(readers);
    check("200,000 patterns");

    // 1,000 groups that select 5,000 topics, each by its own names and a pattern.
    let groups = |n| user(n).patterns(["public.*"]).unwrap();
    let readers: Vec<_> = (0..1000).map(|n| subscribe(&hub, groups(n))).collect();
    let mut named: Vec<_> = Vec::new();
    for part in 0..5 {
        let names = (part * 1000..(part + 1) * 1000).map(|n| format!("public.{n}"));
        named.push(subscribe(&hub, Selection::new(names).unwrap()));
    }
    for n in 0..5000 {
        publish(&hub, &format!("public.{n}"));
    }
    assert_eq!(hub.readers("public.4999").unwrap(), 1001);
    drop((readers, named));
    // The events themselves stay, about a kilobyte for each topic.
    let topics = 5000 * 1024;
    let left = heap::bytes().saturating_sub(start);
    println!("{left} bytes with 5,000 topics of one event");
    assert!(left < topics + MIB, "{left}");
}

/// Many patterns match the same topics. The topics do not keep what has matched them.
#[test]
fn patterns_that_are_gone_leave_no_memory_in_their_topics() {
    const TOPICS: usize = 1000;
    let hub = Hub::builder().history(History::events(1)).build();
    let topic = |n: usize| format!("{n}.a.a.a.a.a.a.a.a.a.a");
    for n in 0..TOPICS {
        publish(&hub, &topic(n));
    }
    let start = heap::bytes();
    let pattern = |bits: usize| {
        let segment = |bit: usize| if bits >> bit & 1 == 1 { ".a" } else { ".*" };
        format!("*{}", (0..10).map(segment).collect::<String>())
    };
    let readers: Vec<_> = (0..1000)
        .map(|bits| subscribe(&hub, Selection::default().patterns([pattern(bits)]).unwrap()))
        .collect();
    for n in 0..TOPICS {
        publish(&hub, &topic(n));
    }
    assert_eq!(hub.readers("7.a.a.a.a.a.a.a.a.a.a").unwrap(), 1000);
    let with = heap::bytes() - start;
    drop(readers);
    // Topics that are quiet as well: some of them are looked at by each call.
    for _ in 0..1000 {
        publish(&hub, "another");
    }
    let left = heap::bytes().saturating_sub(start);
    println!("{with} bytes with 1,000 patterns over 1,000 topics, {left} after");
    assert!(left < MIB, "{left}");
}

#[tokio::test]
async fn the_queue_of_presence_hooks_is_given_back() {
    let slot = std::sync::Arc::new(std::sync::OnceLock::<Hub>::new());
    let hooked = slot.clone();
    let most = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (measured, relaxed) = (most.clone(), std::sync::atomic::Ordering::Relaxed);
    let hub = Hub::builder()
        .on_first_reader(move |topic| {
            // While this hook runs, others come and go.
            if topic == "mine" {
                let hub = hooked.get().unwrap();
                (0..100_000).for_each(|n| drop(subscribe(hub, user(n))));
                measured.fetch_max(heap::bytes(), relaxed);
            }
        })
        .on_last_reader(|_| {})
        .build();
    slot.set(hub.clone()).unwrap();
    drop(subscribe(&hub, user(0)));
    let start = heap::bytes();
    let mine = hub.subscribe(Selection::new(["mine"]).unwrap()).await.unwrap();
    // A task of this runtime calls the hooks that are left.
    for _ in 0..400_000 {
        tokio::task::yield_now().await;
    }
    drop(mine);
    let left = heap::bytes().saturating_sub(start);
    let most = most.load(relaxed) - start;
    println!("{most} bytes in the queue of presence hooks, {left} after");
    assert!(most > MIB && left < 64 << 10, "{most} {left}");
}

/// Topics of 500 small events each, which end and expire: `TOWER_SSE_TOPICS` of them, 3,000 by
/// default, 1,000 at a time.
#[tokio::test(start_paused = true)]
async fn topics_that_have_ended_and_expired_give_all_memory_back() {
    const ROUND: usize = 1000;
    const MINUTE: Duration = Duration::from_secs(60);
    let topics = env::var("TOWER_SSE_TOPICS").map_or(3_000, |topics| topics.parse().unwrap());
    let hub = Hub::builder().finished_ttl(MINUTE).build();
    let mut start = None;
    for round in 0..topics / ROUND {
        for n in 0..ROUND {
            let name = Topic::try_from(format!("job.{round}.{n}")).unwrap();
            let event = |n: usize| Publication::new(name.clone(), Event::new(n));
            hub.publish_all((0..499).map(event)).await.unwrap();
            hub.finish(name.clone(), Some(Event::new("done"))).await.unwrap();
        }
        let full = heap::bytes();
        assert_eq!((hub.stats().topics, hub.stats().events), (ROUND, ROUND * 500));
        tokio::time::advance(MINUTE).await;
        // Each call removes some hundred.
        while hub.stats().events > 0 {}
        assert_eq!((hub.stats().topics, hub.stats().bytes), (0, 0));
        let now = heap::bytes();
        // The buffers grow in the first round, and do not grow later.
        let start = *start.get_or_insert(now);
        let left = now.saturating_sub(start);
        if round % 10 == 0 {
            println!("{full} bytes with {ROUND} topics, {now} after they have expired");
        }
        assert!(now < MIB && left < 4096, "{now} {left}");
    }
}
