//! A hub's readers as bodies and as the streams of a handler.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body::Body;
use tower_sse::{Event, EventParser, Farewell, Hub, Refusal, Shutdown, hub::Selection};

use super::{call, get, ready_bytes, subscribe, topics};

#[tokio::test]
async fn a_handler_has_limits_refusals_and_a_shutdown() {
    let hub = Hub::new();
    let shutdown = Shutdown::new(
        Farewell::new().event(Event::new("").with_type("bye")).grace_period(Duration::from_secs(9)),
    );
    let handler = hub
        .handler(|connect| async move {
            let query = connect.uri().query().unwrap_or_default().to_owned();
            if query == "no" {
                return Err(Refusal::new(StatusCode::UNAUTHORIZED));
            }
            connect.accept().topics(query.split('&').filter(|topic| !topic.is_empty()))
        })
        .max_streams(1)
        .shutdown(&shutdown);
    assert_eq!(call(&handler, get("/?no")).await.status(), 401);
    assert_eq!(call(&handler, get("/")).await.status(), 400);
    assert_eq!(call(&handler, get(&format!("/?{}", "x".repeat(256)))).await.status(), 400);
    // As a selection, which a user may have named.
    let by_selection = hub.handler(|connect| async move {
        let topic = connect.uri().query().unwrap_or_default().to_owned();
        Ok(connect.accept().subscribe(Selection::new([topic])?))
    });
    let refused = call(&by_selection, get(&format!("/?{}", "x".repeat(256)))).await;
    assert_eq!(refused.status(), 400);
    assert!(
        String::from_utf8(refused.into_body().next_chunk().await.unwrap().unwrap().to_vec())
            .unwrap()
            .contains("topic")
    );
    let head = Request::head("/?a").body(()).unwrap();
    assert!(call(&handler, head).await.into_body().is_end_stream());
    assert_eq!(hub.stats().readers, 0);
    let mut body = call(&handler, get("/?a&b")).await.into_body();
    assert_eq!(call(&handler, get("/?a")).await.status(), 503);
    ready_bytes(&mut body);
    shutdown.start();
    // A reader has nothing to finish, so the grace period does not delay its end.
    let text = ready_bytes(&mut body);
    assert_eq!(text, "event: bye\ndata: \n\nend");
    drop(body);
    assert_eq!(hub.stats().readers, 0);
}

#[tokio::test]
async fn readers_at_the_same_position_share_the_same_bytes() {
    let hub = Hub::new();
    let mut bodies: Vec<_> =
        (0..3).map(|_| subscribe(&hub, topics(&["a"])).into_body().without_greeting()).collect();
    for body in &mut bodies {
        ready_bytes(body);
    }
    for n in 0..10 {
        hub.publish("a", Event::new(n)).await.unwrap();
    }
    let mut pointers = Vec::new();
    for body in &mut bodies {
        let chunk = body.next_chunk().await.unwrap().unwrap();
        let mut parser = EventParser::new();
        parser.push(chunk.clone());
        assert_eq!(std::iter::from_fn(|| parser.next_event()).count(), 10);
        pointers.push(chunk.as_ptr());
    }
    assert_eq!(pointers[0], pointers[1]);
    assert_eq!(pointers[0], pointers[2]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_window_joins_events_and_wakes_once() {
    let hub = Hub::new();
    let body = subscribe(&hub, topics(&["a"])).into_body().without_greeting();
    let mut body = body.batch_window(Duration::from_millis(10));
    ready_bytes(&mut body);
    // After a pause, an event goes out at once.
    assert_eq!(hub.publish("a", "0").await.unwrap().woken, 1);
    assert!(ready_bytes(&mut body).ends_with("data: 0\n\n"));
    for n in 1..4 {
        assert_eq!(hub.publish("a", Event::new(n)).await.unwrap().woken, 0);
        assert_eq!(ready_bytes(&mut body), "");
    }
    let before = tokio::time::Instant::now();
    let chunk = body.next_chunk().await.unwrap().unwrap();
    let text = std::str::from_utf8(&chunk).unwrap();
    assert_eq!(text.matches("data: ").count(), 3);
    assert_eq!(before.elapsed(), Duration::from_millis(10));
}

/// Firefox and WebKit keep the ID of an event only. `tests/browser/hub.rs` shows it.
#[tokio::test]
async fn a_browser_gets_a_position_as_an_event_and_other_clients_as_a_block() {
    const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let hub = Hub::new();
    let handler = hub.handler(|connect| async move { connect.accept().topics(["a"]) });
    for (agent, accept, is_browser) in [
        (BROWSER, "text/event-stream", true),
        (BROWSER, "*/*", false),
        ("tower-sse/0.1", "text/event-stream", false),
    ] {
        let request = || Request::get("/").header("user-agent", agent).header("accept", accept);
        let mut body = call(&handler, request().body(()).unwrap()).await.into_body();
        let opening = ready_bytes(&mut body);
        let id = opening.split("id: ").nth(1).unwrap().lines().next().unwrap();
        let expected = match is_browser {
            true => format!(": connected\nevent: position\nid: {id}\ndata: \n\n"),
            false => format!(": connected\nid: {id}\n\n"),
        };
        assert_eq!(opening, expected, "{agent} {accept}");
        // As a body of a handler.
        let request = request().body(()).unwrap();
        let subscription = subscribe(&hub, topics(&["a"])).positions_for(request.headers());
        let opening = ready_bytes(&mut subscription.into_body());
        assert_eq!(opening.contains("event: position"), is_browser, "{opening}");
    }
}
