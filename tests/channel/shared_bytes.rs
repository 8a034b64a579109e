//! Bytes that an application owns: the channel drops them without its lock.

use std::{sync::mpsc, thread, time::Duration};

use bytes::Bytes;
use tower_sse::{Buffer, EncodedEvent, Event, EventSender, event_channel};

/// Looks at the stream when it is dropped.
struct Owner {
    events: EventSender,
    bytes: &'static [u8],
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.events.is_closed();
    }
}

#[test]
fn the_owner_of_bytes_may_use_the_channel_when_it_is_dropped() {
    for buffer in [Buffer::fixed(16), Buffer::sliding(1), Buffer::dropping(1)] {
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            let (events, receiver) = event_channel(buffer);
            let owner = Owner { events: events.clone(), bytes: b"data: x\n\n" };
            let encoded = EncodedEvent::from_bytes(Bytes::from_owner(owner)).unwrap();
            events.try_send(encoded).unwrap();
            events.try_send(Event::new("second")).unwrap();
            drop(receiver);
            done.send(()).unwrap();
        });
        let waited = is_done.recv_timeout(Duration::from_secs(10));
        assert!(waited.is_ok(), "a deadlock: the owner was dropped under the lock");
    }
}
