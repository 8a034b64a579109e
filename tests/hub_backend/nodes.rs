//! The model of nodes, over the log in memory.

use std::{cell::RefCell, collections::HashMap};

use tower_sse::{
    Hub,
    hub::{Resumption, Selection, backend::MemoryBackend},
};

/// The last event before the window of a new node is known to the backend only.
#[tokio::test]
async fn a_pattern_resumes_after_the_event_that_a_node_has_begun_with() {
    let log = MemoryBackend::default();
    let first = Hub::builder().open(log.node()).await.unwrap();
    let id = first.publish("t.0", "a").await.unwrap().id;
    let other = first.publish("other", "b").await.unwrap().id;
    let second = Hub::builder().warm_start(0).open(log.node()).await.unwrap();
    let all = || Selection::default().patterns(["*"]).unwrap();
    for (node, last) in [(&second, &other), (&second, &id)] {
        let reader = node.resume(all(), last).await.unwrap();
        assert_eq!(*reader.resumption(), Resumption::Complete, "{last}");
    }
    let mut reader = second.resume(all(), &id).await.unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap().event().data(), "b");
}

#[test]
fn readers_get_everything_in_order_on_all_nodes() {
    let logs = RefCell::new(HashMap::<u64, MemoryBackend>::new());
    crate::nodes_model::run(300, |log, builder| {
        let backend = logs.borrow_mut().entry(log).or_default().clone();
        async move { builder.open(backend.node()).await.unwrap() }
    });
}
