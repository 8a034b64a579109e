//! How large an event and a line may be.

use super::error::What;

/// The default of both, in bytes.
const DEFAULT: usize = 16 << 20;

/// The limits, in bytes of text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) event: usize,
    pub(super) line: usize,
}

impl Limits {
    pub(super) const DEFAULT: Self = Self { event: DEFAULT, line: DEFAULT };

    /// How long a line may be after so many bytes of its event.
    ///
    /// The smaller of both limits decides, however the line arrives, so that where the chunks are
    /// cut makes no difference to which of them is told.
    #[inline]
    pub(super) fn room(self, bytes_before: usize) -> usize {
        self.line.min(self.event.saturating_sub(bytes_before))
    }

    /// Which limit a line is over, after so many bytes of its event, that is too long for its room.
    pub(super) fn exceeded(self, bytes_before: usize) -> (What, usize) {
        if self.line <= self.event.saturating_sub(bytes_before) {
            (What::Line, self.line)
        } else {
            (What::Event, self.event)
        }
    }
}
