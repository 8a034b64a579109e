//! The model of nodes, over the log in memory.

use std::{cell::RefCell, collections::HashMap};

use tower_sse::hub::backend::MemoryBackend;

#[test]
fn readers_get_everything_in_order_on_all_nodes() {
    let logs = RefCell::new(HashMap::<u64, MemoryBackend>::new());
    crate::nodes_model::run(300, |log, builder| {
        let backend = logs.borrow_mut().entry(log).or_default().clone();
        async move { builder.open(backend.node()).await.unwrap() }
    });
}
