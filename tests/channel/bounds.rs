//! How much a channel holds: a number of events, and a number of bytes.

use tower_sse::{Buffer, EncodedEvent, Event, EventBody, event_channel};

use crate::{
    channel, next,
    support::{decode, read_text},
};

#[tokio::test(start_paused = true)]
async fn a_buffer_of_n_holds_n_events() {
    let (events, receiver) = event_channel(Buffer::fixed(3));
    let mut body = EventBody::from(receiver).without_greeting();
    for _ in 0..2 {
        for n in 0..3 {
            events.try_send(Event::new(n)).unwrap();
        }
        let error = events.try_send(Event::new("one more")).unwrap_err();
        assert!(error.is_full());
        assert_eq!(error.into_event(), Some(Event::new("one more")));
        body.next_chunk().await.unwrap().unwrap();
    }
}

#[test]
fn bytes_are_bounded_and_a_larger_event_goes_alone() {
    let (events, _receiver) = event_channel(Buffer::fixed(1000).max_bytes(100));
    let accepted = (0..1000).take_while(|_| events.try_send(Event::new("xx")).is_ok()).count();
    assert_eq!(accepted, 10, "10 bytes each");

    // 9 bytes each: `data: n` and two line ends.
    let (events, _body) = channel(Buffer::fixed(100).max_bytes(30));
    for n in 0..3 {
        events.try_send(Event::new(n)).unwrap();
    }
    assert!(events.try_send(Event::new(3)).unwrap_err().is_full());

    // An event larger than the bytes of the buffer goes alone.
    let (events, _body) = channel(Buffer::fixed(100).max_bytes(30).max_event_bytes(1_000));
    events.try_send(Event::new("x".repeat(500))).unwrap();
    assert!(events.try_send(Event::new(1)).unwrap_err().is_full());
    let error = events.try_send(Event::new("x".repeat(1_000))).unwrap_err();
    assert!(error.is_too_large());
    assert_eq!(error.into_event().unwrap().data().len(), 1_000);

    // It waits until the buffer is empty.
    let (events, receiver) = event_channel(Buffer::fixed(64).max_bytes(100).max_event_bytes(1000));
    let mut body = EventBody::from(receiver).without_greeting().without_keep_alive();
    let large = Event::new("x".repeat(500));
    events.try_send(large.clone()).unwrap();
    assert!(events.try_send(Event::new("y")).unwrap_err().is_full());
    next(&mut body);
    events.try_send(Event::new("y")).unwrap();
    assert!(events.try_send(large).unwrap_err().is_full());
    let too_large = Event::new("x".repeat(1000));
    let error = events.try_send(too_large.clone()).unwrap_err();
    assert!(error.is_too_large());
    assert_eq!(error.into_event(), Some(too_large));
}

#[test]
fn a_capacity_of_zero_counts_as_one() {
    for buffer in [Buffer::fixed(0), Buffer::fixed(5).max_bytes(0)] {
        let (events, _body) = channel(buffer);
        events.try_send(Event::new(1)).unwrap();
        assert!(events.try_send(Event::new(2)).unwrap_err().is_full());
    }
}

#[test]
fn the_default_buffer_holds_64_events() {
    assert_eq!(Buffer::default(), Buffer::fixed(64));
    let (events, _receiver) = event_channel(Buffer::default());
    let accepted = (0..1000).take_while(|n| events.try_send(Event::new(*n)).is_ok()).count();
    assert_eq!(accepted, 64);
}

#[tokio::test(start_paused = true)]
async fn an_encoded_piece_counts_as_one_event_and_is_dropped_whole() {
    let three = EncodedEvent::from_bytes("data: 1\n\ndata: 2\n\ndata: 3\n\n").unwrap();
    let (events, receiver) = event_channel(Buffer::fixed(2));
    events.try_send(three.clone()).unwrap();
    events.try_send(three.clone()).unwrap();
    assert!(events.try_send(three.clone()).unwrap_err().is_full());
    drop(events);
    assert_eq!(decode(read_text(EventBody::from(receiver)).await).len(), 6);

    let large = EncodedEvent::from_bytes("data: x\n\n".repeat(1000)).unwrap();
    for piece in [three, large] {
        for (buffer, left) in
            [(Buffer::dropping(1), &piece), (Buffer::sliding(1), &Event::new("last").encode())]
        {
            let (events, receiver) = event_channel(buffer);
            events.try_send(piece.clone()).unwrap();
            events.try_send(Event::new("last")).unwrap();
            assert_eq!(events.dropped(), 1);
            drop(events);
            let text = read_text(EventBody::from(receiver).without_greeting()).await;
            assert_eq!(text.as_bytes(), left.to_bytes());
        }
    }
}
