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

async fn a_call_has_its_progress_and_its_result(transport: &str) {
    let example = cookbook(&["--keep-alive", "100ms"]).await;
    let url = format!("http://{}", example.addr);
    for client in CLIENTS {
        let seen = run(client, &[transport, &url, "think again"]).await;
        let start = [json!({"server": "cookbook"}), json!({"tools": ["ask"]})];
        let words = ["You ", "said: ", "think ", "again"].map(|word| json!({"text": word}));
        let result = json!({"text": "You said: think again", "isError": false});
        let end = [json!({"result": result}), json!({"end": null})];
        assert_eq!(seen, [&start[..], &words, &end].concat(), "{client}");

        let seen = run(client, &[transport, &url, "fail half way"]).await;
        let result = json!({"result": {"text": "the model has failed", "isError": true}});
        assert_eq!(texts(&seen), "You said: fail ", "{client}");
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
        assert_eq!(texts(&seen), format!("You said: {text}"), "{client}");
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
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != "mcp_http: the call was cancelled: true") {
            lines.push(example.line().await);
        }
        // The stream of the call may end later or earlier.
        assert!(lines.len() <= 3, "{lines:?}");
    }
}
