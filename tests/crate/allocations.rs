//! The number of allocations of an event, an encoding, a frame and a parsed event.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use tower_sse::{
    Buffer, EncodedEvent, Event, EventBody, EventData, EventParser, EventType, event_channel,
};

use crate::heap;

fn allocations<T>(f: impl FnOnce() -> T) -> (usize, T) {
    let before = heap::allocations();
    let value = f();
    (heap::allocations() - before, value)
}

fn next_chunk(body: &mut EventBody) -> Poll<usize> {
    let mut context = Context::from_waker(Waker::noop());
    pin!(body.next_chunk())
        .poll(&mut context)
        .map(|chunk| chunk.expect("not ended").expect("not failed").len())
}

const TICK: EventType = EventType::from_static("tick");

#[test]
fn an_event_through_the_channel_costs_less_than_a_tenth_of_an_allocation() {
    const ROUNDS: usize = 200;
    let (events, receiver) = event_channel(Buffer::fixed(64));
    let mut body = EventBody::from(receiver).without_keep_alive().without_greeting();
    // The data belongs to the caller and is made before: 64 bytes each.
    let mut data: Vec<EventData> =
        (0..ROUNDS * 64).map(|_| EventData::from("x".repeat(64))).collect();
    let (count, frames) = allocations(|| {
        let mut frames = 0;
        let mut id = 0u64;
        for _ in 0..ROUNDS {
            for _ in 0..64 {
                id += 1;
                let event = Event::new(data.pop().unwrap()).with_id(id).with_type(&TICK);
                let mut sending = pin!(events.send(event));
                let polled = sending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(matches!(polled, Poll::Ready(Ok(()))));
            }
            while next_chunk(&mut body).is_ready() {
                frames += 1;
            }
        }
        frames
    });
    let each = count as f64 / (ROUNDS * 64) as f64;
    println!("{count} allocations for {} events in {frames} frames: {each:.4} each", ROUNDS * 64);
    assert_eq!(frames, ROUNDS);
    assert!(each < 0.1, "{each} allocations an event");
}

#[cfg(feature = "hub")]
#[test]
fn a_burst_to_the_readers_of_a_hub_is_one_frame_that_they_share() {
    use futures_util::FutureExt as _;
    use http_body::Body as _;
    use tower_sse::{
        Hub,
        hub::{Publication, Selection},
    };

    const READERS: usize = 100;
    const ROUNDS: usize = 20;
    let mut context = Context::from_waker(Waker::noop());
    let hub = Hub::new();
    let body = || {
        let all = hub.subscribe(Selection::new(["all"]).unwrap()).now_or_never();
        all.expect("it does not wait").unwrap().into_body().without_keep_alive()
    };
    let mut bodies: Vec<EventBody> = (0..READERS).map(|_| body()).collect();
    bodies.iter_mut().for_each(|body| while next_chunk(body).is_ready() {});
    for burst in [1, 100] {
        let (mut frames, mut addresses, mut reading) = (0, 0, 0);
        for _ in 0..ROUNDS {
            let events = (0..burst).map(|_| Publication::new("all", "x".repeat(64)));
            let published = pin!(hub.publish_all(events)).poll(&mut context);
            assert!(matches!(published, Poll::Ready(Ok(it)) if it.woken == READERS));
            let mut last = None;
            let (count, ()) = allocations(|| {
                for body in &mut bodies {
                    let mut body = pin!(body);
                    while let Poll::Ready(frame) = body.as_mut().poll_frame(&mut context) {
                        let bytes = frame.unwrap().unwrap().into_data().unwrap();
                        let address = Some(bytes.as_ptr());
                        (frames, addresses) =
                            (frames + 1, addresses + usize::from(last != address));
                        last = address;
                    }
                }
            });
            reading += count;
        }
        println!("bursts of {burst}: {frames} frames, {reading} allocations");
        assert_eq!(frames, READERS * ROUNDS, "one for each reader");
        assert_eq!(addresses, ROUNDS, "of the same bytes");
        assert!(reading <= 16 * ROUNDS, "{reading} allocations for {READERS} readers");
    }
}

#[test]
fn encoding_is_one_allocation_and_none_into_a_buffer() {
    let large = "x".repeat(64 << 10);
    let lines = "several\r\nlines\n".repeat(50);
    let events = [
        Event::default(),
        Event::new("short").with_id(1).with_type("t"),
        Event::new(&large),
        Event::new(&lines).with_comment("a\nb").with_field("x", &lines),
    ];
    let mut buffer = BytesMut::with_capacity(1 << 20);
    for event in events {
        let (count, encoded) = allocations(|| event.encode());
        assert_eq!(count, 1, "{event:?}");
        let (count, ()) = allocations(|| event.encode_to(&mut buffer));
        assert_eq!(count, 0);
        let (count, _clone): (_, EncodedEvent) = allocations(|| encoded.clone());
        // The first clone of unshared bytes allocates their reference count.
        assert!(count <= 1);
        // The event's own ID has to be removed.
        let copies = if event.id().is_some() { 2 } else { 0 };
        let (count, _clone) = allocations(|| encoded.clone().with_id(u64::MAX));
        assert_eq!(count, copies);
    }
}

#[test]
fn a_short_event_is_made_without_an_allocation() {
    let (count, _event) = allocations(|| Event::new(7).with_id(u64::MAX).with_type("some.type"));
    assert_eq!(count, 0);
    let (count, _event) = allocations(|| Event::display(format_args!("{}-{}", 1, 2)));
    assert_eq!(count, 0);
    let text = String::from("taken as it is, however long it may be, without a copy of it");
    let (count, _event) = allocations(|| Event::new(text));
    assert_eq!(count, 0);
}

#[test]
fn an_idle_stream_is_small() {
    const STREAMS: usize = 100;
    let before = heap::bytes();
    let bodies: Vec<EventBody> = (0..STREAMS)
        .map(|_| {
            let mut body = EventBody::new(|events| async move {
                for n in 0..100 {
                    events.send(Event::new("x".repeat(100)).with_id(n)).await?;
                }
                std::future::pending().await
            })
            .without_keep_alive();
            while next_chunk(&mut body).is_ready() {}
            body
        })
        .collect();
    let each = (heap::bytes() - before) / STREAMS;
    println!("{each} bytes an idle stream, after a burst of 10 KB");
    assert!(each < 4 << 10, "{each} bytes");
    drop(bodies);
}

#[test]
fn a_burst_that_ends_with_shared_bytes_leaves_nothing_behind() {
    let (events, receiver) = event_channel(Buffer::fixed(64));
    let mut body = EventBody::from(receiver).without_keep_alive().without_greeting();
    let shared = Event::new("x".repeat(5_000)).encode();
    let before = heap::bytes();
    for _ in 0..55 {
        events.try_send(Event::new("x".repeat(1_000))).unwrap();
    }
    events.try_send(shared.clone()).unwrap();
    while next_chunk(&mut body).is_ready() {}
    let kept = heap::bytes() - before;
    println!("{kept} bytes kept after a burst of 60 KB");
    assert!(kept < 4 << 10, "{kept} bytes");
}

/// Parses events with an ID, a type and `size` bytes of data, in chunks of `chunk` bytes. Returns
/// the number of events and of allocations, without those of the chunks.
fn parsed(size: usize, lines: usize, chunk: usize) -> (usize, usize) {
    let line = format!("data: {}\n", "x".repeat(size / lines));
    let events = (8 << 20) / size.max(1 << 10);
    let input: String =
        (0..events).map(|n| format!("id: {n}\nevent: update\n{}\n", line.repeat(lines))).collect();
    let chunks: Vec<Bytes> = input
        .as_bytes()
        .chunks(chunk)
        .map(|chunk| {
            let chunk = Bytes::copy_from_slice(chunk);
            // The first clone allocates the reference count.
            drop(chunk.clone());
            chunk
        })
        .collect();
    let mut parser = EventParser::new();
    let mut found = 0;
    let (count, ()) = allocations(|| {
        for chunk in chunks {
            parser.push(chunk);
            while let Some(event) = parser.next_event() {
                assert!(event.unwrap().has_data());
                found += 1;
            }
        }
    });
    assert_eq!(found, events);
    (events, count)
}

#[test]
fn an_event_whose_data_is_a_slice_is_parsed_without_an_allocation() {
    for size in [16, 64, 200, 1 << 10, 64 << 10] {
        let (events, count) = parsed(size, 1, usize::MAX);
        println!("{size} B, whole: {count} allocations for {events} events");
        assert_eq!(count, 0, "{size}");
    }
}

#[test]
fn an_event_that_is_cut_or_has_several_lines_is_parsed_with_one_allocation() {
    for (size, lines, chunk) in [
        (64, 1, 1460),
        (200, 1, 1460),
        (1 << 10, 1, 1460),
        (64 << 10, 1, 1460),
        (64 << 10, 1, 16 << 10),
        (1 << 10, 1, 10),
        (1 << 10, 8, usize::MAX),
        (64 << 10, 64, 1460),
    ] {
        let (events, count) = parsed(size, lines, chunk);
        let each = count as f64 / events as f64;
        println!("{size} B in {lines} lines, chunks of {chunk}: {each:.3} allocations an event");
        // The buffers of the parser grow a few times in all.
        assert!(count <= events + 24, "{size} {lines} {chunk}: {count} for {events}");
    }
}
