//! What the suite has found.

use std::fmt;

use crate::hub::backend::error::BackendError;

/// The result of one check.
pub type Outcome = Result<(), Unproven>;

/// Why a check does not show that a promise is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unproven {
    /// The promise was not checked. The text states what is missing.
    Skipped(String),
    /// The promise is broken. The text states how.
    Broken(String),
}

impl From<BackendError> for Unproven {
    /// An error that the check did not cause.
    fn from(error: BackendError) -> Self {
        Self::Broken(format!("unexpected error: {error}"))
    }
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(reason) => write!(f, "skipped: {reason}"),
            Self::Broken(reason) => write!(f, "broken: {reason}"),
        }
    }
}

/// The results of all checks.
#[derive(Clone, Debug, Default)]
#[must_use = "a report does nothing unless one of its assertions is called"]
pub struct Report {
    /// The promises, in the order of the checks.
    results: Vec<(&'static str, Outcome)>,
}

impl Report {
    pub(super) fn add(&mut self, promise: &'static str, outcome: Outcome) {
        self.results.push((promise, outcome));
    }

    /// Returns the promises that are kept.
    pub fn kept(&self) -> impl Iterator<Item = &'static str> {
        self.results.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(promise, _)| *promise)
    }

    /// Returns the promises that are broken, and how.
    pub fn broken(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.results.iter().filter_map(|(promise, outcome)| match outcome {
            Err(Unproven::Broken(reason)) => Some((*promise, reason.as_str())),
            _ => None,
        })
    }

    /// Returns the promises that were not checked, and what is missing.
    pub fn skipped(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.results.iter().filter_map(|(promise, outcome)| match outcome {
            Err(Unproven::Skipped(reason)) => Some((*promise, reason.as_str())),
            _ => None,
        })
    }

    /// Panics if a promise is broken, or was skipped.
    ///
    /// # Panics
    ///
    /// Panics with the whole report.
    #[track_caller]
    pub fn assert_all_kept(&self) {
        let is_all = self.results.iter().all(|(_, outcome)| outcome.is_ok());
        assert!(is_all, "not every promise of the contract is kept\n{self}");
    }

    /// Panics if a promise is broken. Promises that were skipped are fine.
    ///
    /// # Panics
    ///
    /// Panics with the whole report.
    #[track_caller]
    pub fn assert_kept(&self) {
        assert!(self.broken().next().is_none(), "the backend breaks its contract\n{self}");
    }
}

/// One line for each promise.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (promise, outcome) in &self.results {
            match outcome {
                Ok(()) => writeln!(f, "{promise}: kept")?,
                Err(unproven) => writeln!(f, "{promise}: {unproven}")?,
            }
        }
        Ok(())
    }
}
