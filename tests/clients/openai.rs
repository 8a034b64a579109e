//! OpenAI's clients, for JavaScript and Python.

use serde_json::json;

use crate::script::{assert_client_leaves, assert_wrong_key_is_refused, cookbook, run};

const CLIENTS: [&str; 2] = ["openai.mjs", "openai_client.py"];

#[tokio::test]
async fn a_stream_with_pauses_is_read_to_its_end() {
    let mut example = cookbook(&["--keep-alive", "100ms"]).await;
    for client in CLIENTS {
        // The model thinks for a second, which is time for some keep-alives.
        let url = format!("http://{}", example.addr);
        let seen = run(client, &[&url, "think again", "secret"]).await;
        let words = ["You ", "said: ", "think ", "again"].map(|word| json!({"text": word}));
        let end = [json!({"finish": "stop"}), json!({"end": null})];
        assert_eq!(seen, [&words[..], &end].concat(), "{client}");
        assert_eq!(example.line().await, "openai: finished");
    }
}

#[tokio::test]
async fn an_error_in_time_has_its_status_and_a_late_one_its_message() {
    let example = cookbook(&[]).await;
    let url = format!("http://{}", example.addr);
    for client in CLIENTS {
        assert_wrong_key_is_refused(client, &url).await;

        let seen = run(client, &[&url, "fail half way", "secret"]).await;
        let words = ["You ", "said: ", "fail "].map(|word| json!({"text": word}));
        let why = json!({"kind": "APIError", "status": null, "message": "the model has failed"});
        assert_eq!(seen, [&words[..], &[json!({"error": why})]].concat(), "{client}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_model() {
    let mut example = cookbook(&[]).await;
    for client in CLIENTS {
        assert_client_leaves(client, &example, "3").await;
        assert_eq!(example.line().await, "openai: client_gone");
    }
}
