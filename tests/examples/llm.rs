//! The example `llm`.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    streams::event,
    support::{
        decode,
        process::{Example, PATIENCE},
    },
};

fn prompt(stream: bool) -> String {
    let message = json!({"role": "user", "content": "Hello there\nfriend"});
    json!({"model": "parrot", "stream": stream, "messages": [message]}).to_string()
}

const ANSWER: &str = "You said: Hello there\nfriend";

#[tokio::test]
async fn llm_streams_chunks_as_openai_does() {
    let llm = Example::start("llm", &["--every", "1ms"]).await;
    let reply = llm.post("/v1/chat/completions", prompt(true)).await;
    reply.assert_event_stream();
    let text = reply.text().await;
    assert!(text.starts_with("data: {"), "{text}");
    let mut sent = decode(text);
    assert_eq!(sent.pop(), Some(event("message", "[DONE]", None)));

    let chunks: Vec<Value> =
        sent.iter().map(|(_, data, _)| serde_json::from_str(data).unwrap()).collect();
    let id = chunks[0]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("chatcmpl-"), "{id}");
    let created = chunks[0]["created"].as_u64().unwrap();
    let choices: Vec<Value> = chunks
        .into_iter()
        .map(|mut chunk| {
            let choice = chunk["choices"][0].take();
            let rest = json!({"id": id, "object": "chat.completion.chunk", "created": created,
                "model": "parrot", "choices": [null]});
            assert_eq!(chunk, rest);
            choice
        })
        .collect();
    let choice = |delta, finish_reason: Option<&str>| json!({"index": 0, "delta": delta, "finish_reason": finish_reason});
    let mut expected = vec![choice(json!({"role": "assistant", "content": ""}), None)];
    for word in ANSWER.split_inclusive(' ') {
        expected.push(choice(json!({"content": word}), None));
    }
    expected.push(choice(json!({}), Some("stop")));
    assert_eq!(choices, expected);
}

#[tokio::test]
async fn llm_answers_at_once_without_stream_and_refuses_an_invalid_request() {
    let llm = Example::start("llm", &["--every", "1ms"]).await;
    let reply = llm.post("/v1/chat/completions", prompt(false)).await;
    assert_eq!(reply.header("content-type"), "application/json");
    let completion: Value = serde_json::from_str(&reply.text().await).unwrap();
    assert_eq!(completion["object"], "chat.completion");
    assert_eq!(completion["model"], "parrot");
    let message = json!({"role": "assistant", "content": ANSWER});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    assert_eq!(completion["choices"], json!([choice]));

    let reply = llm.post("/v1/chat/completions", "{}").await;
    assert_eq!(reply.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(reply.text().await.contains("missing field `model`"));
}

#[tokio::test]
async fn llm_finishes_and_saves_an_answer_whose_client_has_left() {
    let llm = Example::start("llm", &["--every", "100ms"]).await;
    let mut reply = llm.post("/v1/chat/completions", prompt(true)).await;
    let first = decode(reply.blocks(1).await);
    drop(reply);
    let first: Value = serde_json::from_str(&first[0].1).unwrap();
    let saved = format!("/v1/chat/completions/{}", first["id"].as_str().unwrap());
    // The answer is not finished yet: the model needs 100 ms for each of five words.
    let deadline = std::time::Instant::now() + PATIENCE;
    let completion = loop {
        let reply = llm.get(&saved).await;
        if reply.status() == StatusCode::OK {
            break reply.text().await;
        }
        assert_eq!(reply.status(), StatusCode::NOT_FOUND);
        assert!(std::time::Instant::now() < deadline, "it was never saved");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let completion: Value = serde_json::from_str(&completion).unwrap();
    assert_eq!(completion["id"], first["id"]);
    assert_eq!(completion["choices"][0]["message"]["content"], ANSWER);
}

#[tokio::test]
async fn llm_is_a_gateway_that_keeps_status_counts_and_saves() {
    let model = Example::start("llm", &["--every", "1ms"]).await;
    let upstream = format!("http://{}", model.addr);
    let gateway = Example::start("llm", &["--upstream", &upstream]).await;
    let reply = gateway.post("/v1/chat/completions", prompt(true)).await;
    reply.assert_event_stream();
    let sent = decode(reply.text().await);
    assert_eq!(sent.last(), Some(&event("message", "[DONE]", None)));
    let first: Value = serde_json::from_str(&sent[0].1).unwrap();
    // Both have saved it.
    let saved = format!("/v1/chat/completions/{}", first["id"].as_str().unwrap());
    let of_gateway: Value = serde_json::from_str(&gateway.get(&saved).await.text().await).unwrap();
    assert_eq!(of_gateway["choices"][0]["message"]["content"], ANSWER);
    let of_model: Value = serde_json::from_str(&model.get(&saved).await.text().await).unwrap();
    assert_eq!(of_gateway, of_model);

    let reply = gateway.post("/v1/chat/completions", prompt(false)).await;
    assert_eq!(reply.header("content-type"), "application/json");
    let completion: Value = serde_json::from_str(&reply.text().await).unwrap();
    assert_eq!(completion["object"], "chat.completion");
    drop(model);
    let reply = gateway.post("/v1/chat/completions", prompt(true)).await;
    assert_eq!(reply.status(), StatusCode::BAD_GATEWAY);
    let error: Value = serde_json::from_str(&reply.text().await).unwrap();
    assert_eq!(error["error"]["type"], "upstream_error");
}

#[tokio::test]
async fn llm_passes_on_the_refusal_of_a_model_in_time_and_late() {
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let model = crate::support::http::Server::start(tower::service_fn(
        move |request: http::Request<hyper::body::Incoming>| {
            tx.send(request.headers().clone()).unwrap();
            let is_slow = request.uri().query() == Some("slow");
            async move {
                if is_slow {
                    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
                }
                let body = "{\"error\":{\"message\":\"slow down\"}}";
                let response = http::Response::builder().status(429).header("retry-after", "7");
                let response = response.header("content-type", "application/json");
                response.body(http_body_util::Full::<bytes::Bytes>::from(body))
            }
        },
    ))
    .await;
    let upstream = format!("http://{}", model.address());
    let gateway = Example::start("llm", &["--upstream", &upstream, "--commit", "500ms"]).await;
    let reply = gateway.post("/v1/chat/completions", prompt(true)).await;
    assert_eq!((reply.status().as_u16(), reply.header("retry-after")), (429, "7"));
    assert!(reply.text().await.contains("slow down"));
    let headers = rx.recv().await.unwrap();
    assert_eq!(headers["host"], model.address().to_string());
    let mut reply = gateway.post("/v1/chat/completions?slow", prompt(true)).await;
    assert_eq!(reply.status(), StatusCode::OK);
    let text = reply.blocks(2).await;
    assert!(text.contains("slow down"), "{text}");
}
