//! Where an entry is in a log.

/// The position of an entry in a log.
///
/// A hub compares positions and writes them into event IDs. It does not calculate with them, and
/// positions need not follow each other without a gap.
///
/// The *place*, which is [`major`](Self::major) and then [`minor`](Self::minor), is the order of
/// the entries over all topics. An engine with one sequence number uses `major` alone. A log that
/// counts milliseconds, and the entries within a millisecond, uses both.
///
/// [`check`](Self::check) is a fingerprint of the entry. An engine that can lose the end of its log,
/// for example after a crash, may give the place of a lost entry to another entry. Then the
/// fingerprint tells the two apart. An engine that never reuses a place leaves it 0.
///
/// ```
/// use tower_sse::hub::backend::Position;
///
/// let first = Position::new(1_700_000_000_000);
/// let second = first.with_minor(1);
/// assert!(Position::START < first && first < second);
/// assert_eq!(second.place(), (1_700_000_000_000, 1));
/// assert_ne!(first, first.with_check(7));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    // The order of the fields is the order of positions.
    major: u64,
    minor: u64,
    check: u32,
}

impl Position {
    /// The position before the first entry of every log. No entry has it.
    pub const START: Self = Self::new(0);

    /// Creates a position with this major number. The minor number and the fingerprint are 0.
    #[must_use]
    pub const fn new(major: u64) -> Self {
        Self { major, minor: 0, check: 0 }
    }

    /// Sets the minor number, which orders entries with the same major number. Defaults to 0.
    #[must_use]
    pub const fn with_minor(mut self, minor: u64) -> Self {
        self.minor = minor;
        self
    }

    /// Sets the fingerprint of the entry. Defaults to 0.
    #[must_use]
    pub const fn with_check(mut self, check: u32) -> Self {
        self.check = check;
        self
    }

    /// Returns the major number.
    #[must_use]
    pub const fn major(self) -> u64 {
        self.major
    }

    /// Returns the minor number.
    #[must_use]
    pub const fn minor(self) -> u64 {
        self.minor
    }

    /// Returns the fingerprint of the entry.
    #[must_use]
    pub const fn check(self) -> u32 {
        self.check
    }

    /// Returns the major and the minor number: the position without the fingerprint.
    #[must_use]
    pub const fn place(self) -> (u64, u64) {
        (self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_ordered_by_major_minor_and_check() {
        let ordered = [
            Position::START,
            Position::START.with_check(1),
            Position::START.with_minor(1),
            Position::new(1),
            Position::new(1).with_check(u32::MAX),
            Position::new(1).with_minor(1),
            Position::new(2),
        ];
        assert!(ordered.is_sorted_by(|a, b| a < b), "{ordered:?}");
    }
}
