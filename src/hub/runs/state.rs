//! What is known of a run.

use std::fmt;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunState {
    /// Its work goes on.
    Running,
    /// Its work has returned `Ok`.
    Finished,
    /// Its work has returned an error, has panicked, or its node has gone.
    Failed,
    /// It was stopped.
    Stopped,
}

impl RunState {
    const ALL: [Self; 4] = [Self::Running, Self::Finished, Self::Failed, Self::Stopped];

    /// Returns the state with this name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Returns the name, for example `running`: the data of the last event of a run.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The state of a run, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) state: RunState,
    /// The node that works.
    pub(super) node: String,
    /// How many events the run has sent, as far as it has ended.
    pub(super) events: u64,
}

impl Status {
    /// Returns the data of the event that tells the state.
    pub(super) fn to_data(&self) -> String {
        format!("{} {} {}", self.state, self.node, self.events)
    }

    /// Parses the data. Returns `None` if another program has written it.
    pub(super) fn parse(data: &str) -> Option<Self> {
        let mut parts = data.split(' ');
        let state = RunState::from_name(parts.next()?)?;
        let (node, events) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        parts.next().is_none().then_some(Self { state, node, events })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_written_and_read() {
        for state in RunState::ALL {
            let status = Status { state, node: "7f".into(), events: 12 };
            assert_eq!(Status::parse(&status.to_data()), Some(status));
        }
        for wrong in ["", "running", "running 7f", "running 7f x", "gone 7f 1", "failed 7f 1 2"] {
            assert_eq!(Status::parse(wrong), None, "{wrong}");
        }
    }
}
