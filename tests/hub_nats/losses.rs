//! A log that is deleted, emptied, or put back to an older state: hubs report a gap to each reader.

use std::time::Duration;

use tokio::time::timeout;
use tower_sse::{
    Event, Hub,
    event::EventId,
    hub::{History, Lagging, Resumption, Selection, Subscription},
};

use crate::{
    connect,
    reading::{PATIENCE, numbers, read, topics},
    server::NatsServer,
};

/// What happens to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// The stream is deleted. The nodes make it again.
    Deleted,
    /// The server comes back with an empty folder.
    Emptied,
    /// The server comes back with a copy of its folder that has half of the events.
    Older,
}

async fn node(server: &NatsServer) -> Hub {
    let history = History::events(20);
    let builder = Hub::builder().history(history).total_history(history).lagging(Lagging::Skip);
    builder.publish_timeout(Duration::from_secs(20)).open(connect(server).await).await.unwrap()
}

/// Publishes numbers on all nodes in turns.
async fn publish(nodes: &[Hub], range: std::ops::Range<usize>) -> Vec<EventId> {
    let mut ids = Vec::new();
    for n in range {
        ids.push(nodes[n % nodes.len()].publish("a", Event::new(n)).await.unwrap().id);
    }
    ids
}

/// Reads up to the gap. Returns the events before it.
async fn read_to_gap(name: &str, reader: &mut Subscription) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let next = timeout(PATIENCE, reader.next()).await;
        match next.unwrap_or_else(|_| panic!("{name} gets no gap")).expect("it stays connected") {
            Ok(entry) => found.push(entry.event().data().to_owned()),
            Err(_) => return found,
        }
    }
}

/// Resumes, and expects a gap. Returns the events after it, up to the number 199.
async fn resume_with_gap(
    hub: &Hub,
    name: &str,
    selection: Selection,
    last: &EventId,
) -> Vec<String> {
    let mut reader = hub.resume(selection, last).await.unwrap();
    let resumption = reader.resumption();
    assert!(matches!(resumption, Resumption::Gap(_)), "{name}: {resumption:?}");
    read_to_end(&mut reader).await
}

/// Reads up to the last number.
async fn read_to_end(reader: &mut Subscription) -> Vec<String> {
    let mut found = Vec::new();
    while found.last().is_none_or(|last| last != "199") {
        found.extend(read(reader, 1).await);
    }
    found
}

async fn check(loss: Loss) {
    let server = NatsServer::start();
    let nodes = [node(&server).await, node(&server).await];
    let patterns = || Selection::default().patterns(["*"]).unwrap();
    // The name of a reader, and how much of 60 events it reads.
    let mut connected = Vec::new();
    for hub in &nodes {
        for (name, selection, number) in [
            ("a reader that has everything", topics(&["a"]), 60),
            ("a pattern that has everything", patterns(), 60),
            ("a slow reader", topics(&["a"]), 10),
            ("a reader that has nothing", topics(&["a"]), 0),
            ("a reader of a quiet topic", topics(&["b"]), 0),
        ] {
            connected.push((name, hub.subscribe(selection).await.unwrap(), number));
        }
    }
    let mut ids = publish(&nodes, 0..30).await;
    let copy = (loss == Loss::Older).then(|| {
        server.kill();
        let copy = server.copy();
        server.restart();
        copy
    });
    ids.extend(publish(&nodes, 30..60).await);
    for (name, reader, number) in &mut connected {
        assert_eq!(read(reader, *number).await, numbers(0..*number), "{name}");
    }
    // A quiet reader has an ID of the newest event too, once it has looked.
    let quiet = &mut connected[4].1;
    assert!(timeout(Duration::from_millis(50), quiet.next()).await.is_err());
    let quiet = quiet.position();

    match (loss, copy) {
        (Loss::Deleted, _) => server.client().await.delete("events").await,
        (Loss::Emptied, _) => {
            server.kill();
            server.wipe();
            server.restart();
        }
        (_, copy) => {
            server.kill();
            server.put_back(&copy.unwrap());
            server.restart();
        }
    }
    // One that resumes at this moment may come before its node knows of the loss. Then it is connected.
    for hub in &nodes {
        let reader = hub.resume(topics(&["a"]), &ids[59]).await.unwrap();
        if *reader.resumption() == Resumption::Complete {
            connected.push(("a reader that has just resumed", reader, 60));
        }
    }
    let mut gaps = 0;
    for (name, reader, number) in &mut connected {
        let before = read_to_gap(name, reader).await;
        gaps += 1;
        // Only those that have not read everything get something before the gap.
        let left = if name.ends_with("quiet topic") { 0 } else { 60 - *number };
        assert!(before.len() <= left, "{name}: {before:?}");
        assert_eq!(before, numbers(*number..*number + before.len()), "{name}");
        *number += before.len();
    }

    // No node has been given these positions again yet.
    let late = node(&server).await;
    for (name, hub) in [("a node", &nodes[0]), ("a new node", &late)] {
        let reader = hub.resume(topics(&["a"]), &ids[59]).await.unwrap();
        assert!(matches!(reader.resumption(), Resumption::Gap(_)), "{name}: {reader:?}");
        gaps += 1;
    }
    // More than were lost, so all positions are given a second time.
    publish(&nodes, 100..200).await;
    nodes[0].publish("b", Event::new("not quiet")).await.unwrap();
    // Those that were kept come to readers that have not read them.
    let kept = if loss == Loss::Older { 30 } else { 0 };
    let expected = |at: usize| [numbers(at.min(kept)..kept), numbers(100..200)].concat();
    for (name, reader, at) in &mut connected {
        if name.ends_with("quiet topic") {
            assert_eq!(read(reader, 1).await, ["not quiet"]);
        } else {
            assert_eq!(read_to_end(reader).await, expected(*at), "{name}");
        }
    }
    for (name, hub) in [("one", &nodes[0]), ("other", &nodes[1]), ("late", &late)] {
        for index in [30, 45, 59] {
            let name = format!("event {index} on node {name}");
            let found = resume_with_gap(hub, &name, topics(&["a"]), &ids[index]).await;
            assert!(expected(0).ends_with(&found), "{name}: {found:?}");
            let found = resume_with_gap(hub, &name, patterns(), &ids[index]).await;
            assert!(expected(0).ends_with(&found), "{name}, a pattern: {found:?}");
            gaps += 2;
        }
        let mut reader = hub.resume(topics(&["b"]), &quiet).await.unwrap();
        assert!(matches!(reader.resumption(), Resumption::Gap(_)), "{name}: {reader:?}");
        assert_eq!(read(&mut reader, 1).await, ["not quiet"]);
        gaps += 1;
        let mut reader = hub.resume(topics(&["a"]), &ids[5]).await.unwrap();
        assert!(matches!(reader.resumption(), Resumption::Gap(_)), "{name}: {reader:?}");
        gaps += 1;
        // The older files have this event, but others were lost after it.
        if loss == Loss::Older {
            assert_eq!(read_to_end(&mut reader).await, expected(6), "{name}");
        }
    }
    let number = connected.len();
    println!("{loss:?}: {number} readers connected, {} resumed, {gaps} gaps", gaps - number);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_deleted_is_a_gap_for_every_reader() {
    check(Loss::Deleted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_empty_is_a_gap_for_every_reader() {
    check(Loss::Emptied).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_with_older_files_is_a_gap_for_every_reader() {
    check(Loss::Older).await;
}
