//! Streams as the source of a body: those of other crates, infallible and fallible.

use std::{convert::Infallible, io, time::Duration};

use futures_channel::mpsc;
use futures_util::{SinkExt as _, Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::time::interval;
use tokio_stream::wrappers::{
    BroadcastStream, IntervalStream, ReceiverStream, UnboundedReceiverStream, WatchStream,
};
use tower_sse::{BodyOptions, EncodedEvent, Event, EventBody};

use crate::support::{decode, read_all, read_text};

fn quiet() -> BodyOptions {
    BodyOptions::new().without_greeting().without_keep_alive()
}

async fn data_of<S>(stream: S) -> Vec<String>
where
    S: Stream + Send + 'static,
    S::Item: tower_sse::body::StreamItem,
{
    let text = read_text(EventBody::from_stream(stream).options(quiet())).await;
    decode(text).into_iter().map(|(_, data, _)| data).collect()
}

#[tokio::test]
async fn a_receiver_of_futures_channel_is_a_source() {
    let (mut sender, receiver) = mpsc::channel::<Event>(2);
    let producer = tokio::spawn(async move {
        for n in 0..10 {
            sender.send(Event::new(n)).await.unwrap();
        }
    });
    assert_eq!(data_of(receiver).await, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
    producer.await.unwrap();

    let (sender, receiver) = mpsc::unbounded::<Result<Event, io::Error>>();
    sender.unbounded_send(Ok(Event::new("fine"))).unwrap();
    sender.unbounded_send(Err(io::Error::other("broken"))).unwrap();
    sender.unbounded_send(Ok(Event::new("never"))).unwrap();
    let (frames, error) = read_all(&mut EventBody::from_stream(receiver).options(quiet())).await;
    assert_eq!(frames.concat(), b"data: fine\n\n");
    assert_eq!(error.unwrap().get_ref().to_string(), "broken");
    assert!(sender.is_closed());
}

#[tokio::test(start_paused = true)]
async fn the_wrappers_of_tokio_stream_are_sources() {
    let (sender, receiver) = tokio::sync::mpsc::channel::<EncodedEvent>(4);
    sender.send(Event::new("mpsc").encode()).await.unwrap();
    drop(sender);
    assert_eq!(data_of(ReceiverStream::new(receiver)).await, ["mpsc"]);

    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<Event>();
    sender.send(Event::new("unbounded")).unwrap();
    drop(sender);
    assert_eq!(data_of(UnboundedReceiverStream::new(receiver)).await, ["unbounded"]);

    let (sender, receiver) = tokio::sync::watch::channel(1);
    drop(sender);
    assert_eq!(data_of(WatchStream::new(receiver).map(Event::new)).await, ["1"]);

    let every = IntervalStream::new(interval(Duration::from_secs(1)));
    let ticks = every.take(3).enumerate().map(|(n, _)| Event::new(n));
    assert_eq!(data_of(ticks).await, ["0", "1", "2"]);
}

#[tokio::test]
async fn one_event_encoded_once_goes_to_many_through_a_broadcast() {
    let (sender, _) = tokio::sync::broadcast::channel::<EncodedEvent>(4);
    let readers: Vec<_> = (0..3).map(|_| BroadcastStream::new(sender.subscribe())).collect();
    sender.send(Event::new("to all").encode()).unwrap();
    drop(sender);
    for reader in readers {
        assert_eq!(data_of(reader).await, ["to all"]);
    }

    // A reader that was too slow gets an error from its stream, which ends the body.
    let (sender, receiver) = tokio::sync::broadcast::channel::<EncodedEvent>(1);
    for n in 0..3 {
        sender.send(Event::new(n).encode()).unwrap();
    }
    let mut body = EventBody::from_stream(BroadcastStream::new(receiver)).options(quiet());
    let (_, error) = read_all(&mut body).await;
    assert_eq!(error.unwrap().get_ref().to_string(), "channel lagged by 2");
}

#[tokio::test]
async fn iterators_and_fallible_streams_are_sources() {
    assert_eq!(data_of(stream::iter(["a", "b"]).map(Event::new)).await, ["a", "b"]);
    let infallible = stream::repeat_with(|| Event::new("hi!")).map(Ok::<_, Infallible>);
    assert_eq!(data_of(infallible.take(2)).await, ["hi!", "hi!"]);

    let numbers = stream::iter([Ok(1), Err("bad"), Ok(2)]);
    let events = numbers.and_then(|n: u32| async move { Ok(Event::new(n)) });
    let (frames, error) = read_all(&mut EventBody::from_stream(events).options(quiet())).await;
    assert_eq!(frames.concat(), b"data: 1\n\n");
    assert_eq!(error.unwrap().get_ref().to_string(), "bad");
}

#[tokio::test(start_paused = true)]
async fn ready_items_are_joined_and_an_always_ready_stream_does_not_hang() {
    let ready = stream::iter((0..64).map(Event::new));
    let body = EventBody::from_stream(ready).options(quiet());
    assert_eq!(read_all(&mut { body }).await.0.len(), 1);

    let endless = stream::repeat_with(|| Event::new("x"));
    let mut body = EventBody::from_stream(endless).options(quiet());
    for _ in 0..100 {
        assert!(!body.next_chunk().await.unwrap().unwrap().is_empty());
    }
}
