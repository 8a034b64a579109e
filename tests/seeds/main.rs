//! What the four originals do, row by row: each behaviour of theirs that ours keeps, mends or goes
//! beyond is shown by one test, whose name starts with the row's id.
//!
//! | rows | of | in |
//! |---|---|---|
//! | R1–R41 | ring.sse: event channel handler | `r.rs` |
//! | P3–P24 | the Pedestal module, where it differs | `p.rs` |
//! | S1–S16 | cl-sse, server: events on the wire | `s.rs` |
//! | K1–K17 | clack-sse: on-connect, mounting | `k.rs` |
//! | C1–C23 | cl-sse, client: what it reads, and the demo | `c.rs` |
//!
//! R21 and R22 (order of the fields, line ends) need no test. The examples
//! that R40, P19, P20, P22, C23 and K17 name are run as they are by `tests/examples.rs` and
//! `tests/browser/`; here are handlers of the same shape on a paused clock.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod c;
mod k;
mod p;
mod r;
mod s;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tower_sse::{EventBody, EventChannelHandler, encode::Encode, event_channel_handler};

const SECOND: Duration = Duration::from_secs(1);

/// The wire form of one event.
fn wire(event: impl Into<tower_sse::EncodedEvent>) -> Bytes {
    event.into().to_bytes()
}

/// A handler that sends these events and returns.
fn sends<E: Encode + Clone>(events_to_send: Vec<E>) -> EventChannelHandler<()> {
    event_channel_handler(move |_, events| {
        let to_send = events_to_send.clone();
        async move {
            for event in to_send {
                events.send(event).await?;
            }
            Ok(())
        }
    })
}

/// A handler whose stream lasts until its client leaves.
fn endless<B: Send + 'static>() -> EventChannelHandler<B> {
    event_channel_handler(|_, events| async move {
        events.closed().await;
        Ok(())
    })
}

/// Reads a body to its end: what came when, in whole milliseconds since now.
async fn timed(mut body: EventBody) -> Vec<(u128, String)> {
    let started = Instant::now();
    let mut chunks = Vec::new();
    while let Some(chunk) = body.next_chunk().await {
        let chunk = String::from_utf8(chunk.unwrap().to_vec()).unwrap();
        chunks.push((started.elapsed().as_millis(), chunk));
    }
    chunks
}
