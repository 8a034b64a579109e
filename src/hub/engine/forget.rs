//! Topics whose time to live is over are removed from the log.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::shared::Engine;
use crate::hub::{
    backend::{BackendError, Fault, Position},
    node::Node,
    topic::Topic,
};

/// How often a node looks for topics that have expired.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long after its time to live a topic is removed from the log. By then the other nodes have dropped
/// it as well: a topic that begins anew has not ended for any of them.
const DELAY: Duration = Duration::from_secs(10);
/// How many topics are removed at a time.
const TOPICS_PER_CALL: usize = 16;
/// How many topics wait to be removed. The bounds of the backend remove the others.
const MAX_WAITING: usize = 1 << 20;

/// Removes what has expired from the window, and later from the log, until the last handle of the hub is
/// dropped.
pub(in crate::hub) async fn forget_expired(node: Arc<Node>, engine: Arc<Engine>) {
    // The nodes take turns, so that one of them finds most topics removed by another one.
    let delay = DELAY.mul_f64(1.0 + fastrand::f64());
    let run = async {
        let mut waiting = VecDeque::new();
        let mut lost = node.counters.lost().upto.seq;
        let mut pause = INTERVAL;
        loop {
            sleep(pause).await;
            pause = INTERVAL;
            loop {
                let expired = node.expire().await;
                if expired.is_empty() {
                    break;
                }
                let due = Instant::now() + delay;
                let room = MAX_WAITING - waiting.len();
                waiting.extend(expired.into_iter().take(room).map(|expired| (due, expired)));
            }
            let lost_before = std::mem::replace(&mut lost, node.counters.lost().upto.seq);
            if lost != lost_before {
                // The log is another one, or has lost its end, so the positions do not fit.
                waiting.clear();
            }
            let Some(due) = take_due(&mut waiting) else { continue };
            let begun = Instant::now();
            if let Err(error) = forget(&engine, due.clone()).await {
                engine.health.failed(&error);
                // If it is refused, the bounds of the backend remove them.
                if !matches!(error.fault(), Fault::Refused | Fault::Lost) {
                    let now = Instant::now();
                    due.into_iter().rev().for_each(|expired| waiting.push_front((now, expired)));
                }
                continue;
            }
            engine.health.answered();
            // An engine that takes long to remove topics has time for other calls in between.
            pause = begun.elapsed();
        }
    };
    let _stopped: Option<()> = engine.until_stopped(run).await;
}

/// A topic, and the position up to which it is removed.
type Expired = (Topic, Position);

/// Takes some topics that are to be removed now. `None` if there are none.
fn take_due(waiting: &mut VecDeque<(Instant, Expired)>) -> Option<Vec<Expired>> {
    let now = Instant::now();
    let due = waiting.iter().take(TOPICS_PER_CALL).take_while(|(at, _)| *at <= now).count();
    let due: Vec<_> = waiting.drain(..due).map(|(_, expired)| expired).collect();
    if waiting.len() < waiting.capacity() / 4 {
        // Many topics that have expired together leave no memory behind.
        waiting.shrink_to(waiting.capacity() / 2);
    }
    (!due.is_empty()).then_some(due)
}

async fn forget(engine: &Engine, topics: Vec<Expired>) -> Result<(), BackendError> {
    engine.backend.clone().forget_topics(topics).await
}
