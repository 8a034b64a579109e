//! Events and the buffer: order, fairness, text.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, Sink, SinkExt, stream};
use tower_sse::{
    BoxError, Buffer, EncodedEvent, Event, EventBody, EventId, EventSender, EventType, FieldName,
    SendError, event_channel,
};

use super::{
    SECOND, Woken,
    support::{decode, never_hangs, read_text},
};

type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>>;

/// A channel of one event that is full, and its body.
fn full() -> (EventSender, EventBody) {
    let (events, receiver) = event_channel(Buffer::fixed(1));
    events.try_send(Event::new("first")).unwrap();
    (events, EventBody::from(receiver).without_greeting().without_keep_alive())
}

/// A send that waits, and who is woken when it may go on.
fn waiting<'a>(events: &'a EventSender, data: &str) -> (Sending<'a>, Arc<Woken>) {
    let (woken, waker) = Woken::new();
    let mut sending: Sending<'a> = Box::pin(events.send(Event::new(data)));
    assert!(sending.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    (sending, woken)
}

fn next(body: &mut EventBody) -> String {
    let chunk = body.next_chunk().now_or_never().expect("a chunk").unwrap().unwrap();
    String::from_utf8(chunk.to_vec()).unwrap()
}

#[test]
fn d10_senders_are_served_in_order_and_nobody_barges_in() {
    let (events, mut body) = full();
    let (mut a, a_woken) = waiting(&events, "a");
    let (mut b, b_woken) = waiting(&events, "b");
    assert_eq!(next(&mut body), "data: first\n\n");
    assert_eq!((a_woken.count(), b_woken.count()), (1, 0));

    // There is room, and it is a's.
    assert!(events.try_send(Event::new("barging")).unwrap_err().is_full());
    assert!(b.as_mut().now_or_never().is_none());
    let (mut late, _) = waiting(&events, "late");
    assert!(a.as_mut().now_or_never().unwrap().is_ok());
    assert_eq!(next(&mut body), "data: a\n\n");
    assert!(late.as_mut().now_or_never().is_none());
    assert!(b.as_mut().now_or_never().unwrap().is_ok());
    assert_eq!(next(&mut body), "data: b\n\n");
    assert!(late.as_mut().now_or_never().unwrap().is_ok());
    assert_eq!(next(&mut body), "data: late\n\n");
    assert!(events.try_send(Event::new("now")).is_ok());
}

#[test]
fn d10_a_send_that_is_cancelled_passes_its_turn_on() {
    // Granted and never polled again; or not even granted.
    for granted in [true, false] {
        let (events, mut body) = full();
        let (a, _) = waiting(&events, "a");
        let (mut b, b_woken) = waiting(&events, "b");
        if granted {
            next(&mut body);
            drop(a);
        } else {
            drop(a);
            assert_eq!(b_woken.count(), 0, "there is no room yet");
            next(&mut body);
        }
        assert!(b_woken.count() > 0);
        assert!(b.as_mut().now_or_never().unwrap().is_ok());
        assert_eq!(next(&mut body), "data: b\n\n");
    }
}

#[test]
fn d10_room_for_many_wakes_one_after_the_other_and_nobody_is_forgotten() {
    let (events, receiver) = event_channel(Buffer::fixed(4));
    let mut body = EventBody::from(receiver).without_greeting().without_keep_alive();
    for n in 0..4 {
        events.try_send(Event::new(n)).unwrap();
    }
    let mut waiting: Vec<_> = (4..8).map(|n| waiting(&events, &n.to_string())).collect();
    next(&mut body);
    for (sending, woken) in &mut waiting {
        assert_eq!(woken.count(), 1);
        assert!(sending.as_mut().now_or_never().unwrap().is_ok());
    }
    assert_eq!(next(&mut body), "data: 4\n\ndata: 5\n\ndata: 6\n\ndata: 7\n\n");
}

#[tokio::test(start_paused = true)]
async fn d10_an_encoded_piece_is_one_event_and_is_dropped_whole() {
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

#[test]
fn d10_bytes_are_bounded_and_what_is_larger_goes_alone() {
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
fn d10_a_sink_reserves_when_it_is_ready() {
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

    // A place that is given up goes to the next.
    let mut other = events.clone();
    assert_eq!(ready(&mut other, &mut cx), Poll::Ready(true));
    assert_eq!(ready(&mut sink, &mut cx), Poll::Pending);
    drop(other);
    assert_eq!(ready(&mut sink, &mut cx), Poll::Ready(true));
}

#[tokio::test(start_paused = true)]
async fn d10_closing_a_sink_ends_this_clone_only() {
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
async fn d10_a_stream_is_forwarded_into_the_sink() {
    let (mut events, receiver) = event_channel(Buffer::fixed(2));
    let sending = async move {
        let mut numbers = stream::iter((0..100).map(|n| Ok(Event::new(n))));
        events.send_all(&mut numbers).await.unwrap();
    };
    let (text, ()) = tokio::join!(read_text(EventBody::from(receiver)), sending);
    assert_eq!(decode(text).len(), 100);
}

#[test]
fn d11_blocking_in_the_body_that_makes_room_is_a_clear_error() {
    let error = never_hangs(|| {
        let mut body = EventBody::new(|events| async move {
            for n in 0.. {
                events.blocking_send(Event::new(n))?;
            }
            Ok(())
        })
        .buffer(Buffer::fixed(3))
        .without_keep_alive();
        let first = body.next_chunk().now_or_never().unwrap().unwrap().unwrap();
        assert_eq!(decode(first).len(), 3);
        body.next_chunk().now_or_never().unwrap().unwrap().unwrap_err()
    });
    let error = error.get_ref().downcast_ref::<SendError>().unwrap();
    assert!(error.is_deadlock());
    assert!(error.to_string().contains("`send().await`"), "{error}");
}

#[test]
fn d11_a_thread_beside_a_current_thread_runtime_may_block() {
    let text = never_hangs(|| {
        let body = EventBody::new(|events| async move {
            thread::spawn(move || (0..1000).try_for_each(|n| events.blocking_send(Event::new(n))));
            Ok(())
        })
        .buffer(Buffer::fixed(2));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(read_text(body))
    });
    let data = decode(text).into_iter().map(|(_, data, _)| data);
    assert!(data.eq((0..1000).map(|n| n.to_string())));
}

#[test]
fn d11_a_blocked_thread_is_released_when_the_stream_ends() {
    type End = fn(EventBody, EventSender);
    let ends: [End; 3] =
        [|body, _| drop(body), |_body, events| events.close(), |_body, events| events.fail("x")];
    for end in ends {
        let closed = never_hangs(move || {
            let (events, body) = full();
            let blocks = {
                let events = events.clone();
                thread::spawn(move || events.blocking_send(Event::new("x")))
            };
            end(body, events);
            blocks.join().unwrap().unwrap_err().is_closed()
        });
        assert!(closed);
    }
}

#[cfg(feature = "json")]
#[test]
fn d12_json_is_made_before_it_is_sent_and_split_into_lines() {
    #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    struct Price {
        name: String,
        cents: u32,
    }
    let price = Price { name: "a\nb".to_owned(), cents: 7 };
    let event = Event::json(&price).unwrap();
    assert_eq!(event.encode().to_bytes(), "data: {\"name\":\"a\\nb\",\"cents\":7}\n\n");
    assert_eq!(event.parse_json::<Price>().unwrap(), price);

    let raw = "[1,\n\r\n 2,\r3]".to_owned();
    let raw = serde_json::value::RawValue::from_string(raw).unwrap();
    let event = Event::json(&raw).unwrap();
    assert_eq!(event.encode().to_bytes(), "data: [1,\ndata: \ndata:  2,\ndata: 3]\n\n");
    let (_, data, _) = decode(event.encode().to_bytes()).remove(0);
    assert_eq!(Event::new(data).parse_json::<Vec<u8>>().unwrap(), [1, 2, 3]);

    let not_json = std::collections::HashMap::from([(vec![1], 2)]);
    let error = Event::json(&not_json).unwrap_err();
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn d21_an_id_that_could_not_come_back_in_a_header_cannot_be_made() {
    let controls = (0..=0x1f_u8).chain([0x7f]).map(char::from);
    for control in controls {
        let text = format!("a{control}");
        assert_eq!(EventId::try_from(&text).unwrap_err().position(), Some(1), "{text:?}");
        assert!(EventId::from_display(&text).is_err(), "{text:?}");
        assert!(text.parse::<EventId>().is_err(), "{text:?}");
    }
    for fine in ["", " a ", "ä\u{1f600}", "\u{80}", "\u{2028}", "a:b"] {
        let id = EventId::try_from(fine).unwrap();
        assert_eq!(id, fine);
        assert!(http::HeaderValue::from_bytes(id.as_str().as_bytes()).is_ok(), "{fine:?}");
    }
}

#[test]
fn d22_text_is_written_one_way_only() {
    let wire = |event: Event| event.encode().to_bytes();
    assert_eq!(wire(Event::new("")), "data: \n\n");
    assert_eq!(wire(Event::default().with_id("")), "id: \n\n");
    assert_eq!(wire(Event::new("x").with_type("")), "data: x\n\n");
    assert_eq!(wire(Event::new(" x")), "data:  x\n\n");
    assert_eq!(Event::new("x"), Event::new("x").with_type(EventType::MESSAGE));
    assert_eq!(Event::new("x"), Event::new("x").with_type(""));
    assert_eq!(wire(Event::default().with_retry(SECOND / 1001)), "retry: 0\n\n");
    let late = Event::new("x").with_type("t").encode().with_id(7);
    assert_eq!(late.to_bytes(), "id: 7\nevent: t\ndata: x\n\n");
    for name in ["", "event", "data", "id", "retry", ":", "a:", "a\r", "a\n", "\u{feff}"] {
        assert!(FieldName::try_from(name).is_err(), "{name:?}");
    }
    for name in ["ID", "Data", " ", "a b", "retry2"] {
        assert_eq!(
            wire(Event::default().with_field(FieldName::try_from(name).unwrap(), "v")),
            format!("{name}: v\n\n")
        );
    }
}

#[test]
fn d22_bytes_that_are_shared_are_checked_to_be_text() -> Result<(), BoxError> {
    let data = tower_sse::EventData::try_from(Bytes::from_static("ä\nb".as_bytes()))?;
    assert_eq!(Event::new(data).encode().to_bytes(), "data: ä\ndata: b\n\n");
    assert!(tower_sse::EventData::try_from(Bytes::from_static(b"\xff")).is_err());
    Ok(())
}
