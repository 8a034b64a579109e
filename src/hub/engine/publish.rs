//! Publishing on a backend: entries are appended to the log, and come back by the tail.

use std::{slice, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use super::shared::{Backoff, Delivered, Engine};
use crate::{
    hub::{
        backend::{BackendError, Fault, Outgoing, Position},
        node::Node,
        publication::{PublishFault, Published},
        topic::Topic,
    },
    trace,
};

/// How long before its deadline publishing gives up, if nothing was sent by then: about as long as a
/// backend takes to find out that it cannot reach its engine.
const LAST_ATTEMPT: Duration = Duration::from_secs(1);

/// Appends entries, and waits until the window has them. An error has the index of the entry that
/// was rejected.
pub(in crate::hub) async fn append(
    node: &Node,
    engine: &Engine,
    entries: Vec<Outgoing>,
) -> Result<Vec<Published>, (usize, PublishFault)> {
    if let Some(index) = node.finished_topic(entries.iter().map(|entry| &entry.topic)) {
        return Err((index, PublishFault::Finished));
    }
    let deadline = Instant::now() + engine.publish_timeout;
    let asked = ask_for_ends(node, engine, &entries, deadline).await?;
    let mut waits = Waits::new(engine, &entries);
    let entries: Arc<[Outgoing]> = entries.into();
    let positions = append_until(engine, &entries, deadline).await;
    let positions = positions.map_err(|error| (0, PublishFault::Backend(Arc::new(error))))?;
    let mut published = Vec::with_capacity(entries.len());
    for ((index, entry), (wait, position)) in
        entries.iter().enumerate().zip(waits.receivers.drain(..).zip(positions))
    {
        // A node that does not hear of its own entries in time still has published them.
        published.push(match timeout_at(deadline, wait).await {
            Ok(Ok(Delivered::Published(published))) => published,
            Ok(Ok(Delivered::Finished)) => return Err((index, PublishFault::Finished)),
            Ok(Err(_)) | Err(_) => {
                Published { id: node.event_id(position, &entry.topic), woken: 0 }
            }
        });
    }
    if !asked.is_empty() {
        // The window has the topics now, and has seen everything since they were asked about.
        node.set_know_ends(&asked);
    }
    Ok(published)
}

/// Asks the backend which topics have ended, as far as the window does not know. Returns those that it
/// was asked about. None of them has ended.
async fn ask_for_ends(
    node: &Node,
    engine: &Engine,
    entries: &[Outgoing],
    deadline: Instant,
) -> Result<Vec<Topic>, (usize, PublishFault)> {
    let topics = node.with_unknown_end(entries.iter().map(|entry| &entry.topic));
    if topics.is_empty() {
        return Ok(topics);
    }
    let mut backoff = Backoff::new();
    loop {
        let error = match timeout_at(deadline, engine.backend.clone().find_ends(topics.clone()))
            .await
        {
            Ok(Ok(ends)) => {
                engine.health.answered();
                let ended = topics.iter().zip(ends).find(|(_, end)| end.is_some());
                let Some((topic, _)) = ended else { return Ok(topics) };
                let index = entries.iter().position(|entry| entry.topic == *topic);
                return Err((index.unwrap_or(0), PublishFault::Finished));
            }
            Ok(Err(error)) => error,
            Err(_) => BackendError::new(Fault::Unavailable, "the engine did not answer in time"),
        };
        engine.health.failed(&error);
        if timeout_at(deadline, backoff.wait()).await.is_err() {
            // Nothing was appended.
            let error = BackendError::new(Fault::Unavailable, error);
            return Err((0, PublishFault::Backend(Arc::new(error))));
        }
    }
}

/// Appends entries, and repeats that until a deadline. The backend recognizes a repeated append.
async fn append_until(
    engine: &Engine,
    entries: &Arc<[Outgoing]>,
    deadline: Instant,
) -> Result<Vec<Position>, BackendError> {
    let mut backoff = Backoff::new();
    // Once an answer was lost, the entries may be in the log, also if later attempts fail.
    let mut is_unknown = false;
    loop {
        let attempt = engine.backend.clone().append_all(entries.clone());
        let error = match timeout_at(deadline, attempt).await {
            Ok(Ok(positions)) => {
                engine.health.answered();
                return Ok(positions);
            }
            Ok(Err(error)) => error,
            Err(_) => BackendError::new(Fault::Unknown, "the engine did not answer in time"),
        };
        is_unknown |= error.fault() == Fault::Unknown;
        let may_succeed = error.fault() != Fault::Refused;
        if may_succeed {
            engine.health.failed(&error);
        }
        // An attempt that is cut off by the deadline leaves it unknown whether the entries are in the log.
        let is_last = !is_unknown && deadline - Instant::now() < LAST_ATTEMPT;
        if !may_succeed || is_last || timeout_at(deadline, backoff.wait()).await.is_err() {
            return Err(match is_unknown {
                true if error.fault() != Fault::Unknown => BackendError::new(Fault::Unknown, error),
                _ => error,
            });
        }
    }
}

/// Appends the entries of a queue, in order, until the hub is gone.
pub(in crate::hub) async fn publish_queued(
    node: Arc<Node>,
    engine: Arc<Engine>,
    mut queue: mpsc::Receiver<Outgoing>,
) {
    const ENTRIES_PER_APPEND: usize = 256;
    let mut entries = Vec::new();
    loop {
        let received = engine.until_stopped(queue.recv_many(&mut entries, ENTRIES_PER_APPEND));
        match received.await {
            Some(0) => return,
            Some(_) => {}
            None => return publish_rest(&engine, queue, entries).await,
        }
        if append_queued(&node, &engine, &entries).await.is_some() {
            // One of them is refused, which must not keep the others from being published.
            for entry in &entries {
                if let Some(fault) = append_queued(&node, &engine, slice::from_ref(entry)).await {
                    trace::not_published(&format!("{fault:?}"), 1);
                }
            }
        }
        if engine.is_stopped() {
            // They may not be appended yet. The backend recognizes those that are.
            return publish_rest(&engine, queue, entries).await;
        }
        entries.clear();
    }
}

/// Appends the entries that are left in the queue when the last handle of the hub was dropped. The
/// window does not follow the log any more, so nothing is waited for.
async fn publish_rest(
    engine: &Engine,
    mut queue: mpsc::Receiver<Outgoing>,
    mut entries: Vec<Outgoing>,
) {
    while let Ok(entry) = queue.try_recv() {
        entries.push(entry);
    }
    if entries.is_empty() {
        return;
    }
    let count = entries.len();
    let deadline = Instant::now() + engine.publish_timeout;
    if let Err(error) = append_until(engine, &entries.into(), deadline).await {
        trace::not_published(&error.to_string(), count);
    }
}

/// Appends entries of a queue. Repeats that while the backend cannot be reached: meanwhile the queue
/// fills, and `Hub::try_publish` reports that. Returns why the entries are refused, if they are.
async fn append_queued(node: &Node, engine: &Engine, entries: &[Outgoing]) -> Option<PublishFault> {
    loop {
        let appended = engine.until_stopped(append(node, engine, entries.to_vec())).await?;
        match appended.err()?.1 {
            PublishFault::Backend(error) if error.fault() != Fault::Refused => {}
            fault => return Some(fault),
        }
    }
}

/// The publishers of some entries wait. Dropped, they wait no more.
struct Waits<'a> {
    engine: &'a Engine,
    ids: Vec<u128>,
    receivers: Vec<oneshot::Receiver<Delivered>>,
}

impl<'a> Waits<'a> {
    fn new(engine: &'a Engine, entries: &[Outgoing]) -> Self {
        let ids: Vec<_> = entries.iter().map(|entry| entry.append_id).collect();
        let mut waiting = engine.waiting();
        let receivers = ids.iter().map(|id| {
            let (sender, receiver) = oneshot::channel();
            waiting.insert(*id, sender);
            receiver
        });
        let receivers = receivers.collect();
        drop(waiting);
        Self { engine, ids, receivers }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut waiting = self.engine.waiting();
        for id in &self.ids {
            waiting.remove(id);
        }
    }
}
