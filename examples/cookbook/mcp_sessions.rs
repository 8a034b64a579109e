//! The sessions of `mcp_http.rs`, in memory. They name the run of each call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tower_sse::hub::runs::{Run, RunState};
use tower_sse::hub::{Resumption, Subscription};
use tower_sse::{LastEventId, Refusal};
use uuid::Uuid;

/// How many calls of a session can be resumed.
const MAX_CALLS: usize = 100;

#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<BTreeMap<String, Vec<Call>>>>);

/// A call, by the ID of its request.
type Call = (Value, Run);

pub(crate) struct Session {
    pub(crate) id: String,
    calls: Vec<Call>,
}

impl Sessions {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Call>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn open(&self) -> String {
        let id = Uuid::new_v4().simple().to_string();
        self.all().insert(id.clone(), Vec::new());
        id
    }

    /// Returns the session that a request names.
    pub(crate) fn find(&self, headers: &HeaderMap) -> Result<Session, Refusal> {
        let id = headers.get("mcp-session-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let calls = self.all().get(id).cloned();
        let calls = calls.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND))?;
        Ok(Session { id: id.to_owned(), calls })
    }

    pub(crate) fn add(&self, session: &Session, request: Value, run: Run) {
        if let Some(calls) = self.all().get_mut(&session.id) {
            calls.truncate(MAX_CALLS - 1);
            calls.insert(0, (request, run));
        }
    }

    pub(crate) fn end(&self, session: &Session) {
        self.all().remove(&session.id);
    }
}

impl Session {
    /// Stops the call with this request ID, or all calls.
    pub(crate) async fn stop(&self, request: Option<&Value>) -> Result<(), Refusal> {
        for (_, run) in self.calls.iter().filter(|(id, _)| request.is_none_or(|it| it == id)) {
            run.stop().await?;
        }
        Ok(())
    }

    /// Returns the rest of the call to which an event ID belongs. A call that was stopped has no result: a client
    /// that asks for one would ask again and again.
    pub(crate) async fn resume(&self, last: &LastEventId) -> Result<Subscription, Refusal> {
        for (_, run) in &self.calls {
            let rest = run.resume(last.as_str()).await?;
            // An ID of another call is a gap.
            if *rest.resumption() == Resumption::Complete {
                let is_stopped = run.state() == RunState::Stopped;
                return if is_stopped { Err(Refusal::stop()) } else { Ok(rest) };
            }
        }
        Err(Refusal::new(StatusCode::NOT_FOUND))
    }
}
