//! The hard points of the design, as they were decided, one or more tests each; the number is the
//! decision's.
//!
//! | decisions | about | in |
//! |---|---|---|
//! | 1–9, 13–16 | the body: who polls what, order, ends | `body.rs` |
//! | 10–12, 21, 22 | events and the buffer: order, fairness, text | `channel.rs` |
//! | 17–20, 23 | requests, answers, the layer | `requests.rs` |
//!
//! Held elsewhere: of 2 the grace at shutdown, `send_timeout` and how many streams are stuck, and of 6
//! `ending()`, by `tests/govern.rs` and `tests/graceful.rs`; of 8 the memory of an idle stream by
//! `tests/allocations.rs`; of 17 that browsers are told to come back by admission and shutdown, and
//! of 18 that a HEAD takes no place, by `tests/admission.rs` and `tests/govern.rs`.
//!
//! Of the hub: 24, 26 and 27 by `tests/hub/`, and by a browser in `tests/browser/hub.rs`; 25 by
//! `tests/hub_model.rs`. Of the client: 28 by `tests/client/reconnecting.rs`, 29 by
//! `tests/client/redirects.rs`, 30 by `tests/client/misbehaving.rs`. 31–38 are about crates and
//! tools: `ci/` holds them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod body;
mod channel;
mod requests;
#[path = "../support/mod.rs"]
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Wake, Waker},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Woken {
    fn new() -> (Arc<Self>, Waker) {
        let woken = Arc::new(Self::default());
        (woken.clone(), Waker::from(woken))
    }

    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}
