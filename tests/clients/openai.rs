//! OpenAI's clients, for JavaScript and Python.

use serde_json::{Value, json};

use crate::script::{cookbook, run};

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
        let seen = run(client, &[&url, "hello", "wrong"]).await;
        let [error] = &seen[..] else { panic!("{client}: {seen:?}") };
        assert_eq!(error["error"]["kind"], "AuthenticationError");
        assert_eq!(error["error"]["status"], 401);
        assert!(error["error"]["message"].as_str().unwrap().contains("the key is wrong"));

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
        let url = format!("http://{}", example.addr);
        let seen = run(client, &[&url, "long", "secret", "3"]).await;
        assert_eq!(seen.last(), Some(&json!({"end": Value::Null})), "{client}");
        assert_eq!(example.line().await, "openai: client_gone");
    }
}
