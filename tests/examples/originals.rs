//! Handlers of the same shape as the demos of the originals, on a paused clock.

use std::time::Duration;

use http::{Request, Response};
use tokio::time::sleep;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tower_sse::{
    BoxError, EndReason, Event, EventChannelHandler, EventId, SseLayer, event_channel_handler,
};

use crate::support::{
    SECOND, decode,
    ends::Ends,
    http::{call, get},
    read_text, timed,
};

#[tokio::test(start_paused = true)]
async fn the_demo_of_ring_sse_sends_twenty_events_a_second_apart_and_closes() {
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, events| async move {
        for n in 0..20 {
            let event = Event::new(serde_json::json!({ "foo": n }).to_string())
                .with_type("foo")
                .with_id(EventId::from_display(uuid::Uuid::new_v4())?);
            events.send(event).await?;
            sleep(SECOND).await;
        }
        events.close();
        Ok(())
    })
    .on_disconnect(ends.hook());
    let chunks = timed(call(&handler, get("/")).await.into_body()).await;
    let seconds: Vec<_> = chunks.iter().map(|(at, _)| at / 1000).collect();
    assert_eq!(seconds, (0..20).collect::<Vec<_>>());
    let decoded = decode(chunks.into_iter().map(|(_, text)| text).collect::<String>());
    let mut ids = std::collections::HashSet::new();
    for (n, (event_type, data, id)) in decoded.into_iter().enumerate() {
        assert_eq!((event_type, data), ("foo".into(), format!("{{\"foo\":{n}}}")));
        ids.insert(id.unwrap().parse::<uuid::Uuid>().unwrap());
    }
    assert_eq!(ids.len(), 20);
    let end = ends.only();
    assert_eq!((end.reason(), end.events()), (EndReason::Finished, 20));
    assert_eq!(end.duration().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn the_sample_of_pedestal_counts_from_10_to_0_sends_close_and_closes() {
    let mut ends = Ends::new();
    let handler = event_channel_handler(|_, events| async move {
        for n in (0..=10).rev() {
            events.send(Event::new(n).with_type("counter")).await?;
            sleep(Duration::from_millis(1500)).await;
        }
        events.send(Event::new("bye").with_type("close")).await?;
        events.close();
        Ok(())
    })
    .on_disconnect(ends.hook());
    let chunks = timed(call(&handler, get("/")).await.into_body()).await;
    let tenths: Vec<_> = chunks.iter().map(|(at, _)| at / 100).collect();
    assert_eq!(tenths, (0..12).map(|n| n * 15).collect::<Vec<_>>());
    let decoded = decode(chunks.into_iter().map(|(_, text)| text).collect::<String>());
    let (last, counted) = decoded.split_last().unwrap();
    assert_eq!(*last, ("close".into(), "bye".into(), None));
    let counted: Vec<_> = counted.iter().map(|(_, data, _)| data.as_str()).collect();
    assert_eq!(counted.join(" "), "10 9 8 7 6 5 4 3 2 1 0");
    assert_eq!(ends.only().reason(), EndReason::Finished);
}

#[tokio::test(start_paused = true)]
async fn the_counter_of_pedestal_reads_like_its_transcript() {
    let handler = event_channel_handler(|_, events| async move {
        for n in 0..10 {
            let event = Event::new(format!("{n} thread")).with_type("counter").with_id(n);
            events.send(event).await?;
            sleep(2 * SECOND).await;
        }
        Ok(())
    });
    let text = read_text(call(&handler, get("/counter")).await.into_body()).await;
    let counted = (0..10).map(|n| format!("event: counter\nid: {n}\ndata: {n} thread\n\n"));
    assert_eq!(text, format!(": connected\n{}", counted.collect::<String>()));
}

#[tokio::test(start_paused = true)]
async fn the_demo_of_cl_sse_has_pages_ends_and_is_opened_again() {
    let hello = event_channel_handler(|_, events| async move {
        for n in 0..10 {
            events.send(Event::new(format!("Hello World! {n}"))).await?;
            sleep(2 * SECOND).await;
        }
        Ok(())
    })
    .retry(3 * SECOND);
    let pages = service_fn(|request: Request<()>| async move {
        Ok::<_, BoxError>(Response::new(match request.uri().path() {
            "/" => "index".to_owned(),
            "/sse" => "page".to_owned(),
            path => panic!("{path} reached the pages"),
        }))
    });
    let demo = ServiceBuilder::new().layer(SseLayer::new(hello).path("/events")).service(pages);
    for (path, text) in [("/", "index"), ("/sse", "page")] {
        let response = demo.clone().oneshot(get(path)).await.unwrap();
        let bytes =
            http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        assert_eq!(bytes, text);
    }
    for _ in ["the browser", "the browser, back again"] {
        let started = tokio::time::Instant::now();
        let response = demo.clone().oneshot(get("/events")).await.unwrap();
        let bytes =
            http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        assert_eq!(started.elapsed().as_secs(), 20);
        assert!(bytes.starts_with(b": connected\nretry: 3000\n"));
        let data: Vec<_> = decode(bytes).into_iter().map(|(_, data, _)| data).collect();
        assert_eq!(data, (0..10).map(|n| format!("Hello World! {n}")).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn the_demo_of_clack_sse_takes_count_and_pace() {
    fn demo(count: u32, pace: Duration) -> EventChannelHandler<()> {
        event_channel_handler(move |_, events| async move {
            for n in 0..count {
                events.send(Event::new(format!("Hello World! {n}"))).await?;
                sleep(pace).await;
            }
            Ok(())
        })
    }
    for (count, pace) in [(100, 2 * SECOND), (3, SECOND / 2), (0, SECOND)] {
        let chunks = timed(call(&demo(count, pace), get("/events")).await.into_body()).await;
        let text: String = chunks.iter().map(|(_, text)| text.as_str()).collect();
        let hellos = (0..count).map(|n| format!("data: Hello World! {n}\n\n")).collect::<String>();
        assert_eq!(text, format!(": connected\n{hellos}"));
        let last = chunks.last().unwrap().0;
        let due = pace.as_millis() * u128::from(count.saturating_sub(1));
        assert!(last >= due && last <= due + u128::from(count), "{last} for {due}");
    }
}
