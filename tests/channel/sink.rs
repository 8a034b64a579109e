//! `EventSender` as a `Sink`.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_util::{FutureExt as _, Sink, SinkExt, stream};
use tower_sse::{Buffer, Event, EventBody, EventSender, event_channel};

use crate::{
    next,
    support::{decode, read_text},
    waiting,
};

#[test]
fn a_sink_reserves_a_slot_when_it_is_ready() {
    let (events, receiver) = event_channel(Buffer::fixed(1));
    let mut body = EventBody::from(receiver).without_greeting().without_keep_alive();
    let mut sink = events.clone();
    let mut cx = Context::from_waker(Waker::noop());
    let ready = |sink: &mut EventSender, cx: &mut Context<'_>| {
        Sink::<Event>::poll_ready(Pin::new(sink), cx).map(|ready| ready.is_ok())
    };
    assert_eq!(ready(&mut sink, &mut cx), Poll::Ready(true));
    assert_eq!(ready(&mut sink, &mut cx), Poll::Ready(true), "once only");
    assert!(events.try_send(Event::new("barging")).unwrap_err().is_full());
    let (mut waits, woken) = waiting(&events, "waits");
    Pin::new(&mut sink).start_send(Event::new("reserved")).unwrap();
    let flushed = Sink::<Event>::poll_flush(Pin::new(&mut sink), &mut cx);
    assert!(matches!(flushed, Poll::Ready(Ok(()))), "accepted is flushed");
    assert_eq!(next(&mut body), "data: reserved\n\n");
    assert_eq!(woken.count(), 1);
    assert!(waits.as_mut().now_or_never().unwrap().is_ok());
    assert_eq!(next(&mut body), "data: waits\n\n");

    // A reserved slot that is given up goes to the next sender.
    let mut other = events.clone();
    assert_eq!(ready(&mut other, &mut cx), Poll::Ready(true));
    assert_eq!(ready(&mut sink, &mut cx), Poll::Pending);
    drop(other);
    assert_eq!(ready(&mut sink, &mut cx), Poll::Ready(true));
}

#[tokio::test(start_paused = true)]
async fn closing_a_sink_closes_this_clone_only() {
    let (mut events, receiver) = event_channel(Buffer::default());
    let other = events.clone();
    events.feed(Event::new("a")).await.unwrap();
    SinkExt::<Event>::close(&mut events).await.unwrap();
    assert!(events.is_closed());
    assert!(events.try_send(Event::new("closed")).unwrap_err().is_closed());
    assert!(SinkExt::send(&mut events, Event::new("closed")).await.unwrap_err().is_closed());
    assert!(!other.is_closed());
    other.send(Event::new("b")).await.unwrap();
    drop(other);
    assert_eq!(decode(read_text(EventBody::from(receiver)).await).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_can_be_forwarded_into_the_sink() {
    let (mut events, receiver) = event_channel(Buffer::fixed(2));
    let sending = async move {
        let mut numbers = stream::iter((0..100).map(|n| Ok(Event::new(n))));
        events.send_all(&mut numbers).await.unwrap();
    };
    let (text, ()) = tokio::join!(read_text(EventBody::from(receiver)), sending);
    assert_eq!(decode(text).len(), 100);
}
