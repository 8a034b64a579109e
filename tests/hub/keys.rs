//! Keys: the newest event of a key supersedes the others. The state of a topic is the newest event
//! of each key.

use tower_sse::{
    Hub,
    hub::{History, Lagging, Publication, Resumption},
};

use super::{data, ready, ready_bytes, resume, subscribe, topics};

async fn keyed(hub: &Hub, keys: std::ops::Range<usize>, data: &str) {
    for key in keys {
        hub.publish_keyed("a", format!("k{key}"), format!("{key}{data}")).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_supersedes_entries_that_were_not_read_yet() {
    let hub = Hub::new();
    let mut slow = subscribe(&hub, topics(&["a"]));
    for (key, text) in [("x", "x1"), ("y", "y1"), ("x", "x2"), ("x", "x3")] {
        hub.publish_keyed("a", key, text).await.unwrap();
    }
    hub.publish_keyed("b", "x", "of another topic").await.unwrap();
    assert_eq!(ready(&mut slow), ["y1", "x3"]);
    let mut new = subscribe(&hub, topics(&["a"]).with_state());
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
    let subscription = subscribe(&hub, topics(&["a"]).with_state());
    // A reader that is disconnected before the end of the state starts over.
    let mut again = resume(&hub, topics(&["a"]), subscription.position());
    assert_eq!(*again.resumption(), Resumption::Complete);
    assert_eq!(ready(&mut again), ["1", "2", "no key"]);
    let at = subscribe(&hub, topics(&["a"])).position();
    let mut body = subscription.into_body().without_greeting();
    assert_eq!(ready_bytes(&mut body), format!("data: 1\n\ndata: 2\n\nid: {at}\n\n"));
    let id = hub.publish("a", "3").await.unwrap().id;
    assert_eq!(ready_bytes(&mut body), format!("id: {id}\ndata: 3\n\n"));
}

#[tokio::test]
async fn entries_removed_from_the_history_are_not_part_of_the_state_and_no_reader_lags_for_them() {
    for lagging in [Lagging::Evict, Lagging::Skip] {
        let hub = Hub::builder().history(History::events(4)).lagging(lagging).build();
        keyed(&hub, 0..4, "").await;
        let state = || subscribe(&hub, topics(&["a"]).with_state());
        // This reader has read the entries that are removed.
        let mut all = state();
        assert_eq!(ready(&mut all), ["0", "1", "2", "3"]);
        keyed(&hub, 4..5, "").await;
        assert_eq!(ready(&mut all), ["4"]);
        // Removed entries that a reader has not read are left out, as they are for a new reader.
        let mut slow = state();
        assert_eq!(data(&slow.next().await.unwrap().unwrap()), "1");
        keyed(&hub, 5..7, "").await;
        assert_eq!(ready(&mut slow), ["3", "4", "5", "6"]);
        assert_eq!(ready(&mut state()), ["3", "4", "5", "6"]);
        assert_eq!(hub.stats().lagged, 0);
    }
}

#[tokio::test]
async fn a_tombstone_is_the_last_entry_of_its_key_and_not_part_of_the_state() {
    let hub = Hub::new();
    let mut reader = subscribe(&hub, topics(&["a"]));
    keyed(&hub, 0..2, "").await;
    let gone = Publication::new("a", "k0 is gone").key("k0").tombstone();
    hub.publish_all([gone]).await.unwrap();
    assert_eq!(ready(&mut reader), ["1", "k0 is gone"]);
    let mut new = subscribe(&hub, topics(&["a"]).with_state());
    assert_eq!(ready(&mut new), ["1"]);
    // The key may be published again.
    keyed(&hub, 0..1, " again").await;
    assert_eq!(ready(&mut new), ["0 again"]);
    assert_eq!(ready(&mut subscribe(&hub, topics(&["a"]).with_state())), ["1", "0 again"]);
    assert_eq!(hub.stats().events, 2);
}

#[tokio::test]
async fn a_state_larger_than_a_frame_has_no_id_before_its_end() {
    let hub = Hub::builder().history(History::events(5)).build();
    keyed(&hub, 0..5, &"x".repeat(30_000)).await;
    let mut body = subscribe(&hub, topics(&["a"]).with_state()).into_body().without_greeting();
    let first = body.next_chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"data: 0x") && !first.windows(3).any(|it| it == b"id:"));
    keyed(&hub, 5..6, "").await;
    let mut rest = String::new();
    while !rest.ends_with("data: 5\n\n") {
        let chunk = body.next_chunk().await.unwrap().unwrap();
        rest.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let ids = rest.find("id: ").unwrap();
    assert!(ids > rest.rfind("data: 4x").unwrap(), "the state, then its id");
}
