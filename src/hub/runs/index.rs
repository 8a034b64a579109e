//! What a node knows of all runs.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::{
    names::OwnerName,
    state::{RunState, Status},
};

/// What a node knows of the runs of all nodes, by the log.
#[derive(Debug, Default)]
pub(super) struct Index {
    owners: HashMap<OwnerName, HashMap<String, Known>>,
    /// When each node was last heard of.
    nodes: HashMap<String, Instant>,
    /// Since when this node reads the log without a break: it reads its own signs.
    hearing_since: Option<Instant>,
    /// When it last began to read.
    began_at: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    status: Status,
    /// When it was read.
    at: Instant,
}

/// A run whose node is gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Orphan {
    pub(super) owner: OwnerName,
    pub(super) id: String,
    pub(super) events: u64,
}

impl Index {
    /// Notes the state of a run.
    pub(super) fn set(&mut self, owner: OwnerName, id: &str, status: Status, now: Instant) {
        self.owners.entry(owner).or_default().insert(id.to_owned(), Known { status, at: now });
    }

    /// Notes that a node works. If it is this one, it reads the log.
    pub(super) fn heard_of(&mut self, node: &str, own: &str, lease: Duration, now: Instant) {
        let before = self.nodes.insert(node.to_owned(), now);
        if node == own {
            let is_unbroken = before.is_some_and(|before| now.duration_since(before) < lease);
            self.hearing_since = self.hearing_since.filter(|_| is_unbroken).or(Some(now));
        }
    }

    /// Notes that this node begins to read: first the states that there are.
    pub(super) fn begin(&mut self, now: Instant) {
        self.hearing_since = None;
        self.began_at = Some(now);
    }

    pub(super) fn get(&self, owner: &OwnerName, id: &str) -> Option<&Status> {
        Some(&self.owners.get(owner)?.get(id)?.status)
    }

    /// Returns the runs of an owner, in the order of their IDs.
    pub(super) fn of_owner(&self, owner: &OwnerName) -> Vec<(String, Status)> {
        let runs = self.owners.get(owner).into_iter().flatten();
        let mut runs: Vec<_> = runs.map(|(id, known)| (id.clone(), known.status.clone())).collect();
        runs.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        runs
    }

    /// Forgets runs that ended longer ago than their time to live, and nodes that nobody heard of.
    pub(super) fn expire(&mut self, ttl: Duration, lease: Duration, now: Instant) {
        // A state that was not read again is not in the log any more.
        let reread = self.began_at.filter(|began| now.duration_since(*began) >= lease);
        self.owners.retain(|_, runs| {
            runs.retain(|_, known| match known.status.state {
                RunState::Running => reread.is_none_or(|began| known.at >= began),
                _ => now.duration_since(known.at) < ttl,
            });
            !runs.is_empty()
        });
        self.nodes.retain(|_, heard| now.duration_since(*heard) < lease * 4);
    }

    /// Returns the runs of other nodes that are gone: nothing was heard of them for the lease. A node that has not
    /// read the log for as long knows of none.
    pub(super) fn orphans(&self, own: &str, lease: Duration, now: Instant) -> Vec<Orphan> {
        let heard_itself = self.nodes.get(own).is_some_and(|at| now.duration_since(*at) < lease);
        let has_heard = self.hearing_since.is_some_and(|since| now.duration_since(since) >= lease);
        if !heard_itself || !has_heard {
            return Vec::new();
        }
        let is_gone = |known: &Known| {
            let heard = self.nodes.get(&known.status.node).copied().max(Some(known.at));
            heard.is_none_or(|heard| now.duration_since(heard) >= lease)
        };
        let mut orphans = Vec::new();
        for (owner, runs) in &self.owners {
            for (id, known) in runs {
                let Status { state, node, events } = &known.status;
                if *state == RunState::Running && node != own && is_gone(known) {
                    orphans.push(Orphan { owner: owner.clone(), id: id.clone(), events: *events });
                }
            }
        }
        orphans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_run_is_an_orphan_once_nothing_was_heard_of_its_node_for_the_lease() {
        let now = Instant::now();
        let ann = OwnerName::new("ann").unwrap();
        let running =
            |node: &str| Status { state: RunState::Running, node: node.into(), events: 0 };
        let mut index = Index::default();
        index.set(ann.clone(), "1", running("other"), now);
        index.set(ann.clone(), "2", running("own"), now);
        let ended = Status { state: RunState::Finished, ..running("other") };
        index.set(ann.clone(), "3", ended, now);
        for second in 0..15 {
            index.heard_of("own", "own", 10 * SECOND, now + second * SECOND);
        }
        index.heard_of("other", "own", 10 * SECOND, now + 5 * SECOND);
        let orphans = |index: &Index, after: u32| {
            let orphans = index.orphans("own", 10 * SECOND, now + after * SECOND);
            orphans.into_iter().map(|orphan| orphan.id).collect::<Vec<_>>()
        };
        assert!(orphans(&index, 14).is_empty());
        assert_eq!(orphans(&index, 15), ["1"]);
        // The node was deaf for the lease, and hears again.
        index.heard_of("own", "own", 10 * SECOND, now + 30 * SECOND);
        assert!(orphans(&index, 31).is_empty());
        for second in 31..42 {
            index.heard_of("own", "own", 10 * SECOND, now + second * SECOND);
        }
        assert_eq!(orphans(&index, 41), ["1"]);
        index.begin(now + 41 * SECOND);
        assert!(orphans(&index, 42).is_empty());
        index.expire(20 * SECOND, 100 * SECOND, now + 42 * SECOND);
        let left: Vec<_> = index.of_owner(&ann).into_iter().map(|(id, _)| id).collect();
        assert_eq!(left, ["1", "2"]);
        // Their states were not read again.
        index.expire(20 * SECOND, 10 * SECOND, now + 60 * SECOND);
        assert!(index.of_owner(&ann).is_empty());
    }
}
