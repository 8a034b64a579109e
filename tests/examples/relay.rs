//! The examples `relay` and `reqwest`.

use std::process::Command;

use crate::{
    harness::{Answer, Harness},
    support::process::{Example, Process, executable},
};

#[tokio::test]
async fn relay_keeps_ids_and_types_and_survives_reconnects() {
    // An event larger than the limit, and an ID without an event.
    let large: &'static [u8] = Vec::leak([b"data: ", &vec![b'x'; 17 << 20][..], b"\n\n"].concat());
    let holds: &'static [&'static [u8]] =
        Vec::leak(vec![large, b"id: 3\nevent: u\ndata: d\n\nid: 4\n\n"]);
    let mut harness = Harness::start([
        Answer::Ends(&[
            b"retry: 1\n\nid: 1\nevent: t\ndata: a\n\n",
            b"id: 2\ndata: b\ndata: c\n\ndata: half",
        ]),
        Answer::Holds(holds),
        Answer::Holds(&[]),
    ])
    .await;
    let relay = Example::start("relay", &["--upstream", &harness.url("/events")]).await;
    let mut reply = relay.get("/relay").await;
    reply.assert_event_stream();
    let text = reply.blocks(6).await;
    assert!(text.ends_with("\n\nid: 4\n\n"), "{text}");
    let event = |event_type: &str, data: &str, id: &str| {
        (event_type.to_owned(), data.to_owned(), Some(id.to_owned()))
    };
    let expected = [event("t", "a", "1"), event("message", "b\nc", "2"), event("u", "d", "3")];
    assert_eq!(crate::support::decode(text), expected);
    harness.request().await;
    assert_eq!(harness.request().await.0.headers["last-event-id"], "2");
    // A client that reconnects is resumed upstream.
    drop(reply);
    let again = http::Request::get("/relay").header("last-event-id", "4");
    let _reply = relay.send(again).await;
    assert_eq!(harness.request().await.0.headers["last-event-id"], "4");
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
