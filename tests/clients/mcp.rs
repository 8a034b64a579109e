//! The clients of the Model Context Protocol, for JavaScript and Python, over both transports.

use serde_json::{Value, json};

use crate::{
    proxy::Proxy,
    script::{Script, cookbook, run},
};

const CLIENTS: [&str; 2] = ["mcp.mjs", "mcp_client.py"];

fn texts(reports: &[Value]) -> String {
    reports.iter().filter_map(|report| report["text"].as_str()).collect()
}

/// Asserts that the client has reported the progress of each word. The client for JavaScript drops the last one, with a warning, if
/// it comes in the same chunk as the result.
fn assert_progress(reports: &[Value], text: &str) {
    let unknown = |report: &Value| {
        report["warning"].as_str().is_some_and(|warning| warning.contains("for an unknown token"))
    };
    let words: Vec<_> = text.split_inclusive(' ').collect();
    let lost = reports.iter().filter(|report| unknown(report)).count();
    assert!(lost <= 1, "{reports:?}");
    assert_eq!(texts(reports), words[..words.len() - lost].concat(), "{reports:?}");
}

async fn a_call_has_its_progress_and_its_result(transport: &str) {
    let example = cookbook(&["--keep-alive", "100ms"]).await;
    let url = format!("http://{}", example.addr);
    for client in CLIENTS {
        let seen = run(client, &[transport, &url, "think again"]).await;
        let start = [json!({"server": "cookbook"}), json!({"tools": ["ask"]})];
        assert_eq!(seen[..2], start, "{client}");
        assert_progress(&seen, "You said: think again");
        let result = json!({"text": "You said: think again", "isError": false});
        let end = [json!({"result": result}), json!({"end": null})];
        assert_eq!(seen[seen.len() - 2..], end, "{client}");

        let seen = run(client, &[transport, &url, "fail half way"]).await;
        let result = json!({"result": {"text": "the model has failed", "isError": true}});
        assert_progress(&seen, "You said: fail ");
        assert_eq!(seen[seen.len() - 2..], [result, json!({"end": null})], "{client}");
    }
}

#[tokio::test]
async fn over_http_with_sse_a_call_has_its_progress_and_its_result() {
    a_call_has_its_progress_and_its_result("sse").await;
}

#[tokio::test]
async fn over_streamable_http_a_call_has_its_progress_and_its_result() {
    a_call_has_its_progress_and_its_result("http").await;
}

#[tokio::test]
async fn over_http_with_sse_a_client_that_leaves_stops_its_call() {
    let mut example = cookbook(&[]).await;
    for client in CLIENTS {
        let url = format!("http://{}", example.addr);
        let seen = run(client, &["sse", &url, "long", "3"]).await;
        assert!(texts(&seen).starts_with("You said: long "), "{client}: {seen:?}");
        let mut ends = [example.line().await, example.line().await];
        ends.sort();
        assert_eq!(ends, ["mcp_sse: client_gone", "mcp_sse: stopped"], "{client}");
    }
}

#[tokio::test]
async fn over_streamable_http_a_call_is_resumed_after_a_cut() {
    let example = cookbook(&[]).await;
    let proxy = Proxy::start(example.addr).await;
    for client in CLIENTS {
        let text = (1..=50).map(|n| format!("word-{n}")).collect::<Vec<_>>().join(" ");
        let mut script = Script::start(client, &["http", &proxy.url(), &text]);
        let mut seen = script.until("text").await;
        seen.append(&mut script.until("text").await);
        proxy.cut();
        seen.append(&mut script.rest().await);
        assert_progress(&seen, &format!("You said: {text}"));
        let result = json!({"result": {"text": format!("You said: {text}"), "isError": false}});
        assert_eq!(seen[seen.len() - 2..], [result, json!({"end": null})], "{client}");
    }
}

#[tokio::test]
async fn over_streamable_http_a_call_that_is_cancelled_stops() {
    let mut example = cookbook(&[]).await;
    for client in CLIENTS {
        let url = format!("http://{}", example.addr);
        let seen = run(client, &["http", &url, "long", "3"]).await;
        assert!(texts(&seen).starts_with("You said: long "), "{client}: {seen:?}");
        // The stream of the call may end before.
        while example.line().await != "mcp_http: the call was cancelled: true" {}
    }
}
