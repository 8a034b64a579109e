//! Log lines: one when a stream opens, one when it ends.

use tower_sse::{Event, event_channel_handler};

use crate::support::{
    handlers::{idle, sends},
    http::{call, get},
    log::Log,
    read_all,
};

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn every_end_is_one_log_line_with_the_reason_as_a_field() {
    let log = Log::start();
    // The application closes, the client leaves, the handler fails.
    for (handler, leaves) in [
        (sends(vec![Event::new("x")]), false),
        (idle(), true),
        (event_channel_handler(|_, _| async { Err("odd".into()) }), false),
    ] {
        let mut body = call(&handler, get("/")).await.into_body();
        body.next_chunk().await.unwrap().unwrap();
        if !leaves {
            read_all(&mut body).await;
        }
    }
    let lines = log.all_lines();
    let ended: Vec<_> = lines.iter().filter(|line| line.contains("reason=")).collect();
    assert_eq!(ended.len(), 3, "{lines:?}");
    for (line, start) in ended.iter().zip([
        r#"DEBUG message=event stream ended reason="finished" events=1 "#,
        r#"DEBUG message=event stream ended reason="client_gone" events=0 "#,
        r#"ERROR message=event stream failed error=odd reason="failed" events=0 "#,
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
    // Only the failure is logged above the debug level.
    assert_eq!(log.lines().len(), 1);
}

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn every_connection_is_one_line_at_debug_level() {
    let log = Log::start();
    let handler = idle();
    let _bodies = [call(&handler, get("/a?secret")).await, call(&handler, get("/b")).await];
    assert_eq!(log.all_lines(), ["DEBUG message=event stream opened"; 2]);
    // Method and path are fields of the span.
    let spans = log.spans();
    assert_eq!(spans.len(), 4);
    assert_eq!(spans[0], r#"event_stream_head method="GET" path="/a" status=200"#);
    assert_eq!(spans[1], r#"event_stream method="GET" path="/a""#);
}
