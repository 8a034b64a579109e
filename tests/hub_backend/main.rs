//! The log in memory keeps the contract of a backend, and the suite finds backends that break it.
#![cfg(feature = "backend-testing")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod broken;
mod cold;
mod hub;
mod memory;
mod model;
mod nodes;
mod second_reading;

#[path = "../support/nodes_model.rs"]
mod nodes_model;
#[path = "../support/reading.rs"]
mod reading;
mod runs;
#[path = "../support/runs_nodes.rs"]
mod runs_nodes;

use tower_sse::hub::backend::{Backend, MemoryBackend, testing::Subject};

/// Adds all hooks to a backend that is in front of `memory`, and a second node.
fn subject<B: Backend>(memory: &MemoryBackend, wrap: impl Fn(MemoryBackend) -> B) -> Subject<B> {
    let other = memory.node();
    let [trim, recreate, lose, answer] = [(); 4].map(|()| memory.faults());
    let [links, same_links] = [(); 2].map(|()| [memory.faults(), other.faults()]);
    let set = |links: [tower_sse::hub::backend::MemoryFaults; 2], is_unavailable| {
        move || {
            links.iter().for_each(|link| link.set_unavailable(is_unavailable));
            async {}
        }
    };
    Subject::new(wrap(memory.clone()))
        .with_node(wrap(other))
        .on_trim(move |at| {
            trim.trim_before(at);
            async {}
        })
        .on_recreate(move || {
            recreate.recreate();
            async {}
        })
        .on_lose_end(move |at| {
            lose.lose_after(at);
            async {}
        })
        .on_outage(set(links, true), set(same_links, false))
        .on_lose_answer(move || {
            answer.lose_next_answer();
            async {}
        })
}
