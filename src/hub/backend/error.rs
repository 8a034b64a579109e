//! The error of a backend.

use std::{error::Error, fmt};

use crate::BoxError;

/// The error of a [`Backend`](super::Backend): its [`Fault`], and optionally the error of the
/// engine.
///
/// ```
/// use tower_sse::hub::backend::{BackendError, Fault};
///
/// let error = BackendError::new(Fault::Unavailable, "connection refused");
/// assert_eq!(error.fault(), Fault::Unavailable);
/// assert_eq!(error.to_string(), "the engine is unavailable: connection refused");
/// ```
#[derive(Debug)]
pub struct BackendError {
    /// What it means to the hub.
    fault: Fault,
    /// The error of the engine.
    cause: Option<BoxError>,
}

/// What the error of a backend means to a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The engine cannot be reached, and nothing was done. The same call may succeed later.
    Unavailable,
    /// No answer came. Entries that were to be appended may have been appended. It is safe to append
    /// the same entries again: see [`Outgoing::append_id`](super::Outgoing::append_id).
    Unknown,
    /// The engine does not accept the entries, now or later: for example, one is too large. Nothing
    /// was appended, unless entries of the same call were appended before the refused one.
    Refused,
    /// The log is another one, it has lost its end, or entries were removed that were still to be
    /// read. The hub locates its positions again, and reports gaps.
    Lost,
}

impl BackendError {
    /// Creates an error with the error of the engine, or a text, as its cause.
    pub fn new(fault: Fault, cause: impl Into<BoxError>) -> Self {
        Self { fault, cause: Some(cause.into()) }
    }

    /// Returns what the error means to the hub.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.fault
    }
}

impl From<Fault> for BackendError {
    /// Creates an error without a cause.
    fn from(fault: Fault) -> Self {
        Self { fault, cause: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unavailable => "the engine is unavailable",
            Self::Unknown => "the engine did not answer",
            Self::Refused => "the engine refused the entries",
            Self::Lost => "the log has lost entries",
        })
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "{}: {cause}", self.fault),
            None => self.fault.fmt(f),
        }
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The cause itself is part of the text.
        self.cause.as_ref()?.source()
    }
}
