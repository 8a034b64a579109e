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
    Event, EventBody, EventParser, Hub,
    hub::{GapReason, History, Lagging, Resumption, Selection, Subscription},
    parse::Parsed,
};

use crate::{
    model::{
        Draft, Start, TOPICS, advance, cases, drafts, publication, selection, start, starting,
        with_paused_clock,
    },
    resume, subscribe,
};

/// A stream and a body of the same topics, which are read at the same times.
struct Twins {
    topics: Selection,
    stream: Subscription,
    body: EventBody,
    parser: EventParser,
    has_patterns: bool,
    /// Only data that leave this rest when they are divided by two pass.
    filter: Option<usize>,
    /// The body starts with a gap, which the stream has reported already.
    has_opening_gap: bool,
    /// It starts at a place that may be before a loss: one of its topics may have lost an event
    /// that is newer than all that the others have.
    is_before_loss: bool,
    /// A gap was among the last items.
    has_gap: bool,
}

/// Returns the items that are ready in a stream: data and ID, or a gap.
fn of_stream(stream: &mut Subscription) -> Vec<(String, Option<String>)> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut found = Vec::new();
    while let Poll::Ready(item) = stream.poll_next(&mut cx) {
        found.push(match item {
            Some(Ok(entry)) => {
                let id = entry.id().map(|id| id.to_string());
                (entry.event().data().to_owned(), id)
            }
            Some(Err(_)) => ("gap".into(), None),
            None => {
                found.push(("end".into(), None));
                break;
            }
        });
    }
    found
}

/// Returns the same items from a body.
fn of_body(body: &mut EventBody, parser: &mut EventParser) -> Vec<(String, Option<String>)> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut found = Vec::new();
    while let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(&mut cx) {
        let Some(frame) = frame else {
            found.push(("end".into(), None));
            break;
        };
        parser.push(frame.unwrap().into_data().unwrap());
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
    Publish(Vec<Draft>),
    Finish(usize, bool),
    Advance(u64),
    Open { names: Vec<usize>, patterns: Vec<usize>, start: Start, filter: Option<usize> },
    Read(usize),
    Leave(usize),
}

fn both() -> impl Strategy<Value = Both> {
    // Few topics, so that many readers select the same ones.
    let names = prop::collection::vec(0..2_usize, 0..3);
    let patterns = prop::collection::vec(1..3_usize, 0..2);
    prop_oneof![
        12 => drafts(6).prop_map(Both::Publish),
        1 => (0..TOPICS.len(), any::<bool>()).prop_map(|(topic, event)| Both::Finish(topic, event)),
        1 => (1..4_u64).prop_map(Both::Advance),
        4 => (names, patterns, start(), prop::option::weighted(0.3, 0..2_usize)).prop_map(
            |(names, patterns, start, filter)| Both::Open { names, patterns, start, filter }
        ),
        12 => any::<usize>().prop_map(Both::Read),
        2 => any::<usize>().prop_map(Both::Leave),
    ]
}

fn filtered(subscription: Subscription, filter: Option<usize>) -> Subscription {
    let Some(rest) = filter else { return subscription };
    subscription.filter(move |it| it.event().data().parse::<usize>().unwrap() % 2 == rest)
}

fn read_both(hub: &Hub, twins: &mut Twins) {
    let mut streamed = of_stream(&mut twins.stream);
    let embodied = of_body(&mut twins.body, &mut twins.parser);
    if std::mem::take(&mut twins.has_opening_gap) {
        streamed.insert(0, ("gap".into(), None));
    }
    assert_eq!(streamed, embodied);
    let has_ended = streamed.last().is_some_and(|(data, _)| data == "end");
    // An event after a gap may be before the last one that is missing.
    if streamed.iter().any(|(data, _)| data != "end") {
        twins.has_gap = streamed.iter().any(|(data, _)| data == "gap");
    }
    // A client that is disconnected here resumes without a missing or repeated event. The ID of a
    // gap event is its start, until an event follows.
    let last = twins.parser.last_event_id().expect("every body has an id");
    let again = resume(hub, twins.topics.clone(), last);
    if let (Resumption::Gap(gap), true) = (again.resumption(), twins.has_patterns) {
        // Its last event has expired, and its topic with it, so the hub does not know whether a
        // pattern matches it.
        if gap.reason == GapReason::OtherTopic {
            return;
        }
    }
    let is_complete = *again.resumption() == Resumption::Complete;
    // A stream that has ended does not read what is removed later, and the client's ID does not
    // move past an event that a filter leaves out.
    let may_have_gap = twins.has_gap || has_ended || twins.filter.is_some();
    let may_have_gap = may_have_gap || twins.is_before_loss;
    assert!(is_complete || may_have_gap, "{last}: {:?}", again.resumption());
    let rest = of_stream(&mut filtered(again, twins.filter));
    assert_eq!(rest.is_empty(), !has_ended, "{rest:?}");
    assert!(rest.iter().all(|(data, _)| data == "end"), "{rest:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(2000), ..ProptestConfig::default() })]

    #[test]
    fn bodies_give_the_same_as_streams(
        per_topic in 1..5usize,
        total in 1..12usize,
        ops in prop::collection::vec(both(), 1..60),
    ) {
        with_paused_clock(|| run(per_topic, total, ops));
    }
}

fn run(per_topic: usize, total: usize, ops: Vec<Both>) {
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
                let first = number;
                number += several.len();
                let all = (first..).zip(several).map(|(data, draft)| publication(draft, data));
                // A topic may have ended.
                let _rejected = hub.publish_all(all).now_or_never().unwrap();
            }
            Both::Finish(topic, has_event) => {
                number += 1;
                let event = has_event.then(|| Event::new(number));
                let _rejected = hub.finish(TOPICS[topic], event).now_or_never().unwrap();
            }
            Both::Advance(seconds) => advance(seconds),
            Both::Open { names, patterns, start, filter } => {
                let topics = starting(selection(&names, &patterns), start);
                let open = || filtered(subscribe(&hub, topics.clone()), filter);
                let (stream, body) = (open(), open());
                let has_opening_gap = matches!(stream.resumption(), Resumption::Gap(_));
                let is_before = matches!(start, Start::Oldest | Start::Last(_));
                let is_before_loss = has_opening_gap || is_before;
                assert_eq!(stream.resumption(), body.resumption());
                let body = body.into_body().without_greeting().without_keep_alive();
                readers.push(Twins {
                    topics,
                    has_patterns: !patterns.is_empty(),
                    stream,
                    body,
                    parser: EventParser::new(),
                    filter,
                    has_opening_gap,
                    is_before_loss,
                    has_gap: false,
                });
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
