//! Where the last event ID of a request comes from.

use http::{HeaderValue, Request};
use tower_sse::{Event, LastEventId, event_channel_handler};

use crate::support::{
    decode,
    http::{call, get},
    read_text,
};

#[tokio::test(start_paused = true)]
async fn the_last_event_id_comes_from_the_header_or_the_query() {
    let handler = event_channel_handler(|request: Request<()>, events| async move {
        let last = request.extensions().get::<LastEventId>();
        events.send(Event::new(last.map_or("none", LastEventId::as_str))).await?;
        Ok(())
    })
    .without_greeting();
    let with_header = |uri| Request::get(uri).header("last-event-id", "7").body(()).unwrap();
    for (request, found) in [
        (get("/"), "none"),
        (with_header("/"), "7"),
        (get("/?last_event_id=8"), "8"),
        (get("/?lastEventId=a%20b"), "a b"),
        (with_header("/?lastEventId=8"), "7"),
    ] {
        let text = read_text(call(&handler, request).await.into_body()).await;
        assert_eq!(text, format!("data: {found}\n\n"));
    }
    let no_query = handler.without_last_event_id_query();
    let text = read_text(call(&no_query, get("/?lastEventId=8")).await.into_body()).await;
    assert_eq!(text, "data: none\n\n");
}

#[tokio::test(start_paused = true)]
async fn the_last_event_id_is_read_as_utf_8() {
    let handler = event_channel_handler(|request: Request<()>, events| async move {
        let last = request.extensions().get::<LastEventId>().unwrap();
        events.send(Event::new(last.as_str())).await?;
        Ok(())
    })
    .without_greeting();
    for (value, text) in [("ä\u{1f600}", "data: ä\u{1f600}\n\n"), ("a\tb", "data: a\tb\n\n")] {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        let request = Request::get("/").header("last-event-id", value).body(()).unwrap();
        assert_eq!(read_text(call(&handler, request).await.into_body()).await, text);
    }
    let value = HeaderValue::from_bytes(b"a\xff").unwrap();
    let request = Request::get("/").header("last-event-id", value).body(()).unwrap();
    assert_eq!(call(&handler, request).await.status(), 400);
    assert_eq!(call(&handler, get("/?last_event_id=a%0Ab")).await.status(), 400);
}

#[tokio::test(start_paused = true)]
async fn a_handler_resumes_after_the_last_event_id() {
    let counter = event_channel_handler(|request: Request<()>, events| async move {
        let last = request.extensions().get::<LastEventId>();
        let next = last.map_or(Ok(0), |last| last.as_str().parse::<u64>().map(|last| last + 1))?;
        for n in next..10 {
            events.send(Event::new(n).with_id(n)).await?;
        }
        Ok(())
    });
    let data = |text: String| decode(text).into_iter().map(|(_, data, _)| data).collect::<String>();
    let first = read_text(call(&counter, get("/")).await.into_body()).await;
    assert_eq!(data(first), "0123456789");
    let resumed = Request::get("/").header("last-event-id", "6").body(()).unwrap();
    let rest = read_text(call(&counter, resumed).await.into_body()).await;
    assert_eq!(data(rest), "789");
}
