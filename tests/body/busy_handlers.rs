//! Handlers that never wait: their body still yields its bytes and ends.

use std::future::Future;

use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, stream};
use tower_sse::{
    BoxError, Buffer, Event, EventBody, EventSender, HandlerOptions, event_channel_handler,
};

use crate::support::{http::Server, never_hangs};

/// Returns the first three chunks of a body whose handler never waits.
fn three_chunks<Fut>(
    buffer: Buffer,
    handler: impl FnOnce(EventSender) -> Fut + Send + 'static,
) -> Vec<Bytes>
where
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    never_hangs(move || {
        let options = HandlerOptions::new().buffer(buffer).without_keep_alive();
        let mut body = EventBody::with_options(options, handler);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut chunks = Vec::new();
            for _ in 0..3 {
                chunks.push(body.next_chunk().await.unwrap().unwrap());
            }
            chunks
        })
    })
}

#[test]
fn a_handler_that_never_waits_does_not_hang_its_body() {
    for buffer in [Buffer::dropping(8), Buffer::sliding(8), Buffer::fixed(8)] {
        let chunks = three_chunks(buffer, |events| async move {
            loop {
                events.send(Event::new("x")).await?;
            }
        });
        assert!(chunks[0].starts_with(b": connected\ndata: x\n\n"), "{buffer:?}");
        assert!(chunks[2].starts_with(b"data: x\n\n"), "{buffer:?}");
        assert!(chunks.iter().all(|chunk| chunk.len() <= 13 + 8 * 9), "{buffer:?}");
    }

    let from_stream = never_hangs(move || {
        let endless = stream::repeat_with(|| Event::new("x"));
        let mut body = EventBody::from_stream(endless).without_keep_alive();
        body.next_chunk().now_or_never()
    });
    assert!(from_stream.unwrap().unwrap().unwrap().starts_with(b": connected\ndata: x\n\n"));
}

#[test]
fn a_buffer_bounded_only_in_bytes_does_not_hang_its_body() {
    for buffer in
        [Buffer::dropping(usize::MAX), Buffer::sliding(usize::MAX), Buffer::fixed(usize::MAX)]
    {
        let chunks = three_chunks(buffer.max_bytes(100), |events| async move {
            loop {
                events.send(Event::new("x")).await?;
            }
        });
        assert!(chunks[2].starts_with(b"data: x\n\n"), "{buffer:?}");
    }
}

#[test]
fn a_sink_that_never_waits_does_not_hang_its_body() {
    for buffer in [Buffer::fixed(8), Buffer::dropping(8), Buffer::sliding(8)] {
        let chunks = three_chunks(buffer, |events| async move {
            let mut events = events.into_sink();
            let mut endless = stream::repeat_with(|| Ok(Event::new("x")));
            Ok(events.send_all(&mut endless).await?)
        });
        assert!(chunks[2].starts_with(b"data: x\n\n"), "{buffer:?}");
    }
}

#[test]
fn a_sink_that_ignores_its_errors_does_not_hang_its_body() {
    for buffer in [Buffer::fixed(4), Buffer::dropping(4), Buffer::sliding(4)] {
        let options = HandlerOptions::new().buffer(buffer.max_event_bytes(4)).without_keep_alive();
        let is_pending = |mut body: EventBody| {
            body.next_chunk().now_or_never().unwrap().unwrap().unwrap();
            // Every send fails, because the event is too large or the stream is closed, and the
            // body still gets its turn.
            matches!(body.next_chunk().now_or_never(), None | Some(None))
        };
        let of = options.clone();
        assert!(never_hangs(move || is_pending(EventBody::with_options(
            of,
            |events| async move {
                let mut sink = events.into_sink();
                loop {
                    let _ = sink.feed(Event::new("too large")).await;
                }
            }
        ))));
        let of = options.clone();
        assert!(never_hangs(move || is_pending(EventBody::with_options(
            of,
            |events| async move {
                events.close();
                let mut sink = events.into_sink();
                loop {
                    let _ = sink.feed(Event::new("x")).await;
                }
            }
        ))));
        let of = options.clone();
        assert!(never_hangs(move || is_pending(EventBody::with_options(
            of,
            |events| async move {
                let mut sink = events.clone().into_sink();
                sink.close().await?;
                loop {
                    let _ = sink.send(Event::new("x")).await;
                    let _ = sink.feed(Event::new("x")).await;
                }
            }
        ))));
    }
}

#[test]
fn a_handler_that_ignores_the_end_does_not_hang_its_body() {
    let end = never_hangs(|| {
        let mut body = EventBody::new(|events| async move {
            events.close();
            loop {
                let _ = events.send(Event::new("x")).await;
            }
        })
        .without_greeting()
        .without_keep_alive();
        body.next_chunk().now_or_never().map(|chunk| chunk.is_none())
    });
    assert_eq!(end, Some(true));
}

#[test]
fn the_response_head_is_sent_although_the_handler_never_waits() {
    let text = never_hangs(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let handler = event_channel_handler(|_, events| async move {
                loop {
                    events.send(Event::new("x")).await?;
                }
            })
            .buffer(Buffer::sliding(64));
            let server = Server::start(handler).await;
            let mut client = server.get_raw("/").await;
            client.until("data: x\n\n").await;
            client.text()
        })
    });
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text:?}");
}
