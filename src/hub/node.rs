//! What the handles of a hub share with its readers.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use super::{
    gap::{Gap, Lagging},
    hooks::Hooks,
    log::Log,
    position::Ids,
};
use crate::{
    catch_panic::catch_and_log,
    metrics::{self, HubMetrics},
    trace,
};

/// A hub in this process: its log, and its settings.
pub(super) struct Node {
    /// The state of the hub. See [`log`](super::log) for the rules that hold under this lock.
    pub(super) log: Mutex<Log>,
    /// Parses IDs without the lock.
    pub(super) ids: Arc<Ids>,
    /// Counts published events.
    pub(super) metrics: HubMetrics,
    /// What happens to readers that lag.
    pub(super) lagging: Lagging,
    /// The history has a bound in age, so readers check for expired records.
    pub(super) has_max_age: bool,
    /// The largest cost of an event, in bytes. Larger events are rejected.
    pub(super) max_event_cost: usize,
    /// The application's hooks.
    pub(super) hooks: Hooks,
}

impl Node {
    pub(super) fn lock(&self) -> MutexGuard<'_, Log> {
        // A panic under the lock leaves the log consistent: only `Waker::clone` may panic there,
        // and `Log::wait` calls it before it changes anything. So poison is ignored.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all wakers, also those after one that panics. Must not be called under the lock.
    pub(super) fn wake(wakers: &mut Vec<Waker>) {
        let mut rest = wakers.drain(..);
        while rest.len() > 0 {
            catch_and_log("a waker", || rest.by_ref().for_each(Waker::wake));
        }
    }

    /// Records a gap in metrics and logs. Must not be called under the lock: the recorder is
    /// foreign code.
    pub(super) fn record_gap(reason: &'static str, gap: &Gap) {
        metrics::gap(reason);
        trace::gap(reason, gap.missed);
    }

    /// Runs the presence hooks one at a time, in order and without the lock. If another thread is
    /// already running them, it also runs these.
    pub(super) fn run_presence_hooks(&self) {
        loop {
            let (topic, presence) = {
                let mut log = self.lock();
                let queue = &mut log.readers.presence;
                // The other thread looks at the queue again, under the lock, after its hook.
                if mem::replace(&mut queue.hook_running, true) {
                    return;
                }
                match queue.changes.pop_front() {
                    Some(change) => change,
                    None => {
                        queue.hook_running = false;
                        return;
                    }
                }
            };
            self.hooks.call_presence(&topic, presence);
            self.lock().readers.presence.hook_running = false;
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("lagging", &self.lagging).finish_non_exhaustive()
    }
}
