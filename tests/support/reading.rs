//! Reads what a hub's subscription gives, as text that a test compares.

use std::time::Duration;

use tokio::time::timeout;
use tower_sse::hub::{Selection, Subscription};

/// Far longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn topics(names: &[&str]) -> Selection {
    Selection::new(names.iter().copied()).unwrap()
}

/// Reads this number of entries, as data. A gap is `gap` and its reason, and the end is `end`.
pub(crate) async fn read(subscription: &mut Subscription, number: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < number {
        let next = timeout(PATIENCE, subscription.next()).await.expect("it is there");
        found.push(match next {
            Some(Ok(entry)) => entry.event().data().to_owned(),
            Some(Err(lagged)) => format!("gap {}", lagged.gap().reason),
            None => {
                found.push("end".into());
                return found;
            }
        });
    }
    found
}

pub(crate) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}
