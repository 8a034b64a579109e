//! Metrics: refusals, open streams, payloads, waits, drops, and the hub.

use std::{collections::BTreeSet, future::pending};

use http::{Request, StatusCode};
use tokio::time::sleep;
use tower_sse::{Buffer, Connect, Event, EventBody, Refusal, Shutdown, event_channel_handler};

use crate::support::{
    SECOND,
    handlers::{idle, sends},
    http::{call, get},
    log::Log,
    meter::{Counted, Value, counting},
    read_all,
};

fn refusals(counted: &Counted) -> Vec<(&str, u64)> {
    let all = ["on_connect", "max_streams", "max_streams_per", "shutdown", "last_event_id"];
    let count = |by: &str| counted.counter(&format!("tower_sse_refusals_total{{by={by:?}}}"));
    all.into_iter().map(|by| (by, count(by))).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn refusals_are_counted_by_their_cause() {
    let handler = || event_channel_handler::<_, _, ()>(|_, _| pending());
    let shutdown = Shutdown::now();
    shutdown.start();
    let refusing = [
        ("max_streams", handler().max_streams(0)),
        ("max_streams_per", handler().max_streams_per(|_| Some(1), 0)),
        ("shutdown", handler().shutdown(&shutdown)),
        (
            "on_connect",
            handler().on_connect(|_: Connect| async { Err(Refusal::new(StatusCode::FORBIDDEN)) }),
        ),
    ];
    for (by, handler) in refusing {
        let log = Log::start();
        let ((), counted) = counting(async {
            drop(call(&handler, get("/")).await);
        });
        assert_eq!(refusals(&counted), [(by, 1)]);
        assert!(!counted.names().any(|name| name == "tower_sse_streams_open"), "none was opened");
        assert_eq!(log.all_lines(), [format!("DEBUG message=event stream refused by={by:?}")]);
        assert!(log.spans().is_empty());
    }
    let ((), counted) = counting(async {
        let request = Request::get("/?last_event_id=%FF").body(()).unwrap();
        drop(call(&handler(), request).await);
    });
    assert_eq!(refusals(&counted), [("last_event_id", 1)]);
}

#[test]
fn open_streams_payloads_waits_and_drops_are_counted() {
    let (open, counted) = counting(async {
        let (events, receiver) = tower_sse::event_channel(Buffer::fixed(1));
        let mut body = EventBody::from(receiver).without_keep_alive();
        body.next_chunk().await.unwrap().unwrap();
        events.send(Event::new("12")).await.unwrap();
        let waits = events.clone();
        let waiting = tokio::spawn(async move { waits.send(Event::new("1234")).await });
        sleep(3 * SECOND).await;
        body.next_chunk().await.unwrap().unwrap();
        body.next_chunk().await.unwrap().unwrap();
        waiting.await.unwrap().unwrap();

        let (sliding, receiver) = tower_sse::event_channel(Buffer::sliding(2));
        let other = EventBody::from(receiver);
        for n in 0..5 {
            sliding.try_send(Event::new(n)).unwrap();
        }
        (body, other)
    });
    assert_eq!(counted.get("tower_sse_streams_open"), Value::Gauge(2.0));
    // `data: 12` and `data: 1234`, then five events of one digit, each with two line ends.
    let sum = f64::from(10 + 12 + 5 * 9);
    assert_eq!(counted.get("tower_sse_event_bytes"), Value::Histogram { count: 7, sum });
    assert_eq!(counted.get("tower_sse_send_wait_seconds"), Value::Histogram { count: 1, sum: 3.0 });
    assert_eq!(counted.counter("tower_sse_events_dropped_total"), 3);
    assert_eq!(counted.counter("tower_sse_events_total"), 2);
    drop(open);

    // One stream that has ended, and one that is open.
    let (body, counted) = counting(async {
        let mut ended = call(&sends(vec![Event::new("1234")]), get("/")).await.into_body();
        read_all(&mut ended).await;
        call(&idle(), get("/")).await.into_body()
    });
    let sizes = Value::Histogram { count: 1, sum: "data: 1234\n\n".len() as f64 };
    assert_eq!(counted.get("tower_sse_event_bytes"), sizes);
    assert_eq!(counted.get("tower_sse_streams_open"), Value::Gauge(1.0));
    drop(body);
}

#[cfg(feature = "hub")]
#[test]
fn publications_and_gaps_of_a_hub_are_counted() {
    use tower_sse::hub::{History, Hub, Lagging, Selection};

    let log = Log::start();
    let ((), counted) = counting(async {
        let topics = || Selection::new(["a"]).unwrap();
        let one = History::events(1);
        let hub = Hub::builder().history(one).lagging(Lagging::Skip).build();
        let mut slow = hub.subscribe(topics()).await.unwrap();
        let mut body = hub.subscribe(topics()).await.unwrap().into_body();
        body.next_chunk().await.unwrap().unwrap();
        for n in 0..3 {
            hub.publish("a", Event::new(n)).await.unwrap();
        }
        slow.next().await.unwrap().unwrap_err();
        slow.next().await.unwrap().unwrap();
        while !body.next_chunk().await.unwrap().unwrap().starts_with(b"event: gap") {}
        drop(hub.resume(topics(), "nonsense").await.unwrap());
        let complete = hub.resume(topics(), slow.position()).await.unwrap();
        assert_eq!(*complete.resumption(), tower_sse::hub::Resumption::Complete);
    });
    assert_eq!(counted.counter("tower_sse_hub_published_total"), 3);
    let gaps = |reason| counted.counter(&format!("tower_sse_hub_gaps_total{{reason={reason:?}}}"));
    assert_eq!((gaps("lagged"), gaps("unknown"), gaps("trimmed")), (2, 1, 0));
    let lines = log.all_lines();
    let logged = |line: &str| lines.iter().filter(|it| it.contains(line)).count();
    assert_eq!(logged("hub reader has a gap reason=\"lagged\" missed=2"), 2, "{lines:?}");
    assert_eq!(logged("hub reader has a gap reason=\"unknown\""), 1, "{lines:?}");
}

#[test]
fn the_docs_name_all_metrics_and_no_others() {
    let docs = include_str!("../../src/telemetry.rs");
    let documented: BTreeSet<_> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `tower_sse_")?.split('`').next())
        .collect();
    let code = include_str!("../../src/metrics/on.rs");
    let counted: BTreeSet<_> = code
        .lines()
        .filter_map(|line| line.split("\"tower_sse_").nth(1)?.split('"').next())
        .collect();
    assert_eq!(documented, counted);
    assert_eq!(documented.len(), 20);
    // Describing them does not panic, with any recorder.
    tower_sse::telemetry::describe_metrics();
}
