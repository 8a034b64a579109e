//! The speed of parsing an event stream, compared with four other crates in one run.
//!
//! Run it with `cargo bench --bench parse`. It needs no socket and no other process. Events have an
//! ID, a type and one line of data. Chunks have the size that a network delivers (1,460 B), the
//! size of a server's buffer (16 KiB), or hold all events. All take turns, and the best turn of
//! each counts. Times depend on the machine: quote the ratio.
//!
//! Two columns are not parsers. `memchr` finds the line ends of the same bytes. `limit` does the
//! least work that is needed, see [`limit`].
//!
//! All parsers check that data is UTF-8. tower-sse checks it again when data is read as a `str`; no
//! column counts that.

use std::{
    convert::Infallible,
    hint::black_box,
    mem,
    pin::pin,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tower_sse::EventParser;

const SIZES: [usize; 4] = [64, 200, 1 << 10, 64 << 10];
const CHUNKS: [(&str, usize); 3] = [("1,460 B", 1460), ("16 KiB", 16 << 10), ("whole", usize::MAX)];
/// The number of bytes of events in a cell.
const INPUT: usize = 1 << 20;
const TURNS: usize = 15;
/// The minimum duration of a turn.
const TURN: Duration = Duration::from_millis(12);

/// The input of a cell.
struct Input {
    chunks: Vec<Bytes>,
    events: usize,
    /// The length of an event's data.
    size: usize,
    /// The length of a whole event. All events have the same length.
    event: usize,
}

/// The fields before the data of an event. Its ID has six digits.
const HEAD: usize = "id: 100000\nevent: update\ndata: ".len();

/// Reads all chunks, and returns the number of events.
type Parser = fn(&Input) -> usize;

const PARSERS: [(&str, Parser); 7] = [
    ("tower-sse", tower_sse),
    ("sse-stream", sse_stream),
    ("sse-core", sse_core),
    ("sseer", sseer),
    ("eventsource-stream", eventsource_stream),
    ("memchr", line_ends),
    ("limit", limit),
];
/// The number of entries that are parsers, tower-sse included.
const RIVALS: usize = 5;

fn main() {
    println!("MB/s, the best of {TURNS} turns; ratio: tower-sse to the fastest other crate");
    print!("| data | chunks |");
    PARSERS.iter().for_each(|(name, _)| print!(" {name} |"));
    println!(" ratio | of memchr | of limit |");
    for size in SIZES {
        for (name, length) in CHUNKS {
            cell(size, name, length);
        }
    }
    println!("and events of 183 B altogether:");
    cell(150, "1,400 B", 1400);
    cell(150, "whole", usize::MAX);
}

fn cell(size: usize, name: &str, length: usize) {
    let input = input(size, length);
    let mut best = [0.0_f64; PARSERS.len()];
    for _ in 0..TURNS {
        for ((_, parser), best) in PARSERS.iter().zip(&mut best) {
            *best = best.max(speed(*parser, &input));
        }
    }
    print!("| {size} B | {name} |");
    best.iter().for_each(|speed| print!(" {speed:.0} |"));
    let others = best[1..RIVALS].iter().copied().fold(0.0, f64::max);
    let [.., memchr, limit] = best;
    println!(" {:.2} | {:.2} | {:.2} |", best[0] / others, best[0] / memchr, best[0] / limit);
}

/// Megabytes a second.
fn speed(parser: Parser, input: &Input) -> f64 {
    let started = Instant::now();
    let mut rounds = 0;
    while started.elapsed() < TURN {
        let found = parser(input);
        assert_eq!(found, input.events);
        rounds += 1;
    }
    (input.event * input.events * rounds) as f64 / started.elapsed().as_secs_f64() / 1e6
}

fn input(size: usize, length: usize) -> Input {
    let data: String = ('a'..='z').cycle().take(size).collect();
    let (mut text, mut events) = (String::new(), 0);
    while text.len() < INPUT {
        text.push_str(&format!("id: {}\nevent: update\ndata: {data}\n\n", 100_000 + events));
        events += 1;
    }
    Input { event: text.len() / events, chunks: cut(&text.into(), length), events, size }
}

fn cut(input: &Bytes, length: usize) -> Vec<Bytes> {
    let mut rest = input.clone();
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        // Each chunk has a buffer of its own, as from a network.
        chunks.push(Bytes::copy_from_slice(&rest.split_to(length.min(rest.len()))));
    }
    chunks
}

fn tower_sse(input: &Input) -> usize {
    let mut parser = EventParser::new();
    let mut events = 0;
    for chunk in &input.chunks {
        parser.push(chunk.clone());
        while let Some(event) = parser.next_event() {
            black_box(event.is_ok());
            events += 1;
        }
    }
    events
}

fn sse_core(input: &Input) -> usize {
    let mut decoder = sse_core::SseDecoder::new();
    let mut events = 0;
    for chunk in &input.chunks {
        let mut chunk = chunk.clone();
        while let Some(event) = decoder.next(&mut chunk) {
            black_box(event.is_ok());
            events += 1;
        }
    }
    events
}

fn sse_stream(input: &Input) -> usize {
    drain(sse_stream::SseByteStream::new(stream_of(&input.chunks)))
}

fn sseer(input: &Input) -> usize {
    drain(sseer::event_stream::EventStream::new(stream_of(&input.chunks)))
}

fn eventsource_stream(input: &Input) -> usize {
    drain(eventsource_stream::EventStream::new(stream_of(&input.chunks)))
}

fn line_ends(input: &Input) -> usize {
    let line_ends = |chunk: &Bytes| memchr::memchr2_iter(b'\n', b'\r', black_box(chunk)).count();
    // An event has four lines.
    input.chunks.iter().map(line_ends).sum::<usize>() / 4
}

/// The least work of a reader that already knows the position of every field. It takes each chunk,
/// searches it for line ends and invalid UTF-8, and releases it. If data crosses the end of a
/// chunk, it is copied to a buffer of its length. There are no fields, no limits, and no events.
fn limit(input: &Input) -> usize {
    // A block of this size is still in the cache when it is copied.
    const PART: usize = 4 << 10;
    let (mut at, mut event, mut events) = (0, 0, 0);
    let mut buffer = Vec::new();
    for chunk in &input.chunks {
        let chunk = chunk.clone();
        let chunk_end = at + chunk.len();
        let chunk_start = at;
        for part in chunk.chunks(PART) {
            look(part);
            let end = at + part.len();
            loop {
                let data = event + HEAD..event + HEAD + input.size;
                let is_cut = data.start < chunk_start || data.end > chunk_end;
                if is_cut && data.start < end && data.end > at {
                    if buffer.capacity() == 0 {
                        buffer.reserve_exact(input.size);
                    }
                    buffer
                        .extend_from_slice(&part[data.start.max(at) - at..data.end.min(end) - at]);
                }
                if event + input.event > end {
                    break;
                }
                black_box(mem::take(&mut buffer));
                event += input.event;
                events += 1;
            }
            at = end;
        }
    }
    events
}

/// Searches for line ends and invalid UTF-8: in one pass over the leading printable ASCII
/// characters, and in two passes over the rest.
fn look(bytes: &[u8]) {
    const BLOCK: usize = 128;
    let is_plain = |block: &&[u8]| {
        let plain = |byte: u8| byte as i8 >= b' ' as i8;
        block.iter().fold(0xff_u8, |mask, &byte| mask & if plain(byte) { 0xff } else { 0 }) == 0xff
    };
    let blocks = bytes.chunks_exact(BLOCK);
    let (whole, last) = (blocks.len(), bytes.last_chunk::<BLOCK>());
    let plain = blocks.take_while(is_plain).count();
    if plain == whole && last.is_some_and(|last| is_plain(&&last[..])) {
        return;
    }
    let rest = &bytes[plain * BLOCK..];
    black_box(memchr::memchr2_iter(b'\n', b'\r', rest).count());
    assert!(simdutf8::basic::from_utf8(rest).is_ok());
}

fn stream_of(chunks: &[Bytes]) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::iter(chunks.iter().cloned().map(Ok))
}

fn drain<T, E>(stream: impl Stream<Item = Result<T, E>>) -> usize {
    let mut stream = pin!(stream);
    let mut events = 0;
    while let Some(event) = stream.next().now_or_never().expect("every chunk is there") {
        black_box(event.is_ok());
        events += 1;
    }
    events
}
