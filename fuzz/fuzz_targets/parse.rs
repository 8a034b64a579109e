//! Compares the parser with the standard's algorithm: on any bytes, however they are split into
//! chunks. With limits, it compares the parser with itself.
//!
//! The first five bytes of the input are the lengths of the chunks and the limits. The other bytes
//! are the event stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_sse::EventParser;

#[path = "../../tests/parser/oracle.rs"]
mod oracle;
#[path = "../../tests/parser/outcome.rs"]
mod outcome;

use outcome::{Item, Outcome, cut, parse};

fuzz_target!(|input: &[u8]| {
    let Some((control, bytes)) = input.split_at_checked(5) else { return };
    // Most chunks are short, so that they end within a character, a line end or a field name.
    let length = |byte: u8| if byte < 192 { byte % 16 } else { byte - 128 };
    let long = if control[0] < 192 { 1 } else { 16 };
    let lengths = control[..3].iter().map(|&byte| long * usize::from(length(byte)));
    let lengths: Vec<_> = lengths.collect();
    let lengths = if lengths.iter().sum::<usize>() == 0 { vec![1] } else { lengths };

    let expected = oracle::interpret(bytes);
    assert_eq!(parse(EventParser::new(), [bytes]), expected);
    assert_eq!(parse(EventParser::new(), cut(bytes, &lengths)), expected);

    let (event, line) = (usize::from(control[3]), usize::from(control[4]));
    let limited = || EventParser::new().max_event_bytes(event).max_line_bytes(line);
    assert_eq!(parse(limited(), [bytes]), parse(limited(), cut(bytes, &lengths)));
});
