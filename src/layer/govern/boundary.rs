//! Where a block may be inserted into an event stream: between events.

use memchr::memchr2;

/// The byte order mark, which a stream may start with.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Follows the lines of a stream, however its bytes are cut.
///
/// A line ends with LF, CR or CR LF, and an event with an empty line
/// ([event stream interpretation](https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation)).
#[derive(Debug)]
pub(super) struct Boundary {
    /// The next byte is the first one of a line.
    at_line_start: bool,
    /// The last byte was a CR. A LF that follows belongs to it.
    after_cr: bool,
    /// A field has begun since the last empty line. Comments do not count.
    in_event: bool,
}

/// What bytes contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// The number of events that end.
    pub(super) events: usize,
    /// After how many bytes the first event ends.
    pub(super) first_end: Option<usize>,
}

impl Default for Boundary {
    fn default() -> Self {
        Self { at_line_start: true, after_cr: false, in_event: false }
    }
}

impl Boundary {
    /// Returns whether a block may be inserted here.
    pub(super) fn is_between_events(&self) -> bool {
        self.at_line_start && !self.in_event
    }

    /// Goes on to the end of these bytes.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Scanned {
        let mut scanned = Scanned::default();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if std::mem::take(&mut self.after_cr) && *byte == b'\n' {
                at += 1;
                continue;
            }
            let is_line_end = matches!(byte, b'\n' | b'\r');
            if self.at_line_start && !is_line_end {
                self.at_line_start = false;
                self.in_event |= *byte != b':';
            }
            let Some(length) = memchr2(b'\n', b'\r', &bytes[at..]) else { break };
            at += length + 1;
            self.after_cr = bytes[at - 1] == b'\r';
            if is_line_end && self.at_line_start && std::mem::take(&mut self.in_event) {
                scanned.events += 1;
                scanned.first_end.get_or_insert(at);
            }
            self.at_line_start = true;
        }
        scanned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_inserted_between_events_only() {
        for (text, is_between, events) in [
            ("", true, 0),
            (": hi", false, 0),
            (": hi\n", true, 0),
            ("data", false, 0),
            ("data: x\n", false, 0),
            ("data: x\n\n", true, 1),
            ("data: x\r\r", true, 1),
            ("data: x\r\n\r", true, 1),
            ("data: x\r\n\r\n", true, 1),
            ("data: x\r\n", false, 0),
            ("id: 1\n: hi\n", false, 0),
            ("\n\n\n", true, 0),
            ("data: 1\n\n: hi\ndata: 2\n\n\n", true, 2),
            ("\u{feff}: hi\n", false, 0),
            ("\u{feff}data: x\n\n", true, 1),
        ] {
            let bytes = text.as_bytes();
            for cut in 0..=bytes.len() {
                let mut boundary = Boundary::default();
                let found =
                    boundary.scan(&bytes[..cut]).events + boundary.scan(&bytes[cut..]).events;
                assert_eq!(boundary.is_between_events(), is_between, "{text:?} cut at {cut}");
                assert_eq!(found, events, "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn the_end_of_the_first_event_is_found() {
        let mut boundary = Boundary::default();
        assert_eq!(boundary.scan(b"data: 1\n\ndata: 2\n\n").first_end, Some(9));
        assert_eq!(boundary.scan(b"data: 1\n").first_end, None);
        assert_eq!(boundary.scan(b"\n\n").first_end, Some(1));
        assert_eq!(boundary.scan(b"\n: hi\n").first_end, None);
    }
}
