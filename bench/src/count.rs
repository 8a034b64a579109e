//! Counts events with a minimal reader of HTTP/1.1 and event streams. Chunks may end at any byte.

use memchr::memchr;

use crate::STAMP;

/// Counts of received data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks with data.
    pub events: u64,
    /// Blocks without data.
    pub comments: u64,
}

/// Counts the events of one stream.
#[derive(Debug, Default)]
pub struct EventCounter {
    /// The first byte of the unfinished line. Its length is in `length`.
    first: u8,
    length: usize,
    has_data: bool,
    has_lines: bool,
}

impl EventCounter {
    /// Counts the received bytes, and passes on the timestamp of each event. A timestamp that is
    /// split between two calls is left out.
    pub fn feed(&mut self, mut bytes: &[u8], counts: &mut Counts, mut stamp: impl FnMut(u64)) {
        while let Some(end) = memchr(b'\n', bytes) {
            let line = &bytes[..end];
            let whole = self.length == 0;
            let length = self.length + end;
            let first = if whole { line.first().copied().unwrap_or(0) } else { self.first };
            if length == 0 || (length == 1 && first == b'\r') {
                match (self.has_data, self.has_lines) {
                    (true, _) => counts.events += 1,
                    (false, true) => counts.comments += 1,
                    (false, false) => {}
                }
                (self.has_data, self.has_lines) = (false, false);
            } else {
                self.has_lines = true;
                if first == b'd' {
                    self.has_data = true;
                    if whole {
                        stamp_of(line).into_iter().for_each(&mut stamp);
                    }
                }
            }
            self.length = 0;
            bytes = &bytes[end + 1..];
        }
        if let (0, Some(&first)) = (self.length, bytes.first()) {
            self.first = first;
        }
        self.length += bytes.len();
    }
}

fn stamp_of(line: &[u8]) -> Option<u64> {
    let value = line.strip_prefix(b"data:")?;
    let value = value.strip_prefix(b" ").unwrap_or(value).get(..STAMP)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// One response on an HTTP/1.1 connection.
#[derive(Debug, Default)]
pub struct Http1 {
    head: Vec<u8>,
    body: Body,
    events: EventCounter,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Body {
    #[default]
    Head,
    /// A body that lasts until the connection ends.
    Plain,
    /// In the line with the length of a chunk. The flag is set after its last digit.
    Length(usize, bool),
    Chunk(usize),
    /// After a chunk: the remaining bytes of its line end.
    ChunkEnd(usize),
    Ended,
}

/// The reason why a response is not a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl Http1 {
    pub fn has_head(&self) -> bool {
        self.body != Body::Head
    }

    pub fn is_ended(&self) -> bool {
        self.body == Body::Ended
    }

    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        counts: &mut Counts,
        mut stamp: impl FnMut(u64),
    ) -> Result<(), Refused> {
        if self.body == Body::Head {
            let before = self.head.len();
            self.head.extend_from_slice(bytes);
            let Some(end) = memchr::memmem::find(&self.head, b"\r\n\r\n") else { return Ok(()) };
            bytes = &bytes[end + 4 - before..];
            let head = String::from_utf8_lossy(&self.head[..end]).to_ascii_lowercase();
            if head.split(' ').nth(1) != Some("200") {
                return Err(Refused(head));
            }
            let chunked = head.contains("transfer-encoding: chunked");
            self.body = if chunked { Body::Length(0, false) } else { Body::Plain };
            self.head = Vec::new();
        }
        while !bytes.is_empty() {
            match self.body {
                Body::Head | Body::Ended => return Ok(()),
                Body::Plain => {
                    self.events.feed(bytes, counts, stamp);
                    return Ok(());
                }
                Body::Length(length, over) => {
                    let byte = bytes[0];
                    bytes = &bytes[1..];
                    self.body = match (byte, char::from(byte).to_digit(16)) {
                        (b'\n', _) if length == 0 => Body::Ended,
                        (b'\n', _) => Body::Chunk(length),
                        (_, Some(digit)) if !over => {
                            Body::Length(length * 16 + digit as usize, false)
                        }
                        _ => Body::Length(length, true),
                    };
                }
                Body::Chunk(length) => {
                    let (chunk, rest) = bytes.split_at(length.min(bytes.len()));
                    self.events.feed(chunk, counts, &mut stamp);
                    bytes = rest;
                    let left = length - chunk.len();
                    self.body = if left == 0 { Body::ChunkEnd(2) } else { Body::Chunk(left) };
                }
                Body::ChunkEnd(left) => {
                    let skipped = left.min(bytes.len());
                    bytes = &bytes[skipped..];
                    let left = left - skipped;
                    self.body =
                        if left == 0 { Body::Length(0, false) } else { Body::ChunkEnd(left) };
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;x=a\r\n: hi\n\r\n1\r\n\n\r\n1c\r\nid: 1\ndata: a\n\nid: 2\ndata:\r\n2\r\n\n\n\r\n\
        a\r\ndata: b\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n";

    #[test]
    fn events_are_counted_wherever_chunks_are_cut() {
        for step in 1..RESPONSE.len() {
            let (mut response, mut counts) = (Http1::default(), Counts::default());
            for chunk in RESPONSE.as_bytes().chunks(step) {
                response.feed(chunk, &mut counts, |_| ()).unwrap();
            }
            assert_eq!(counts, Counts { events: 3, comments: 1 }, "{step}");
            assert!(response.is_ended());
        }
    }

    #[test]
    fn a_timestamp_is_found_in_the_data() {
        let (mut events, mut counts) = (EventCounter::default(), Counts::default());
        let mut stamps = Vec::new();
        let data = crate::stamped(64);
        events.feed(format!("data:{data}\n\ndata: {data}\n\n").as_bytes(), &mut counts, |it| {
            stamps.push(it);
        });
        assert_eq!((stamps.len(), counts.events), (2, 2));
        assert_eq!(stamps[0].to_string(), data[..STAMP]);
    }
}
