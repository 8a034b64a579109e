//! Readers: hooks of the first and the last one, disconnecting by session, and the end of the hub.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use tower_sse::{EndReason, Hub, hub::Selection};

use super::{call, get, ready, ready_bytes, subscribe, topics};

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("on purpose");
    }
}

struct Counts(AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[tokio::test]
async fn hooks_run_for_the_first_and_the_last_reader_in_order() {
    let reported = Arc::new(Mutex::new(Vec::new()));
    let (first, last) = (reported.clone(), reported.clone());
    let hub = Hub::builder()
        .on_first_reader(move |topic| first.lock().unwrap().push(format!("+{topic}")))
        .on_last_reader(move |topic| last.lock().unwrap().push(format!("-{topic}")))
        .build();
    let pattern = subscribe(&hub, Selection::default().patterns([">"]).unwrap());
    let one = subscribe(&hub, topics(&["a"]));
    let two = subscribe(&hub, topics(&["b", "a"]));
    assert_eq!((hub.readers("a").unwrap(), hub.readers("b").unwrap()), (3, 2));
    assert_eq!(hub.readers("c").unwrap(), 1);
    drop(one);
    drop(two);
    drop(pattern);
    assert_eq!(*reported.lock().unwrap(), ["+a", "+b", "-a", "-b"]);
    assert_eq!(hub.readers("a").unwrap(), 0);
    assert!(hub.readers("").is_err());
}

#[tokio::test]
async fn a_hook_may_use_the_hub() {
    let count = Arc::new(AtomicUsize::new(0));
    let slot: Arc<Mutex<Option<Hub>>> = Arc::default();
    let (hooked, counted) = (slot.clone(), count.clone());
    let hub = Hub::builder()
        .on_first_reader(move |topic| {
            counted.fetch_add(1, SeqCst);
            let hub = hooked.lock().unwrap().clone();
            if topic == "a" {
                drop(subscribe(&hub.unwrap(), topics(&["b"])));
            }
        })
        .build();
    *slot.lock().unwrap() = Some(hub.clone());
    let subscription = subscribe(&hub, topics(&["a"]));
    assert_eq!(count.load(SeqCst), 2);
    drop(subscription);
    slot.lock().unwrap().take();
}

#[tokio::test]
async fn readers_are_disconnected_by_their_session() {
    #[derive(Clone)]
    struct User(u32);
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let reported = reasons.clone();
    let hub = Hub::new();
    let handler = hub
        .handler(|connect| async move {
            let user = connect.uri().path()[1..].parse()?;
            connect.accept().extension(User(user)).topics(["a"])
        })
        .on_disconnect(move |end| {
            let user = end.extensions().get::<User>().unwrap().0;
            reported.lock().unwrap().push((user, end.reason().as_str()));
        });
    let mut bodies = Vec::new();
    for user in [1, 2, 1] {
        let mut body = call(&handler, get(&format!("/{user}"))).await.into_body();
        ready_bytes(&mut body);
        bodies.push(body);
    }
    let mut extensions = http::Extensions::new();
    extensions.insert(User(1));
    let mut inside = subscribe(&hub, topics(&["a"])).extensions(extensions);
    let is_first = |session: &http::Extensions| session.get::<User>().is_some_and(|it| it.0 == 1);
    assert_eq!(hub.disconnect(is_first), 3);
    assert_eq!(hub.disconnect(is_first), 0);
    assert_eq!(ready(&mut inside), ["end"]);
    hub.publish("a", "x").await.unwrap();
    let mut second = bodies.remove(1);
    assert!(ready_bytes(&mut second).ends_with("data: x\n\n"));
    let error = bodies[0].next_chunk().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "event stream failed: revoked by the application");
    drop(bodies);
    assert_eq!(*reasons.lock().unwrap(), [(1, "revoked"), (1, "revoked")]);
}

#[tokio::test]
async fn a_reader_that_is_disconnected_before_it_is_a_body_was_revoked() {
    let hub = Hub::new();
    let reported = Arc::new(Mutex::new(None));
    let reporting = reported.clone();
    let mut session = http::Extensions::new();
    session.insert(7);
    let subscription = subscribe(&hub, topics(&["a"])).extensions(session);
    assert_eq!(hub.disconnect(|session| session.get() == Some(&7)), 1);
    let mut body = subscription
        .into_body()
        .on_disconnect(move |end| *reporting.lock().unwrap() = Some(end.reason()));
    while body.next_chunk().await.is_some_and(|chunk| chunk.is_ok()) {}
    drop(body);
    assert_eq!(*reported.lock().unwrap(), Some(EndReason::Revoked));
}

#[tokio::test]
async fn readers_end_when_the_last_handle_is_dropped_and_all_is_read() {
    let hub = Hub::new();
    let mut subscription = subscribe(&hub, topics(&["a"]));
    let mut body = subscribe(&hub, topics(&["a"])).into_body();
    hub.publish("a", "1").await.unwrap();
    drop(hub);
    assert_eq!(ready(&mut subscription), ["1", "end"]);
    assert!(ready_bytes(&mut body).ends_with("data: 1\n\nend"));
}

#[tokio::test]
async fn a_waker_that_panics_keeps_no_other_reader_from_being_woken() {
    let hub = Hub::new();
    let woken = Arc::new(Counts(AtomicUsize::new(0)));
    let mut subscriptions: Vec<_> = (0..3).map(|_| subscribe(&hub, topics(&["a"]))).collect();
    for (n, subscription) in subscriptions.iter_mut().enumerate() {
        let waker = if n == 1 { Waker::from(Arc::new(Panics)) } else { woken.clone().into() };
        let mut cx = Context::from_waker(&waker);
        let poll = subscription.poll_next(&mut cx);
        assert!(poll.is_pending());
    }
    assert_eq!(hub.publish("a", "1").await.unwrap().woken, 3);
    assert_eq!(woken.0.load(SeqCst), 2);
}

#[tokio::test]
async fn the_hook_of_the_first_reader_sees_its_session() {
    #[derive(Clone)]
    struct User(u32);
    let slot: Arc<Mutex<Option<Hub>>> = Arc::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (hooked, found) = (slot.clone(), seen.clone());
    let hub = Hub::builder()
        .on_first_reader(move |topic| {
            let hub = hooked.lock().unwrap().clone().unwrap();
            let users = hub.sessions(|it| it.extensions().get::<User>().map(|user| user.0));
            found.lock().unwrap().push((topic.to_string(), users));
        })
        .build();
    *slot.lock().unwrap() = Some(hub.clone());
    let handler = hub
        .handler(|connect| async move { connect.accept().extension(User(7)).topics(["a"]) });
    let _response = call(&handler, get("/")).await;
    assert_eq!(*seen.lock().unwrap(), [("a".to_owned(), vec![7])]);
    slot.lock().unwrap().take();
}

#[tokio::test]
async fn a_full_hub_turns_clients_away_for_now() {
    let hub = Hub::builder().max_named_topics(1).build();
    let reader = subscribe(&hub, topics(&["a"]));
    assert!(hub.subscribe(topics(&["b"])).await.unwrap_err().is_full());
    let handler = hub
        .handler(|connect| async move { connect.accept().topics(["b"]) })
        .retry_after(Duration::from_secs(7)..=Duration::from_secs(7));

    let refused = call(&handler, get("/")).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "7");

    let mut browser = get("/");
    browser.headers_mut().insert("accept", "text/event-stream".parse().unwrap());
    let later = call(&handler, browser).await;
    assert_eq!(later.status(), 200);
    assert_eq!(ready_bytes(&mut later.into_body()), "retry: 7000\n\nend");

    drop(reader);
    assert_eq!(call(&handler, get("/")).await.status(), 200);
}
