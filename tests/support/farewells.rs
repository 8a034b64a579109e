//! Farewells, and bodies that are read to their end.

use std::time::Duration;

use tokio::{task::JoinHandle, time::Instant};
use tower_sse::{Event, EventBody, EventSender, Farewell};

use crate::support::{SECOND, read_text};

/// A farewell with an event, an ID and a `retry`. Its bytes are [`BYE`].
pub(crate) fn bye() -> Farewell {
    Farewell::new().event(Event::new("bye").with_type("end").with_id(9)).retry(2 * SECOND)
}

/// The bytes of [`bye`].
pub(crate) const BYE: &str = "event: end\nid: 9\nretry: 2000\ndata: bye\n\n";

/// Reads a body in a task. Returns the text and the time to the end.
pub(crate) fn reading(body: EventBody) -> JoinHandle<(String, Duration)> {
    let start = Instant::now();
    tokio::spawn(async move {
        let text = read_text(body).await;
        (text, start.elapsed())
    })
}

/// Returns the time after a duration on the paused clock, as a deadline.
pub(crate) fn std_in(duration: Duration) -> std::time::Instant {
    (Instant::now() + duration).into_std()
}

/// A farewell with an event alone. Its bytes are [`PLAIN_BYE`].
pub(crate) fn plain_bye() -> Farewell {
    Farewell::new().event(Event::new("bye"))
}

/// The bytes of [`plain_bye`].
pub(crate) const PLAIN_BYE: &str = "data: bye\n\n";

/// A body whose handler returns as soon as it is notified of the end.
pub(crate) fn body_that_obeys() -> EventBody {
    EventBody::new(|events: EventSender| async move {
        events.ending().await;
        Ok(())
    })
    .without_keep_alive()
    .without_greeting()
}
