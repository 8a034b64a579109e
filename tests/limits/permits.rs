//! A permit is freed however a request or a stream ends.

use std::{
    future::{Future as _, pending},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{Method, Request, StatusCode};
use proptest::prelude::*;
use tokio::{task::yield_now, time::sleep};
use tower::Service as _;
use tower_sse::{Accept, Connect, Event, EventChannelHandler, Refusal, event_channel_handler};

use crate::{
    assert_room, from, is_stream,
    support::{
        handlers::one_event_then_idle,
        http::{call, get},
    },
    user_of,
};

/// One request: after how many polls its future is dropped, and after how many chunks its body.
#[derive(Clone, Debug)]
struct Fate {
    user: u8,
    is_head: bool,
    /// How often `on_connect` awaits before it decides.
    awaits: usize,
    decides: Decides,
    polls: usize,
    chunks: usize,
    /// Whether the body is kept until the end of the test.
    stays: bool,
}

#[derive(Clone, Copy, Debug)]
enum Decides {
    Accept,
    Refuse,
    Fail,
    Panic,
}

fn fate() -> impl Strategy<Value = Fate> {
    let decides = prop_oneof![
        6 => Just(Decides::Accept),
        1 => Just(Decides::Refuse),
        1 => Just(Decides::Fail),
        1 => Just(Decides::Panic),
    ];
    let how = (0u8..3, prop::bool::weighted(0.1), 0usize..4, decides);
    (how, 0usize..6, 0usize..4, any::<bool>()).prop_map(
        |((user, is_head, awaits, decides), polls, chunks, stays)| Fate {
            user,
            is_head,
            awaits,
            decides,
            polls,
            chunks,
            stays,
        },
    )
}

async fn decide(connect: Connect) -> Result<Accept, Refusal> {
    let fate = connect.extensions().get::<Fate>().unwrap().clone();
    for _ in 0..fate.awaits {
        yield_now().await;
    }
    match fate.decides {
        Decides::Accept => Ok(connect.accept().extension(fate.user)),
        Decides::Refuse => Err(Refusal::new(StatusCode::FORBIDDEN)),
        Decides::Fail => Err("failed".into()),
        Decides::Panic => panic!("on purpose"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_held_while_on_connect_decides() {
    let handler = one_event_then_idle()
        .on_connect(|connect: Connect| async move {
            sleep(Duration::from_secs(1)).await;
            Ok(connect.accept())
        })
        .max_streams(1);
    let mut first = handler.clone();
    let first = first.call(get("/"));
    assert!(!is_stream(&call(&handler, get("/")).await));
    let Ok(first) = first.await;
    assert!(is_stream(&first));
    drop(first);
    let mut dropped = handler.clone();
    drop(dropped.call(get("/")));
    assert_room(&handler, 1, || get("/")).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_frees_the_permit() {
    let panicking: [EventChannelHandler<()>; 4] = [
        event_channel_handler(|_, _| async { panic!("in the handler") }),
        event_channel_handler(|_, events: tower_sse::EventSender| {
            assert!(events.is_closed(), "in the closure");
            async { Ok(()) }
        }),
        one_event_then_idle().on_connect(|_| async { panic!("in on_connect") }),
        one_event_then_idle().on_connect(|connect: Connect| {
            assert!(connect.uri().path().is_empty(), "in the call of on_connect");
            async move { Ok(connect.accept()) }
        }),
    ];
    for handler in panicking {
        let requests = Arc::new(AtomicUsize::new(0));
        let handler = handler.max_streams(2).max_streams_per(|_| Some(1), 2);
        for _ in 0..10 {
            let response = call(&handler, get("/")).await;
            requests.fetch_add(1, SeqCst);
            if is_stream(&response) {
                let mut body = response.into_body();
                while body.next_chunk().await.is_some_and(|chunk| chunk.is_ok()) {}
            } else {
                assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            }
        }
    }

    // A panic in the function that returns the key.
    let handler = one_event_then_idle().max_streams(2).max_streams_per(
        |connect| -> Option<String> {
            assert!(connect.headers().contains_key("user"), "no key");
            user_of(connect)
        },
        2,
    );
    for _ in 0..10 {
        assert_eq!(call(&handler, get("/")).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_room(&handler, 2, || from("ann")).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_frees_its_permit_when_it_ends_although_the_body_is_kept() {
    let handler = event_channel_handler::<_, _, ()>(|_, events| async move {
        events.send(Event::new("x")).await?;
        Ok(())
    })
    .max_streams(1);
    let mut body = call(&handler, get("/")).await.into_body();
    while body.next_chunk().await.is_some() {}
    assert!(is_stream(&call(&handler, get("/")).await));
    drop(body);
}

#[test]
fn a_kept_sender_holds_no_permit() {
    let (kept, keeps) = std::sync::mpsc::channel();
    let handler = event_channel_handler::<_, _, ()>(move |_, events| {
        kept.send(events).unwrap();
        async { pending().await }
    })
    .max_streams(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut body = call(&handler, get("/")).await.into_body();
        body.next_chunk().await.unwrap().unwrap();
        drop(body);
        let events = keeps.recv().unwrap();
        assert!(events.is_closed());
        assert_room(&handler, 1, || get("/")).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Futures and bodies are dropped at any point: only the bodies that are kept count.
    #[test]
    fn a_request_dropped_at_any_await_frees_its_permit(
        fates in prop::collection::vec(fate(), 1..60),
    ) {
        const STREAMS: usize = 6;
        const PER_USER: usize = 3;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let _guard = runtime.enter();
        let handler = one_event_then_idle()
            .on_connect(decide)
            .max_streams(STREAMS)
            .max_streams_per(|connect| connect.extensions().get::<u8>().copied(), PER_USER);
        let mut context = Context::from_waker(Waker::noop());
        let mut staying = Vec::new();
        for fate in fates {
            let method = if fate.is_head { Method::HEAD } else { Method::GET };
            let request = Request::builder().method(method).uri("/").extension(fate.clone());
            let mut service = handler.clone();
            let future = service.call(request.body(()).unwrap());
            let mut future = pin!(future);
            let mut response = None;
            for _ in 0..fate.polls {
                if let Poll::Ready(Ok(ready)) = future.as_mut().poll(&mut context) {
                    response = Some(ready);
                    break;
                }
            }
            let Some(response) = response else { continue };
            let status = response.status();
            let of_user = staying.iter().filter(|(user, _)| *user == fate.user).count();
            let expected = match (fate.decides, fate.is_head) {
                (_, false) if staying.len() >= STREAMS => StatusCode::SERVICE_UNAVAILABLE,
                (Decides::Refuse, _) => StatusCode::FORBIDDEN,
                (Decides::Fail | Decides::Panic, _) => StatusCode::INTERNAL_SERVER_ERROR,
                (_, false) if of_user >= PER_USER => StatusCode::TOO_MANY_REQUESTS,
                _ => StatusCode::OK,
            };
            prop_assert_eq!(status, expected);
            let mut body = response.into_body();
            for _ in 0..fate.chunks {
                let _ = pin!(body.next_chunk()).poll(&mut context);
            }
            if fate.stays && status == StatusCode::OK && !fate.is_head {
                staying.push((fate.user, body));
            }
        }
        drop(staying);
        for user in 0..2u8 {
            let fate = Fate {
                user,
                is_head: false,
                awaits: 0,
                decides: Decides::Accept,
                polls: 1,
                chunks: 0,
                stays: true,
            };
            let mut kept = Vec::new();
            for n in 0..=PER_USER {
                let request = Request::get("/").extension(fate.clone()).body(()).unwrap();
                let response = runtime.block_on(call(&handler, request));
                prop_assert_eq!(is_stream(&response), n < PER_USER);
                kept.push(response);
            }
        }
    }
}
