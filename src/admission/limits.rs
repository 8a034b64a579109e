//! All limits of a handler, and the refusal when one is reached.

use std::{
    fmt,
    hash::Hash,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, StatusCode};

use super::permit::{AnyKeyedLimit, KeyedLimit, NextPlace, Permit, StreamLimit};
use crate::{
    catch_panic::catch_panic,
    connect::{Connect, Refusal},
    delay_range::DelayRange,
    metrics,
    shutdown::Shutdown,
    trace,
};

/// The limits of a handler. Its clones share them.
#[derive(Clone)]
pub(super) struct StreamLimits {
    /// The limit on all streams of the handler.
    streams: Option<StreamLimit>,
    /// The limits by key, in the order of `max_streams_per`.
    keyed: Vec<Arc<dyn AnyKeyedLimit>>,
    /// How long refused clients should wait.
    retry_after: DelayRange,
}

/// The permits of one request.
#[derive(Default)]
pub(super) struct Permits {
    stream: Option<Permit>,
    /// One for each keyed limit, `None` while the request has no key for it.
    keyed: Vec<Option<Permit>>,
}

impl StreamLimits {
    pub(super) fn new() -> Self {
        Self { streams: None, keyed: Vec::new(), retry_after: default_retry_after() }
    }

    pub(super) fn set_max_streams(&mut self, max: usize) {
        self.streams = Some(StreamLimit::new(max));
    }

    pub(super) fn add_max_streams_per<F, K>(&mut self, key: F, max: usize)
    where
        F: Fn(&Connect) -> Option<K> + Send + Sync + 'static,
        K: Hash + Eq + Clone + Send + Sync + 'static,
    {
        self.keyed.push(Arc::new(KeyedLimit::new(max, key)));
    }

    /// Returns whether there are limits by key.
    pub(super) fn has_keys(&self) -> bool {
        !self.keyed.is_empty()
    }

    pub(super) fn set_retry_after(&mut self, delay: DelayRange) {
        self.retry_after = delay;
    }

    /// Refuses a request that may succeed later.
    pub(super) fn refuse_for_now(
        &self,
        headers: &HeaderMap,
        status: StatusCode,
        by: &'static str,
    ) -> Refusal {
        refuse(headers, status, self.retry_after, by)
    }

    /// Refuses a request if the shutdown has started.
    fn check_shutdown(
        &self,
        connect: &Connect,
        shutdown: Option<&Shutdown>,
    ) -> Result<(), Refusal> {
        match shutdown.filter(|shutdown| shutdown.is_started()) {
            Some(shutdown) => {
                Err(refuse_at_shutdown(connect.headers(), shutdown, self.retry_after))
            }
            None => Ok(()),
        }
    }

    /// Takes the permits that a request does not have yet, unless the shutdown has started.
    pub(super) fn acquire(
        &self,
        permits: &mut Permits,
        connect: &Connect,
        shutdown: Option<&Shutdown>,
    ) -> Result<(), Blocked> {
        self.check_shutdown(connect, shutdown)?;
        if let Some(streams) = self.streams.as_ref().filter(|_| permits.stream.is_none()) {
            match streams.try_acquire() {
                Ok(permit) => permits.stream = Some(permit),
                Err(next) => return Err(Blocked::Full(FullLimit { next, keyed: None })),
            }
        }
        permits.keyed.resize_with(self.keyed.len(), || None);
        for (number, limit) in self.keyed.iter().enumerate() {
            if permits.keyed[number].is_some() {
                continue;
            }
            let acquire =
                catch_panic("the key of max_streams_per", || limit.clone().try_acquire(connect));
            match acquire.inspect_err(|_| count_refusal("max_streams_per"))? {
                None => {}
                Some(Ok(permit)) => permits.keyed[number] = Some(permit),
                Some(Err(next)) => {
                    // While the request waits for its key, others may have its place among all streams.
                    permits.stream = None;
                    return Err(Blocked::Full(FullLimit { next, keyed: Some(number) }));
                }
            }
        }
        Ok(())
    }

    /// Refuses a request for which there is no place.
    pub(super) fn refuse_full(&self, headers: &HeaderMap, full: &FullLimit) -> Refusal {
        let (status, by) = match full.keyed {
            None => (StatusCode::SERVICE_UNAVAILABLE, "max_streams"),
            Some(_) => (StatusCode::TOO_MANY_REQUESTS, "max_streams_per"),
        };
        self.refuse_for_now(headers, status, by)
    }
}

/// Why a request does not have all permits.
pub(super) enum Blocked {
    Refused(Refusal),
    Full(FullLimit),
}

impl<E: Into<Refusal>> From<E> for Blocked {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// A limit that is reached.
pub(super) struct FullLimit {
    next: NextPlace,
    /// Which limit by key it is, or `None` for the limit on all streams.
    keyed: Option<usize>,
}

impl FullLimit {
    /// Waits for a place, and puts it with the permits of the request.
    pub(super) fn poll(&mut self, permits: &mut Permits, cx: &mut Context<'_>) -> Poll<()> {
        let permit = Some(ready!(self.next.as_mut().poll(cx)));
        match self.keyed {
            None => permits.stream = permit,
            Some(number) => permits.keyed[number] = permit,
        }
        Poll::Ready(())
    }
}

impl Permits {
    /// Returns one value that holds all permits, for the body, or `None` if there is no permit.
    pub(super) fn into_guard(self) -> Option<Permit> {
        let is_limited = self.stream.is_some() || self.keyed.iter().any(Option::is_some);
        is_limited.then(|| Box::new(self) as _)
    }
}

/// Returns how long refused clients should wait if nothing else is set.
pub(crate) fn default_retry_after() -> DelayRange {
    (Duration::from_secs(5)..=Duration::from_secs(15)).into()
}

/// Refuses a request because the server shuts down. The reconnection time of the farewell takes
/// precedence over `retry_after`.
pub(crate) fn refuse_at_shutdown(
    headers: &HeaderMap,
    shutdown: &Shutdown,
    retry_after: DelayRange,
) -> Refusal {
    let delay = shutdown.farewell().reconnection_time().unwrap_or(retry_after);
    refuse(headers, StatusCode::SERVICE_UNAVAILABLE, delay, "shutdown")
}

fn refuse(headers: &HeaderMap, status: StatusCode, delay: DelayRange, by: &'static str) -> Refusal {
    count_refusal(by);
    Refusal::for_now(headers, status, delay)
}

/// Counts and logs that a request did not become a stream.
pub(crate) fn count_refusal(by: &'static str) {
    metrics::refused(by);
    trace::refused(by);
}

impl fmt::Debug for StreamLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamLimits")
            .field("streams", &self.streams)
            .field("keyed", &self.keyed.len())
            .field("retry_after", &self.retry_after)
            .finish()
    }
}
