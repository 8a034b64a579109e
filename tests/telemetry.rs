//! What can be seen of streams: every end in the hook, in a metric and in a span; and that what the
//! docs name is what there is.
#![cfg(all(feature = "tracing", feature = "metrics"))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{collections::BTreeSet, future::pending, time::Duration};

use http::{Request, StatusCode};
use support::{
    ends::Ends,
    http::{call, get},
    log::Log,
    meter::{Counted, Value, counting},
};
use tokio::time::sleep;
use tower_sse::{
    BoxError, Buffer, Connect, EndReason, Event, EventBody, EventChannelHandler, EventSender,
    Farewell, Refusal, Shutdown, event_channel_handler,
};

const SECOND: Duration = Duration::from_secs(1);

type Handler = EventChannelHandler<()>;

/// Sends one event, and goes on as it is told.
fn sends<Fut>(then: impl Fn(EventSender) -> Fut + Send + Sync + 'static) -> Handler
where
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let then = std::sync::Arc::new(then);
    event_channel_handler(move |_, events: EventSender| {
        let then = then.clone();
        async move {
            events.send(Event::new("x").with_id(7)).await?;
            then(events).await
        }
    })
}

/// Brings a stream to its end in one way. The body has given its first bytes.
type End = fn(EventBody, Shutdown) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// Reads to the end, if there is one within a day.
fn read_on(mut body: EventBody, _: Shutdown) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        sleep(SECOND).await;
        while body.next_chunk().await.is_some_and(|chunk| chunk.is_ok()) {}
    })
}

fn leave(body: EventBody, _: Shutdown) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        sleep(SECOND).await;
        drop(body);
    })
}

fn shut_down(body: EventBody, shutdown: Shutdown) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        sleep(SECOND).await;
        shutdown.start();
        read_on(body, shutdown).await;
    })
}

#[test]
fn every_reason_is_told_in_the_hook_in_a_metric_and_in_a_span() {
    let cases: [(EndReason, &str, Handler, End); 7] = [
        (EndReason::ClientGone, "DEBUG", sends(|_| pending()), leave),
        (EndReason::Finished, "DEBUG", sends(|_| async { Ok(()) }), read_on),
        (EndReason::Failed, "ERROR", sends(|_| async { Err("no more".into()) }), read_on),
        (EndReason::ShutDown, "DEBUG", sends(|_| pending()), shut_down),
        (EndReason::Expired, "DEBUG", sends(|_| pending()).max_lifetime(60 * SECOND), read_on),
        (
            EndReason::Evicted,
            "WARN",
            sends(|events| async move {
                loop {
                    events.send(Event::new("y")).await?;
                }
            })
            .spawn_handler()
            .buffer(Buffer::fixed(1))
            .send_timeout(SECOND / 2),
            read_on,
        ),
        (
            EndReason::Revoked,
            "DEBUG",
            sends(|events| async move {
                sleep(SECOND / 2).await;
                events.revoke();
                pending().await
            })
            .spawn_handler(),
            read_on,
        ),
    ];
    let mut seen = BTreeSet::new();
    for (reason, level, handler, end) in cases {
        let name = reason.as_str();
        seen.insert(name);
        let log = Log::start();
        let mut ends = Ends::new();
        let shutdown = Shutdown::new(Farewell::new());
        let handler = handler.shutdown(&shutdown).on_disconnect(ends.hook());
        let ((), counted) = counting(async {
            let request = Request::get("/path?token=secret").header("last-event-id", "6");
            let mut body = call(&handler, request.body(()).unwrap()).await.into_body();
            // In a task, the handler has sent when the second chunk is there.
            let mut events = 0;
            while events == 0 {
                let chunk = body.next_chunk().await.unwrap().unwrap();
                events += String::from_utf8_lossy(&chunk).matches("data: x").count();
            }
            end(body, shutdown).await;
        });

        let told = ends.only();
        assert_eq!(told.reason(), reason);
        assert_eq!(told.last_event_id(), Some("7"), "{name}");
        assert_eq!(told.error().is_some(), reason == EndReason::Failed);
        let (events, bytes, duration) =
            (told.events(), told.bytes(), told.duration().as_secs_f64());

        assert_eq!(counted.get("tower_sse_streams_open"), Value::Gauge(0.0));
        let ended = |reason: &str| {
            counted.counter(&format!("tower_sse_streams_ended_total{{reason={reason:?}}}"))
        };
        assert_eq!(ended(name), 1, "{counted:?}");
        assert_eq!(
            counted.names().filter(|name| name.starts_with("tower_sse_streams_ended")).count(),
            1
        );
        assert_eq!(
            counted.get(&format!("tower_sse_stream_duration_seconds{{reason={name:?}}}")),
            Value::Histogram { count: 1, sum: duration }
        );
        assert_eq!(counted.counter("tower_sse_events_total"), events);
        assert_eq!(counted.counter("tower_sse_bytes_total"), bytes);

        let spans = log.spans();
        assert_eq!(
            spans,
            [format!(
                "event_stream method=\"GET\" path=\"/path\" last_event_id=\"6\" \
                 reason={name:?} events={events} bytes={bytes} duration={duration:?}"
            )]
        );
        let lines = log.all_lines();
        assert_eq!(lines[0], "DEBUG message=event stream opened");
        let last = lines.last().unwrap();
        assert!(last.starts_with(level), "{last}");
        assert!(last.contains(&format!("reason={name:?}")), "{last}");
        assert_eq!(lines.len(), 2, "one line an end: {lines:?}");
        assert_eq!(last.contains("error=no more"), reason == EndReason::Failed);
        assert!(!format!("{spans:?}{lines:?}").contains("secret"));
    }
    // All that there are.
    assert_eq!(seen.len(), 7);
}

#[test]
fn a_body_without_a_request_has_a_span_too() {
    let log = Log::start();
    let ((), _) = counting(async {
        let mut body = EventBody::new(|_| async { Ok(()) });
        while body.next_chunk().await.is_some() {}
    });
    let spans = log.spans();
    assert_eq!(spans.len(), 1);
    assert!(spans[0].starts_with("event_stream reason=\"finished\" events=0 bytes=13 duration="));
}

fn refusals(counted: &Counted) -> Vec<(&str, u64)> {
    let all = ["on_connect", "max_streams", "max_streams_per", "shutdown", "last_event_id"];
    let count = |by: &str| counted.counter(&format!("tower_sse_refusals_total{{by={by:?}}}"));
    all.into_iter().map(|by| (by, count(by))).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn refusals_are_counted_by_who_refused() {
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
    // `data: 12` and `data: 1234`, then five of one digit, each with two line ends.
    let sum = f64::from(10 + 12 + 5 * 9);
    assert_eq!(counted.get("tower_sse_event_bytes"), Value::Histogram { count: 7, sum });
    assert_eq!(counted.get("tower_sse_send_wait_seconds"), Value::Histogram { count: 1, sum: 3.0 });
    assert_eq!(counted.counter("tower_sse_events_dropped_total"), 3);
    assert_eq!(counted.counter("tower_sse_events_total"), 2);
    drop(open);
}

#[cfg(feature = "hub")]
#[test]
fn what_is_published_in_a_hub_and_what_its_readers_miss_is_counted() {
    use tower_sse::hub::{History, Hub, Lagging, Selection};

    let log = Log::start();
    let ((), counted) = counting(async {
        let topics = || Selection::new(["a"]).unwrap();
        let one = History::events(1);
        let hub = Hub::builder().history(one).lagging(Lagging::Skip).build();
        let mut slow = hub.subscribe(topics());
        let mut body = hub.subscribe(topics()).into_body();
        body.next_chunk().await.unwrap().unwrap();
        for n in 0..3 {
            hub.publish("a", Event::new(n)).await.unwrap();
        }
        slow.next().await.unwrap().unwrap_err();
        slow.next().await.unwrap().unwrap();
        while !body.next_chunk().await.unwrap().unwrap().starts_with(b"event: gap") {}
        drop(hub.resume(topics(), "nonsense"));
        let complete = hub.resume(topics(), slow.position());
        assert_eq!(*complete.resumption(), tower_sse::hub::Resumption::Complete);
    });
    assert_eq!(counted.counter("tower_sse_hub_published_total"), 3);
    let gaps = |reason| counted.counter(&format!("tower_sse_hub_gaps_total{{reason={reason:?}}}"));
    assert_eq!((gaps("lagged"), gaps("unknown"), gaps("trimmed")), (2, 1, 0));
    let lines = log.all_lines();
    let told = |line: &str| lines.iter().filter(|it| it.contains(line)).count();
    assert_eq!(told("a reader of a hub has a gap reason=\"lagged\" missed=2"), 2, "{lines:?}");
    assert_eq!(told("a reader of a hub has a gap reason=\"unknown\""), 1, "{lines:?}");
}

#[test]
fn the_docs_name_all_metrics_and_no_others() {
    let docs = include_str!("../src/telemetry.rs");
    let documented: BTreeSet<_> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `tower_sse_")?.split('`').next())
        .collect();
    let code = include_str!("../src/metrics/on.rs");
    let counted: BTreeSet<_> = code
        .lines()
        .filter_map(|line| line.split("\"tower_sse_").nth(1)?.split('"').next())
        .collect();
    assert_eq!(documented, counted);
    assert_eq!(documented.len(), 11);
    // And they can be described, whatever the recorder does with it.
    tower_sse::telemetry::describe_metrics();
}
