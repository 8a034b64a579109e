//! The bodies of a hub against its streams: both give the same events, and a client can resume from
//! every ID.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_util::FutureExt;
use http_body::Body as _;
use proptest::prelude::*;
use tower_sse::{
    Event, EventBody, EventParser, Hub, Parsed,
    hub::{History, Lagging, Publication, Resumption, Selection, Subscription},
};

use crate::{resume, subscribe};
use crate::model::{KEYS, TOPICS, selection};

/// A stream and a body of the same topics, which are read at the same times.
struct Twins {
    topics: Selection,
    stream: Subscription,
    body: EventBody,
    parser: EventParser,
    /// The last item was a gap.
    has_gap: bool,
}

/// Returns the items that are ready in a stream: data and ID, or a gap.
fn of_stream(stream: &mut Subscription) -> Vec<(String, Option<String>)> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut found = Vec::new();
    while let Poll::Ready(item) = stream.poll_next(&mut cx) {
        found.push(match item.expect("the hub is there") {
            Ok(entry) => {
                let id = entry.id().map(|id| id.to_string());
                (entry.event().data().to_owned(), id)
            }
            Err(_) => ("gap".into(), None),
        });
    }
    found
}

/// Returns the same items from a body.
fn of_body(body: &mut EventBody, parser: &mut EventParser) -> Vec<(String, Option<String>)> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut found = Vec::new();
    while let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(&mut cx) {
        parser.push(frame.unwrap().unwrap().into_data().unwrap());
        while let Some(item) = parser.next_item() {
            let Parsed::Event(event) = item.unwrap() else { continue };
            found.push(match event.event_type().as_str() {
                "gap" => ("gap".into(), None),
                _ => (event.data().to_owned(), event.id().map(|id| id.to_string())),
            });
        }
    }
    found
}

#[derive(Clone, Debug)]
enum Both {
    Publish(Vec<(usize, Option<usize>)>),
    Open { names: Vec<usize>, patterns: Vec<usize>, state: bool },
    Read(usize),
    Leave(usize),
}

fn both() -> impl Strategy<Value = Both> {
    let publication = (0..TOPICS.len(), prop::option::of(0..KEYS.len()));
    // Few topics, so that many readers select the same ones.
    let names = prop::collection::vec(0..2_usize, 0..2);
    let patterns = prop::collection::vec(1..3_usize, 0..2);
    prop_oneof![
        6 => prop::collection::vec(publication, 1..6).prop_map(Both::Publish),
        2 => (names, patterns, any::<bool>())
            .prop_map(|(names, patterns, state)| Both::Open { names, patterns, state }),
        6 => any::<usize>().prop_map(Both::Read),
        1 => any::<usize>().prop_map(Both::Leave),
    ]
}

fn read_both(hub: &Hub, twins: &mut Twins) {
    let streamed = of_stream(&mut twins.stream);
    let embodied = of_body(&mut twins.body, &mut twins.parser);
    assert_eq!(streamed, embodied);
    if let Some((data, _)) = streamed.last() {
        twins.has_gap = data == "gap";
    }
    // A client that is disconnected here resumes without a missing or repeated event. The ID of a
    // gap event is its start, until an event follows.
    let last = twins.parser.last_event_id().expect("every body has an id");
    let mut again = resume(&hub, twins.topics.clone(), last);
    let is_complete = *again.resumption() == Resumption::Complete;
    assert!(is_complete || twins.has_gap, "{last}: {:?}", again.resumption());
    assert_eq!(of_stream(&mut again), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn bodies_give_the_same_as_streams(
        per_topic in 1..5usize,
        total in 1..12usize,
        ops in prop::collection::vec(both(), 1..80),
    ) {
        let hub = Hub::builder()
            .history(History::events(per_topic))
            .total_history(History::events(total))
            .lagging(Lagging::Skip)
            .build();
        let mut readers: Vec<Twins> = Vec::new();
        let mut number = 0;
        for op in ops {
            match op {
                Both::Publish(several) => {
                    let all = several.into_iter().map(|(topic, key)| {
                        number += 1;
                        let publication = Publication::new(TOPICS[topic], Event::new(number));
                        match key {
                            Some(key) => publication.key(KEYS[key]),
                            None => publication,
                        }
                    });
                    hub.publish_all(all).now_or_never().unwrap().unwrap();
                }
                Both::Open { names, patterns, state } => {
                    let mut topics = selection(&names, &patterns);
                    if state {
                        topics = topics.with_state();
                    }
                    let stream = subscribe(&hub, topics.clone());
                    let body = subscribe(&hub, topics.clone()).into_body();
                    let body = body.without_greeting().without_keep_alive();
                    readers.push(Twins { topics, stream, body, parser: EventParser::new(), has_gap: false });
                }
                Both::Read(reader) => {
                    if let Some(index) = reader.checked_rem(readers.len()) {
                        read_both(&hub, &mut readers[index]);
                    }
                }
                Both::Leave(reader) => {
                    if let Some(index) = reader.checked_rem(readers.len()) {
                        readers.swap_remove(index);
                    }
                }
            }
        }
        for twins in &mut readers {
            read_both(&hub, twins);
        }
    }
}
