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
        assert_eq!(log.spans().len(), 1, "there is no span of a stream");
        assert!(log.spans()[0].starts_with("event_stream_head "), "{:?}", log.spans());
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

#[test]
fn the_times_to_the_head_and_to_the_first_event_have_their_route() {
    let handler = || {
        event_channel_handler::<_, _, ()>(|_, events| async move {
            sleep(3 * SECOND).await;
            events.send(Event::new("1")).await?;
            events.send(Event::new("2")).await?;
            Ok(())
        })
        .on_connect(|connect: Connect| async move {
            sleep(2 * SECOND).await;
            match connect.uri().path() {
                "/refused" => Err(Refusal::new(StatusCode::FORBIDDEN)),
                _ => Ok(connect.accept()),
            }
        })
    };
    let ((), counted) = counting(async {
        let by_path = handler().route("/all").route_of(|connect: &Connect| {
            (connect.uri().path() == "/other").then(|| "/other".into())
        });
        let late = handler().commit_within(60 * SECOND).route("/late");
        for (handler, path) in
            [(&by_path, "/x"), (&by_path, "/other"), (&by_path, "/refused"), (&late, "/")]
        {
            read_all(&mut call(handler, get(path)).await.into_body()).await;
        }
        let body = EventBody::new(|events| async move {
            sleep(SECOND).await;
            events.send(Event::new("1")).await?;
            Ok(())
        });
        read_all(&mut body.route("/own")).await;
    });
    let histogram = |sum| Value::Histogram { count: 1, sum };
    for (route, head, first) in [
        ("/all", Some(2.0), 5.0),
        ("/other", Some(2.0), 5.0),
        ("/late", Some(5.0), 5.0),
        ("/own", None, 1.0),
    ] {
        let of = |name: &str| format!("tower_sse_{name}{{route={route:?}}}");
        match head {
            Some(head) => assert_eq!(counted.get(&of("open_seconds")), histogram(head), "{route}"),
            None => assert!(!counted.names().any(|name| name == of("open_seconds"))),
        }
        assert_eq!(counted.get(&of("first_event_seconds")), histogram(first), "{route}");
        assert_eq!(counted.get(&of("streams_open")), Value::Gauge(0.0));
        assert_eq!(counted.counter(&of("events_total")), if head.is_some() { 2 } else { 1 });
        assert!(counted.counter(&of("bytes_total")) > 0);
        let ended = format!("tower_sse_streams_ended_total{{reason=\"finished\",route={route:?}}}");
        assert_eq!(counted.counter(&ended), 1, "{route}");
    }
}

#[test]
fn a_time_without_an_event_is_a_stall() {
    let stalls = |after, pauses: &'static [u64]| {
        let ((), counted) = counting(async {
            let body = EventBody::new(move |events| async move {
                for pause in pauses {
                    sleep(std::time::Duration::from_secs(*pause)).await;
                    events.send(Event::new("1")).await?;
                }
                sleep(5 * SECOND).await;
                Ok(())
            });
            read_all(&mut body.stall_after(std::time::Duration::from_secs(after))).await;
        });
        counted.counter("tower_sse_stalls_total")
    };
    assert_eq!(stalls(10, &[9, 9, 9]), 0);
    assert_eq!(stalls(10, &[9, 10, 9, 100, 11]), 3);
    assert_eq!(stalls(5, &[1]), 1, "at the end");
    assert_eq!(stalls(0, &[100]), 0);
}

#[cfg(feature = "hub")]
#[test]
fn events_of_the_history_are_counted_as_replayed() {
    use futures_util::FutureExt as _;
    use tower_sse::hub::{Hub, Selection};

    let replayed = |selection: fn() -> Selection, last: Option<usize>| {
        let ((), counted) = counting(async {
            let hub = Hub::new();
            let mut ids = Vec::new();
            for n in 0..10 {
                let published = hub.publish("a", Event::new(n)).await.unwrap();
                ids.push(published.id.to_string());
            }
            let reader = match last {
                Some(last) => hub.resume(selection(), ids[last].as_str()).await.unwrap(),
                None => hub.subscribe(selection()).await.unwrap(),
            };
            let mut body = reader.into_body();
            let mut text = String::new();
            for n in 10..13 {
                // The reader has everything before the next one is published.
                let next = |body: &mut EventBody| body.next_chunk().now_or_never().flatten();
                while let Some(chunk) = next(&mut body) {
                    text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
                }
                hub.publish("a", Event::new(n)).await.unwrap();
            }
            while !text.contains("data: 12") {
                text.push_str(
                    std::str::from_utf8(&body.next_chunk().await.unwrap().unwrap()).unwrap(),
                );
            }
        });
        counted.counter("tower_sse_hub_events_replayed_total")
    };
    let topics = || Selection::new(["a"]).unwrap();
    assert_eq!(replayed(topics, None), 0);
    assert_eq!(replayed(topics, Some(9)), 0);
    assert_eq!(replayed(topics, Some(8)), 1);
    assert_eq!(replayed(topics, Some(3)), 6);
    assert_eq!(replayed(|| Selection::new(["a"]).unwrap().from_start(), None), 10);
    assert_eq!(replayed(|| Selection::new(["a"]).unwrap().last(4), None), 4);
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
    assert_eq!(documented.len(), 24);
    // Describing them does not panic, with any recorder.
    tower_sse::telemetry::describe_metrics();
}
