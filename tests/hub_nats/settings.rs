//! How the stream is made, and which streams and servers are refused.

use std::time::Duration;

use serde_json::{Value, json};
use tower_sse::hub::backend::{
    Backend, Fault,
    nats::{NatsBackend, NatsError, NatsStorage},
};

use crate::{append, connect, entry, server::NatsServer};

/// Returns the settings that a stream needs, as another program may have made it.
fn config() -> Value {
    json!({
        "name": "events",
        "description": "made by hand",
        "subjects": ["events.>", "more"],
        "retention": "limits",
        "discard": "old",
        "storage": "memory",
        "num_replicas": 1,
        "max_msgs": 1234,
        "duplicate_window": 120_000_000_000_u64,
        "allow_rollup_hdrs": true,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_is_made_with_the_options() {
    let server = NatsServer::start();
    let backend = NatsBackend::builder(server.url())
        .stream("log")
        .prefix("shop.events")
        .storage(NatsStorage::Memory)
        .max_age(Duration::from_secs(60))
        .max_bytes(1 << 20)
        .max_messages(1000)
        .connect()
        .await
        .unwrap();
    assert_eq!(backend.abilities().dedup, Duration::from_secs(60));
    append(&backend, 0..1).await;
    let info = server.client().await.info("log").await;
    let config = &info["config"];
    assert_eq!(config["subjects"], json!(["shop.events.>"]));
    assert_eq!(config["storage"], "memory");
    assert_eq!(config["max_age"], 60_000_000_000_u64);
    assert_eq!(config["duplicate_window"], 60_000_000_000_u64);
    assert_eq!((&config["max_bytes"], &config["max_msgs"]), (&json!(1 << 20), &json!(1000)));
    assert_eq!(info["state"]["messages"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_a_setting_that_breaks_a_promise_is_refused() {
    let server = NatsServer::start();
    let client = server.client().await;
    for (setting, value) in [
        ("subjects", json!(["events.orders.>"])),
        ("retention", json!("workqueue")),
        ("retention", json!("interest")),
        ("discard", json!("new")),
        ("max_msgs_per_subject", json!(1)),
        ("duplicate_window", json!(1_000_000_000)),
        ("allow_rollup_hdrs", json!(false)),
        ("deny_purge", json!(true)),
        ("no_ack", json!(true)),
    ] {
        let mut config = config();
        config[setting] = value.clone();
        if setting == "deny_purge" {
            // A server refuses both together, and the first one is enough.
            config["allow_rollup_hdrs"] = json!(false);
        }
        client.api("STREAM.CREATE.events", config).await;
        let error = NatsBackend::connect(server.url()).await.unwrap_err();
        let NatsError::Setting(error) = error else { panic!("{error}") };
        if setting != "deny_purge" {
            assert_eq!((error.setting(), error.value()), (setting, &*value.to_string()));
        }
        assert_eq!(error.stream(), "events");
        assert!(error.to_string().contains(error.cure()), "{error}");
        client.delete("events").await;
    }
    let mirror = json!({ "name": "events", "mirror": { "name": "other" } });
    client.api("STREAM.CREATE.events", mirror).await;
    let error = NatsBackend::connect(server.url()).await.unwrap_err();
    assert!(matches!(error, NatsError::Setting(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_is_changed_later_is_noticed() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    let client = server.client().await;
    client.set("events", json!({ "discard": "new" })).await;
    let error = backend.bounds().await.unwrap_err();
    assert_eq!(error.fault(), Fault::Unavailable);
    assert!(error.to_string().contains("discard=\"new\""), "{error}");
    client.set("events", json!({ "discard": "old" })).await;
    backend.bounds().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_another_program_is_used_as_it_is() {
    let server = NatsServer::start();
    let client = server.client().await;
    client.api("STREAM.CREATE.events", config()).await;
    client.publish("events.a", &[], "before").await;
    let (one, other) = (connect(&server).await, connect(&server).await);
    let identity = one.bounds().await.unwrap().identity;
    assert_eq!(other.bounds().await.unwrap().identity, identity);
    append(&one, 0..1).await;
    assert_eq!(connect(&server).await.bounds().await.unwrap().identity, identity);
    let config = client.info("events").await["config"].clone();
    assert_eq!((&config["storage"], &config["max_msgs"]), (&json!("memory"), &json!(1234)));
    assert!(config["description"].as_str().unwrap().starts_with("made by hand"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_message_of_the_stream_is_respected() {
    let server = NatsServer::start();
    let mut config = config();
    config["max_msg_size"] = json!(4096);
    server.client().await.api("STREAM.CREATE.events", config).await;
    let backend = connect(&server).await;
    assert!(backend.abilities().largest < 4096);
    let mut large = entry("a", 1);
    large.event.data = vec![b'x'; 4000].into();
    assert_eq!(backend.append(&[large]).await.unwrap_err().fault(), Fault::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_part_of_the_url_or_an_option() {
    let server = NatsServer::start_with(&["--user", "me", "--pass", "a@b"]);
    let url = |login: &str| format!("nats://{login}{}", server.address());
    NatsBackend::connect(url("me:a%40b@")).await.unwrap();
    NatsBackend::builder(url("")).user_and_password("me", "a@b").connect().await.unwrap();
    let error = NatsBackend::connect(url("me:wrong@")).await.unwrap_err();
    assert!(matches!(error, NatsError::Connect(_)), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    let server = NatsServer::start_with(&["--auth", "token"]);
    let url = |login: &str| format!("nats://{login}{}", server.address());
    NatsBackend::connect(url("token@")).await.unwrap();
    NatsBackend::builder(url("")).token("token").connect().await.unwrap();
    assert!(NatsBackend::connect(url("")).await.is_err());
}

#[tokio::test]
async fn invalid_options_and_unreachable_servers_are_errors() {
    let url = "nats://127.0.0.1:1";
    let builder = || NatsBackend::builder(url);
    for builder in [
        NatsBackend::builder("http://a"),
        builder().prefix("a.*"),
        builder().stream("a.b"),
        builder().stream(""),
        builder().replicas(0),
        builder().max_age(Duration::from_millis(1)),
    ] {
        let error = builder.clone().connect().await.unwrap_err();
        assert!(matches!(error, NatsError::Option(_)), "{builder:?}: {error}");
    }
    let error = builder().connect().await.unwrap_err();
    assert!(matches!(error, NatsError::Connect(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_fit_is_refused() {
    let server = NatsServer::start();
    let error = NatsBackend::builder(server.url()).max_bytes(1 << 60).connect().await.unwrap_err();
    assert!(matches!(error, NatsError::Request(_)), "{error}");
    assert!(error.to_string().contains("insufficient"), "{error}");
}
