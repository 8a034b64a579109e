//! Anthropic's clients, for JavaScript and Python.

use serde_json::json;

use crate::script::{assert_client_leaves, assert_wrong_key_is_refused, cookbook, run};

const CLIENTS: [&str; 2] = ["anthropic.mjs", "anthropic_client.py"];

#[tokio::test]
async fn a_stream_with_pings_is_read_to_its_end() {
    let mut example = cookbook(&["--keep-alive", "100ms"]).await;
    for client in CLIENTS {
        let url = format!("http://{}", example.addr);
        let seen = run(client, &[&url, "think again", "secret"]).await;
        let event = |name: &str| json!({"event": name});
        let words = ["You ", "said: ", "think ", "again"].map(|word| json!({"text": word}));
        let text = "You said: think again";
        let last = json!({"text": text, "stop": "end_turn", "usage": [1, 4]});
        let start = [event("message_start"), event("content_block_start")];
        let end = ["content_block_stop", "message_delta", "message_stop"].map(event);
        let done = [json!({"final": last}), json!({"end": null})];
        assert_eq!(seen, [&start[..], &words, &end, &done].concat(), "{client}");
        assert_eq!(example.line().await, "anthropic: finished");
    }
}

#[tokio::test]
async fn an_error_in_time_has_its_status_and_a_late_one_its_message() {
    let example = cookbook(&[]).await;
    let url = format!("http://{}", example.addr);
    for client in CLIENTS {
        assert_wrong_key_is_refused(client, &url).await;

        let seen = run(client, &[&url, "fail half way", "secret"]).await;
        let words: Vec<_> = seen.iter().filter_map(|report| report["text"].as_str()).collect();
        assert_eq!(words, ["You ", "said: ", "fail "], "{client}");
        let error = &seen.last().unwrap()["error"];
        assert!(error["message"].as_str().unwrap().contains("the model has failed"), "{error}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_model() {
    let mut example = cookbook(&[]).await;
    for client in CLIENTS {
        assert_client_leaves(client, &example, "4").await;
        assert_eq!(example.line().await, "anthropic: client_gone");
    }
}
