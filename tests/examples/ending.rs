//! Ctrl-C: every example says goodbye and ends.

use http::{Request, Version};
use serde_json::{Value, json};

use crate::{
    streams::{after_events, stalled},
    support::process::{Example, Reply, send},
};

/// Interrupts an example while a stream is open. Returns the rest of the stream, which must end
/// cleanly.
#[cfg(unix)]
async fn interrupted(example: Example, mut open: Reply) -> String {
    // The stream has begun.
    open.blocks(1).await;
    example.interrupt();
    let rest = open.text().await;
    assert!(example.ended_well().await);
    rest
}

#[cfg(unix)]
#[tokio::test]
async fn every_example_ends_on_ctrl_c_with_a_farewell() {
    let hour: &[&str] = &["--every", "1h"];
    for (name, args, path) in [
        ("demo", hour, "/events"),
        ("counter", hour, "/counter"),
        ("ring", hour, "/"),
        ("auth", &[], "/events"),
        ("axum", &[], "/ticks"),
        ("hyper", &[], "/ticks"),
        ("warp", &[], "/ticks"),
        ("channel", &[], "/thread"),
        ("channel", &[], "/stream"),
        ("hub", &[], "/events?topic=a"),
        ("dashboard", &[], "/events"),
        ("cookbook", &[], "/topics/news"),
    ] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let example = Example::start(name, args).await;
            let request = Request::get(path).header("authorization", "Bearer token-of-ann");
            let open = send(example.addr, version, request, Default::default()).await;
            open.assert_event_stream();
            let rest = interrupted(example, open).await;
            // The example draws from one to five seconds.
            let retry = rest.strip_suffix("\n\n").and_then(|rest| rest.rsplit("retry: ").next());
            let retry: u32 = retry.unwrap().parse().unwrap_or_else(|_| panic!("{name}: {rest:?}"));
            assert!((1000..=5000).contains(&retry), "{name}: {rest:?}");
        }
    }
}

/// Its streams are those of axum.
#[cfg(unix)]
#[tokio::test]
async fn govern_ends_the_streams_of_axum_with_a_farewell() {
    for path in ["/events", "/fast"] {
        let example = Example::start("govern", &[]).await;
        let open = example.get(path).await;
        assert_eq!(open.header("content-type"), "text/event-stream");
        assert_eq!(open.header("x-accel-buffering"), "no");
        let rest = interrupted(example, open).await;
        // Numbers that follow each other, and then the farewell.
        let (numbers, retry) = rest.strip_suffix("\n\n").unwrap().rsplit_once("retry: ").unwrap();
        let numbers = numbers.split_terminator("\n\n");
        let numbers: Vec<u64> =
            numbers.map(|event| event.strip_prefix("data: ").unwrap().parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{rest}");
        assert!((1000..=5000).contains(&retry.parse::<u32>().unwrap()), "{retry}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn echo_says_goodbye_in_the_middle_of_a_script() {
    let echo = Example::start("echo", &[]).await;
    let script = r#"[{"data": "a"}, {"data": "b", "delay_ms": 3600000}]"#;
    let kept: Value =
        serde_json::from_str(&echo.post("/events", script).await.text().await).unwrap();
    let open = echo.get(kept["url"].as_str().unwrap()).await;
    let rest = interrupted(echo, open).await;
    assert!(rest.starts_with("retry: "), "{rest}");
}

#[cfg(unix)]
#[tokio::test]
async fn llm_finishes_its_answers_before_it_ends() {
    let llm = Example::start("llm", &["--every", "50ms"]).await;
    let question = json!({
        "model": "parrot",
        "stream": true,
        "messages": [{"role": "user", "content": "one two three four five"}],
    });
    let open = llm.post("/v1/chat/completions", question.to_string()).await;
    let rest = interrupted(llm, open).await;
    assert!(rest.contains("five") && rest.ends_with("data: [DONE]\n\n"), "{rest}");
}

#[cfg(unix)]
#[tokio::test]
async fn shutdown_ends_in_each_mode_with_each_server() {
    let bye = |rest: &str| rest.contains("event: bye\nretry: ");
    for server in ["axum", "hyper"] {
        for (mode, finishes, says) in
            [("now", false, false), ("farewell", false, true), ("finish", true, true)]
        {
            let example = Example::start("shutdown", &["--server", server, "--mode", mode]).await;
            let open = example.get("/ticks").await;
            let rest = interrupted(example, open).await;
            assert_eq!(rest.contains("data: finished\n\n"), finishes, "{server} {mode}: {rest}");
            assert_eq!(bye(&rest), says, "{server} {mode}: {rest}");
        }
        // The ends are staggered over ten seconds; a second interrupt ends the wait.
        let mut example =
            Example::start("shutdown", &["--server", server, "--mode", "paced"]).await;
        let mut open = Vec::new();
        for _ in 0..20 {
            let mut reply = example.get("/ticks").await;
            reply.blocks(1).await;
            open.push(reply);
        }
        example.interrupt();
        assert_eq!(example.line().await, "20 streams are open");
        example.interrupt();
        let mut silent = 0;
        for reply in open {
            silent += usize::from(!bye(&reply.text().await));
        }
        assert!(silent > 0, "{server}: all twenty got the farewell at once");
        assert!(example.ended_well().await);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_client_that_has_stopped_reading_keeps_no_example_from_ending() {
    for name in ["axum", "hyper"] {
        let mut example = Example::start(name, &[]).await;
        let stalled = stalled(&example, "/numbers");
        // Waits until the sockets are full.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        example.interrupt();
        let line = example.line().await;
        assert_ne!(after_events(&line, "/numbers: shut_down after "), "0");
        assert!(example.ended_well().await);
        drop(stalled);
    }
}
