//! State that survives a reconnect: the last event ID and the reconnection time. A partial event
//! does not.

use crate::{
    steady,
    support::mock::{Answer, Mock, reported},
};

#[tokio::test(start_paused = true)]
async fn the_last_event_id_survives_every_kind_of_loss() {
    let mock = Mock::new([
        Answer::Ends("id: 1\ndata: a\n\n"),
        Answer::Cut("data: b\n\n"),
        Answer::Refused,
        Answer::Status(503, &[]),
        Answer::Ends("id: 2\n\nid: 3\ndata: lost"),
        Answer::Cut(": nothing\n\n"),
        Answer::Ends("id:\ndata: c\n\n"),
        Answer::Stays("data: d\n\n"),
    ]);
    let reported = reported(mock.source().reconnection(steady())).await;
    let events: Vec<_> = reported.iter().filter(|reported| reported.starts_with("event")).collect();
    assert_eq!(events, ["event a", "event b", "event c", "event d"]);
    let ids: Vec<_> = mock.ids();
    let ids: Vec<_> = ids.iter().map(Option::as_deref).collect();
    // An ID in a block without data counts. An ID in an unfinished block does not. An event without
    // an ID keeps the last one, and an empty ID clears it.
    let one = Some("1");
    assert_eq!(ids, [None, one, one, one, one, Some("2"), Some("2"), None]);
}

#[tokio::test(start_paused = true)]
async fn the_reconnection_time_survives_and_applies_at_once() {
    let mock = Mock::new([
        Answer::Ends("retry: 5000\n\ndata: a\n\n"),
        Answer::Refused,
        Answer::Cut("retry: 7000\ndata: never ended"),
        Answer::Stays(""),
    ]);
    let reported = reported(mock.source().reconnection(steady())).await;
    assert_eq!(
        reported,
        [
            "opened 1",
            "block, id none, retry Some(5000)",
            "event a",
            "again 2 in 5000: the stream ended",
            "again 3 in 5000: the request failed",
            "opened 3",
            "again 4 in 7000: the connection was lost",
            "opened 4",
        ]
    );
    let at: Vec<_> = mock.asked().iter().map(|asked| asked.at).collect();
    let waited: Vec<_> = at.windows(2).map(|two| (two[1] - two[0]).as_secs()).collect();
    assert_eq!(waited, [5, 5, 7]);
}

#[tokio::test(start_paused = true)]
async fn blocks_without_data_are_updates_and_may_set_an_id() {
    let mock = Mock::new([
        Answer::Cut("id: 1\n\ndata: x\n\nevent: only\n\nid:\nretry: 5\n\nid: never ended"),
        Answer::Stays(""),
    ]);
    let reported = reported(mock.source().reconnection(steady())).await;
    assert_eq!(
        reported[..4],
        ["opened 1", "block, id 1, retry None", "event x", "block, id , retry Some(5)"]
    );
    assert_eq!(mock.ids(), [None, None]);
    let mut source = Mock::new([Answer::Stays("id: 1\n\ndata: x\n\n")]).source();
    assert_eq!(source.next_event().await.unwrap().unwrap().data(), "x");
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_drops_a_partial_event() {
    let mock = Mock::new([
        Answer::Cut("event: x\ndata: half"),
        Answer::Cut("data: ha\r"),
        Answer::Cut("\u{feff}dat"),
        Answer::Stays("\u{feff}data: whole\n\n"),
    ]);
    let mut source = mock.source().reconnection(steady());
    let event = source.next_event().await.unwrap().unwrap();
    assert_eq!((event.event_type().as_str(), event.data()), ("message", "whole"));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_too_large_is_an_item_and_the_next_one_follows() {
    let mock = Mock::new([Answer::Stays("data: 0123456789\n\nid: 1\ndata: x\n\n")]);
    let all = reported(mock.source().max_event_bytes(12)).await;
    let error = "error: the event that starts at byte 0 is larger than 12 bytes; raise `max_event_bytes` of the parser";
    assert_eq!(all, ["opened 1", error, "event x"]);
}
