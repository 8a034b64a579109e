//! The example keeps the contract of a backend, and its log stays within its bound.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use tower_sse::hub::backend::{
    Backend as _, EventParts, Fault, Located, Outgoing, Position, Tail as _, Wanted, testing,
};

use crate::{
    backend::PostgresBackend,
    postgres_server::{Postgres, Relay, url},
};

const DROP: &str = "DROP TABLE IF EXISTS sse_log, sse_entries";

async fn subject(server: &Arc<Postgres>) -> testing::Subject<PostgresBackend> {
    server.execute(DROP).await;
    let relay = Relay::to(server.port).await;
    let first = PostgresBackend::open(&url(relay.port), 100_000).await.unwrap();
    let node = PostgresBackend::open(&server.url(), 100_000).await.unwrap();
    let run = {
        let server = server.clone();
        move |sql: String| {
            let server = server.clone();
            async move { server.execute(&sql).await }
        }
    };
    let [trim, recreate, lose_end] = [run.clone(), run.clone(), run];
    let [kill, start] = [server.clone(), server.clone()];
    testing::Subject::new(first)
        .with_node(node)
        .on_trim(move |before| trim(format!("SELECT sse_trim({})", before.major() - 1)))
        .on_recreate(move || recreate(DROP.into()))
        // The table is as it was in a backup.
        .on_lose_end(move |at| {
            lose_end(format!("DELETE FROM sse_entries WHERE number > {}", at.major()))
        })
        .on_outage(
            move || {
                kill.kill();
                async {}
            },
            move || {
                let server = start.clone();
                async move { server.run().await }
            },
        )
        .on_lose_answer(move || {
            relay.lose_answer();
            async {}
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract() {
    let server = Postgres::start().await;
    let report = testing::run_all(|| subject(&server)).await;
    // No promise is skipped.
    report.assert_all_kept();
}

/// The connection stays open, so that only a time limit notices.
#[tokio::test]
async fn a_server_that_does_not_answer_is_an_error_also_if_calls_are_dropped() {
    let server = Postgres::start().await;
    let relay = Relay::to(server.port).await;
    let backend = PostgresBackend::open(&url(relay.port), 100).await.unwrap();
    let at = backend.append(&[entry(1)]).await.unwrap()[0];
    let mut tail = backend.tail(at).await.unwrap();
    relay.stall();
    let (appended, failed) = tokio::join!(async { backend.append(&[entry(2)]).await }, async {
        loop {
            if let Ok(next) = timeout(Duration::from_millis(300), tail.next()).await {
                return next;
            }
        }
    });
    assert_eq!(appended.unwrap_err().fault(), Fault::Unknown);
    assert_eq!(failed.unwrap_err().fault(), Fault::Unavailable);
}

fn entry(number: u128) -> Outgoing {
    Outgoing::new("a".parse().unwrap(), EventParts::new(number.to_string()), number)
}

#[tokio::test]
async fn the_log_retains_a_number_of_entries_and_the_oldest_go_first() {
    let server = Postgres::start().await;
    let backend = PostgresBackend::open(&server.url(), 3).await.unwrap();
    let start = |at| backend.tail(at);
    let mut slow = start(Position::START).await.unwrap();
    let mut positions = Vec::new();
    for number in 1..=10 {
        positions.extend(backend.append(&[entry(number)]).await.unwrap());
    }
    let bounds = backend.bounds().await.unwrap();
    assert_eq!((bounds.oldest, bounds.newest), (Some(positions[7]), positions[9]));
    for (at, located) in [
        (Position::START, Located::Trimmed),
        (positions[5], Located::Trimmed),
        // Everything after it is retained.
        (positions[6], Located::Kept),
        (positions[9], Located::Kept),
    ] {
        assert_eq!(backend.locate(at, &Wanted::all()).await.unwrap(), located, "{at:?}");
    }
    assert_eq!(slow.next().await.unwrap_err().fault(), Fault::Lost);
    for at in [Position::START, positions[6]] {
        let batch = start(at).await.unwrap().next().await.unwrap();
        assert!(batch.entries.iter().map(|entry| entry.at).eq(positions[7..].iter().copied()));
    }
    // A batch that is larger than the log.
    let many: Vec<_> = (11..=20).map(entry).collect();
    let positions = backend.append(&many).await.unwrap();
    assert_eq!(positions.len(), 10);
    assert_eq!(backend.bounds().await.unwrap().oldest, Some(positions[7]));
}

#[tokio::test]
async fn an_entry_that_the_database_does_not_accept_is_refused() {
    let server = Postgres::start().await;
    let backend = PostgresBackend::open(&server.url(), 100).await.unwrap();
    // The index of keys cannot compress it.
    let key: String = (0..1000).map(|_| format!("{:x}", fastrand::u64(..))).collect();
    let entries = [entry(1), entry(2).with_key(key)];
    let error = backend.append(&entries).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Refused);
    assert!(error.to_string().contains("index row"), "{error}");
    assert_eq!(
        backend.append(&entries[..1]).await.unwrap(),
        [backend.bounds().await.unwrap().newest]
    );
    assert_eq!(backend.bounds().await.unwrap().newest.major(), 1);
}

/// The function is the interface for programs in any language. It takes no care of invalid values.
#[tokio::test]
async fn entries_of_other_programs_are_read_and_invalid_ones_are_skipped() {
    let server = Postgres::start().await;
    let backend = PostgresBackend::open(&server.url(), 100).await.unwrap();
    let mut tail = backend.tail(Position::START).await.unwrap();
    let append = |topic: &str, kind: &str, fields: &str, data: &str| {
        let id = "uuid_send(gen_random_uuid())";
        format!(
            "SELECT sse_append(ARRAY[{id}], ARRAY['{topic}'], ARRAY[NULL::bytea], ARRAY['{kind}'], \
             ARRAY['{fields}'], ARRAY['{data}'::bytea], ARRAY[NULL::float8], 100);"
        )
    };
    let sql = [
        append("a", "event", r#"[["event", "greeting"]]"#, "hello"),
        append("", "event", "[]", "an empty topic"),
        append("a", "nonsense", "[]", "an unknown kind"),
        append("a", "event", "no JSON", "invalid fields"),
        append("a", "event", "[]", "last"),
    ];
    server.execute(&sql.concat()).await;
    let batch = tail.next().await.unwrap();
    assert_eq!(batch.junk, 3);
    let events: Vec<_> =
        batch.entries.iter().map(|entry| entry.event.to_event().unwrap()).collect();
    assert_eq!((events[0].data(), events[0].event_type().as_str()), ("hello", "greeting"));
    assert_eq!((events[1].data(), events.len()), ("last", 2));
}
