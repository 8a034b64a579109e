//! How many streams a handler serves at once, and the response to a client beyond the limit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{Method, Request, StatusCode};
use tower_sse::Connect;

use crate::{
    assert_room, from, is_stream,
    support::{
        handlers::one_event_then_idle,
        http::{call, get},
        read_text,
    },
    user_of,
};

#[tokio::test(start_paused = true)]
async fn a_browser_gets_a_stream_with_retry_and_other_clients_a_retry_after() {
    let spread = Duration::from_secs(3)..=Duration::from_secs(4);
    let handler = one_event_then_idle().max_streams(0).retry_after(spread.clone());
    let browser = || Request::get("/").header("accept", "text/event-stream").body(()).unwrap();
    let response = call(&handler, browser()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let text = read_text(response.into_body()).await;
    let retry: u64 = text.strip_prefix("retry: ").unwrap().trim().parse().unwrap();
    assert!((3000..=4000).contains(&retry), "{retry}");
    let response = call(&handler, get("/")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(["3", "4"].contains(&response.headers()["retry-after"].to_str().unwrap()));

    let handler =
        one_event_then_idle().max_streams_per(|_| Some("everybody"), 0).retry_after(spread);
    assert_eq!(call(&handler, browser()).await.status(), StatusCode::OK);
    let response = call(&handler, get("/")).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key("retry-after"));
}

#[tokio::test(start_paused = true)]
async fn each_key_has_a_limit_of_its_own_and_requests_without_a_key_have_none() {
    let handler = one_event_then_idle().max_streams_per(user_of, 2);
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
async fn limits_are_checked_before_on_connect_where_the_key_is_known_and_after_it_otherwise() {
    #[derive(Clone, PartialEq, Eq, Hash)]
    struct User(String);

    let connects = Arc::new(AtomicUsize::new(0));
    let connected = connects.clone();
    let handler = one_event_then_idle()
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
    // The key is known only after `on_connect`.
    assert_eq!(call(&handler, from("ann")).await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(connects.load(SeqCst), 2);
    let bob = call(&handler, from("bob")).await;
    assert!(is_stream(&bob));
    // The key is known before `on_connect`.
    assert_eq!(call(&handler, from("eve")).await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(connects.load(SeqCst), 3);
    drop((ann, bob));
    // The refused requests hold no permit.
    assert!(is_stream(&call(&handler, from("ann")).await));
    assert_eq!(call(&handler, get("/")).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test(start_paused = true)]
async fn a_head_request_takes_no_permit() {
    let head = || Request::builder().method(Method::HEAD).uri("/").body(()).unwrap();
    let handler = one_event_then_idle().max_streams(0).max_streams_per(|_| Some(()), 0);
    let response = call(&handler, head()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let handler = one_event_then_idle().max_streams(1);
    let _heads = [call(&handler, head()).await, call(&handler, head()).await];
    assert_room(&handler, 1, || get("/")).await;
}

#[tokio::test(start_paused = true)]
async fn clones_share_a_limit_and_setting_it_again_makes_another() {
    let handler = one_event_then_idle().max_streams(1);
    let clone = handler.clone();
    let _stream = call(&handler, get("/")).await;
    assert!(!is_stream(&call(&clone, get("/")).await));
    let other = clone.max_streams(1);
    assert!(is_stream(&call(&other, get("/")).await));
}

/// A page that reloads opens its new stream before the server has noticed the end of the old one.
#[tokio::test(start_paused = true)]
async fn a_request_at_a_limit_waits_for_a_place_that_is_freed_within_50_milliseconds() {
    #[derive(Clone, PartialEq, Eq, Hash)]
    struct User(Option<String>);

    let waits = Duration::from_millis(50);
    for handler in [
        one_event_then_idle().max_streams(1),
        one_event_then_idle().max_streams_per(user_of, 1),
        // The key is known only after `on_connect`.
        one_event_then_idle()
            .on_connect(|connect| async {
                let user = User(user_of(&connect));
                Ok(connect.accept().extension(user))
            })
            .max_streams_per(|connect| connect.extensions().get::<User>().cloned(), 1),
        one_event_then_idle().max_streams(1).max_streams_per(user_of, 1),
    ] {
        let first = call(&handler, from("ann")).await;
        let calls = || {
            let handler = handler.clone();
            tokio::spawn(async move { call(&handler, from("ann")).await })
        };
        let second = calls();
        tokio::time::sleep(Duration::from_millis(20)).await;
        // The first one that waits gets the place, and the next one waits to the end.
        let third = calls();
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(first);
        let began = tokio::time::Instant::now();
        let second = second.await.unwrap();
        assert!(is_stream(&second) && began.elapsed().is_zero(), "{:?}", began.elapsed());
        assert!(!is_stream(&third.await.unwrap()));
        assert_eq!(began.elapsed(), Duration::from_millis(30));

        let began = tokio::time::Instant::now();
        assert!(!is_stream(&call(&handler, from("ann")).await));
        assert_eq!(began.elapsed(), waits);
        drop(second);
        assert!(is_stream(&call(&handler, from("ann")).await));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_place_of_its_key_keeps_no_place_from_others() {
    let handler = one_event_then_idle().max_streams(2).max_streams_per(user_of, 1);
    let first = call(&handler, from("ann")).await;
    let waits = {
        let handler = handler.clone();
        tokio::spawn(async move { call(&handler, from("ann")).await })
    };
    tokio::task::yield_now().await;
    let began = tokio::time::Instant::now();
    let other = call(&handler, from("bob")).await;
    assert!(is_stream(&other) && began.elapsed().is_zero());
    // There is a place of the key, but none of all.
    drop(first);
    let third = call(&handler, from("eve")).await;
    assert_eq!(is_stream(&waits.await.unwrap()), !is_stream(&third));
}

#[test]
fn without_a_runtime_no_request_waits() {
    let handler = one_event_then_idle().without_keep_alive().max_streams(1);
    let call = || futures_util::FutureExt::now_or_never(call(&handler, get("/")));
    let first = call().unwrap();
    assert!(is_stream(&first));
    assert!(!is_stream(&call().unwrap()));
}
