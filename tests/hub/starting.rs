//! Where a new subscription starts: at the beginning, or with the newest events.

use std::time::Duration;

use tower_sse::{
    Hub,
    hub::{GapReason, History, Publication, Resumption},
};

use super::{
    gap_reason, last_id, patterns, publish, publish_numbers, ready, ready_bytes, resume, subscribe,
    topics,
};

#[tokio::test]
async fn a_reader_from_the_start_gets_everything_or_a_gap_before_it() {
    let hub = Hub::builder().history(History::events(3)).build();
    publish_numbers(&hub, "job", 0..3);
    for selected in [topics(&["job"]), patterns(&["job"]), patterns(&[">"])] {
        let mut reader = subscribe(&hub, selected.from_start());
        assert_eq!(*reader.resumption(), Resumption::New);
        assert_eq!(ready(&mut reader), ["0", "1", "2"]);
    }
    publish_numbers(&hub, "job", 3..4);
    for selected in [topics(&["job"]), patterns(&["job"]), patterns(&[">"])] {
        let mut reader = subscribe(&hub, selected.clone().from_start());
        assert_eq!(gap_reason(&reader), Some(GapReason::Trimmed));
        assert_eq!(ready(&mut reader), ["1", "2", "3"]);
        let body = subscribe(&hub, selected.from_start()).into_body();
        let text = ready_bytes(&mut body.without_greeting());
        assert!(text.starts_with("event: gap\n") && text.ends_with("data: 3\n\n"), "{text}");
    }
    let mut new = subscribe(&hub, topics(&["new"]).from_start());
    assert_eq!(*new.resumption(), Resumption::New);
    publish(&hub, "new", "first");
    assert_eq!(ready(&mut new), ["first"]);
}

#[tokio::test(start_paused = true)]
async fn a_loss_of_one_topic_is_told_although_another_topic_had_a_later_one_before() {
    let second = Duration::from_secs(1);
    let hub = Hub::builder().history(History::events(1)).finished_ttl(second).build();
    publish(&hub, "old", "0");
    hub.finish("gone", Some("1".into())).await.unwrap();
    tokio::time::advance(second).await;
    assert_eq!(hub.stats().topics, 1);
    let mut reader = subscribe(&hub, topics(&["old", "gone"]).from_start());
    assert_eq!(*reader.resumption(), Resumption::New);
    // The topic that was gone has lost its event at a later place than this one.
    publish(&hub, "old", "2");
    assert_eq!(ready(&mut reader), ["lagged None", "end"]);
}

#[tokio::test]
async fn the_newest_events_of_each_topic_come_in_order_with_ids_and_without_a_gap() {
    let expected = ["1: 4", "2: 4", "1: 5", "2: 5", "3: 0"];
    for selected in [
        topics(&["room.1", "room.2", "quiet.3", "none"]),
        patterns(&["room.*", "quiet.>", "*.*"]),
        topics(&["room.1"]).patterns(["*.2", "quiet.*"]).unwrap(),
    ] {
        let hub = Hub::builder().history(History::events(4)).build();
        for n in 0..6 {
            publish(&hub, "room.1", format!("1: {n}"));
            publish(&hub, "room.2", format!("2: {n}"));
        }
        publish(&hub, "quiet.3", "3: 0");
        let mut reader = subscribe(&hub, selected.clone().last(2));
        assert_eq!(*reader.resumption(), Resumption::New);
        assert_eq!(ready(&mut reader), expected);
        publish(&hub, "room.1", "live");
        assert_eq!(ready(&mut reader), ["live"]);
        assert_eq!(ready(&mut subscribe(&hub, selected.clone().last(0))), [""; 0]);
        assert_eq!(ready(&mut subscribe(&hub, selected.clone().last(usize::MAX))).len(), 9);

        // The body begins with them, and an ID only follows if they have none.
        let mut body = subscribe(&hub, selected.clone().last(1)).into_body().without_greeting();
        let text = ready_bytes(&mut body);
        assert_eq!(text.matches("data: ").count(), 3, "{text}");
        assert_eq!(text.matches("id: ").count(), 3, "{text}");
        assert!(text.starts_with("id: ") && text.ends_with("data: live\n\n"), "{text}");
        let again = resume(&hub, selected.clone(), last_id(&text));
        assert_eq!(*again.resumption(), Resumption::Complete);
        let text =
            ready_bytes(&mut subscribe(&hub, selected.last(0)).into_body().without_greeting());
        assert!(text.starts_with("id: ") && text.matches('\n').count() == 2, "{text}");
    }
}

#[tokio::test]
async fn a_reader_of_the_newest_events_gets_no_older_one_when_one_is_superseded_meanwhile() {
    let hub = Hub::new();
    publish(&hub, "b", "b");
    publish(&hub, "a", "old");
    hub.publish_keyed("c", "key", "superseded").await.unwrap();
    publish(&hub, "a", "new");
    let mut reader = subscribe(&hub, topics(&["a", "b", "c"]).last(1));
    assert_eq!(reader.next().await.unwrap().unwrap().event().data(), "b");
    hub.publish_keyed("c", "key", "current").await.unwrap();
    assert_eq!(ready(&mut reader), ["new", "current"]);
}

#[tokio::test]
async fn a_tombstone_counts_as_one_of_the_newest_events() {
    let hub = Hub::new();
    publish(&hub, "a", "1");
    hub.try_publish(Publication::new("a", "2").key("k")).unwrap();
    hub.retract("a", "k", "gone").await.unwrap();
    assert_eq!(ready(&mut subscribe(&hub, topics(&["a"]).last(2))), ["1", "gone"]);
    assert_eq!(ready(&mut subscribe(&hub, topics(&["a"]).with_state())), [""; 0]);
}
