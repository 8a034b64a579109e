//! The examples `ring`, `counter`, `auth` and `channel`.

use http::{Request, StatusCode};

use crate::{
    streams::{after_events, event, events},
    support::process::Example,
};

#[tokio::test]
async fn ring_sends_twenty_events_and_logs_the_end() {
    let mut ring = Example::start("ring", &["--every", "10ms"]).await;
    let reply = ring.get("/whatever").await;
    reply.assert_event_stream();
    let sent = events(&reply.text().await);
    assert_eq!(sent.len(), 20);
    let mut ids = std::collections::HashSet::new();
    for (event_type, data, id) in sent {
        assert_eq!((&*event_type, &*data), ("foo", r#"{"foo":"bar"}"#));
        let id = uuid::Uuid::parse_str(&id.unwrap()).unwrap();
        assert_eq!(id.get_version_num(), 4);
        assert!(ids.insert(id));
    }
    assert_eq!(ring.line().await, "client disconnected: finished");

    let mut ring = Example::start("ring", &[]).await;
    ring.get("/").await.blocks(2).await;
    assert_eq!(ring.line().await, "client disconnected: client_gone");
}

#[tokio::test]
async fn counter_counts_down_says_close_and_counts_up() {
    let counter = Example::start("counter", &["--every", "10ms"]).await;
    let reply = counter.get("/").await;
    reply.assert_event_stream();
    let mut expected: Vec<_> =
        (0..=10).rev().map(|n: u32| event("count", n.to_string(), None)).collect();
    expected.push(event("close", "", None));
    assert_eq!(events(&reply.text().await), expected);

    let text = counter.get("/counter").await.text().await;
    let expected: Vec<_> = (0..10).map(|n: u32| event("counter", n.to_string(), None)).collect();
    assert_eq!(events(&text), expected);
}

#[tokio::test]
async fn auth_refuses_without_a_token_and_knows_the_user() {
    let mut auth = Example::start("auth", &[]).await;
    for authorization in [None, Some("Bearer of-bad-news"), Some("Basic token-of-ann"), Some("x")] {
        let mut request = Request::get("/events");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let reply = auth.send(request).await;
        assert_eq!(reply.status(), StatusCode::UNAUTHORIZED, "{authorization:?}");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(reply.text().await, "who are you?\n");
    }
    for user in ["ann", "bob"] {
        let authorization = format!("Bearer token-of-{user}");
        let request = Request::get("/events").header("authorization", authorization);
        let mut reply = auth.send(request).await;
        reply.assert_event_stream();
        let first = event("hello", format!("hello {user}"), None);
        assert_eq!(events(&reply.blocks(2).await), [first]);
        drop(reply);
        assert_eq!(auth.line().await, format!("{user}: connected"));
        let line = auth.line().await;
        assert_ne!(after_events(&line, &format!("{user}: client_gone after ")), "0");
    }
}

#[tokio::test]
async fn channel_streams_from_a_channel_and_from_a_thread() {
    let channel = Example::start("channel", &[]).await;
    for source in ["stream", "thread"] {
        let reply = channel.get(&format!("/{source}")).await;
        reply.assert_event_stream();
        let name = if source == "stream" { "channel" } else { "thread" };
        let expected: Vec<_> =
            (0..5).map(|n| event("message", format!("from a {name}: {n}"), None)).collect();
        assert_eq!(events(&reply.text().await), expected);
    }
}
