//! The example `runs`, over HTTP.

use http::Request;
use serde_json::Value;

use crate::support::process::{Example, Reply};

async fn ask(example: &Example, method: &str, path: &str, owner: &str, text: &str) -> Reply {
    let request = Request::builder().method(method).uri(path).header("x-owner", owner);
    let version = http::Version::HTTP_11;
    crate::support::process::send(example.addr, version, request, text.to_owned().into()).await
}

async fn list(example: &Example, owner: &str) -> Vec<Value> {
    let listed = ask(example, "GET", "/runs", owner, "").await.text().await;
    serde_json::from_str(&listed).unwrap()
}

/// The words of a stream, and the state at its end.
fn words(stream: &str) -> (Vec<&str>, &str) {
    let data = |block: &'static str| {
        let blocks = stream.split("\n\n").filter(move |it| it.contains(block));
        blocks.filter_map(|it| it.lines().find_map(|line| line.strip_prefix("data: ")))
    };
    (data("event: token").map(str::trim).collect(), data("event: end").next().unwrap_or_default())
}

#[tokio::test]
async fn runs_answers_its_starter_and_all_that_come_later() {
    let example = Example::start("runs", &["--every", "5ms", "--words", "40"]).await;
    let mut started = ask(&example, "POST", "/runs", "ann", "say something").await;
    started.assert_event_stream();
    let path = started.header("location").to_owned();
    assert!(path.starts_with("/runs/"), "{path}");
    started.blocks(3).await;
    let all: Vec<_> = (1..=40).map(|n| format!("word-{n}")).collect();
    for _ in 0..3 {
        let stream = ask(&example, "GET", &path, "ann", "").await.text().await;
        assert_eq!(words(&stream), (all.iter().map(String::as_str).collect(), "finished"));
    }
    assert_eq!(ask(&example, "GET", &path, "bob", "").await.status(), 404);
    assert_eq!(ask(&example, "GET", "/runs", "", "").await.status(), 401);

    let failing = ask(&example, "POST", "/runs", "ann", "please fail").await.text().await;
    assert_eq!((words(&failing).0.len(), words(&failing).1), (20, "failed"));
    let stopped = ask(&example, "POST", "/runs", "bob", &"long ".repeat(1000)).await;
    let path = stopped.header("location").to_owned();
    assert_eq!(ask(&example, "DELETE", &path, "bob", "").await.status(), 204);
    assert_eq!(words(&stopped.text().await).1, "stopped");
    let mut states: Vec<_> = list(&example, "ann").await;
    states.sort_by_key(|run| run["state"].to_string());
    assert_eq!(states[0]["state"], "failed");
    assert_eq!((&states[1]["state"], &states[1]["events"]), (&"finished".into(), &40.into()));
    assert_eq!(list(&example, "bob").await[0]["state"], "stopped");
}

/// Two nodes over one Redis.
#[cfg(feature = "redis")]
#[tokio::test]
async fn a_run_is_read_and_stopped_on_another_node() {
    let server = crate::redis_server::Redis::start().await;
    let url = server.url();
    let args = ["--backend", &url, "--every", "20ms", "--words", "5000"];
    let nodes = [Example::start("runs", &args).await, Example::start("runs", &args).await];
    let mut started = ask(&nodes[0], "POST", "/runs", "ann", "x").await;
    let path = started.header("location").to_owned();
    started.blocks(5).await;
    let elsewhere = ask(&nodes[1], "GET", &path, "ann", "").await;
    elsewhere.assert_event_stream();
    assert_eq!(list(&nodes[1], "ann").await[0]["state"], "running");
    assert_eq!(ask(&nodes[1], "DELETE", &path, "ann", "").await.status(), 204);
    let stream = elsewhere.text().await;
    let (words, end) = words(&stream);
    assert_eq!((words[0], end), ("word-1", "stopped"));
}
