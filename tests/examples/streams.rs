//! Streams of the examples: their events, and clients that stop reading them.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use crate::support::{
    Decoded, decode,
    process::{Example, PATIENCE},
};

/// Asserts that a stream opens with a greeting, and decodes it.
#[track_caller]
pub(crate) fn events(text: &str) -> Vec<Decoded> {
    assert!(text.starts_with(": connected\n"), "{text}");
    decode(text.to_owned())
}

pub(crate) fn event(event_type: &str, data: impl Into<String>, id: Option<u32>) -> Decoded {
    (event_type.into(), data.into(), id.map(|id| id.to_string()))
}

pub(crate) fn ticks(count: u32) -> Vec<Decoded> {
    (0..count).map(|n| event("tick", format!("tick {n}"), Some(n))).collect()
}

/// A client that reads the status line of a stream, then stops reading and stays connected.
pub(crate) fn stalled(example: &Example, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(example.addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut head = [0; 12];
    socket.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    socket
}

/// Returns the count of events in a line of the form `/path: reason after n events`.
#[track_caller]
pub(crate) fn after_events<'a>(line: &'a str, before: &str) -> &'a str {
    let count = line.strip_prefix(before).and_then(|rest| rest.strip_suffix(" events"));
    count.unwrap_or_else(|| panic!("{line}"))
}
