//! Wakers and freed bytes: when a waker is called, and that neither a waker nor a destructor runs
//! under the lock of the channel.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc::channel,
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use tower_sse::{Buffer, EncodedEvent, Event, EventBody, EventSender, event_channel};

use crate::support::{handlers::spawned_if, never_hangs, poll, waker::Woken};

/// Bytes whose owner locks the channel when they are freed.
struct Looks(EventSender);

impl AsRef<[u8]> for Looks {
    fn as_ref(&self) -> &[u8] {
        const EVENT: &[u8] = &{
            let mut event = [b'x'; 5_000];
            event[0] = b':';
            event[4_998] = b'\n';
            event[4_999] = b'\n';
            event
        };
        EVENT
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        let _ = self.0.is_closed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_sender_does_not_keep_the_task_of_the_connection() {
    for ends_itself in [false, true] {
        for spawn_handler in [false, true] {
            let (keep, kept) = channel();
            let options = spawned_if(spawn_handler);
            let mut body = EventBody::with_options(options, move |events| {
                keep.send(events).unwrap();
                pending()
            });
            let (woken, waker) = Woken::new();
            assert!(poll(&mut body, &waker).is_ready(), "the greeting");
            while poll(&mut body, &waker).is_ready() {}
            // If the handler is spawned, its task runs now.
            tokio::task::yield_now().await;
            let events = kept.recv().unwrap();
            drop(waker);
            assert!(Arc::strong_count(&woken) > 1, "the body waits");
            if ends_itself {
                events.close();
                let Poll::Ready(None) = poll(&mut body, Waker::noop()) else { panic!("no end") };
            } else {
                drop(body);
            }
            tokio::task::yield_now().await;
            assert_eq!(Arc::strong_count(&woken), 1, "ends itself: {ends_itself}, {spawn_handler}");
            assert!(events.is_closed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_sends_of_a_handler_do_not_wake_its_own_task() {
    let (go_on, mut wait) = tokio::sync::mpsc::channel(1);
    let mut body = EventBody::new(move |events| async move {
        while wait.recv().await.is_some() {
            for n in 0..3 {
                events.send(Event::new(n)).await?;
            }
        }
        Ok(())
    })
    .without_greeting();
    let (woken, waker) = Woken::new();
    assert!(poll(&mut body, &waker).is_pending());
    for round in 1..=3 {
        go_on.send(()).await.unwrap();
        assert_eq!(woken.count(), round, "its channel wakes it");
        assert!(poll(&mut body, &waker).is_ready());
        assert!(poll(&mut body, &waker).is_pending());
        assert_eq!(woken.count(), round, "its own sends do not");
    }
}

#[test]
fn wakers_are_called_without_the_lock() {
    /// A waker that locks the channel when it is called.
    struct Looks(Mutex<Option<EventSender>>, AtomicUsize);
    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            let events = self.0.lock().unwrap().clone();
            events.into_iter().for_each(|events| drop(events.try_send(Event::new("reentrant"))));
            self.1.fetch_add(1, SeqCst);
        }
    }
    never_hangs(|| {
        let (events, receiver) = event_channel(Buffer::fixed(2));
        let mut body = EventBody::from(receiver).without_greeting().without_keep_alive();
        let looks = Arc::new(Looks(Mutex::new(Some(events.clone())), AtomicUsize::new(0)));
        let waker = Waker::from(looks.clone());
        assert!(poll(&mut body, &waker).is_pending());
        // A send wakes the body, the body wakes a waiting sender, and the end wakes the body.
        events.try_send(Event::new(1)).unwrap();
        assert_eq!(looks.1.load(SeqCst), 1);
        let mut waits = Box::pin(events.send(Event::new(3)));
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(poll(&mut body, &waker).is_ready());
        assert_eq!(looks.1.load(SeqCst), 2);
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        looks.0.lock().unwrap().take();
        while poll(&mut body, &waker).is_ready() {}
        events.close();
        assert_eq!(looks.1.load(SeqCst), 3);
    });
}

#[test]
fn bytes_and_wakers_are_freed_without_the_lock() {
    never_hangs(|| {
        let (events, receiver) = event_channel(Buffer::sliding(1));
        for _ in 0..3 {
            let bytes = Bytes::from_owner(Looks(events.clone()));
            events.try_send(EncodedEvent::from_bytes(bytes).unwrap()).unwrap();
        }
        assert_eq!(events.dropped(), 2);
        drop(receiver);
    });

    /// A waker that holds the last sender.
    struct Holds(#[expect(dead_code, reason = "it is dropped with the waker")] EventSender);
    impl Wake for Holds {
        fn wake(self: Arc<Self>) {}
    }
    never_hangs(|| {
        let (events, receiver) = event_channel(Buffer::fixed(1));
        let mut body = EventBody::from(receiver).without_greeting().without_keep_alive();
        let waker = || Waker::from(Arc::new(Holds(events.clone())));
        for _ in 0..2 {
            let mut chunk = Box::pin(body.next_chunk());
            assert!(chunk.as_mut().poll_unpin(&mut Context::from_waker(&waker())).is_pending());
        }
        events.try_send(Event::new("fills it")).unwrap();
        let mut sending = Box::pin(events.send(Event::new("waits")));
        for _ in 0..2 {
            let polled = sending.as_mut().poll_unpin(&mut Context::from_waker(&waker()));
            assert!(matches!(polled, Poll::Pending));
        }
        drop(sending);
    });
}
