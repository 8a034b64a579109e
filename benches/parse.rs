//! How fast an event stream is parsed, beside four other crates, in one run.
//!
//! `cargo bench --bench parse`. In this process, without a socket: events with id, type and one line
//! of data, in chunks as they come from a network (1,460 B), from a server's buffer (16 KiB), and
//! whole. All take turns, and the best turn of each counts. Figures move with the machine: quote the
//! ratio.
//!
//! Two columns are no parsers. `memchr` finds the line ends of the same bytes. `limit` is the least
//! that has to be done with them, see [`limit`].
//!
//! All parsers check that data is UTF-8. An event of tower-sse checks it again where it is looked at
//! as a `str`, which no column counts.

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
/// How many bytes of events a cell has.
const INPUT: usize = 1 << 20;
const TURNS: usize = 15;
/// How long a turn takes at least.
const TURN: Duration = Duration::from_millis(12);

/// What a cell reads.
struct Input {
    chunks: Vec<Bytes>,
    events: usize,
    /// How long the data of an event is.
    size: usize,
    /// How long all of it is, and all events are.
    event: usize,
}

/// What stands before the data of an event, whose id has six digits.
const HEAD: usize = "id: 100000\nevent: update\ndata: ".len();

/// A way to read chunks, which returns how many events there were.
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
/// How many of them are parsers.
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
        // Each a buffer of its own, as from a network.
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
    // An event has four.
    input.chunks.iter().map(line_ends).sum::<usize>() / 4
}

/// The least work: by someone who knows already where everything is. Each chunk is taken and given
/// back, looked at for line ends and for what is no UTF-8, and data that does not stand in one chunk
/// is copied to a buffer of its length. There are no fields, no limits, and no events.
fn limit(input: &Input) -> usize {
    // So much at once that it is still near when it is copied.
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

/// Looks for line ends and for what is no UTF-8: once, as far as there are printable characters
/// alone, and twice behind.
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
