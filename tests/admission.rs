//! How many streams there may be: nobody gets in beyond the limit, nobody is refused below it, and
//! no place is ever lost.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

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

use http::{Method, Request, Response, StatusCode};
use proptest::prelude::*;
use support::{
    http::{call, get},
    read_text,
};
use tokio::{task::yield_now, time::sleep};
use tower::Service as _;
use tower_sse::{
    Accept, Connect, Event, EventBody, EventChannelHandler, Refusal, event_channel_handler,
};

const MAX: usize = 100;
const CLIENTS: usize = 1000;

fn endless() -> EventChannelHandler<()> {
    event_channel_handler(|_, events| async move {
        events.send(Event::new("x")).await?;
        pending().await
    })
}

fn is_stream(response: &Response<EventBody>) -> bool {
    response.status() == StatusCode::OK
}

fn from(user: &str) -> Request<()> {
    Request::get("/").header("user", user).body(()).unwrap()
}

fn user_of(connect: &Connect) -> Option<String> {
    Some(connect.headers().get("user")?.to_str().unwrap().to_owned())
}

/// Admits as many as the limit says, and asserts that one more is refused.
async fn assert_room(handler: &EventChannelHandler<()>, room: usize, request: fn() -> Request<()>) {
    let mut streams = Vec::new();
    for n in 0..room {
        let response = call(handler, request()).await;
        assert!(is_stream(&response), "{n} of {room}: {}", response.status());
        streams.push(response);
    }
    assert!(!is_stream(&call(handler, request()).await), "more than {room}");
}

/// Clients that come until they are let in, stay for a while, and leave, by dropping the response
/// unpolled or the body half read.
async fn client(handler: EventChannelHandler<()>, living: Arc<AtomicUsize>, exact: bool) {
    let step = |least, most| Duration::from_micros(fastrand::u64(least..most));
    sleep(step(0, 20_000)).await;
    loop {
        let response = call(&handler, get("/")).await;
        if !is_stream(&response) {
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            if exact {
                assert_eq!(living.load(SeqCst), MAX, "refused though there was a place");
            }
            sleep(step(100, 5_000)).await;
            continue;
        }
        assert!(living.fetch_add(1, SeqCst) < MAX, "more than the limit");
        let mut body = response.into_body();
        if fastrand::bool() {
            body.next_chunk().await.unwrap().unwrap();
        }
        sleep(step(0, 5_000)).await;
        living.fetch_sub(1, SeqCst);
        drop(body);
        return;
    }
}

async fn load(exact: bool) {
    let living = Arc::new(AtomicUsize::new(0));
    let handler = endless().max_streams(MAX);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(client(handler.clone(), living.clone(), exact)))
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(living.load(SeqCst), 0);
    assert_room(&handler, MAX, || get("/")).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_clients_never_exceed_the_limit_and_none_is_refused_below_it() {
    load(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_on_several_threads_never_exceed_the_limit() {
    load(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_over_sockets_never_exceed_the_limit() {
    let (living, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (lives, leaves, high) = (living.clone(), living.clone(), most.clone());
    let handler = event_channel_handler::<_, _, hyper::body::Incoming>(|_, events| async move {
        events.send(Event::new("x")).await?;
        pending().await
    })
    .on_disconnect(move |_| {
        leaves.fetch_sub(1, SeqCst);
    })
    .on_connect(move |connect: Connect| {
        high.fetch_max(lives.fetch_add(1, SeqCst) + 1, SeqCst);
        async move { Ok(connect.accept()) }
    })
    .max_streams(MAX);
    let server = Arc::new(support::http::Server::start(handler).await);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(fastrand::u64(0..1000))).await;
                let mut client = server.get_raw("/").await;
                client.until("\r\n\r\n").await;
                let admitted = client.text().starts_with("HTTP/1.1 200");
                if admitted {
                    client.until("data: x").await;
                    sleep(Duration::from_millis(fastrand::u64(0..100))).await;
                }
                admitted
            })
        })
        .collect();
    let mut admitted = 0;
    for client in clients {
        admitted += usize::from(client.await.unwrap());
    }
    assert!(admitted >= MAX, "{admitted}");
    assert!(most.load(SeqCst) <= MAX, "{most:?}");
    support::http::soon(async {
        while living.load(SeqCst) > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn browsers_are_told_to_come_back_and_others_when_to() {
    let spread = Duration::from_secs(3)..=Duration::from_secs(4);
    let handler = endless().max_streams(0).retry_after(spread.clone());
    let browser = || Request::get("/").header("accept", "text/event-stream").body(()).unwrap();
    let response = call(&handler, browser()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let text = read_text(response.into_body()).await;
    let retry: u64 = text.strip_prefix("retry: ").unwrap().trim().parse().unwrap();
    assert!((3000..=4000).contains(&retry), "{retry}");
    let response = call(&handler, get("/")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(["3", "4"].contains(&response.headers()["retry-after"].to_str().unwrap()));

    let handler = endless().max_streams_per(|_| Some("everybody"), 0).retry_after(spread);
    assert_eq!(call(&handler, browser()).await.status(), StatusCode::OK);
    let response = call(&handler, get("/")).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key("retry-after"));
}

#[tokio::test(start_paused = true)]
async fn each_key_has_a_limit_of_its_own_and_who_has_none_is_not_limited() {
    let handler = endless().max_streams_per(user_of, 2);
    let mut streams = Vec::new();
    for user in ["ann", "bob", "ann", "bob"] {
        streams.push(call(&handler, from(user)).await);
    }
    assert!(streams.iter().all(is_stream));
    for user in ["ann", "bob"] {
        assert_eq!(call(&handler, from(user)).await.status(), StatusCode::TOO_MANY_REQUESTS);
    }
    streams.remove(0);
    assert!(is_stream(&call(&handler, from("ann")).await));
    assert!(!is_stream(&call(&handler, from("bob")).await));
    for _ in 0..10 {
        streams.push(call(&handler, get("/")).await);
    }
    assert!(streams.iter().all(is_stream));
}

#[tokio::test(start_paused = true)]
async fn what_can_be_decided_before_on_connect_is_and_the_rest_after() {
    #[derive(Clone, PartialEq, Eq, Hash)]
    struct User(String);

    let connects = Arc::new(AtomicUsize::new(0));
    let connected = connects.clone();
    let handler = endless()
        .on_connect(move |connect: Connect| {
            connected.fetch_add(1, SeqCst);
            let user = user_of(&connect).map(User);
            async move {
                let user = user.ok_or("who are you?")?;
                Ok(connect.accept().extension(user))
            }
        })
        .max_streams_per(|connect| connect.extensions().get::<User>().cloned(), 1)
        .max_streams_per(|connect| Some(connect.uri().path().to_owned()), 2);
    let ann = call(&handler, from("ann")).await;
    assert!(is_stream(&ann));
    // Known only afterwards.
    assert_eq!(call(&handler, from("ann")).await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(connects.load(SeqCst), 2);
    let bob = call(&handler, from("bob")).await;
    assert!(is_stream(&bob));
    // Known before.
    assert_eq!(call(&handler, from("eve")).await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(connects.load(SeqCst), 3);
    drop((ann, bob));
    // Those who were refused have left nothing behind.
    assert!(is_stream(&call(&handler, from("ann")).await));
    assert_eq!(call(&handler, get("/")).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test(start_paused = true)]
async fn a_place_is_kept_while_on_connect_decides() {
    let handler = endless()
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
async fn a_head_takes_no_place() {
    let head = || Request::builder().method(Method::HEAD).uri("/").body(()).unwrap();
    let handler = endless().max_streams(0).max_streams_per(|_| Some(()), 0);
    let response = call(&handler, head()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let handler = endless().max_streams(1);
    let _heads = [call(&handler, head()).await, call(&handler, head()).await];
    assert_room(&handler, 1, || get("/")).await;
}

#[tokio::test(start_paused = true)]
async fn panics_leave_no_place_taken() {
    let panicking: [EventChannelHandler<()>; 4] = [
        event_channel_handler(|_, _| async { panic!("in the handler") }),
        event_channel_handler(|_, events: tower_sse::EventSender| {
            assert!(events.is_closed(), "in the closure");
            async { Ok(()) }
        }),
        endless().on_connect(|_| async { panic!("in on_connect") }),
        endless().on_connect(|connect: Connect| {
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

    // And where the key cannot be told.
    let handler = endless().max_streams(2).max_streams_per(
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
async fn a_stream_gives_its_place_back_when_it_has_ended_though_the_body_is_kept() {
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
fn a_sender_that_is_kept_keeps_no_place() {
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

/// What becomes of one request: after how many polls its future is dropped, and its body.
#[derive(Clone, Debug)]
struct Fate {
    user: u8,
    is_head: bool,
    /// What `on_connect` does, after how many awaits.
    awaits: usize,
    decides: Decides,
    polls: usize,
    chunks: usize,
    /// Whether it is kept until the end.
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
        Decides::Panic => panic!("as it was to"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Futures and bodies are dropped at any point: whoever is there counts, and nobody else.
    #[test]
    fn whatever_is_dropped_at_whatever_await_leaves_no_place_taken(
        fates in prop::collection::vec(fate(), 1..60),
    ) {
        const STREAMS: usize = 6;
        const PER_USER: usize = 3;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        let handler = endless()
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

#[tokio::test(start_paused = true)]
async fn clones_share_a_limit_and_one_that_is_set_again_is_another() {
    let handler = endless().max_streams(1);
    let clone = handler.clone();
    let _stream = call(&handler, get("/")).await;
    assert!(!is_stream(&call(&clone, get("/")).await));
    let other = clone.max_streams(1);
    assert!(is_stream(&call(&other, get("/")).await));
}
