//! Every end is reported in the hook, in a metric, in a span and in one log line.

use std::{collections::BTreeSet, future::pending};

use http::Request;
use tokio::time::sleep;
use tower_sse::{
    BoxError, Buffer, EndReason, Event, EventBody, EventChannelHandler, EventSender, Farewell,
    Shutdown, event_channel_handler,
};

use crate::support::{
    SECOND,
    ends::Ends,
    http::call,
    log::Log,
    meter::{Value, counting},
};

type Handler = EventChannelHandler<()>;

/// A handler that sends one event and then runs `then`.
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

/// Brings a stream to its end. The body has given its first bytes before.
type End = fn(EventBody, Shutdown) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// Reads a body to its end.
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
fn every_reason_is_reported_in_the_hook_in_a_metric_and_in_a_span() {
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
            // A spawned handler has sent its event when the second chunk is there.
            let mut events = 0;
            while events == 0 {
                let chunk = body.next_chunk().await.unwrap().unwrap();
                events += String::from_utf8_lossy(&chunk).matches("data: x").count();
            }
            end(body, shutdown).await;
        });

        let reported = ends.only();
        assert_eq!(reported.reason(), reason);
        assert_eq!(reported.last_event_id(), Some("7"), "{name}");
        assert_eq!(reported.error().is_some(), reason == EndReason::Failed);
        let (events, bytes, duration) =
            (reported.events(), reported.bytes(), reported.duration().as_secs_f64());

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
            [
                "event_stream_head method=\"GET\" path=\"/path\" last_event_id=\"6\" status=200"
                    .to_owned(),
                format!(
                    "event_stream method=\"GET\" path=\"/path\" last_event_id=\"6\" \
                     reason={name:?} events={events} bytes={bytes} duration={duration:?}"
                )
            ]
        );
        let mut lines = log.all_lines();
        // A shutdown has a line of its own.
        lines.retain(|line| !line.contains("the streams of the server have ended"));
        assert_eq!(lines[0], "DEBUG message=event stream opened");
        let last = lines.last().unwrap();
        assert!(last.starts_with(level), "{last}");
        assert!(last.contains(&format!("reason={name:?}")), "{last}");
        assert_eq!(lines.len(), 2, "one line an end: {lines:?}");
        assert_eq!(last.contains("error=no more"), reason == EndReason::Failed);
        assert!(!format!("{spans:?}{lines:?}").contains("secret"));
    }
    // These are all reasons.
    assert_eq!(seen.len(), 7);
}
