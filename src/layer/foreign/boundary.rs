//! Where a block may be inserted into an event stream: between events.

use memchr::memchr2;

/// The byte order mark, which a stream may start with.
pub(in crate::layer) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Follows the lines of a stream, however its bytes are cut.
///
/// A line ends with LF, CR or CR LF, and an event with an empty line
/// ([event stream interpretation](https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation)).
#[derive(Debug)]
pub(in crate::layer) struct Boundary {
    /// The next byte is the first one of a line.
    at_line_start: bool,
    /// The last byte was a CR. A LF that follows belongs to it.
    after_cr: bool,
    /// A field has begun since the last empty line. Comments do not count.
    in_event: bool,
    /// The number of bytes since the last place between events.
    unfinished: usize,
}

/// What bytes contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::layer) struct Scanned {
    /// The number of events that end.
    pub(in crate::layer) events: usize,
    /// After how many bytes the first event ends.
    pub(in crate::layer) first_end: Option<usize>,
}

/// The end of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::layer) struct EventEnd {
    /// After how many of the bytes it ends.
    pub(in crate::layer) at: usize,
    /// The number of its bytes, with those of earlier calls.
    pub(in crate::layer) len: usize,
}

impl Default for Boundary {
    fn default() -> Self {
        Self { at_line_start: true, after_cr: false, in_event: false, unfinished: 0 }
    }
}

impl Boundary {
    /// Returns whether a block may be inserted here.
    pub(in crate::layer) fn is_between_events(&self) -> bool {
        self.at_line_start && !self.in_event
    }

    /// Returns the number of bytes since the last place where a block might have been inserted.
    pub(in crate::layer) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Returns the bytes that end an event which is unfinished here.
    pub(in crate::layer) fn missing_end(&self) -> &'static [u8] {
        match (self.at_line_start, self.after_cr) {
            (true, false) => b"\n",
            // After a CR, the first one would belong to the line before.
            (false, _) | (true, true) => b"\n\n",
        }
    }

    /// Goes on to the end of these bytes.
    pub(in crate::layer) fn scan(&mut self, bytes: &[u8]) -> Scanned {
        let mut scanned = Scanned::default();
        let mut at = 0;
        while at < bytes.len() {
            let Some(end) = self.next_end(&bytes[at..]) else { break };
            at += end.at;
            scanned.events += 1;
            scanned.first_end.get_or_insert(at);
        }
        scanned
    }

    /// Goes on to the end of the first event in these bytes, or to their end.
    #[inline]
    pub(in crate::layer) fn next_end(&mut self, bytes: &[u8]) -> Option<EventEnd> {
        // Before how many bytes a block might have been inserted. Negative before the first byte.
        let mut begin = 0_usize.wrapping_sub(self.unfinished);
        let Self { mut at_line_start, mut after_cr, mut in_event, .. } = *self;
        let mut at = 0;
        let mut end = None;
        while let Some(byte) = bytes.get(at) {
            if std::mem::take(&mut after_cr) && *byte == b'\n' {
                at += 1;
            } else {
                let is_line_end = matches!(byte, b'\n' | b'\r');
                if at_line_start && !is_line_end {
                    at_line_start = false;
                    in_event |= *byte != b':';
                }
                // An empty line needs no search.
                let length =
                    if is_line_end { Some(0) } else { memchr2(b'\n', b'\r', &bytes[at..]) };
                let Some(length) = length else { break };
                at += length + 1;
                after_cr = bytes[at - 1] == b'\r';
                if is_line_end && at_line_start && std::mem::take(&mut in_event) {
                    end = Some(EventEnd { at, len: at.wrapping_sub(begin) });
                    break;
                }
                at_line_start = true;
            }
            if !in_event {
                begin = at;
            }
        }
        let unfinished = if end.is_some() { 0 } else { bytes.len().wrapping_sub(begin) };
        *self = Self { at_line_start, after_cr, in_event, unfinished };
        end
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
                assert_eq!(boundary.unfinished() == 0, is_between, "{text:?} cut at {cut}");
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

    #[test]
    fn the_length_of_an_event_does_not_depend_on_the_chunks() {
        let text = b"\n: hi\n\ndata: 1\r\n: in it\r\n\r\n: between\nid: 2\n\ndata: 3\n";
        for cut in 0..=text.len() {
            let mut boundary = Boundary::default();
            let mut lengths = Vec::new();
            for mut part in [&text[..cut], &text[cut..]] {
                while let Some(end) = boundary.next_end(part) {
                    lengths.push(end.len);
                    part = &part[end.at..];
                }
            }
            // A LF after the CR that ends an event does not belong to it.
            assert_eq!(lengths, [18 + 1, 7], "cut at {cut}");
            assert_eq!(boundary.unfinished(), 8, "cut at {cut}");
        }
    }
}
