//! What the handles of a hub and its readers share.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use super::{
    entry::Record,
    gap::{Gap, GapReason, Lagging},
    log::{Log, Presence},
    position::Ids,
    topic::Topic,
};
use crate::{
    catch_panic::{catch_and_log, catch_panic},
    event::Event,
    metrics::{self, HubMetrics},
    trace,
};

pub(super) type OnGap = dyn Fn(&Gap) -> Option<Event> + Send + Sync;
pub(super) type OnPresence = dyn Fn(&Topic) + Send + Sync;

pub(super) struct Shared {
    pub(super) log: Mutex<Log>,
    pub(super) ids: Arc<Ids>,
    pub(super) metrics: HubMetrics,
    pub(super) lagging: Lagging,
    /// Records may get too old.
    pub(super) is_aging: bool,
    /// The most that an event may take, in bytes.
    pub(super) max_event: usize,
    pub(super) on_gap: Option<Arc<OnGap>>,
    pub(super) on_first_reader: Option<Arc<OnPresence>>,
    pub(super) on_last_reader: Option<Arc<OnPresence>>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Log> {
        // Nothing that panics runs under the lock but `Waker::clone`, before anything is changed.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn gap(reason: GapReason, first: Option<Arc<Record>>, missed: Option<u64>) -> Gap {
        Gap { reason, first: first.map(|record| record.event_id()), missed }
    }

    /// Wakes all, and lets none that panics keep the others from it.
    pub(super) fn wake(wakers: &mut Vec<Waker>) {
        let mut rest = wakers.drain(..);
        while rest.len() > 0 {
            catch_and_log("a waker", || rest.by_ref().for_each(Waker::wake));
        }
    }

    /// Counts a gap, for whoever watches. Not under the lock: what counts is not ours.
    pub(super) fn count_gap(reason: &'static str, gap: &Gap) {
        metrics::gap(reason);
        trace::gap(reason, gap.missed);
    }

    /// Makes the event that tells of a gap; none if the hook silences it.
    pub(super) fn gap_event(&self, gap: &Gap) -> Option<Event> {
        let Some(on_gap) = &self.on_gap else { return Some(gap.to_event()) };
        catch_panic("on_gap", || on_gap(gap)).unwrap_or_else(|panicked| {
            trace::panicked("on_gap", &panicked.to_string());
            Some(gap.to_event())
        })
    }

    /// Tells the hooks of readers that have come first or gone last: one at a time, in order, without
    /// the lock. Who finds somebody at it leaves it to them.
    pub(super) fn tell_presence(&self) {
        loop {
            let (topic, presence) = {
                let mut log = self.lock();
                if mem::replace(&mut log.is_telling, true) {
                    return;
                }
                match log.presence.pop_front() {
                    Some(change) => change,
                    None => {
                        log.is_telling = false;
                        return;
                    }
                }
            };
            let hook = match presence {
                Presence::First => &self.on_first_reader,
                Presence::Last => &self.on_last_reader,
            };
            if let Some(hook) = hook {
                catch_and_log("a hook of readers", || hook(&topic));
            }
            self.lock().is_telling = false;
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("lagging", &self.lagging).finish_non_exhaustive()
    }
}
