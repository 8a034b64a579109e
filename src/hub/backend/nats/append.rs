//! Appending: many publications at a time, and no hole after an error.
//!
//! The server acknowledges publications one by one, so an append that waited for each would be slow.
//! If several are under way and one fails, the later ones must not be stored. Each of them therefore
//! names the entry before it, and the server stores it only if that is the newest entry of the
//! stream. If another publisher comes in between, the rest is refused, and is sent again.

use std::{collections::VecDeque, error::Error as _, sync::Arc};

use async_nats::{
    HeaderMap,
    jetstream::{
        self, ErrorCode,
        context::{PublishAckFuture, PublishError, PublishErrorKind},
        message::PublishMessage,
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    link::{Link, Session},
    message::{EXPECTED_ID, Encoded},
    stream::{Stored, StreamOptions},
};
use crate::hub::backend::{
    entry::Outgoing,
    error::{BackendError, Fault},
    position::Position,
};

/// How many entries of one append are under way at a time.
const MAX_UNDER_WAY: usize = 256;
/// How many bytes of all appends are under way at a time.
const MAX_BYTES_UNDER_WAY: usize = 32 << 20;
/// What an entry counts for in addition to its data: headers, and the memory that it takes.
const ENTRY_OVERHEAD: usize = 1024;

/// Limits how much is under way.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_BYTES_UNDER_WAY)))
    }
}

/// An entry whose acknowledgement has not come yet.
struct UnderWay {
    ack: PublishAckFuture,
    _permit: OwnedSemaphorePermit,
}

/// Appends entries, and returns their positions in this order.
pub(super) async fn append(
    link: &Link,
    options: &StreamOptions,
    budget: &Budget,
    entries: &[Outgoing],
    encoded: &[Encoded],
) -> Result<Vec<Position>, BackendError> {
    let mut session = link.session().await?;
    let mut positions = Vec::with_capacity(entries.len());
    let mut under_way = VecDeque::new();
    let mut sent = 0;
    // The first entry of a run names no entry before it.
    let mut run_start = 0;
    while positions.len() < entries.len() {
        while sent < entries.len() && under_way.len() < MAX_UNDER_WAY {
            let size = entries[sent].event.data.len() + ENTRY_OVERHEAD;
            let Some(permit) = budget.permit(size, under_way.is_empty(), &mut session).await?
            else {
                break;
            };
            let previous = (sent > run_start).then(|| &*encoded[sent - 1].id);
            let headers = headers(&encoded[sent], previous);
            let message =
                PublishMessage::build().headers(headers).payload(entries[sent].event.data.clone());
            let published = link.context.send_publish(encoded[sent].subject.clone(), message);
            let ack = session.limit(published, Fault::Unknown).await?;
            let ack = ack.map_err(|error| failed(error, &positions))?;
            under_way.push_back(UnderWay { ack, _permit: permit });
            sent += 1;
        }
        let Some(next) = under_way.pop_front() else { continue };
        let index = positions.len();
        match session.limit(next.ack.into_future(), Fault::Unknown).await? {
            // A server that is still storing the first copy of an entry may answer without a place.
            Ok(ack) if ack.sequence == 0 => {
                return Err(BackendError::new(Fault::Unknown, "the entry is still being stored"));
            }
            Ok(ack) => {
                let at = Position::new(ack.sequence).with_check(encoded[index].check);
                // The fingerprint is that of the first attempt. It is unknown if
                // the entry is no longer retained.
                let first = match ack.duplicate {
                    true => options.stored(link, ack.sequence).await?,
                    false => Stored::At(at),
                };
                positions.push(match first {
                    Stored::At(at) => at,
                    Stored::Missing => at,
                });
            }
            Err(error)
                if error.kind() == PublishErrorKind::WrongLastMessageId && index > run_start =>
            {
                // The later ones are refused too, since they name this one or one after it. Once all
                // answers have come, none of them can be stored any more.
                for later in under_way.drain(..) {
                    let _refused = session.limit(later.ack.into_future(), Fault::Unknown).await?;
                }
                sent = index;
                run_start = index;
            }
            Err(error) => return Err(failed(error, &positions)),
        }
    }
    Ok(positions)
}

impl Budget {
    /// Takes room. Returns `None` if there is no room now, unless the append has nothing under way:
    /// then it waits. So no append waits for room while it has some that others wait for.
    async fn permit(
        &self,
        size: usize,
        may_wait: bool,
        session: &mut Session,
    ) -> Result<Option<OwnedSemaphorePermit>, BackendError> {
        let size = size.min(MAX_BYTES_UNDER_WAY) as u32;
        if let Ok(permit) = self.0.clone().try_acquire_many_owned(size) {
            return Ok(Some(permit));
        }
        if !may_wait {
            return Ok(None);
        }
        let permit = self.0.clone().acquire_many_owned(size);
        let permit = session.limit(permit, Fault::Unavailable).await?;
        permit.map(Some).map_err(|error| BackendError::new(Fault::Unavailable, error))
    }
}

fn headers(entry: &Encoded, previous: Option<&str>) -> HeaderMap {
    let mut headers = entry.headers.clone();
    if let Some(previous) = previous {
        headers.insert(EXPECTED_ID, previous);
    }
    headers
}

/// Returns what an error means, if these entries of the append were acknowledged.
fn failed(error: PublishError, acknowledged: &[Position]) -> BackendError {
    let code = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    let fault = match (error.kind(), code.map(jetstream::Error::error_code)) {
        (PublishErrorKind::MaxPayloadExceeded, _)
        | (_, Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)) => Fault::Refused,
        (PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe, _) => Fault::Unknown,
        // The server has refused the first one, and with it all.
        _ if acknowledged.is_empty() => Fault::Unavailable,
        _ => Fault::Unknown,
    };
    BackendError::new(fault, error)
}
