//! The examples `relay` and `reqwest`.

use std::{convert::Infallible, process::Command, time::Duration};

use http_body::Frame;

use crate::{
    harness::{Answer, Harness, response},
    nodes::Proxy,
    support::{
        http::Server,
        process::{Example, Process, executable},
    },
};

#[tokio::test]
async fn relay_passes_on_events_status_and_last_event_id() {
    let mut harness = Harness::start([
        Answer::Ends(&[b"retry: 1\n\nid: 1\nevent: t\ndata: a\n\n", b"id: 2\r\ndata: b\r\n\r\n"]),
        Answer::Status(429, &[("retry-after", "7")]),
        Answer::Ends(&[b"data: a\n\ndata: half"]),
        Answer::Holds(&[]),
    ])
    .await;
    let relay = Example::start("relay", &["--upstream", &harness.url("/events?all=1")]).await;
    let reply = relay.get("/relay").await;
    reply.assert_event_stream();
    let sent = "retry: 1\n\nid: 1\nevent: t\ndata: a\n\nid: 2\r\ndata: b\r\n\r\n";
    assert_eq!(reply.text().await, sent);
    let (head, _) = harness.request().await;
    assert_eq!(head.uri, "/events?all=1");
    assert_eq!(head.headers["host"], harness.server.address().to_string());

    // The upstream refuses, and then fails in the middle of an event.
    let again = http::Request::get("/relay").header("last-event-id", "4");
    let refused = relay.send(again).await;
    assert_eq!((refused.status().as_u16(), refused.header("retry-after")), (429, "7"));
    assert_eq!(harness.request().await.0.headers["last-event-id"], "4");
    let mut cut = relay.get("/relay").await;
    assert_eq!(cut.blocks(1).await, "data: a\n\n");
    let post = http::Request::post("/other?x=y").header("accept", "text/event-stream");
    let _open = relay.send(post).await;
    harness.request().await;
    let (head, _) = harness.request().await;
    assert_eq!((head.method, head.uri), (http::Method::POST, "/other?x=y".parse().unwrap()));
}

#[tokio::test]
async fn a_proxy_in_front_of_a_relay_does_not_cut_a_model_that_thinks() {
    // The proxy cuts after 2 seconds without a byte, and the model is silent for 6.
    let model = Server::start(tower::service_fn(|_| async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        let frames = [Ok(Frame::data(bytes::Bytes::from_static(b"data: 42\n\ndata: [DONE]\n\n")))];
        let frames = futures_util::stream::iter(frames);
        Ok::<_, Infallible>(response(200, &[("content-type", "text/event-stream")], frames))
    }))
    .await;
    let _another_is_installed = rustls::crypto::ring::default_provider().install_default();
    let upstream = format!("http://{}/", model.address());
    let through = |keep_alive: &'static str| {
        let upstream = upstream.clone();
        async move {
            let args = ["--upstream", &upstream, "--commit", "1s", "--until", "[DONE]"];
            let args = [&args[..], &["--keep-alive", keep_alive]].concat();
            let relay = Example::start("relay", &args).await;
            let proxy = Proxy::start(std::slice::from_ref(&relay), "option tcp-check", 2).await;
            let response = reqwest::get(proxy.url("/relay")).await.unwrap();
            (response.status().as_u16(), response.text().await)
        }
    };
    let (status, text) = through("500ms").await;
    let text = text.unwrap();
    assert_eq!(status, 200);
    assert!(text.starts_with(": connected\n: keep-alive\n"), "{text}");
    assert!(text.ends_with("data: 42\n\ndata: [DONE]\n\n"), "{text}");
    // Without keep-alives the proxy cuts it.
    let (_, text) = through("1h").await;
    assert!(!text.is_ok_and(|text| text.contains("42")));
}

#[tokio::test]
async fn reqwest_prints_the_data_of_events() {
    let harness = Harness::start([
        Answer::Status(307, &[("location", "/x")]),
        Answer::Holds(&[b"data: a\n\ndata: b\n\n"]),
    ])
    .await;
    let mut process = Process::start(Command::new(executable("reqwest")).arg(harness.url("/")));
    assert_eq!(process.line().await, "a");
    assert_eq!(process.line().await, "b");
}
