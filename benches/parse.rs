//! How fast an event stream is parsed, beside four other crates, in one run.
//!
//! `cargo bench --bench parse`. In this process, without a socket: events with id, type and one line
//! of data, in chunks as they come from a network (1,460 B), from a server's buffer (16 KiB), and
//! whole. All take turns, and the best turn of each counts. Figures move with the machine: quote the
//! ratio. The last column is what `memchr` needs to find the line ends of the same bytes.

use std::{
    convert::Infallible,
    hint::black_box,
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

/// A way to read chunks, which returns how many events there were.
type Parser = fn(&[Bytes]) -> usize;

const PARSERS: [(&str, Parser); 6] = [
    ("tower-sse", tower_sse),
    ("sse-stream", sse_stream),
    ("sse-core", sse_core),
    ("sseer", sseer),
    ("eventsource-stream", eventsource_stream),
    ("memchr", line_ends),
];

fn main() {
    println!("MB/s, the best of {TURNS} turns; ratio: tower-sse to the fastest other crate");
    print!("| data | chunks |");
    PARSERS.iter().for_each(|(name, _)| print!(" {name} |"));
    println!(" ratio | of memchr |");
    for size in SIZES {
        for (name, length) in CHUNKS {
            cell(size, name, length);
        }
    }
}

fn cell(size: usize, name: &str, length: usize) {
    let (events, input) = input(size);
    let chunks = cut(&input, length);
    let mut best = [0.0_f64; PARSERS.len()];
    for _ in 0..TURNS {
        for ((_, parser), best) in PARSERS.iter().zip(&mut best) {
            *best = best.max(speed(*parser, &chunks, events, input.len()));
        }
    }
    print!("| {size} B | {name} |");
    best.iter().for_each(|speed| print!(" {speed:.0} |"));
    let others = best[1..best.len() - 1].iter().copied().fold(0.0, f64::max);
    println!(" {:.2} | {:.2} |", best[0] / others, best[0] / best[best.len() - 1]);
}

/// Megabytes a second.
fn speed(parser: Parser, chunks: &[Bytes], events: usize, bytes: usize) -> f64 {
    let started = Instant::now();
    let mut rounds = 0;
    while started.elapsed() < TURN {
        let found = parser(chunks);
        assert_eq!(found, events);
        rounds += 1;
    }
    (bytes * rounds) as f64 / started.elapsed().as_secs_f64() / 1e6
}

fn input(size: usize) -> (usize, Bytes) {
    let data: String = ('a'..='z').cycle().take(size).collect();
    let (mut text, mut events) = (String::new(), 0);
    while text.len() < INPUT {
        text.push_str(&format!("id: {}\nevent: update\ndata: {data}\n\n", 100_000 + events));
        events += 1;
    }
    (events, text.into())
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

fn tower_sse(chunks: &[Bytes]) -> usize {
    let mut parser = EventParser::new();
    let mut events = 0;
    for chunk in chunks {
        parser.push(chunk.clone());
        while let Some(event) = parser.next_event() {
            black_box(event.is_ok());
            events += 1;
        }
    }
    events
}

fn sse_core(chunks: &[Bytes]) -> usize {
    let mut decoder = sse_core::SseDecoder::new();
    let mut events = 0;
    for chunk in chunks {
        let mut chunk = chunk.clone();
        while let Some(event) = decoder.next(&mut chunk) {
            black_box(event.is_ok());
            events += 1;
        }
    }
    events
}

fn sse_stream(chunks: &[Bytes]) -> usize {
    drain(sse_stream::SseByteStream::new(stream_of(chunks)))
}

fn sseer(chunks: &[Bytes]) -> usize {
    drain(sseer::event_stream::EventStream::new(stream_of(chunks)))
}

fn eventsource_stream(chunks: &[Bytes]) -> usize {
    drain(eventsource_stream::EventStream::new(stream_of(chunks)))
}

fn line_ends(chunks: &[Bytes]) -> usize {
    let line_ends = |chunk: &Bytes| memchr::memchr2_iter(b'\n', b'\r', black_box(chunk)).count();
    // An event has four.
    chunks.iter().map(line_ends).sum::<usize>() / 4
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
