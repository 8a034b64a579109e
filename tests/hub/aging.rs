//! The bound in age: what is too old is given to nobody, and a reader is told of it once, however
//! much it is.

use std::time::Duration;

use tower_sse::{
    Hub,
    hub::{GapReason, History, Lagging, Publication, Resumption},
};

use super::{
    gap_reason, last_id, patterns, publish, publish_numbers, ready, ready_bytes, resume, subscribe,
    topics,
};

const MINUTE: Duration = Duration::from_secs(60);

fn hub(lagging: Lagging) -> Hub {
    let minute = History::unlimited_events().max_bytes(1 << 30).max_age(MINUTE);
    Hub::builder().history(minute).lagging(lagging).build()
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_resumes_gets_one_gap_for_all_events_that_are_too_old() {
    for (number, lagging) in
        [(20_000, Lagging::Evict), (200_000, Lagging::Evict), (50_000, Lagging::Skip)]
    {
        let hub = hub(lagging);
        let first = publish(&hub, "t", "first");
        publish_numbers(&hub, "t", 0..number);
        tokio::time::advance(2 * MINUTE).await;
        let mut body = resume(&hub, topics(&["t"]), first).into_body().without_greeting();
        let mut text = ready_bytes(&mut body);
        // The removal of the old events is not a second loss.
        publish(&hub, "t", "new");
        for _ in 0..20 {
            text.push_str(&ready_bytes(&mut body));
            let _removes_some = hub.stats();
        }
        assert_eq!(text.matches("event: gap").count(), 1, "{text}");
        assert!(text.contains(r#""reason":"trimmed","first":null"#), "{text}");
        assert_eq!(text.matches("data: new").count(), 1, "{text}");
        assert!(text.ends_with("data: new\n\n"), "{text}");
        let mut again = resume(&hub, topics(&["t"]), last_id(&text));
        assert_eq!(*again.resumption(), Resumption::Complete);
        assert_eq!(ready(&mut again), [""; 0]);
        assert_eq!(hub.stats().lagged, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_was_there_lags_once_for_all_events_that_are_too_old() {
    for lagging in [Lagging::Evict, Lagging::Skip] {
        let hub = hub(lagging);
        let mut reader = subscribe(&hub, topics(&["t"]));
        let mut body = subscribe(&hub, topics(&["t"])).into_body().without_greeting();
        ready_bytes(&mut body);
        publish_numbers(&hub, "t", 0..50_000);
        tokio::time::advance(2 * MINUTE).await;
        publish(&hub, "t", "new");
        let found = ready(&mut reader);
        let text = ready_bytes(&mut body);
        // Both continue: events that are only too old do not evict a reader.
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("lagged") && found[1] == "new", "{found:?}");
        assert_eq!(text.matches("event: gap").count(), 1, "{text}");
        assert!(text.ends_with("data: new\n\n"), "{text}");
        for _ in 0..20 {
            let rest = ready(&mut reader);
            assert_eq!(rest, [""; 0]);
        }
        assert_eq!(hub.stats().lagged, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_is_given_to_nobody_however_much_of_other_topics_is_before_it() {
    for others in [1000, 10_000] {
        let hub = hub(Lagging::Skip);
        let first = publish(&hub, "a", "first");
        publish_numbers(&hub, "b", 0..others);
        for n in 0..3 {
            publish(&hub, "a", format!("secret {n}"));
        }
        hub.publish_keyed("a", "k", "secret state").await.unwrap();
        let mut before = subscribe(&hub, topics(&["a"]).with_state());
        let looked_up = resume(&hub, topics(&["a"]), &first);
        let mut looked_up = looked_up;
        assert_eq!(looked_up.next().await.unwrap().unwrap().event().data(), "secret 0");
        tokio::time::advance(60 * MINUTE).await;

        // Records that were looked up before they were too old are not given either.
        let rest = ready(&mut looked_up);
        assert!(rest.len() == 1 && rest[0].starts_with("lagged"), "{rest:?}");
        assert_eq!(ready(&mut before), [""; 0]);
        for selected in [topics(&["a"]), patterns(&["a"])] {
            let mut resumed = resume(&hub, selected.clone(), &first);
            assert_eq!(gap_reason(&resumed), Some(GapReason::Trimmed));
            assert_eq!(ready(&mut resumed), [""; 0]);
            for selected in [
                selected.clone().with_state(),
                selected.clone().last(5),
                selected.clone().from_start(),
            ] {
                assert_eq!(ready(&mut subscribe(&hub, selected.clone())), [""; 0]);
                assert_eq!(ready(&mut resume(&hub, selected, "nonsense")), [""; 0]);
            }
        }
        let mut all = resume(&hub, patterns(&[">"]), "nonsense");
        assert_eq!(ready(&mut all), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_with_a_time_to_live_is_given_to_nobody_after_it_and_leaves_no_gap() {
    let hub = Hub::builder().history(History::events(10)).build();
    let typing = |user: &str| {
        let typing = Publication::new("room", format!("{user} types"));
        typing.key(user.to_owned()).ttl(Duration::from_secs(5))
    };
    let mut slow = subscribe(&hub, topics(&["room"]));
    let mut body = subscribe(&hub, topics(&["room"])).into_body().without_greeting();
    ready_bytes(&mut body);
    let before = hub.position();
    hub.try_publish(typing("ann")).unwrap();
    publish(&hub, "room", "hello");
    hub.try_publish(typing("bob")).unwrap();
    assert_eq!(
        ready(&mut subscribe(&hub, topics(&["room"]).with_state())),
        ["ann types", "bob types"]
    );
    tokio::time::advance(Duration::from_secs(4)).await;
    // It types on, so the time begins anew.
    hub.try_publish(typing("bob")).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(ready(&mut subscribe(&hub, topics(&["room"]).with_state())), ["bob types"]);
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(ready(&mut subscribe(&hub, topics(&["room"]).with_state())), [""; 0]);
    assert_eq!(ready(&mut slow), ["hello"]);
    let text = ready_bytes(&mut body);
    assert!(text.ends_with("data: hello\n\n") && !text.contains("types"), "{text}");
    assert!(!text.contains("gap"), "{text}");
    let mut resumed = resume(&hub, topics(&["room"]), &before);
    assert_eq!(*resumed.resumption(), Resumption::Complete);
    assert_eq!(ready(&mut resumed), ["hello"]);
    assert_eq!((hub.stats().events, hub.stats().lagged), (1, 0));
    // Other events do not push it out before: then it is missed no more than later.
    hub.try_publish(typing("ann")).unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    publish_numbers(&hub, "room", 0..9);
    assert_eq!(ready(&mut slow).len(), 9);
}
