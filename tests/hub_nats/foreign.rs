//! Other programs that publish and listen.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::timeout;
use tower_sse::hub::backend::{
    Backend, EntryKind, EventParts, Fault, Located, LogEntry, Outgoing, Position, Tail, Wanted,
};

use crate::{LIMIT, append, collect, connect, data, entry, server::NatsServer, until_ok};

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_message_is_an_event() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    let mut tail = backend.tail(Position::START).await.unwrap();
    let other = server.client().await;
    // As `nats pub events.orders '{"n":1}'` does it: nobody waits for an answer.
    other.0.publish("events.orders", Bytes::from_static(br#"{"n":1}"#)).await.unwrap();
    let found = collect(&mut tail, 1).await.remove(0);
    assert_eq!(found.topic, "orders");
    assert_eq!(found.event, EventParts::new(r#"{"n":1}"#));
    assert_eq!((found.key.clone(), found.kind, found.ttl), (None, EntryKind::Event, None));
    assert_eq!(backend.locate(found.at, &Wanted::all()).await.unwrap(), Located::Kept);
    assert_eq!(backend.bounds().await.unwrap().newest, found.at);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_sets_a_type_a_key_and_an_id() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    let other = server.client().await;
    let headers = [("Nats-Msg-Id", "mine"), ("Sse-Fields", r#"[["event","price"]]"#)];
    other.publish("events.prices.=.ACME", &headers, "42").await;
    // The server recognizes it.
    other.publish("events.prices.=.ACME", &headers, "42").await;
    let upto = backend.bounds().await.unwrap().newest;
    let state = backend.state(&Wanted::all(), upto).await.unwrap();
    assert_eq!(state.len(), 1);
    assert_eq!((state[0].topic.as_str(), state[0].key.as_deref()), ("prices", Some("ACME")));
    assert_eq!(state[0].event, EventParts::new("42").with_field("event", "price"));
    assert_eq!(backend.locate(state[0].at, &Wanted::all()).await.unwrap(), Located::Kept);
    other.publish("events.prices.=.ACME", &[("Sse-Kind", "tombstone")], "").await;
    let upto = backend.bounds().await.unwrap().newest;
    assert!(backend.state(&Wanted::all(), upto).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_is_counted_and_left_out() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    let mut tail = backend.tail(Position::START).await.unwrap();
    let other = server.client().await;
    let mut junk = 0;
    for (subject, headers) in [
        ("events.%41", &[][..]),
        ("events.a.=.b.c", &[]),
        ("events.a", &[("Sse-Kind", "unknown")]),
        ("events.a", &[("Sse-Fields", "no JSON")]),
        ("events.a", &[("Sse-Expires", "soon")]),
    ] {
        other.publish(subject, headers, "x").await;
        junk += 1;
    }
    let end = append(&backend, 7..8).await[0];
    let (mut counted, mut found) = (0, Vec::new());
    while found.is_empty() {
        let batch = timeout(LIMIT, tail.next()).await.unwrap().unwrap();
        counted += batch.junk;
        found.extend(batch.entries);
    }
    assert_eq!((data(&found), counted), (vec!["7"], junk));
    let most = std::num::NonZeroUsize::new(100).unwrap();
    let page = backend.read(Position::START, end, &Wanted::all(), most).await.unwrap();
    assert_eq!((data(&page.entries), page.junk), (vec!["7"], junk));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_listens_to_topics() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    let other = server.client().await;
    let mut orders = other.0.subscribe("events.orders.*").await.unwrap();
    // The answer comes after the server knows the subscription.
    other.info("events").await;
    let event = EventParts::new("paid").with_field("event", "status");
    let sent = Outgoing::new("orders.7".parse().unwrap(), event, 1);
    backend.append(&[entry("news", 2), sent]).await.unwrap();
    let message = timeout(LIMIT, orders.next()).await.unwrap().unwrap();
    assert_eq!((message.subject.as_str(), &*message.payload), ("events.orders.7", &b"paid"[..]));
    let fields = message.headers.unwrap().get("Sse-Fields").unwrap().to_string();
    assert_eq!(fields, r#"[["event","status"]]"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_the_server_would_not_take_is_refused() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    let max = backend.abilities().largest;
    let sized =
        |len: usize, id| Outgoing::new("a".parse().unwrap(), EventParts::new(vec![b'x'; len]), id);
    backend.append(&[sized(max - 1, 1)]).await.unwrap();
    let refused = async |entry: Outgoing| {
        let error = backend.append(&[entry]).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Refused, "{error}");
        error.to_string()
    };
    refused(sized(max, 2)).await;
    // Each of these characters takes six bytes in a header.
    let fields = EventParts::new("").with_field("a", "\0".repeat(max / 2));
    let text = refused(Outgoing::new("a".parse().unwrap(), fields, 3)).await;
    assert!(text.contains("a message of"), "{text}");
    let text = refused(sized(1, 4).with_key("*".repeat(1200))).await;
    assert!(text.contains("a subject of"), "{text}");
    backend.append(&[sized(1, 5).with_key("*".repeat(1000))]).await.unwrap();
    assert_eq!(backend.bounds().await.unwrap().newest.major(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_entries_are_read_in_bounded_batches() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    let mut tail = backend.tail(Position::START).await.unwrap();
    let large =
        |id: u128| Outgoing::new("a".parse().unwrap(), EventParts::new(vec![b'x'; 900_000]), id);
    let entries: Vec<_> = (0..40).map(large).collect();
    let positions = timeout(LIMIT, backend.append(&entries)).await.unwrap().unwrap();
    let mut found = 0;
    while found < entries.len() {
        let batch = timeout(LIMIT, tail.next()).await.unwrap().unwrap();
        assert!(batch.entries.len() <= 6, "{}", batch.entries.len());
        found += batch.entries.len();
    }
    let most = std::num::NonZeroUsize::new(1000).unwrap();
    let mut after = Position::START;
    let mut found = 0;
    while after != positions[39] {
        let page = backend.read(after, positions[39], &Wanted::all(), most).await.unwrap();
        assert!(page.entries.len() <= 6, "{}", page.entries.len());
        found += page.entries.len();
        after = page.end().unwrap();
    }
    assert_eq!(found, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_one_topic_among_many_are_complete() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    let entries: Vec<_> = (0..3000).map(|id| entry(&format!("run.{}", id % 100), id)).collect();
    let upto = *backend.append(&entries).await.unwrap().last().unwrap();
    let wanted = Wanted::new(["run.7".parse().unwrap()], []).unwrap();
    let most = std::num::NonZeroUsize::new(8).unwrap();
    let (mut after, mut found) = (Position::START, Vec::new());
    while after.place() < upto.place() {
        let page = backend.read(after, upto, &wanted, most).await.unwrap();
        assert!(page.entries.len() <= 8);
        after = page.end().unwrap();
        found.extend(page.entries.into_iter().filter_map(|entry| entry.append_id));
    }
    assert_eq!(found, (0..30).map(|n| n * 100 + 7).collect::<Vec<_>>());
    // The consumers of the pages are deleted, and do not have to wait for their end of ten seconds.
    let other = server.client().await;
    let deleted = async {
        while other.info("events").await["state"]["consumer_count"] != 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(5), deleted).await.expect("they are deleted at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_the_client_cannot_read_are_junk() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    append(&backend, 0..2).await;
    for headers in [&b"NATS/1.0\r\nA: \xff\r\n\r\n"[..], b"NATS/1.0\r\nno colon\r\n\r\n"] {
        server.publish_raw("events.a", headers).await;
    }
    server.publish_raw("events.keys.=.k", b"NATS/1.0\r\nA b: c\r\n\r\n").await;
    let keyed = entry("keys", 9).with_key("other");
    let upto = until_ok(|| backend.append(std::slice::from_ref(&keyed))).await[0];
    // Each attempt costs the connection, as a hub makes them.
    let (mut at, mut found, mut junk) = (Position::START, Vec::new(), 0);
    while at != upto {
        let mut tail = until_ok(|| backend.tail(at)).await;
        while at != upto {
            let Ok(batch) = timeout(LIMIT, tail.next()).await.unwrap() else { break };
            at = batch.end().unwrap();
            found.extend(batch.entries);
            junk += batch.junk;
        }
    }
    assert_eq!((data(&found), junk), (vec!["0", "1", "9"], 3));
    let most = std::num::NonZeroUsize::new(100).unwrap();
    for wanted in [Wanted::all(), Wanted::new(["a".parse().unwrap()], []).unwrap()] {
        let (mut after, mut found) = (Position::START, Vec::new());
        while after != upto {
            let page = until_ok(|| backend.read(after, upto, &wanted, most)).await;
            after = page.end().unwrap();
            found.extend(page.entries);
        }
        found.retain(|entry| entry.topic == "a");
        assert_eq!(data(&found), ["0", "1"]);
    }
    let all = Wanted::all();
    let state = until_ok(|| backend.state(&all, upto)).await;
    assert_eq!(data(&state), ["9"]);
    let topics = ["a".parse().unwrap()];
    let mut newest = until_ok(|| backend.newest(&topics, upto, most)).await;
    newest.sort_by_key(|entry| entry.at);
    assert_eq!(data(&newest), ["0", "1"]);
}

/// A status in the headers of a message is not one of the server. Newer servers remove it.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_in_the_headers_of_a_message_is_junk_or_removed() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    append(&backend, 0..1).await;
    for status in ["100", "404", "408", "409 Batch Completed", "503"] {
        let headers = format!("NATS/1.0 {status}\r\n\r\n");
        server.publish_raw("events.a", headers.as_bytes()).await;
    }
    let upto = append(&backend, 1..3).await[1];
    let mut tail = backend.tail(Position::START).await.unwrap();
    let (mut found, mut junk) = (Vec::new(), 0);
    while data(&found).last() != Some(&"2") {
        let batch = timeout(LIMIT, tail.next()).await.unwrap().unwrap();
        found.extend(batch.entries);
        junk += batch.junk;
    }
    let check = |mut found: Vec<LogEntry>, junk: u64| {
        let count = found.len() as u64 + junk;
        found.retain(|entry| entry.event.data != "x");
        assert_eq!((data(&found), count), (vec!["0", "1", "2"], 8));
    };
    check(found, junk);
    for most in [2, 100] {
        let most = std::num::NonZeroUsize::new(most).unwrap();
        let (mut after, mut found, mut junk) = (Position::START, Vec::new(), 0);
        while after.place() < upto.place() {
            let page = backend.read(after, upto, &Wanted::all(), most).await.unwrap();
            after = page.end().unwrap();
            found.extend(page.entries);
            junk += page.junk;
        }
        check(found, junk);
    }
    let topics = ["a".parse().unwrap()];
    let newest = backend.newest(&topics, upto, std::num::NonZeroUsize::MIN);
    assert_eq!(data(&newest.await.unwrap()), ["2"]);
}

/// A server moves the consumers of a subject that is purged.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_a_topic_that_is_removed_misses_nothing_of_the_others() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    let entries: Vec<_> = (0..300).map(|id| entry(["a", "b"][id as usize % 2], id)).collect();
    let positions = backend.append(&entries).await.unwrap();
    let wanted = Wanted::new(["a".parse().unwrap(), "b".parse().unwrap()], []).unwrap();
    let most = std::num::NonZeroUsize::new(16).unwrap();
    let upto = positions[299];
    let (mut after, mut found) = (Position::START, Vec::new());
    for page in 0.. {
        let read = backend.read(after, upto, &wanted, most).await.unwrap();
        after = read.end().unwrap();
        found.extend(read.entries);
        if after.place() >= upto.place() {
            break;
        }
        if page == 1 {
            backend.forget(&[("a".parse().unwrap(), upto)]).await.unwrap();
        }
    }
    found.retain(|entry| entry.topic == "b");
    assert_eq!(found.len(), 150);
    let a = Wanted::new(["a".parse().unwrap()], []).unwrap();
    let left = backend.read(Position::START, upto, &a, most).await.unwrap();
    assert!(left.entries.is_empty(), "{:?}", left.entries);
}
