//! The example `hub`.

use http::{Request, StatusCode, Version};
use serde_json::Value;

use crate::support::process::{Example, send};

async fn json(
    example: &Example,
    request: http::request::Builder,
    body: &str,
) -> (StatusCode, Value) {
    let reply = send(example.addr, Version::HTTP_11, request, body.to_owned().into()).await;
    let status = reply.status();
    let text = reply.text().await;
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    (status, value)
}

#[tokio::test]
async fn hub_publishes_streams_replays_and_reports_errors() {
    let hub = Example::start("hub", &["--token", "secret", "--history", "2"]).await;
    let post = |topic: &str| {
        Request::post(format!("/topics/{topic}")).header("authorization", "Bearer secret")
    };
    let (status, first) = json(&hub, post("orders.7").header("event-type", "order"), "paid").await;
    assert_eq!(status, 201);
    let first = first["id"].as_str().unwrap().to_owned();
    let (_, second) = json(&hub, post("a").header("event-key", "k"), "1").await;
    json(&hub, post("a").header("event-key", "k"), "2").await;
    assert!(second["id"].is_string());

    let uri = format!("/events?pattern=orders.%3E&topic=a&last_event_id={first}");
    let mut reply = hub.get(&uri).await;
    reply.assert_event_stream();
    let text = reply.blocks(2).await;
    assert!(text.ends_with("data: 2\n\n") && !text.contains("gap"), "{text}");
    let mut reply = hub.get("/events?topic=a&state=true").await;
    let text = reply.blocks(3).await;
    assert!(text.contains("data: 2\n\nid: "), "{text}");

    let (_, stats) = json(&hub, Request::get("/stats"), "").await;
    assert_eq!((&stats["readers"], &stats["published"]), (&2.into(), &3.into()));

    let no_token = json(&hub, Request::post("/topics/a"), "x").await;
    let large = "x".repeat((1 << 20) + 1);
    let long = "x".repeat(300);
    let many = |kind: &str, number: usize| -> String {
        (0..number).map(|n| format!("{kind}=t{n}&")).collect()
    };
    let bearer = |value: &'static str| {
        let request = Request::post("/topics/a").header("authorization", value);
        let hub = &hub;
        async move { json(hub, request, "x").await }
    };
    for ((status, said), expected, about) in [
        (no_token, 401, "token"),
        (json(&hub, post("a%0Ab"), "x").await, 400, "control character"),
        (json(&hub, post(&long), "x").await, 400, "255"),
        (json(&hub, post("a"), &large).await, 413, "limit"),
        (json(&hub, post("a").header("event-type", "a\u{e4}"), "x").await, 201, ""),
        (json(&hub, Request::get("/events"), "").await, 400, "at least one"),
        (json(&hub, Request::get("/events?topic="), "").await, 400, "empty"),
        (json(&hub, Request::get("/events?pattern=a*"), "").await, 400, "whole segments"),
        (json(&hub, Request::get("/topics/a"), "").await, 405, "Method"),
        (json(&hub, Request::post("/events?topic=a"), "").await, 405, "Method"),
        (json(&hub, post("%FF"), "x").await, 400, "UTF-8"),
        (json(&hub, post(""), "x").await, 404, "Not Found"),
        (json(&hub, Request::get("/nothing"), "").await, 404, "Not Found"),
        (json(&hub, Request::get("/events?topic=a&last_event_id=%FF"), "").await, 400, "UTF-8"),
        (json(&hub, post("a").header("event-type", "gap"), "x").await, 400, "Event-Type"),
        (
            json(&hub, Request::get(format!("/events?{}", many("pattern", 21))), "").await,
            400,
            "has 21, at most 20",
        ),
        (
            json(&hub, Request::get(format!("/events?{}", many("topic", 101))), "").await,
            400,
            "names 101, at most 100",
        ),
        (json(&hub, Request::get("/events?topic=a&last=x"), "").await, 400, "`last`"),
        (json(&hub, post("a").header("event-ttl", "soon"), "x").await, 400, "Event-Ttl"),
        (json(&hub, Request::post("/topics/a/finish"), "").await, 401, "token"),
        (
            json(&hub, Request::delete("/topics/a").header("authorization", "Bearer secret"), "")
                .await,
            400,
            "Event-Key",
        ),
        (json(&hub, Request::delete("/topics/a").header("event-key", "k"), "").await, 401, "token"),
        (bearer("bearer secret").await, 201, ""),
        (bearer("bearer secrets").await, 401, "token"),
        (bearer("bearer secreT").await, 401, "token"),
        (bearer("Basic secret").await, 401, "token"),
    ] {
        assert_eq!(status.as_u16(), expected, "{said}");
        if expected != 201 {
            let why = said["error"].as_str().unwrap();
            assert!(why.contains(about), "{why:?} is not about {about:?}");
        }
    }
    // Without a token everybody may publish, except pages of other sites.
    let open = Example::start("hub", &[]).await;
    let cross = Request::post("/topics/a").header("sec-fetch-site", "cross-site");
    assert_eq!(json(&open, cross, "x").await.0, 403);
    let same = Request::post("/topics/a").header("sec-fetch-site", "same-origin");
    assert_eq!(json(&open, same, "x").await.0, 201);
    let page = hub.get("/").await;
    assert!(page.text().await.contains("new EventSource"));
}

#[tokio::test]
async fn hub_starts_readers_where_they_ask_lists_them_and_ends_topics() {
    let hub = Example::start("hub", &[]).await;
    let post = |path: &str| Request::post(format!("/topics/{path}"));
    for n in 1..=5 {
        json(&hub, post("room"), &n.to_string()).await;
    }
    let blocks = |uri: &'static str, number: usize| {
        let hub = &hub;
        async move { hub.get(uri).await.blocks(number).await }
    };
    let datas = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
    };
    // The first blocks are the greeting and the ID of the start.
    assert_eq!(datas(&blocks("/events?topic=room&last=2", 4).await), ["4", "5"]);
    assert_eq!(datas(&blocks("/events?topic=room&start=true", 7).await), ["1", "2", "3", "4", "5"]);

    // A typing indicator is part of the state until it is retracted.
    let typing = |key: &'static str| {
        let request = post("live").header("event-key", key).header("event-type", "typing");
        request.header("event-ttl", "1h")
    };
    json(&hub, typing("ann"), "ann").await;
    json(&hub, typing("bob"), "bob").await;
    let idle = Request::delete("/topics/live").header("event-key", "ann");
    assert_eq!(json(&hub, idle, "ann").await.0, 201);
    assert_eq!(datas(&blocks("/events?topic=live&state=true", 2).await), ["bob"]);

    // The readers of a topic, once each.
    let first = hub.get("/events?topic=room&name=ann").await;
    let second = hub.get("/events?pattern=*&name=ann").await;
    let other = hub.get("/events?topic=live&name=bob").await;
    let (_, readers) = json(&hub, Request::get("/readers/room"), "").await;
    assert_eq!(readers, serde_json::json!({ "readers": 2, "names": ["ann"] }));
    drop((first, second, other));

    // A topic ends with a last event. Then its readers end, and others are told to stay away.
    assert_eq!(json(&hub, post("room/finish"), "done").await.0, 201);
    let (status, said) = json(&hub, post("room"), "more").await;
    assert_eq!(status, StatusCode::GONE, "{said}");
    assert_eq!(json(&hub, post("room/finish"), "").await.0, StatusCode::GONE);
    let text = hub.get("/events?topic=room&last=2").await.text().await;
    assert_eq!(datas(&text), ["5", "done"]);
    let last = text.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let uri = format!("/events?topic=room&last_event_id={last}");
    assert_eq!(hub.get(&uri).await.status(), StatusCode::NO_CONTENT);
    let page = hub.get("/chat").await.text().await;
    assert!(page.contains("new EventSource"));
}

/// Two servers over one Redis are one hub.
#[cfg(feature = "redis")]
#[tokio::test]
async fn hub_runs_on_several_nodes_over_redis_and_tells_its_health() {
    let server = crate::redis_server::Redis::start().await;
    let url = server.url();
    let args = |node: &'static str| {
        ["--backend", &url, "--prefix", "chat", "--node", node].map(String::from)
    };
    let start = async |node| {
        let args = args(node);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Example::start("hub", &args).await
    };
    let nodes = [start("one").await, start("two").await];
    let (status, published) = json(&nodes[0], Request::post("/topics/orders"), "paid").await;
    assert_eq!(status, 201);
    let mut reader = nodes[1].get("/events?topic=orders&start=true").await;
    let id = published["id"].as_str().unwrap();
    reader.until(&format!("id: {id}\ndata: paid\n\n")).await;
    let (_, stats) = json(&nodes[1], Request::get("/stats"), "").await;
    assert_eq!((&stats["node"], &stats["backend"]), (&"two".into(), &"redis".into()));
    assert_eq!(stats["health"], "up");
    assert!(stats["lag_ms"].is_number());
    assert_eq!(json(&nodes[1], Request::get("/health"), "").await.0, 200);
    server.kill();
    // Readers stay connected, and load balancers learn that the node cannot publish.
    let down = async {
        while json(&nodes[1], Request::get("/health"), "").await.0 != 503 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(crate::support::process::PATIENCE, down).await.unwrap();
    server.run().await;
    let (status, _) = json(&nodes[0], Request::post("/topics/orders"), "sent").await;
    assert_eq!(status, 201);
    reader.until("data: sent\n\n").await;
    assert_eq!(json(&nodes[1], Request::get("/health"), "").await.0, 200);
}

/// The same over NATS, and with another program that publishes.
#[cfg(feature = "nats")]
#[tokio::test]
async fn hub_runs_on_several_nodes_over_nats() {
    let server = crate::nats_server::NatsServer::start();
    let url = server.url();
    let start = async |node| {
        let args = ["--backend", &*url, "--prefix", "chat", "--node", node];
        Example::start("hub", &args).await
    };
    let nodes = [start("one").await, start("two").await];
    let mut reader = nodes[1].get("/events?topic=orders").await;
    let (status, published) = json(&nodes[0], Request::post("/topics/orders"), "paid").await;
    assert_eq!(status, 201);
    let id = published["id"].as_str().unwrap();
    reader.until(&format!("id: {id}\ndata: paid\n\n")).await;
    server.client().await.publish("chat.orders", &[], "from elsewhere").await;
    reader.until("data: from elsewhere\n\n").await;
    let (_, stats) = json(&nodes[1], Request::get("/stats"), "").await;
    assert_eq!((&stats["backend"], &stats["health"]), (&"nats".into(), &"up".into()));
    assert_eq!(json(&nodes[1], Request::get("/health"), "").await.0, 200);
}

#[tokio::test]
async fn hub_has_tokens_for_topics_and_disconnects_the_readers_of_one() {
    let args = [
        "--token",
        "root",
        "--publish-token",
        "shop=orders,orders.>",
        "--read-token",
        "ann=orders,prices.>",
        "--read-token",
        "bob=orders",
    ];
    let hub = Example::start("hub", &args).await;
    let publish = async |topic: &str, token: &str| {
        let request = Request::post(format!("/topics/{topic}"));
        json(&hub, request.header("authorization", format!("Bearer {token}")), "x").await.0
    };
    for (topic, token, status) in [
        ("orders", "shop", 201),
        ("orders.7", "shop", 201),
        ("prices.a", "shop", 403),
        ("prices.a", "root", 201),
        ("orders", "ann", 401),
        ("orders", "", 401),
    ] {
        assert_eq!(publish(topic, token).await, status, "{topic} {token}");
    }
    for (query, status) in [
        ("topic=orders", 401),
        ("topic=orders&token=wrong", 401),
        ("topic=orders&token=ann", 200),
        ("topic=prices.nyse&pattern=prices.%3E&token=ann", 200),
        ("pattern=%3E&token=ann", 403),
        ("topic=other&token=ann", 403),
        ("topic=prices.nyse&token=bob", 403),
    ] {
        let answer = hub.get(&format!("/events?{query}")).await;
        assert_eq!(answer.status(), status, "{query}");
    }
    let mut ann = hub.get("/events?topic=orders&token=ann").await;
    let mut bob = hub.get("/events?topic=orders&token=bob").await;
    assert_eq!(json(&hub, Request::post("/disconnect/ann"), "").await.0, 401);
    let request = Request::post("/disconnect/ann").header("authorization", "Bearer shop");
    assert_eq!(json(&hub, request, "").await.0, 401);
    let request = Request::post("/disconnect/ann").header("authorization", "Bearer root");
    let (status, answer) = json(&hub, request, "").await;
    assert_eq!((status, &answer["disconnected_here"]), (StatusCode::OK, &1.into()));
    ann.ended().await;
    assert_eq!(publish("orders", "shop").await, 201);
    bob.until("data: x\n\n").await;
}
