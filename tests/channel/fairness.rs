//! Senders that wait for room are served in order, and a turn is never lost.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use futures_util::FutureExt as _;
use tower_sse::{Buffer, Event, EventBody, event_channel};

use crate::{channel, full, next, waiting};

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn senders_are_served_in_order_and_none_overtakes() {
    let (events, mut body) = full();
    let (mut a, a_woken) = waiting(&events, "a");
    let (mut b, b_woken) = waiting(&events, "b");
    assert_eq!(next(&mut body), "data: first\n\n");
    assert_eq!((a_woken.count(), b_woken.count()), (1, 0));

    // There is room, and it belongs to `a`.
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
fn a_cancelled_send_passes_its_turn_on() {
    // Cancelled after its turn was granted, and before.
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
fn room_for_many_wakes_every_waiting_sender_in_turn() {
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

#[test]
fn a_waiting_send_is_woken_once_and_its_waker_is_released() {
    let (events, mut body) = channel(Buffer::fixed(1));
    events.try_send(Event::new(0)).unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let mut sending = pin!(events.send(Event::new(1)));
    assert!(sending.as_mut().poll(&mut context).is_pending());
    assert_eq!(Arc::strong_count(&woken), 3);
    let mut noop = Context::from_waker(Waker::noop());
    assert!(pin!(body.next_chunk()).poll(&mut noop).is_ready());
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(matches!(sending.poll(&mut context), Poll::Ready(Ok(()))));
    // The channel does not keep the waker of a send that has completed.
    assert_eq!(Arc::strong_count(&woken), 2);
}
