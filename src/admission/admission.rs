//! All limits of a handler, and what a request is told that finds them reached.

use std::{fmt, hash::Hash, sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode};

use super::limit::{Entry, Keyed, KeyedLimit, Limit, Permit};
use crate::{
    catch_panic::catch_panic,
    connect::{Connect, Refusal},
    delay_range::DelayRange,
    metrics,
    shutdown::Shutdown,
    trace,
};

/// The limits of a handler, shared by its clones.
#[derive(Clone)]
pub(crate) struct Admission {
    streams: Option<Arc<Limit>>,
    keyed: Vec<Arc<dyn Keyed>>,
    away: DelayRange,
}

/// The places that one request has.
#[derive(Default)]
pub(crate) struct Permits {
    stream: Option<Permit>,
    /// By limit; none where its key is not known yet.
    keyed: Vec<Option<Permit>>,
}

impl Admission {
    pub(crate) fn new() -> Self {
        Self { streams: None, keyed: Vec::new(), away: default_away() }
    }

    pub(crate) fn set_max_streams(&mut self, most: usize) {
        self.streams = Some(Arc::new(Limit::new(most)));
    }

    pub(crate) fn add_max_streams_per<F, K>(&mut self, key: F, most: usize)
    where
        F: Fn(&Connect) -> Option<K> + Send + Sync + 'static,
        K: Hash + Eq + Clone + Send + Sync + 'static,
    {
        self.keyed.push(Arc::new(KeyedLimit::new(most, key)));
    }

    pub(crate) fn set_away(&mut self, away: DelayRange) {
        self.away = away;
    }

    /// Takes the places that can be taken before `on_connect`, unless the server shuts down.
    pub(crate) fn enter(
        &self,
        connect: &Connect,
        shutdown: Option<&Shutdown>,
    ) -> Result<Permits, Refusal> {
        self.check(connect, shutdown)?;
        let mut permits = Permits::default();
        if let Some(streams) = &self.streams {
            let Some(permit) = streams.enter() else {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                return Err(refuse(connect.headers(), status, self.away, "max_streams"));
            };
            permits.stream = Some(permit);
        }
        self.enter_keyed(&mut permits, connect)?;
        Ok(permits)
    }

    /// Sends a request away if the server shuts down.
    pub(crate) fn check(
        &self,
        connect: &Connect,
        shutdown: Option<&Shutdown>,
    ) -> Result<(), Refusal> {
        match shutdown.filter(|shutdown| shutdown.is_started()) {
            Some(shutdown) => Err(refuse_at_shutdown(connect.headers(), shutdown, self.away)),
            None => Ok(()),
        }
    }

    /// Takes the places whose key was not known before.
    pub(crate) fn enter_keyed(
        &self,
        permits: &mut Permits,
        connect: &Connect,
    ) -> Result<(), Refusal> {
        permits.keyed.resize_with(self.keyed.len(), || None);
        for (limit, permit) in self.keyed.iter().zip(&mut permits.keyed) {
            if permit.is_some() {
                continue;
            }
            let entry = catch_panic("the key of max_streams_per", || limit.clone().enter(connect));
            match entry.inspect_err(|_| refused("max_streams_per"))? {
                Entry::NoKey => {}
                Entry::Entered(entered) => *permit = Some(entered),
                Entry::Full => {
                    let status = StatusCode::TOO_MANY_REQUESTS;
                    return Err(refuse(connect.headers(), status, self.away, "max_streams_per"));
                }
            }
        }
        Ok(())
    }
}

impl Permits {
    /// Makes one guard of all, for the body; none if nothing is limited.
    pub(crate) fn into_guard(self) -> Option<Box<dyn Send + Sync>> {
        let is_limited = self.stream.is_some() || self.keyed.iter().any(Option::is_some);
        is_limited.then(|| Box::new(self) as _)
    }
}

/// How long those are sent away for whom there is no place, unless it is set.
pub(crate) fn default_away() -> DelayRange {
    (Duration::from_secs(5)..=Duration::from_secs(15)).into()
}

/// Sends a request away because the server shuts down.
pub(crate) fn refuse_at_shutdown(
    headers: &HeaderMap,
    shutdown: &Shutdown,
    away: DelayRange,
) -> Refusal {
    let spread = shutdown.farewell().reconnection_time().unwrap_or(away);
    refuse(headers, StatusCode::SERVICE_UNAVAILABLE, spread, "shutdown")
}

fn refuse(
    headers: &HeaderMap,
    status: StatusCode,
    spread: DelayRange,
    by: &'static str,
) -> Refusal {
    refused(by);
    Refusal::for_now(headers, status, spread)
}

/// Tells of a request that did not become a stream.
pub(crate) fn refused(by: &'static str) {
    metrics::refused(by);
    trace::refused(by);
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("streams", &self.streams)
            .field("keyed", &self.keyed.len())
            .field("away", &self.away)
            .finish()
    }
}
