//! `blocking_send`, for threads.

use std::thread;

use futures_util::FutureExt as _;
use tower_sse::{Buffer, Event, EventBody, EventSender, HandlerOptions, SendError};

use crate::{
    full,
    support::{decode, never_hangs, read_text},
};

#[test]
fn a_blocking_send_in_the_poll_of_its_own_body_is_an_error() {
    let error = never_hangs(|| {
        let options = HandlerOptions::new().buffer(Buffer::fixed(3)).without_keep_alive();
        let mut body = EventBody::with_options(options, |events| async move {
            for n in 0.. {
                events.blocking_send(Event::new(n))?;
            }
            Ok(())
        });
        let first = body.next_chunk().now_or_never().unwrap().unwrap().unwrap();
        assert_eq!(decode(first).len(), 3);
        body.next_chunk().now_or_never().unwrap().unwrap().unwrap_err()
    });
    let error = error.get_ref().downcast_ref::<SendError>().unwrap();
    assert!(error.is_deadlock());
    assert!(error.to_string().contains("`send().await`"), "{error}");
}

#[test]
fn a_thread_next_to_a_current_thread_runtime_may_block() {
    let text = never_hangs(|| {
        let options = HandlerOptions::new().buffer(Buffer::fixed(2));
        let body = EventBody::with_options(options, |events| async move {
            thread::spawn(move || (0..1000).try_for_each(|n| events.blocking_send(Event::new(n))));
            Ok(())
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(read_text(body))
    });
    let data = decode(text).into_iter().map(|(_, data, _)| data);
    assert!(data.eq((0..1000).map(|n| n.to_string())));
}

#[test]
fn a_blocked_thread_is_released_when_the_stream_ends() {
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

#[test]
fn a_blocking_send_in_the_drop_of_the_handler_fails_at_once() {
    struct SaysBye(EventSender);
    impl Drop for SaysBye {
        fn drop(&mut self) {
            assert!(self.0.blocking_send(Event::new("bye")).is_err());
        }
    }
    never_hangs(|| {
        let options = HandlerOptions::new().buffer(Buffer::fixed(1)).without_keep_alive();
        let mut body = EventBody::with_options(options, |events| async move {
            let _guard = SaysBye(events.clone());
            loop {
                events.send(Event::new("x")).await?;
            }
        });
        let _ = body.next_chunk().now_or_never();
        drop(body);
    });
}
