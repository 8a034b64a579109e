//! Reads what a hub's subscription gives, as text that a test compares.

use std::time::Duration;

use tokio::time::timeout;
use tower_sse::{
    Event, Hub,
    hub::{Publication, Resumption, Selection, Subscription},
};

/// Far longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn topics(names: &[&str]) -> Selection {
    Selection::new(names.iter().copied()).unwrap()
}

/// Reads this number of entries, as data. A gap is `gap` and its reason, and the end is `end`.
pub(crate) async fn read(subscription: &mut Subscription, number: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < number {
        let next = timeout(PATIENCE, subscription.next()).await.expect("it is there");
        found.push(match next {
            Some(Ok(entry)) => entry.event().data().to_owned(),
            Some(Err(lagged)) => format!("gap {}", lagged.gap().reason),
            None => {
                found.push("end".into());
                return found;
            }
        });
    }
    found
}

pub(crate) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// Checks that readers which start with the newest events get those that their node does not have in memory.
/// Both nodes have the same log; `small` has the newest 20 entries at most.
pub(crate) async fn check_newest(writer: &Hub, small: &Hub) {
    let room = |name: &str, n: usize| Publication::new(name, Event::new(n));
    writer.publish_all((0..50).map(|n| room("room", n))).await.unwrap();
    writer.publish_all((50..53).map(|n| room("other", n))).await.unwrap();
    let last =
        writer.publish_all((0..30).map(|n| room("busy", n))).await.unwrap().ids.pop().unwrap();
    // The node has everything.
    drop(small.resume(topics(&["busy"]), &last).await.unwrap());
    let newest = |names: &[&str], n: usize| small.subscribe(topics(names).last(n));
    let mut reader = newest(&["room"], 7).await.unwrap();
    assert_eq!(*reader.resumption(), Resumption::New);
    // A client whose connection ends at once resumes before the first of them.
    let id = reader.position();
    assert_eq!(read(&mut reader, 7).await, numbers(43..50));
    let mut resumed = small.resume(topics(&["room"]).last(7), &id).await.unwrap();
    assert_eq!(*resumed.resumption(), Resumption::Complete);
    assert_eq!(read(&mut resumed, 7).await, numbers(43..50));
    let mut all = newest(&["other"], 100).await.unwrap();
    assert_eq!(read(&mut all, 3).await, numbers(50..53));
    let mut both = newest(&["other", "none", "room"], 2).await.unwrap();
    assert_eq!(read(&mut both, 4).await, ["48", "49", "51", "52"]);
    let mut in_memory = newest(&["busy"], 5).await.unwrap();
    assert_eq!(read(&mut in_memory, 5).await, numbers(25..30));
    // Events in memory are not limited by the number of topics.
    let many: Vec<_> = (0..200).map(|n| format!("empty.{n}")).chain(["busy".into()]).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let mut from_many = newest(&many, 12).await.unwrap();
    assert_eq!(read(&mut from_many, 12).await, numbers(18..30));
    writer.finish("other", None).await.unwrap();
    let last =
        writer.publish_all((30..60).map(|n| room("busy", n))).await.unwrap().ids.pop().unwrap();
    drop(small.resume(topics(&["busy"]), &last).await.unwrap());
    let mut ended = newest(&["other"], 1).await.unwrap();
    assert_eq!(read(&mut ended, 2).await, ["52", "end"]);
    let mut none = newest(&["none"], 5).await.unwrap();
    writer.publish("room", "live").await.unwrap();
    writer.publish("none", "live").await.unwrap();
    for reader in [&mut reader, &mut resumed, &mut none] {
        assert_eq!(read(reader, 1).await, ["live"]);
    }
    assert_eq!(read(&mut both, 2).await, ["live"; 2]);
}
