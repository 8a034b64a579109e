//! Resuming by a last event ID, and gaps.

use std::time::Duration;

use http::Request;
use tower_sse::{
    Event, Hub, KeepAlive,
    hub::{Gap, GapReason, History, Publication, Resumption, Selection, Subscription},
};

use super::{
    call, data, gap_reason, get, last_id, patterns, publish, ready, ready_bytes, resume, subscribe,
    topics,
};

#[tokio::test]
async fn a_body_opens_with_an_id_to_resume_from() {
    let hub = Hub::new();
    let handler = hub.handler(|connect| async move { connect.accept().topics(["a"]) });
    let response = call(&handler, get("/")).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let opening = ready_bytes(&mut body);
    assert!(opening.starts_with(": connected\nid: "), "{opening}");
    drop(body);
    hub.publish("a", "1").await.unwrap();
    hub.publish("b", "2").await.unwrap();
    hub.publish("a", "3").await.unwrap();
    let resume = Request::get("/").header("last-event-id", last_id(&opening)).body(()).unwrap();
    let mut body = call(&handler, resume).await.into_body();
    let replay = ready_bytes(&mut body);
    let events: Vec<_> = replay.lines().filter(|line| line.starts_with("data")).collect();
    assert_eq!(events, ["data: 1", "data: 3"]);
    // The event with the last event ID is not sent again.
    let uri = format!("/?last_event_id={}", last_id(&replay));
    hub.publish("a", "4").await.unwrap();
    let mut body = call(&handler, get(&uri)).await.into_body();
    assert!(ready_bytes(&mut body).ends_with("data: 4\n\n"));
}

#[tokio::test]
async fn a_gap_is_reported_with_its_reason_and_the_first_event() {
    let hub = Hub::builder().history(History::events(2)).build();
    let start = subscribe(&hub, topics(&["a"])).position();
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(hub.publish("a", Event::new(n)).await.unwrap().id);
    }
    let resume = |id: &str| resume(&hub, topics(&["a"]), id);
    let gap = |subscription: &Subscription| match subscription.resumption() {
        Resumption::Gap(gap) => gap.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(*resume(ids[2].as_str()).resumption(), Resumption::Complete);
    let mut subscription = resume(start.as_str());
    let reported = gap(&subscription);
    assert_eq!((reported.reason, reported.missed), (GapReason::Trimmed, Some(3)));
    assert_eq!(reported.first.as_ref(), Some(&ids[3]));
    assert_eq!(ready(&mut subscription), ["3", "4"]);
    assert_eq!(gap(&resume("7")).reason, GapReason::Unknown);
    let ahead = format!("{}9", ids[4]);
    assert_eq!(gap(&resume(&ahead)).reason, GapReason::Unknown);
    let other = Hub::new().publish("a", "x").await.unwrap().id;
    let mut subscription = resume(other.as_str());
    assert_eq!(gap(&subscription).reason, GapReason::OtherEpoch);
    assert_eq!(ready(&mut subscription), ["3", "4"]);
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
async fn a_hook_replaces_or_suppresses_the_gap_event() {
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
async fn an_id_of_another_topic_is_recognized_whether_its_event_is_kept_or_not() {
    let hub = Hub::builder().history(History::events(1)).build();
    let of = |name: &str, id: &str| resume(&hub, topics(&[name]), id);
    // The IDs of a superseded, a trimmed and a kept event, and the position of a reader.
    let mut ids = Vec::new();
    ids.push(hub.publish_keyed("b", "k", "1").await.unwrap().id);
    ids.push(hub.publish_keyed("b", "k", "2").await.unwrap().id);
    ids.push(hub.publish("b", "3").await.unwrap().id);
    ids.push(subscribe(&hub, topics(&["b"])).position());
    for id in &ids {
        assert_eq!(gap_reason(&of("a", id.as_str())), Some(GapReason::OtherTopic), "{id}");
    }
    assert_eq!(gap_reason(&of("b", ids[0].as_str())), Some(GapReason::Trimmed));
    for id in &ids[1..] {
        assert_eq!(gap_reason(&of("b", id.as_str())), None, "{id}");
    }
    // The same for patterns.
    let matching = || Selection::default().patterns(["*"]).unwrap();
    assert_eq!(gap_reason(&resume(&hub, matching(), ids[2].as_str())), None);
    let other = Selection::default().patterns(["a.>"]).unwrap();
    assert_eq!(gap_reason(&resume(&hub, other, ids[2].as_str())), Some(GapReason::OtherTopic));
    // The ID of another hub.
    let before = Hub::new().publish("b", "1").await.unwrap().id;
    assert_eq!(gap_reason(&of("b", before.as_str())), Some(GapReason::OtherEpoch));
}

#[tokio::test]
async fn a_body_made_from_a_subscription_that_was_read_reports_no_gap_after_its_events() {
    let hub = Hub::new();
    hub.publish("a", "1").await.unwrap();
    hub.publish("a", "2").await.unwrap();
    let mut subscription = resume(&hub, topics(&["a"]), "nonsense");
    assert_eq!(data(&subscription.next().await.unwrap().unwrap()), "1");
    let text = ready_bytes(&mut subscription.into_body().without_greeting());
    assert!(!text.contains("gap") && text.ends_with("data: 2\n\n"), "{text}");
}

#[tokio::test]
async fn a_quiet_reader_gets_no_false_gap() {
    let hub = Hub::builder().history(History::events(1)).build();
    let mut quiet = subscribe(&hub, topics(&["quiet"]));
    assert_eq!(ready(&mut quiet), [""; 0]);
    for _ in 0..10 {
        hub.publish("busy", "x").await.unwrap();
    }
    hub.publish("quiet", "1").await.unwrap();
    assert_eq!(ready(&mut quiet), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn keep_alives_update_the_id_of_a_quiet_reader() {
    let hub = Hub::new();
    let body = subscribe(&hub, topics(&["quiet"])).into_body().without_greeting();
    let mut body = body.keep_alive(KeepAlive::every(Duration::from_secs(15)));
    ready_bytes(&mut body);
    let plain = body.next_chunk().await.unwrap().unwrap();
    assert_eq!(plain, ": keep-alive\n");
    hub.publish("busy", "x").await.unwrap();
    let at = subscribe(&hub, topics(&["quiet"])).position();
    let refreshed = body.next_chunk().await.unwrap().unwrap();
    assert_eq!(refreshed, format!(": keep-alive\nid: {at}\n\n"));
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": keep-alive\n");
}

#[tokio::test]
async fn a_useless_id_gets_the_gap_and_then_the_newest_events() {
    let hub = Hub::new();
    let other = hub.publish("other", "x").await.unwrap().id;
    let mut own = None;
    for n in 0..5 {
        own = Some(hub.publish("a.1", Event::new(n)).await.unwrap().id);
        hub.publish("a.2", Event::new(n + 10)).await.unwrap();
    }
    let foreign = Hub::new().publish("a.1", "x").await.unwrap().id;
    let newest = || topics(&["a.1", "a.2"]).last(2);
    let by_pattern = || Selection::default().patterns(["a.*"]).unwrap().last(2);
    for (id, reason) in [
        (other.as_str(), GapReason::OtherTopic),
        (foreign.as_str(), GapReason::OtherEpoch),
        ("nonsense", GapReason::Unknown),
    ] {
        for selection in [newest(), by_pattern()] {
            let mut resumed = resume(&hub, selection.clone(), id);
            let Resumption::Gap(gap) = resumed.resumption() else { panic!("no gap: {id}") };
            assert_eq!(gap.reason, reason);
            assert_eq!(ready(&mut resumed), ["3", "13", "4", "14"], "{reason}");

            let mut body = resume(&hub, selection.clone(), id).into_body().without_greeting();
            let text = ready_bytes(&mut body);
            assert!(text.starts_with("event: gap\n"), "{text}");
            let found = text.lines().filter_map(|it| it.strip_prefix("data: "));
            assert_eq!(found.skip(1).collect::<Vec<_>>(), ["3", "13", "4", "14"], "{text}");
            // The client resumes from there without a gap.
            let mut again = resume(&hub, selection, last_id(&text));
            assert_eq!(*again.resumption(), Resumption::Complete);
            assert_eq!(ready(&mut again), [""; 0]);
        }
    }
    // After a useful ID everything is read.
    let mut resumed = resume(&hub, newest(), own.unwrap());
    assert_eq!(*resumed.resumption(), Resumption::Complete);
    assert_eq!(ready(&mut resumed), ["14"]);
}

#[tokio::test]
async fn an_id_of_another_topic_is_recognized_whatever_the_number_of_topics() {
    for number in [4096, 4097, 20_000] {
        let hub = Hub::new();
        let all = (0..number).map(|n| Publication::new(format!("p.{n}"), "never seen"));
        hub.publish_all(all).await.unwrap();
        let other = publish(&hub, "other", "seen");
        publish(&hub, "p.0", "new");
        let mut reader = resume(&hub, patterns(&["p.>"]), &other);
        assert_eq!(gap_reason(&reader), Some(GapReason::OtherTopic), "{number}");
        assert_eq!(ready(&mut reader), ["new"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_of_another_topic_is_recognized_when_both_topics_are_gone() {
    for selected in [patterns(&["p.>"]), topics(&["p.0"])] {
        let minute = Duration::from_secs(60);
        let hub = Hub::builder().history(History::events(9).max_age(minute)).build();
        publish(&hub, "p.0", "never seen");
        let other = publish(&hub, "other", "seen");
        let resumed = || gap_reason(&resume(&hub, selected.clone(), &other));
        assert_eq!(resumed(), Some(GapReason::OtherTopic));
        tokio::time::advance(2 * minute).await;
        assert_eq!(resumed(), Some(GapReason::OtherTopic), "too old");
        assert_eq!(hub.stats().topics, 0);
        assert_eq!(resumed(), Some(GapReason::OtherTopic), "removed");
    }
}

#[tokio::test]
async fn an_id_of_300_kb_is_unknown_and_costs_no_more_than_a_short_one() {
    let hub = Hub::new();
    let known = publish(&hub, "a", "1");
    let (start, position) = known.as_str().split_once('-').unwrap();
    let long = "9".repeat(300_000);
    for id in [
        long.clone(),
        format!("{start}-{long}"),
        format!("{start}-{long}~"),
        format!("{start}-{long}*"),
        format!("{start}{long}-{position}"),
        format!("{start}-{position}.{long}"),
        format!("{start}-{position}{}", ".1".repeat(150_000)),
        "-".repeat(300_000),
        "\u{1f600}".repeat(75_000),
    ] {
        let mut reader = resume(&hub, topics(&["a"]), &id);
        assert_eq!(gap_reason(&reader), Some(GapReason::Unknown), "{}", &id[..20]);
        assert_eq!(ready(&mut reader), ["1"]);
        let handler = hub.handler(|connect| async move { connect.accept().topics(["a"]) });
        let request = Request::get("/").header("last-event-id", id.as_bytes());
        // The handler does not keep it for as long as a stream.
        assert_eq!(call(&handler, request.body(()).unwrap()).await.status(), 400);
    }
}

#[tokio::test]
async fn an_id_of_no_use_is_answered_with_a_gap_and_then_the_state() {
    let hub = Hub::new();
    publish(&hub, "a", "without a key");
    hub.publish_keyed("a", "k", "state").await.unwrap();
    let of_other = publish(&hub, "b", "other");
    let of_hub = Hub::new().publish("a", "x").await.unwrap().id;
    for (id, reason) in [
        (of_other.as_str(), GapReason::OtherTopic),
        (of_hub.as_str(), GapReason::OtherEpoch),
        ("nonsense", GapReason::Unknown),
    ] {
        for selected in [topics(&["a"]), patterns(&["a", "a.*"])] {
            let mut reader = resume(&hub, selected.clone().with_state(), id);
            assert_eq!(gap_reason(&reader), Some(reason));
            assert_eq!(ready(&mut reader), ["state"], "{id}");
            let body = resume(&hub, selected.with_state(), id).into_body().without_greeting();
            let text = ready_bytes(&mut { body });
            let (gap, rest) = text.split_once("\n\n").unwrap();
            assert!(gap.starts_with("event: gap\n"), "{text}");
            assert!(rest.starts_with("data: state\n\nid: "), "{text}");
        }
    }
    // An ID of use is not answered with the state.
    let mut reader = resume(&hub, topics(&["b"]).with_state(), &of_other);
    assert_eq!(*reader.resumption(), Resumption::Complete);
    assert_eq!(ready(&mut reader), [""; 0]);
}

#[tokio::test]
async fn a_position_of_the_hub_resumes_readers_of_any_topics() {
    let hub = Hub::new();
    publish(&hub, "a", "before");
    let position = hub.position();
    for (topic, text) in [("a", "1"), ("b", "2"), ("c.d", "3")] {
        publish(&hub, topic, text);
    }
    for (selected, expected) in [
        (topics(&["a"]), vec!["1"]),
        (topics(&["a", "b"]), vec!["1", "2"]),
        (patterns(&["c.*", "b"]), vec!["2", "3"]),
        (topics(&["new"]), vec![]),
    ] {
        let mut reader = resume(&hub, selected, &position);
        assert_eq!(*reader.resumption(), Resumption::Complete);
        assert_eq!(ready(&mut reader), expected);
    }
    let of_other = Hub::new().position();
    let reader = resume(&hub, topics(&["a"]), &of_other);
    assert_eq!(gap_reason(&reader), Some(GapReason::OtherEpoch));
}
