//! The cost of creating an event from text and encoding it, compared with five other crates and two
//! limits.
//!
//! Run it with `cargo bench --bench encode`. It needs no other process. All take turns; the result
//! is the median of the turns, with the minimum and the maximum. An event has one line of data.
//! axum, sse-stream and actix-web-lab encode events only inside of a body, so a body of events is
//! polled to its end.
//!
//! There are two limits. `one allocation` searches for line ends with `memchr2` and copies into an
//! allocation of the exact length; `into a buffer` copies into an existing buffer. Ours is measured
//! both ways, with `Event::encode` and `Event::encode_to`: with an event that is created from a
//! `&str`, which is copied, and with an existing event.

use std::{
    convert::Infallible,
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;

const SIZES: [usize; 3] = [64, 1 << 10, 64 << 10];
const TURNS: usize = 11;
const TURN: Duration = Duration::from_millis(10);

/// Encodes this number of events with this data.
type Encoder = fn(&str, usize);

const ENCODERS: [(&str, Encoder); 11] = [
    ("limit: one allocation", one_allocation),
    ("limit: into a buffer", into_a_buffer),
    ("ours: encode", ours_encode),
    ("ours: encode_to", ours_encode_to),
    ("ours: new + encode", ours_new_encode),
    ("ours: new + encode_to", ours_new_encode_to),
    ("axum", axum_body),
    ("sse-stream", sse_stream_body),
    ("actix-web-lab", actix_body),
    ("warp", warp_text),
    ("salvo", salvo_text),
];

fn main() {
    println!("ns an event, median of {TURNS} turns (least–greatest)\n");
    print!("| |");
    SIZES.iter().for_each(|size| print!(" {size} B |"));
    println!("\n|---|---|---|---|");
    let cells: Vec<Vec<String>> = SIZES.iter().map(|&size| cells(size)).collect();
    for (row, (name, _)) in ENCODERS.iter().enumerate() {
        print!("| {name} |");
        cells.iter().for_each(|column| print!(" {} |", column[row]));
        println!();
    }
}

fn cells(size: usize) -> Vec<String> {
    let data: String = ('a'..='z').cycle().take(size).collect();
    // A first turn determines the number of events, so that all turns last equally long.
    let counts = ENCODERS.map(|(_, encoder)| {
        let started = Instant::now();
        encoder(&data, 500);
        let each = started.elapsed() / 500;
        usize::try_from(TURN.as_nanos() / each.as_nanos().max(1)).unwrap_or(1).max(50)
    });
    let mut times = vec![Vec::with_capacity(TURNS); ENCODERS.len()];
    for _ in 0..TURNS {
        for (((_, encoder), times), count) in ENCODERS.iter().zip(&mut times).zip(counts) {
            let started = Instant::now();
            encoder(black_box(&data), count);
            times.push(started.elapsed().as_nanos() as f64 / count as f64);
        }
    }
    times
        .into_iter()
        .map(|mut times| {
            times.sort_by(f64::total_cmp);
            format!("{:.1} ({:.1}–{:.1})", times[TURNS / 2], times[0], times[TURNS - 1])
        })
        .collect()
}

fn one_allocation(data: &str, count: usize) {
    for _ in 0..count {
        let data = black_box(data);
        assert!(memchr::memchr2(b'\r', b'\n', data.as_bytes()).is_none());
        let mut buffer = BytesMut::with_capacity(data.len() + 8);
        write(data, &mut buffer);
        black_box(buffer.freeze());
    }
}

fn into_a_buffer(data: &str, count: usize) {
    let mut buffer = BytesMut::with_capacity(data.len() + 8);
    for _ in 0..count {
        let data = black_box(data);
        buffer.clear();
        assert!(memchr::memchr2(b'\r', b'\n', data.as_bytes()).is_none());
        write(data, &mut buffer);
        black_box(&buffer);
    }
}

fn write(data: &str, buffer: &mut BytesMut) {
    buffer.put_slice(b"data: ");
    buffer.put_slice(data.as_bytes());
    buffer.put_slice(b"\n\n");
}

fn ours_encode(data: &str, count: usize) {
    let event = tower_sse::Event::new(data);
    for _ in 0..count {
        black_box(black_box(&event).encode());
    }
}

fn ours_encode_to(data: &str, count: usize) {
    let event = tower_sse::Event::new(data);
    let mut buffer = BytesMut::with_capacity(data.len() + 8);
    for _ in 0..count {
        buffer.clear();
        black_box(&event).encode_to(&mut buffer);
        black_box(&buffer);
    }
}

fn ours_new_encode(data: &str, count: usize) {
    for _ in 0..count {
        black_box(tower_sse::Event::new(black_box(data)).encode());
    }
}

fn ours_new_encode_to(data: &str, count: usize) {
    let mut buffer = BytesMut::with_capacity(data.len() + 8);
    for _ in 0..count {
        buffer.clear();
        tower_sse::Event::new(black_box(data)).encode_to(&mut buffer);
        black_box(&buffer);
    }
}

fn warp_text(data: &str, count: usize) {
    for _ in 0..count {
        let event = warp::sse::Event::default().data(black_box(data));
        black_box(Bytes::from(event.to_string()));
    }
}

fn salvo_text(data: &str, count: usize) {
    for _ in 0..count {
        let event = salvo::sse::SseEvent::default().text(black_box(data));
        black_box(Bytes::from(event.to_string()));
    }
}

fn axum_body(data: &str, count: usize) {
    use axum::response::{IntoResponse as _, sse};
    let data = data.to_owned();
    let events = (0..count)
        .map(move |_| Ok::<_, Infallible>(sse::Event::default().data(black_box(data.as_str()))));
    drain(sse::Sse::new(stream::iter(events)).into_response().into_body());
}

fn sse_stream_body(data: &str, count: usize) {
    let data = data.to_owned();
    let events = (0..count).map(move |_| {
        Ok::<_, Infallible>(sse_stream::Sse::default().data(black_box(data.as_str())))
    });
    drain(sse_stream::SseBody::new(stream::iter(events)));
}

fn drain(body: impl http_body::Body) {
    let mut body = pin!(body);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match body.as_mut().poll_frame(&mut context) {
            Poll::Ready(Some(frame)) => drop(black_box(frame.ok())),
            Poll::Ready(None) => return,
            Poll::Pending => {}
        }
    }
}

fn actix_body(data: &str, count: usize) {
    use actix_web::{Responder as _, body::MessageBody as _, test::TestRequest};
    use actix_web_lab::sse::{Data, Event, Sse};
    let data = data.to_owned();
    let events = (0..count)
        .map(move |_| Ok::<_, Infallible>(Event::Data(Data::new(black_box(data.as_str())))));
    let request = TestRequest::default().to_http_request();
    let response = Sse::from_stream(stream::iter(events)).respond_to(&request);
    let mut body = response.into_body();
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match Pin::new(&mut body).poll_next(&mut context) {
            Poll::Ready(Some(bytes)) => drop(black_box(bytes.ok())),
            Poll::Ready(None) => return,
            Poll::Pending => {}
        }
    }
}
