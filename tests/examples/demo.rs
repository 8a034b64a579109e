//! The example `demo`.

use http::{Request, StatusCode};

use crate::{streams::events, support::process::Example};

#[tokio::test]
async fn demo_ends_a_stream_resumes_it_and_says_why_it_ended() {
    let demo = Example::start("demo", &["--every", "50ms", "--lifetime", "500ms"]).await;
    for (path, file) in [
        ("/", include_str!("../../examples/demo.html")),
        ("/style.css", include_str!("../../examples/style.css")),
    ] {
        assert_eq!(demo.get(path).await.text().await, file);
    }
    let reply = demo.get("/events").await;
    reply.assert_event_stream();
    let text = reply.text().await;
    assert!(text.starts_with(": connected\nretry: 1000\n"), "{text}");
    let first = events(&text);
    let tick = |data: &str| data.split(',').next().unwrap().parse::<u64>().unwrap();
    let ticks = |events: &[crate::support::Decoded]| -> Vec<_> {
        events.iter().filter(|event| event.0 == "tick").map(|event| tick(&event.1)).collect()
    };
    let numbers = ticks(&first);
    assert!(numbers.len() > 4 && first.iter().any(|event| event.1.ends_with(", 1 open")), "{text}");

    // After the last event: no tick is missing, and none comes twice.
    let last = first.last().unwrap().2.clone().unwrap();
    let again = demo.send(Request::get("/events").header("last-event-id", &last)).await;
    let again = events(&again.text().await);
    let more = ticks(&again);
    let all: Vec<_> = numbers.iter().chain(&more).copied().collect();
    assert_eq!(all, (numbers[0]..=*more.last().unwrap()).collect::<Vec<_>>());
    let ended = again.iter().find(|event| event.0 == "ended").expect("the end of the first stream");
    assert!(ended.1.starts_with("expired after "), "{}", ended.1);
}

#[tokio::test]
async fn demo_says_a_text_to_all_pages() {
    let demo = Example::start("demo", &["--every", "60s"]).await;
    let mut pages = [demo.get("/events").await, demo.get("/events").await];
    let long = "x".repeat(300);
    for (text, status) in [("", 400), (" hello\n", 202), (long.as_str(), 202)] {
        let reply = demo.post("/say", text.to_owned()).await;
        assert_eq!(reply.status(), StatusCode::from_u16(status).unwrap());
    }
    for page in &mut pages {
        let text = page.until(&format!("data: {}\n\n", "x".repeat(200))).await;
        assert!(text.contains("event: said\ndata: hello\n\n"), "{text}");
    }
}
