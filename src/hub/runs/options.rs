//! The settings of runs.

use std::time::Duration;

/// The limits and times of [`Runs`](super::Runs).
#[derive(Clone, Debug)]
#[must_use]
pub struct RunsOptions {
    pub(super) max_runs: usize,
    pub(super) max_runs_per_owner: usize,
    pub(super) ttl: Duration,
    pub(super) lease: Duration,
    pub(super) stop_grace: Duration,
}

impl RunsOptions {
    /// Creates the default settings: any number of runs, five minutes after their end, a lease of 15 seconds, and
    /// five seconds to stop.
    pub fn new() -> Self {
        Self {
            max_runs: usize::MAX,
            max_runs_per_owner: usize::MAX,
            ttl: Duration::from_secs(300),
            lease: Duration::from_secs(15),
            stop_grace: Duration::from_secs(5),
        }
    }

    /// Limits how many runs work on this node at a time. Defaults to no limit.
    pub fn max_runs(mut self, runs: usize) -> Self {
        self.max_runs = runs;
        self
    }

    /// Limits how many runs of one owner work on this node at a time. Defaults to no limit.
    pub fn max_runs_per_owner(mut self, runs: usize) -> Self {
        self.max_runs_per_owner = runs;
        self
    }

    /// Sets how long a run is listed after its end. Defaults to five minutes. Its events are kept for as long as
    /// the hub keeps a topic that has ended: set [`finished_ttl`](crate::hub::HubBuilder::finished_ttl) to the
    /// same time.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl.max(Duration::from_millis(1));
        self
    }

    /// Sets after which silence of a node its runs count as failed. A node is heard of three times in this time.
    /// Defaults to 15 seconds, and is at most a day. All nodes need the same value. Without a backend it has no
    /// effect.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.clamp(Duration::from_millis(10), Duration::from_secs(86_400));
        self
    }

    /// Sets how long the work may go on after it was told to stop. Then it is dropped. Defaults to five seconds.
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.stop_grace = grace;
        self
    }
}

impl Default for RunsOptions {
    fn default() -> Self {
        Self::new()
    }
}
