//! The hub: what its readers get, and what they are told.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod edges;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{Request, StatusCode};
use http_body::Body;
use tower::ServiceExt;
use tower_sse::{
    Event, EventBody, EventParser, Farewell, Hub, KeepAlive, Refusal, Shutdown,
    hub::{
        Entry, Gap, GapReason, History, HubHandler, Lagging, Publication, Resumption, Selection,
        Subscription,
    },
};

fn topics(names: &[&str]) -> Selection {
    Selection::new(names.iter().copied()).unwrap()
}

fn data(entry: &Entry) -> String {
    entry.event().data().to_owned()
}

/// Reads all that is ready.
fn ready(feed: &mut Subscription) -> Vec<String> {
    let mut found = Vec::new();
    let waker = std::task::Waker::noop();
    let mut cx = std::task::Context::from_waker(waker);
    loop {
        match futures_core::Stream::poll_next(std::pin::Pin::new(&mut *feed), &mut cx) {
            std::task::Poll::Ready(Some(Ok(entry))) => found.push(data(&entry)),
            std::task::Poll::Ready(Some(Err(lagged))) => {
                found.push(format!("lagged {:?}", lagged.gap().missed));
            }
            std::task::Poll::Ready(None) => {
                found.push("end".into());
                return found;
            }
            std::task::Poll::Pending => return found,
        }
    }
}

/// Reads all bytes that are ready.
fn ready_bytes(body: &mut EventBody) -> String {
    let mut text = String::new();
    let waker = std::task::Waker::noop();
    let mut cx = std::task::Context::from_waker(waker);
    loop {
        match Body::poll_frame(std::pin::Pin::new(&mut *body), &mut cx) {
            std::task::Poll::Ready(Some(Ok(frame))) => {
                text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            }
            std::task::Poll::Ready(Some(Err(error))) => {
                text.push_str(&format!("error: {error}"));
                return text;
            }
            std::task::Poll::Ready(None) => {
                text.push_str("end");
                return text;
            }
            std::task::Poll::Pending => return text,
        }
    }
}

async fn call(handler: &HubHandler, request: Request<()>) -> http::Response<EventBody> {
    handler.clone().oneshot(request).await.unwrap()
}

fn get(uri: &str) -> Request<()> {
    Request::get(uri).body(()).unwrap()
}

fn last_id(text: &str) -> String {
    let id = text.lines().rev().find_map(|line| line.strip_prefix("id: "));
    id.unwrap().to_owned()
}

#[tokio::test]
async fn readers_get_the_order_of_publication_over_all_their_topics() {
    let hub = Hub::new();
    let mut both = hub.subscribe(topics(&["a", "b"]));
    let mut one = hub.subscribe(topics(&["a"]));
    let mut pattern = hub.subscribe(Selection::default().patterns(["a.>", "b"]).unwrap());
    for (topic, text) in [("a", "1"), ("b", "2"), ("c", "3"), ("a", "4"), ("a.x", "5")] {
        hub.publish(topic, text).await.unwrap();
    }
    assert_eq!(ready(&mut both), ["1", "2", "4"]);
    assert_eq!(ready(&mut one), ["1", "4"]);
    assert_eq!(ready(&mut pattern), ["2", "5"]);
    assert_eq!(ready(&mut both), [""; 0]);
}

#[tokio::test]
async fn publishing_tells_the_id_and_how_many_it_woke() {
    let hub = Hub::new();
    let mut waiting = hub.subscribe(topics(&["a"]));
    let busy = hub.subscribe(topics(&["a"]));
    assert_eq!(ready(&mut waiting), [""; 0]);
    let first = hub.publish("a", "1").await.unwrap();
    let second = hub.publish("a", "2").await.unwrap();
    assert_eq!((first.woken, second.woken), (1, 0));
    assert_ne!(first.id, second.id);
    let entry = waiting.next().await.unwrap().unwrap();
    assert_eq!(entry.id(), Some(first.id));
    assert_eq!((entry.topic().as_str(), entry.key()), ("a", None));
    drop(busy);
}

#[tokio::test]
async fn what_cannot_be_published_comes_back_and_says_why() {
    let hub = Hub::builder().history(History::events(4).max_bytes(1000)).build();
    let error = hub.publish("", "x").await.unwrap_err();
    assert!(error.is_invalid_topic());
    assert_eq!(error.to_string(), "invalid topic: it is empty");
    let error = hub.publish("a", Event::new("x").with_id(7)).await.unwrap_err();
    assert!(error.has_id());
    assert_eq!(error.to_string(), r#"the event has the id "7", and ids are given by the hub"#);
    let error = hub.publish("a", "x".repeat(2000)).await.unwrap_err();
    assert!(error.is_too_large(), "{error}");
    assert_eq!(error.into_publications().remove(0).into_event().data().len(), 2000);

    let all =
        [Publication::new("a", "1"), Publication::new("b\n", "2"), Publication::new("c", "3")];
    let error = hub.publish_all(all).await.unwrap_err();
    assert_eq!(error.index(), 1);
    assert_eq!(error.to_string(), "publication 1: invalid topic: control character 0x0a at byte 1");
    assert_eq!(error.into_publications().len(), 3);
    assert_eq!(hub.stats().published, 0);
}

#[tokio::test]
async fn several_are_published_in_one_step_and_wake_once() {
    let hub = Hub::new();
    let mut feed = hub.subscribe(topics(&["a", "b"]));
    assert_eq!(ready(&mut feed), [""; 0]);
    let all = [Publication::new("a", "1"), Publication::new("b", "2"), Publication::new("a", "3")];
    let published = hub.publish_all(all).await.unwrap();
    assert_eq!((published.ids.len(), published.woken), (3, 1));
    assert_eq!(ready(&mut feed), ["1", "2", "3"]);
}

#[tokio::test]
async fn an_entry_gives_its_event_back_as_it_was_published() {
    let hub = Hub::new();
    let mut feed = hub.subscribe(topics(&["a"]));
    let event = Event::new("one\ntwo")
        .with_type("t")
        .with_retry(Duration::from_millis(7))
        .with_comment("hi")
        .with_field("trace", "x");
    hub.publish("a", event.clone()).await.unwrap();
    let entry = feed.next().await.unwrap().unwrap();
    assert_eq!(entry.event(), event.with_id(entry.id().unwrap()));
    assert!(entry.to_bytes().starts_with(b"id: "));
}

#[tokio::test]
async fn a_key_supersedes_what_was_not_read_yet() {
    let hub = Hub::new();
    let mut slow = hub.subscribe(topics(&["a"]));
    for (key, text) in [("x", "x1"), ("y", "y1"), ("x", "x2"), ("x", "x3")] {
        hub.publish_keyed("a", key, text).await.unwrap();
    }
    hub.publish_keyed("b", "x", "of another topic").await.unwrap();
    assert_eq!(ready(&mut slow), ["y1", "x3"]);
    let mut new = hub.subscribe(topics(&["a"]).with_state());
    hub.publish("a", "live").await.unwrap();
    assert_eq!(ready(&mut new), ["y1", "x3", "live"]);
    assert_eq!(hub.stats().events, 4);
}

#[tokio::test]
async fn state_goes_out_without_ids_and_an_id_follows() {
    let hub = Hub::new();
    hub.publish_keyed("a", "x", "1").await.unwrap();
    hub.publish_keyed("a", "y", "2").await.unwrap();
    hub.publish("a", "no key").await.unwrap();
    let feed = hub.subscribe(topics(&["a"]).with_state());
    // Who is cut before the state is through gets all again.
    let mut again = hub.resume(topics(&["a"]), feed.position());
    assert_eq!(*again.resumption(), Resumption::Complete);
    assert_eq!(ready(&mut again), ["1", "2", "no key"]);
    let at = hub.subscribe(topics(&["a"])).position();
    let mut body = feed.into_body().without_greeting();
    assert_eq!(ready_bytes(&mut body), format!("data: 1\n\ndata: 2\n\nid: {at}\n\n"));
    let id = hub.publish("a", "3").await.unwrap().id;
    assert_eq!(ready_bytes(&mut body), format!("id: {id}\ndata: 3\n\n"));
}

#[tokio::test]
async fn a_body_opens_with_an_id_to_resume_from() {
    let hub = Hub::new();
    let handler = hub.handler(|connect| async move { connect.accept().topics(["a"]) });
    let response = call(&handler, get("/")).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let opening = ready_bytes(&mut body);
    assert!(opening.starts_with(": connected\n\nid: "), "{opening}");
    drop(body);
    hub.publish("a", "1").await.unwrap();
    hub.publish("b", "2").await.unwrap();
    hub.publish("a", "3").await.unwrap();
    let resume = Request::get("/").header("last-event-id", last_id(&opening)).body(()).unwrap();
    let mut body = call(&handler, resume).await.into_body();
    let replay = ready_bytes(&mut body);
    let events: Vec<_> = replay.lines().filter(|line| line.starts_with("data")).collect();
    assert_eq!(events, ["data: 1", "data: 3"]);
    // Exclusive: the event that it has is not sent again.
    let uri = format!("/?last_event_id={}", last_id(&replay));
    hub.publish("a", "4").await.unwrap();
    let mut body = call(&handler, get(&uri)).await.into_body();
    assert!(ready_bytes(&mut body).ends_with("data: 4\n\n"));
}

#[tokio::test]
async fn a_gap_is_told_with_what_is_known() {
    let hub = Hub::builder().history(History::events(2)).build();
    let start = hub.subscribe(topics(&["a"])).position();
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(hub.publish("a", Event::new(n)).await.unwrap().id);
    }
    let resume = |id: &str| hub.resume(topics(&["a"]), id);
    let gap = |feed: &Subscription| match feed.resumption() {
        Resumption::Gap(gap) => gap.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(*resume(ids[2].as_str()).resumption(), Resumption::Complete);
    let mut feed = resume(start.as_str());
    let told = gap(&feed);
    assert_eq!((told.reason, told.missed), (GapReason::Trimmed, Some(3)));
    assert_eq!(told.first.as_ref(), Some(&ids[3]));
    assert_eq!(ready(&mut feed), ["3", "4"]);
    assert_eq!(gap(&resume("7")).reason, GapReason::Unknown);
    let ahead = format!("{}9", ids[4]);
    assert_eq!(gap(&resume(&ahead)).reason, GapReason::Unknown);
    let other = Hub::new().publish("a", "x").await.unwrap().id;
    let mut feed = resume(other.as_str());
    assert_eq!(gap(&feed).reason, GapReason::OtherEpoch);
    assert_eq!(ready(&mut feed), ["3", "4"]);
    let other = hub.publish("b", "x").await.unwrap().id;
    assert_eq!(gap(&resume(other.as_str())).reason, GapReason::OtherTopic);

    let mut body = resume(start.as_str()).into_body().without_greeting();
    let text = ready_bytes(&mut body);
    let first = format!(
        "event: gap\nid: {start}\ndata: {{\"reason\":\"trimmed\",\"first\":\"{}\",\"missed\":3}}\n\nid: ",
        ids[3]
    );
    assert!(text.starts_with(&first), "{text}");
}

#[tokio::test]
async fn a_hook_replaces_or_silences_the_gap() {
    let hub = |hook: fn(&Gap) -> Option<Event>| {
        Hub::builder().history(History::events(1)).on_gap(hook).build()
    };
    for (hook, expected) in [
        (
            (|_: &Gap| Some(Event::new("x").with_type("stale"))) as fn(&Gap) -> _,
            "event: stale\nid: ",
        ),
        (|_| None, "id: "),
        (|_| panic!("on purpose"), "event: gap\nid: "),
    ] {
        let hub = hub(hook);
        let handler = hub.handler(|connect| async move { connect.accept().topics(["a"]) });
        hub.publish("a", "1").await.unwrap();
        let mut body = call(&handler.without_greeting(), get("/?lastEventId=7")).await.into_body();
        let text = ready_bytes(&mut body);
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("data: 1\n\n"), "{text}");
    }
}

#[tokio::test]
async fn a_reader_that_lags_is_evicted_or_skips() {
    let reasons = Arc::new(Mutex::new(Vec::new()));
    for lagging in [Lagging::Evict, Lagging::Skip] {
        let hub = Hub::builder().history(History::events(2)).lagging(lagging).build();
        let mut feed = hub.subscribe(topics(&["a"]));
        let told = reasons.clone();
        let mut body = hub
            .subscribe(topics(&["a"]))
            .into_body()
            .without_greeting()
            .on_disconnect(move |end| told.lock().unwrap().push(end.reason()));
        ready_bytes(&mut body);
        for n in 0..5 {
            hub.publish("a", Event::new(n)).await.unwrap();
        }
        match lagging {
            Lagging::Evict => {
                assert_eq!(ready(&mut feed), ["lagged Some(3)", "end"]);
                tokio::time::pause();
                let error = body.next_chunk().await.unwrap().unwrap_err();
                assert_eq!(
                    error.to_string(),
                    "event stream failed: evicted: the client was too slow"
                );
                tokio::time::resume();
            }
            _ => {
                assert_eq!(ready(&mut feed), ["lagged Some(3)", "3", "4"]);
                let text = ready_bytes(&mut body);
                assert!(text.starts_with("event: gap\nid: "), "{text}");
                assert!(text.contains(r#""missed":3}"#) && text.ends_with("data: 4\n\n"), "{text}");
            }
        }
        drop(body);
        assert_eq!(hub.stats().lagged, 2);
    }
    let reasons = reasons.lock().unwrap();
    assert_eq!(*reasons, [tower_sse::EndReason::Evicted, tower_sse::EndReason::ClientGone]);
}

#[tokio::test]
async fn a_stalled_reader_that_leaves_was_evicted() {
    let reason = Arc::new(Mutex::new(None));
    let told = reason.clone();
    let hub = Hub::builder().history(History::events(1)).build();
    let mut body = hub
        .subscribe(topics(&["a"]))
        .into_body()
        .on_disconnect(move |end| *told.lock().unwrap() = Some(end.reason()));
    ready_bytes(&mut body);
    for _ in 0..3 {
        hub.publish("a", "x").await.unwrap();
    }
    drop(body);
    assert_eq!(*reason.lock().unwrap(), Some(tower_sse::EndReason::Evicted));
}

#[tokio::test(start_paused = true)]
async fn history_is_bounded_by_events_bytes_and_age_and_the_oldest_go_first() {
    let hub = Hub::builder()
        .history(History::events(3).max_age(Duration::from_secs(10)))
        .total_history(History::events(5))
        .build();
    for n in 0..4 {
        hub.publish("a", Event::new(n)).await.unwrap();
        hub.publish("b", Event::new(n)).await.unwrap();
    }
    assert_eq!(hub.stats().events, 5);
    let replay = |topic: &'static str| ready(&mut hub.resume(topics(&[topic]), "x"));
    assert_eq!(replay("a"), ["2", "3"]);
    assert_eq!(replay("b"), ["1", "2", "3"]);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(replay("a"), [""; 0]);
    assert_eq!((hub.stats().events, hub.stats().bytes, hub.stats().topics), (0, 0, 0));

    let hub = Hub::builder().history(History::unlimited_events().max_bytes(2000)).build();
    for _ in 0..100 {
        hub.publish("a", "x".repeat(100)).await.unwrap();
    }
    let stats = hub.stats();
    assert!(stats.bytes <= 2000 && stats.events >= 3, "{stats:?}");
}

#[tokio::test]
async fn topics_without_readers_and_history_cost_nothing() {
    let hub = Hub::builder().total_history(History::events(1)).build();
    for n in 0..100 {
        hub.publish(format!("a.{n}"), "x").await.unwrap();
    }
    let readers: Vec<_> = (0..10).map(|n| hub.subscribe(topics(&[&format!("b.{n}")]))).collect();
    assert_eq!((hub.stats().topics, hub.stats().readers), (11, 10));
    drop(readers);
    assert_eq!((hub.stats().topics, hub.stats().readers), (1, 0));
}

#[tokio::test]
async fn a_quiet_reader_is_not_told_a_false_gap() {
    let hub = Hub::builder().history(History::events(1)).build();
    let mut quiet = hub.subscribe(topics(&["quiet"]));
    assert_eq!(ready(&mut quiet), [""; 0]);
    for _ in 0..10 {
        hub.publish("busy", "x").await.unwrap();
    }
    hub.publish("quiet", "1").await.unwrap();
    assert_eq!(ready(&mut quiet), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn keep_alives_bring_the_id_of_a_quiet_reader_up_to_date() {
    let hub = Hub::new();
    let body = hub.subscribe(topics(&["quiet"])).into_body().without_greeting();
    let mut body = body.keep_alive(KeepAlive::every(Duration::from_secs(15)));
    ready_bytes(&mut body);
    let plain = body.next_chunk().await.unwrap().unwrap();
    assert_eq!(plain, ": keep-alive\n\n");
    hub.publish("busy", "x").await.unwrap();
    let at = hub.subscribe(topics(&["quiet"])).position();
    let refreshed = body.next_chunk().await.unwrap().unwrap();
    assert_eq!(refreshed, format!(": keep-alive\n\nid: {at}\n\n"));
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": keep-alive\n\n");
}

#[tokio::test]
async fn readers_are_cut_by_their_session() {
    #[derive(Clone)]
    struct User(u32);
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let told = reasons.clone();
    let hub = Hub::new();
    let handler = hub
        .handler(|connect| async move {
            let user = connect.uri().path()[1..].parse()?;
            connect.accept().extension(User(user)).topics(["a"])
        })
        .on_disconnect(move |end| {
            let user = end.extensions().get::<User>().unwrap().0;
            told.lock().unwrap().push((user, end.reason().as_str()));
        });
    let mut bodies = Vec::new();
    for user in [1, 2, 1] {
        let mut body = call(&handler, get(&format!("/{user}"))).await.into_body();
        ready_bytes(&mut body);
        bodies.push(body);
    }
    let mut extensions = http::Extensions::new();
    extensions.insert(User(1));
    let mut inside = hub.subscribe(topics(&["a"])).extensions(extensions);
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
async fn first_and_last_readers_are_told_in_order() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let (first, last) = (told.clone(), told.clone());
    let hub = Hub::builder()
        .on_first_reader(move |topic| first.lock().unwrap().push(format!("+{topic}")))
        .on_last_reader(move |topic| last.lock().unwrap().push(format!("-{topic}")))
        .build();
    let pattern = hub.subscribe(Selection::default().patterns([">"]).unwrap());
    let one = hub.subscribe(topics(&["a"]));
    let two = hub.subscribe(topics(&["b", "a"]));
    assert_eq!((hub.readers("a").unwrap(), hub.readers("b").unwrap()), (3, 2));
    assert_eq!(hub.readers("c").unwrap(), 1);
    drop(one);
    drop(two);
    drop(pattern);
    assert_eq!(*told.lock().unwrap(), ["+a", "+b", "-a", "-b"]);
    assert_eq!(hub.readers("a").unwrap(), 0);
    assert!(hub.readers("").is_err());
}

#[tokio::test]
async fn readers_end_when_the_last_handle_is_gone_and_all_is_read() {
    let hub = Hub::new();
    let mut feed = hub.subscribe(topics(&["a"]));
    let mut body = hub.subscribe(topics(&["a"])).into_body();
    hub.publish("a", "1").await.unwrap();
    drop(hub);
    assert_eq!(ready(&mut feed), ["1", "end"]);
    assert!(ready_bytes(&mut body).ends_with("data: 1\n\nend"));
}

#[tokio::test]
async fn the_handler_has_limits_refusals_and_a_shutdown() {
    let hub = Hub::new();
    let shutdown = Shutdown::new(
        Farewell::new().event(Event::new("").with_type("bye")).grace_period(Duration::from_secs(9)),
    );
    let handler = hub
        .handler(|connect| async move {
            let query = connect.uri().query().unwrap_or_default().to_owned();
            if query == "no" {
                return Err(Refusal::new(StatusCode::UNAUTHORIZED));
            }
            connect.accept().topics(query.split('&').filter(|topic| !topic.is_empty()))
        })
        .max_streams(1)
        .shutdown(&shutdown);
    assert_eq!(call(&handler, get("/?no")).await.status(), 401);
    assert_eq!(call(&handler, get("/")).await.status(), 400);
    assert_eq!(call(&handler, get(&format!("/?{}", "x".repeat(256)))).await.status(), 400);
    let head = Request::head("/?a").body(()).unwrap();
    assert!(call(&handler, head).await.into_body().is_end_stream());
    assert_eq!(hub.stats().readers, 0);
    let mut body = call(&handler, get("/?a&b")).await.into_body();
    assert_eq!(call(&handler, get("/?a")).await.status(), 503);
    ready_bytes(&mut body);
    shutdown.start();
    // It has nothing to finish.
    let text = ready_bytes(&mut body);
    assert_eq!(text, "event: bye\ndata: \n\nend");
    drop(body);
    assert_eq!(hub.stats().readers, 0);
}

#[tokio::test]
async fn readers_at_the_same_place_are_given_the_same_bytes() {
    let hub = Hub::new();
    let mut bodies: Vec<_> =
        (0..3).map(|_| hub.subscribe(topics(&["a"])).into_body().without_greeting()).collect();
    for body in &mut bodies {
        ready_bytes(body);
    }
    for n in 0..10 {
        hub.publish("a", Event::new(n)).await.unwrap();
    }
    let mut pointers = Vec::new();
    for body in &mut bodies {
        let chunk = body.next_chunk().await.unwrap().unwrap();
        let mut parser = EventParser::new();
        parser.push(chunk.clone());
        assert_eq!(std::iter::from_fn(|| parser.next_event()).count(), 10);
        pointers.push(chunk.as_ptr());
    }
    assert_eq!(pointers[0], pointers[1]);
    assert_eq!(pointers[0], pointers[2]);
}

#[tokio::test]
async fn an_entry_is_sent_on_as_it_is() {
    let hub = Hub::new();
    let reader = hub.subscribe(topics(&["a"]));
    let mut body = EventBody::from_stream(reader).without_greeting();
    ready_bytes(&mut body);
    let id = hub.publish("a", Event::new("x").with_type("t")).await.unwrap().id;
    assert_eq!(ready_bytes(&mut body), format!("id: {id}\nevent: t\ndata: x\n\n"));
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
                drop(hub.unwrap().subscribe(topics(&["b"])));
            }
        })
        .build();
    *slot.lock().unwrap() = Some(hub.clone());
    let feed = hub.subscribe(topics(&["a"]));
    assert_eq!(count.load(SeqCst), 2);
    drop(feed);
    slot.lock().unwrap().take();
}

#[tokio::test]
async fn a_reader_is_woken_for_what_was_trimmed_in_the_same_step() {
    let hub = Hub::builder().total_history(History::events(1)).lagging(Lagging::Skip).build();
    let mut feed = hub.subscribe(Selection::default().patterns(["a.*"]).unwrap());
    assert_eq!(ready(&mut feed), [""; 0]);
    let all = [Publication::new("a.1", "1"), Publication::new("b", "2")];
    assert_eq!(hub.publish_all(all).await.unwrap().woken, 1);
    assert_eq!(ready(&mut feed), ["lagged Some(1)"]);
}

#[tokio::test]
async fn what_is_for_handlers_has_no_effect_on_a_reader() {
    let hub = Hub::new();
    let body = hub.subscribe(topics(&["a"])).into_body();
    let mut body = body.spawn_handler().buffer(tower_sse::Buffer::dropping(1)).without_greeting();
    ready_bytes(&mut body);
    for n in 0..3 {
        hub.publish("a", Event::new(n)).await.unwrap();
    }
    assert_eq!(ready_bytes(&mut body).matches("data: ").count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_window_joins_what_comes_and_wakes_once() {
    let hub = Hub::new();
    let body = hub.subscribe(topics(&["a"])).into_body().without_greeting();
    let mut body = body.batch_window(Duration::from_millis(10));
    ready_bytes(&mut body);
    // After a pause: at once.
    assert_eq!(hub.publish("a", "0").await.unwrap().woken, 1);
    assert!(ready_bytes(&mut body).ends_with("data: 0\n\n"));
    for n in 1..4 {
        assert_eq!(hub.publish("a", Event::new(n)).await.unwrap().woken, 0);
        assert_eq!(ready_bytes(&mut body), "");
    }
    let before = tokio::time::Instant::now();
    let chunk = body.next_chunk().await.unwrap().unwrap();
    let text = std::str::from_utf8(&chunk).unwrap();
    assert_eq!(text.matches("data: ").count(), 3);
    assert_eq!(before.elapsed(), Duration::from_millis(10));
}
