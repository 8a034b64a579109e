//! A suite that checks whether a [`Backend`] keeps its [contract](super#contract).
//!
//! [`run_all`] checks all promises, and names those that are broken. Each promise also has a function
//! of its own. Every check needs a new, empty log.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use tower_sse::hub::backend::{MemoryBackend, testing};
//!
//! let new = || async {
//!     let backend = MemoryBackend::default();
//!     let faults = backend.faults();
//!     testing::Subject::new(backend).on_recreate(move || {
//!         faults.recreate();
//!         async {}
//!     })
//! };
//! let report = testing::run_all(new).await;
//! println!("{report}"); // Also tells which promises were not checked, and the reason.
//! report.assert_kept();
//! # }
//! ```
//!
//! Some promises are about events that an engine does not produce on demand, for example an outage.
//! They are skipped unless the [`Subject`] has a hook that causes the event.
//!
//! The suite needs a tokio runtime with its timers. It waits up to ten seconds for an entry. With a
//! backend without I/O, pause tokio's clock, and nothing waits.

mod appending;
mod failing;
mod following;
mod reading;
mod report;
mod subject;
mod support;

use std::time::Duration;

pub use self::{
    appending::{acknowledgement, batches, content, order, retries},
    failing::{expiry, forget, lost_answer, lost_end, outage, recreation},
    following::{cancellation, one_order, tail},
    reading::{bounds, ends, locate, newest, pages, ranges, state, trimming, warm_start},
    report::{Outcome, Report, Unproven},
    subject::Subject,
};
use super::store::Backend;

/// How long one check may take.
const MAX_DURATION: Duration = Duration::from_secs(120);

macro_rules! promises {
    ($($name:literal $check:ident)*) => {
        /// The names of all promises, in the order of the [contract](super#contract).
        pub const PROMISES: &[&str] = &[$($name),*];

        /// Checks all promises, each with another log. `new` returns a backend with an empty log.
        ///
        /// A check that panics is not caught.
        pub async fn run_all<B, F, N>(new: F) -> Report
        where
            B: Backend,
            F: Fn() -> N,
            N: Future<Output = Subject<B>>,
        {
            let mut report = Report::default();
            $({
                let subject = new().await;
                report.add($name, limit($check(&subject)).await);
            })*
            report
        }
    };
}

promises! {
    "order" order
    "acknowledgement" acknowledgement
    "content" content
    "retries" retries
    "batches" batches
    "tail" tail
    "cancellation" cancellation
    "one-order" one_order
    "ranges" ranges
    "pages" pages
    "locate" locate
    "trimming" trimming
    "state" state
    "ends" ends
    "newest" newest
    "warm-start" warm_start
    "bounds" bounds
    "expiry" expiry
    "forget" forget
    "recreation" recreation
    "lost-end" lost_end
    "outage" outage
    "lost-answer" lost_answer
}

async fn limit(check: impl Future<Output = Outcome>) -> Outcome {
    let limited = tokio::time::timeout(MAX_DURATION, check).await;
    limited.unwrap_or_else(|_| {
        let text = format!("the check was not done after {} s", MAX_DURATION.as_secs());
        Err(Unproven::Broken(text))
    })
}
