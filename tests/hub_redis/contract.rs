//! The backend in Redis keeps the contract of a backend.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tower_sse::hub::backend::{
    Backend as _, EventParts, Located, Outgoing, Position, Tail as _, Wanted,
    redis::{RedisBackend, RedisBuilder},
    testing,
};

use crate::redis_server::{Redis, Relay};

fn id(at: Position) -> String {
    format!("{}-{}", at.major(), at.minor())
}

/// Removes what Redis loses that restarts with older files: everything after a position.
async fn lose_after(server: &Redis, at: Position) {
    let keys: Vec<String> = server.run_command(&["KEYS", "*"]).await;
    for key in keys {
        let kind: String = server.run_command(&["TYPE", &key]).await;
        match kind.as_str() {
            "stream" => {
                let after = format!("({}", id(at));
                let lost: redis::Value = server.run_command(&["XRANGE", &key, &after, "+"]).await;
                for id in ids_of(&lost) {
                    let _: i64 = server.run_command(&["XDEL", &key, &id]).await;
                }
                let newest: redis::Value =
                    server.run_command(&["XREVRANGE", &key, "+", "-", "COUNT", "1"]).await;
                let newest = ids_of(&newest).pop().unwrap_or("0-1".into());
                let length: u64 = server.run_command(&["XLEN", &key]).await;
                let set = ["XSETID", &key, &newest, "ENTRIESADDED", &length.to_string()];
                let _: redis::Value =
                    server.run_command(&[&set[..], &["MAXDELETEDID", "0-0"]].concat()).await;
            }
            "string" => {
                let value: String = server.run_command(&["GET", &key]).await;
                if is_after(&value, at) {
                    let _: i64 = server.run_command(&["DEL", &key]).await;
                }
            }
            _ => {}
        }
    }
}

fn is_after(id: &str, at: Position) -> bool {
    let (milliseconds, number) = id.split_once('-').unwrap();
    (milliseconds.parse::<u64>().unwrap(), number.parse::<u64>().unwrap()) > at.place()
}

fn ids_of(entries: &redis::Value) -> Vec<String> {
    let redis::Value::Array(entries) = entries else { return Vec::new() };
    let ids = entries.iter().map(|entry| match entry {
        redis::Value::Array(entry) => redis::from_redis_value_ref(&entry[0]).unwrap(),
        other => panic!("{other:?} is no entry"),
    });
    ids.collect()
}

async fn subject(server: &Arc<Redis>) -> testing::Subject<RedisBackend> {
    let relay = Arc::new(Relay::to(server.port).await);
    let nodes = [relay.url(), server.url()].map(RedisBackend::builder);
    let [first, second] = nodes;
    subject_at(server, relay, first, second).await
}

/// The subject of the suite: two nodes over a server, the first one over a relay.
pub(crate) async fn subject_at(
    server: &Arc<Redis>,
    relay: Arc<Relay>,
    first: RedisBuilder,
    second: RedisBuilder,
) -> testing::Subject<RedisBackend> {
    let _: redis::Value = server.run_command(&["FLUSHALL"]).await;
    let [trim, recreate, lose, kill, run] = [(); 5].map(|()| server.clone());
    testing::Subject::new(first.connect().await.unwrap())
        .with_node(second.connect().await.unwrap())
        .on_trim(move |at| {
            let server = trim.clone();
            async move {
                let _: i64 = server.run_command(&["XTRIM", "events", "MINID", &id(at)]).await;
            }
        })
        .on_recreate(move || {
            let server = recreate.clone();
            async move {
                let _: i64 = server.run_command(&["DEL", "events"]).await;
            }
        })
        .on_lose_end(move |at| {
            let server = lose.clone();
            async move { lose_after(&server, at).await }
        })
        .on_outage(
            move || {
                kill.kill();
                async {}
            },
            move || {
                let server = run.clone();
                async move { server.run().await }
            },
        )
        .on_lose_answer(move || {
            relay.lose_answer();
            async {}
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_contract() {
    let server = Redis::start().await;
    let report = testing::run_all(|| subject(&server)).await;
    report.assert_all_kept();
}

/// An entry that is still in the log, but not in the stream of its topic, would be lost without a gap.
#[tokio::test]
async fn what_is_older_than_a_topic_is_kept_is_trimmed_and_readers_at_its_end_lose_nothing() {
    let server = Redis::start().await;
    let ttl = Duration::from_secs(1);
    let backend = RedisBackend::builder(server.url()).topic_ttl(ttl).connect().await.unwrap();
    let entry = |topic: &str, id: u128| {
        Outgoing::new(topic.parse().unwrap(), EventParts::new(id.to_string()), id)
    };
    let old = [entry("a", 1), entry("a", 2), entry("b", 3)];
    let old = backend.append(&old).await.unwrap();
    let mut tail = backend.tail(old[2]).await.unwrap();
    tokio::time::sleep(2 * ttl).await;
    assert_eq!(backend.locate(old[0], &Wanted::all()).await.unwrap(), Located::Trimmed);
    assert_eq!(backend.locate(old[1], &Wanted::all()).await.unwrap(), Located::Trimmed);
    assert_eq!(backend.locate(old[2], &Wanted::all()).await.unwrap(), Located::Kept);
    let new = backend.append(&[entry("a", 4)]).await.unwrap();
    // Readers and tails that had everything go on.
    assert_eq!(backend.locate(old[2], &Wanted::all()).await.unwrap(), Located::Kept);
    let batch = tail.next().await.unwrap();
    assert_eq!(batch.entries[0].at, new[0]);
    let wanted = Wanted::new(["a".parse().unwrap()], []).unwrap();
    let page = backend.read(old[2], new[0], &wanted, NonZeroUsize::MIN).await.unwrap();
    assert_eq!(page.entries[0].at, new[0]);
}

/// `XREVRANGE` with an end before the oldest entry walks through the whole log.
#[tokio::test]
async fn no_call_looks_for_old_entries_where_there_are_none() {
    let server = Redis::start().await;
    let backend = RedisBackend::builder(server.url()).connect().await.unwrap();
    let entry = Outgoing::new("a".parse().unwrap(), EventParts::new("data"), 1);
    let at = backend.append(&[entry]).await.unwrap()[0];
    for at in [at, Position::START] {
        assert_eq!(backend.locate(at, &Wanted::all()).await.unwrap(), Located::Kept);
    }
    backend.bounds().await.unwrap();
    let counts: String = server.run_command(&["INFO", "commandstats"]).await;
    assert!(counts.contains("cmdstat_evalsha:"), "{counts}");
    assert!(!counts.contains("cmdstat_xrevrange:"), "{counts}");
}
