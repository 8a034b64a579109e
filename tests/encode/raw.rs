//! Bytes that the application has encoded itself.

use tower_sse::{EncodedEvent, Event};

use crate::support::{
    handlers::sends,
    http::{call, get},
    read_text,
};

#[tokio::test(start_paused = true)]
async fn encoded_bytes_are_sent_as_they_are() {
    let raw = "id: 1\r\ndata: a\r\n\r\n:a comment\ndata:b\n\n";
    let events = vec![EncodedEvent::from_bytes(raw).unwrap(), Event::new("c").encode()];
    let text = read_text(call(&sends(events), get("/")).await.into_body()).await;
    assert_eq!(text, format!(": connected\n{raw}data: c\n\n"));
    assert!(EncodedEvent::from_bytes("data: not whole\n").is_err());

    let raw = EncodedEvent::from_bytes("data: raw\r\ndata: text\r\n\r\n").unwrap();
    let text = read_text(call(&sends(vec![raw]), get("/")).await.into_body()).await;
    assert_eq!(text, ": connected\ndata: raw\r\ndata: text\r\n\r\n");
}
