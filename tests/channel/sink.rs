//! `EventSink`: a sender as a `Sink`.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_util::{FutureExt as _, Sink, SinkExt as _, StreamExt as _, stream};
use tower_sse::{
    Buffer, EncodedEvent, Event, EventBody, EventSender, channel::EventSink, event_channel,
};

use crate::{
    next,
    support::{SECOND, decode, read_text, waker::Woken},
    waiting,
};

/// Returns whether the sink is ready and has not failed.
fn ready(sink: &mut EventSink, cx: &mut Context<'_>) -> Poll<bool> {
    Pin::new(sink).poll_ready(cx).map(|ready| ready.is_ok())
}

/// A sender and the body of a channel that holds one event.
fn one_slot() -> (EventSender, EventBody) {
    let (events, receiver) = event_channel(Buffer::fixed(1));
    (events, EventBody::from(receiver).without_greeting().without_keep_alive())
}

#[test]
fn a_sink_reserves_a_slot_when_it_is_ready() {
    let (events, mut body) = one_slot();
    let mut sink = events.clone().into_sink();
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(ready(&mut sink, &mut cx), Poll::Ready(true));
    assert_eq!(ready(&mut sink, &mut cx), Poll::Ready(true), "once only");
    assert!(events.try_send(Event::new("barging")).unwrap_err().is_full());
    let (mut waits, woken) = waiting(&events, "waits");
    Pin::new(&mut sink).start_send(Event::new("reserved")).unwrap();
    let flushed = Pin::new(&mut sink).poll_flush(&mut cx);
    assert!(matches!(flushed, Poll::Ready(Ok(()))), "accepted is flushed");
    assert_eq!(next(&mut body), "data: reserved\n\n");
    assert_eq!(woken.count(), 1);
    assert!(waits.as_mut().now_or_never().unwrap().is_ok());
    assert_eq!(next(&mut body), "data: waits\n\n");

    // A reserved slot that is given up goes to the next sender.
    let mut other = events.clone().into_sink();
    assert_eq!(ready(&mut other, &mut cx), Poll::Ready(true));
    assert_eq!(ready(&mut sink, &mut cx), Poll::Pending);
    drop(other);
    assert_eq!(ready(&mut sink, &mut cx), Poll::Ready(true));
}

#[test]
fn each_clone_reserves_a_slot_of_its_own() {
    let (events, receiver) = event_channel(Buffer::fixed(2));
    let mut body = EventBody::from(receiver).without_greeting().without_keep_alive();
    let mut cx = Context::from_waker(Waker::noop());
    let mut sink: EventSink = events.clone().into_sink();
    assert_eq!(ready(&mut sink, &mut cx), Poll::Ready(true));
    let mut clone = sink.clone();
    events.try_send(Event::new("the second slot")).unwrap();
    assert_eq!(ready(&mut clone, &mut cx), Poll::Pending, "a clone holds no room");
    // Without a slot of its own, a sink sends as `try_send` does.
    assert!(Pin::new(&mut clone).start_send(Event::new("early")).unwrap_err().is_full());
    Pin::new(&mut sink).start_send(Event::new("reserved")).unwrap();
    assert_eq!(next(&mut body), "data: the second slot\n\ndata: reserved\n\n");
    assert_eq!(ready(&mut clone, &mut cx), Poll::Ready(true));
}

#[test]
fn a_sink_stands_in_line_and_passes_its_turn_on_when_it_is_given_up() {
    type GiveUp = fn(EventSink);
    let given_up: [GiveUp; 3] = [
        drop,
        |mut sink| sink.close().now_or_never().unwrap().unwrap(),
        |sink| assert!(sink.into_inner().is_some()),
    ];
    for give_up in given_up {
        // The sink waits, and is given up after it was woken.
        let (events, mut body) = one_slot();
        events.try_send(Event::new("first")).unwrap();
        let (sink_woken, waker) = Woken::new();
        let mut sink = events.clone().into_sink();
        assert_eq!(ready(&mut sink, &mut Context::from_waker(&waker)), Poll::Pending);
        let (mut waits, woken) = waiting(&events, "second in line");
        assert_eq!(next(&mut body), "data: first\n\n");
        assert_eq!((sink_woken.count(), woken.count()), (1, 0));
        assert!(waits.as_mut().now_or_never().is_none(), "the sink is before it");
        let (mut waits, woken) = {
            drop(waits);
            waiting(&events, "second in line")
        };
        give_up(sink);
        assert_eq!(woken.count(), 1);
        assert!(waits.as_mut().now_or_never().unwrap().is_ok());
        assert_eq!(next(&mut body), "data: second in line\n\n");
        drop(waits);

        // The sink holds room, and is given up before it sends.
        let mut sink = events.clone().into_sink();
        assert_eq!(ready(&mut sink, &mut Context::from_waker(&waker)), Poll::Ready(true));
        let (mut waits, woken) = waiting(&events, "after the room");
        give_up(sink);
        assert_eq!(woken.count(), 1);
        assert!(waits.as_mut().now_or_never().unwrap().is_ok());
        assert_eq!(next(&mut body), "data: after the room\n\n");
    }
}

#[test]
fn a_reserved_slot_of_a_refused_event_goes_to_the_next_sender() {
    let (events, receiver) = event_channel(Buffer::fixed(1).max_event_bytes(100));
    let mut body = EventBody::from(receiver).without_greeting().without_keep_alive();
    let mut sink = events.clone().into_sink();
    assert_eq!(ready(&mut sink, &mut Context::from_waker(Waker::noop())), Poll::Ready(true));
    let (mut waits, woken) = waiting(&events, "waits");
    let large = Event::new("x".repeat(200));
    let error = Pin::new(&mut sink).start_send(large.clone()).unwrap_err();
    assert_eq!(error.into_event(), Some(large));
    assert_eq!(woken.count(), 1);
    // The refused event counts as sent, so a send in the same turn yields once.
    assert!(waits.as_mut().now_or_never().is_none());
    assert!(waits.as_mut().now_or_never().unwrap().is_ok());
    assert_eq!(next(&mut body), "data: waits\n\n");
}

#[tokio::test(start_paused = true)]
async fn closing_a_sink_closes_this_sink_only() {
    let (events, receiver) = event_channel(Buffer::default());
    let other = events.clone();
    let mut sink = events.into_sink();
    assert!(sink.get_ref().is_some_and(|events| !events.is_closed()));
    sink.feed(Event::new("a")).await.unwrap();
    sink.close().await.unwrap();
    sink.close().await.unwrap();
    assert!(sink.get_ref().is_none());
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(ready(&mut sink, &mut cx), Poll::Ready(false));
    let error = Pin::new(&mut sink).start_send(Event::new("closed")).unwrap_err();
    assert!(error.is_closed());
    assert_eq!(error.into_event(), Some(Event::new("closed")));
    assert!(sink.send(Event::new("closed")).await.unwrap_err().is_closed());
    // A clone of a closed sink is closed.
    assert!(sink.clone().send(Event::new("closed")).await.unwrap_err().is_closed());
    assert!(!other.is_closed());
    other.send(Event::new("b")).await.unwrap();
    drop(other);
    // The closed sink, which is still there, does not keep the stream open.
    assert_eq!(decode(read_text(EventBody::from(receiver)).await).len(), 2);
    assert!(sink.into_inner().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_sink_keeps_its_stream_open_and_fails_when_the_stream_ends() {
    let (events, receiver) = event_channel(Buffer::fixed(1));
    let mut body = EventBody::from(receiver).without_greeting().without_keep_alive();
    let mut sink: EventSink = events.into_sink();
    sink.send(Event::new("a")).await.unwrap();
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "data: a\n\n");
    assert!(body.next_chunk().now_or_never().is_none());

    // The room of an ended stream is of no use.
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(ready(&mut sink, &mut cx), Poll::Ready(true));
    let (woken, waker) = Woken::new();
    let mut waits = sink.clone();
    assert_eq!(ready(&mut waits, &mut Context::from_waker(&waker)), Poll::Pending);
    drop(body);
    assert_eq!(woken.count(), 1);
    assert!(sink.get_ref().unwrap().is_closed());
    for sink in [&mut sink, &mut waits] {
        let error = Pin::new(sink).start_send(Event::new("late")).unwrap_err();
        assert!(error.is_closed());
        assert_eq!(error.into_event(), Some(Event::new("late")));
    }
    // Two refusals are more than the buffer holds, so the next send yields once.
    assert_eq!(ready(&mut waits, &mut cx), Poll::Pending);
    assert_eq!(ready(&mut waits, &mut cx), Poll::Ready(false));
    let error = waits.send(Event::new("late")).await.unwrap_err();
    assert!(error.into_event().is_none(), "the event was not given to the sink");
}

#[test]
fn a_sink_that_becomes_a_sender_again_sends_in_its_order() {
    let (events, mut body) = one_slot();
    let mut sink: EventSink<EncodedEvent> = events.into_sink();
    let encoded = Event::new("encoded").encode();
    sink.send(encoded).now_or_never().unwrap().unwrap();
    assert_eq!(next(&mut body), "data: encoded\n\n");
    let events = sink.into_inner().unwrap();
    events.try_send(Event::new("an event")).unwrap();
    assert_eq!(next(&mut body), "data: an event\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_sink_of_a_buffer_that_drops_events_is_always_ready() {
    for (buffer, kept) in [(Buffer::dropping(2), ["0", "1"]), (Buffer::sliding(2), ["8", "9"])] {
        let (events, receiver) = event_channel(buffer);
        let mut sink = events.clone().into_sink();
        for n in 0..10 {
            tokio::time::timeout(SECOND, sink.send(Event::new(n))).await.unwrap().unwrap();
        }
        assert_eq!(events.dropped(), 8);
        drop((events, sink));
        let text = read_text(EventBody::from(receiver)).await;
        let data: Vec<_> = decode(text).into_iter().map(|(_, data, _)| data).collect();
        assert_eq!(data, kept);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_can_be_forwarded_into_the_sink() {
    let (events, receiver) = event_channel(Buffer::fixed(2));
    let numbers = stream::iter((0..100).map(|n| Ok(Event::new(n))));
    let sending = numbers.forward(events.into_sink());
    let (text, sent) = tokio::join!(read_text(EventBody::from(receiver)), sending);
    sent.unwrap();
    assert_eq!(decode(text).len(), 100);
}
