//! Runs on a hub without a backend.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{Method, Request, Response};
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;
use tower_sse::{
    BoxError, Event, EventBody, Hub,
    hub::{
        History,
        runs::{Run, RunState, Runs, RunsHandler, RunsOptions},
    },
};

use crate::support::read_text;

const SECOND: Duration = Duration::from_secs(1);

fn hub() -> Hub {
    let history = History::events(100_000);
    Hub::builder().history(history).total_history(history).finished_ttl(60 * SECOND).build()
}

/// The data of all events of a run, and of its end, which comes last.
async fn read_all(run: &Run) -> (Vec<String>, String) {
    let mut reader = run.subscribe().await.unwrap();
    let (mut data, mut end) = (Vec::new(), String::new());
    while let Some(entry) = reader.next().await {
        let event = entry.unwrap().event();
        assert_eq!(end, "", "nothing comes after the end");
        match event.event_type().as_str() {
            "end" => event.data().clone_into(&mut end),
            _ => data.push(event.data().to_owned()),
        }
    }
    (data, end)
}

/// Starts a run that sends numbers, one a second, and then ends like this.
async fn counting(runs: &Runs, owner: &str, to: usize, end: fn() -> Result<(), BoxError>) -> Run {
    let started = runs.start(owner, move |events, _stop| async move {
        for n in 0..to {
            events.send(Event::new(n)).await?;
            sleep(SECOND).await;
        }
        end()
    });
    started.await.unwrap()
}

fn numbers(to: usize) -> Vec<String> {
    (0..to).map(|n| n.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn readers_get_everything_whenever_they_come_and_however_the_work_ends() {
    let runs = Runs::new(&hub());
    for (end, state) in [
        ((|| Ok(())) as fn() -> _, RunState::Finished),
        (|| Err("broken".into()), RunState::Failed),
        (|| panic!("broken"), RunState::Failed),
    ] {
        let run = counting(&runs, "ann", 5, end).await;
        assert_eq!(run.state(), RunState::Running);
        let early = tokio::spawn({
            let run = run.clone();
            async move { read_all(&run).await }
        });
        sleep(2 * SECOND).await;
        let late = read_all(&run).await;
        assert_eq!(late, (numbers(5), state.as_str().to_owned()));
        assert_eq!(early.await.unwrap(), late);
        sleep(SECOND).await;
        // After its end, too.
        assert_eq!(read_all(&run).await, late);
        assert_eq!(run.state(), state);
        let info = runs.list("ann").into_iter().find(|info| info.id == run.id()).unwrap();
        assert_eq!((info.state, info.events), (state, 5));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_stops_by_itself_or_is_dropped_after_its_grace() {
    let runs = Runs::with_options(&hub(), RunsOptions::new().stop_grace(3 * SECOND));
    let polite = runs.start("ann", |events, mut stop| async move {
        assert!(!stop.is_requested());
        stop.requested().await;
        assert!(stop.is_requested());
        events.send(Event::new("saved")).await?;
        Ok(())
    });
    let rude = runs.start("ann", |events, _stop| async move {
        for n in 0.. {
            events.send(Event::new(n)).await?;
            sleep(SECOND).await;
        }
        Ok(())
    });
    for (run, takes, sent) in [(polite.await.unwrap(), 0, None), (rude.await.unwrap(), 3, Some(6))]
    {
        sleep(SECOND).await;
        let start = Instant::now();
        run.stop().await.unwrap();
        run.stop().await.unwrap();
        let (data, end) = read_all(&run).await;
        assert_eq!((start.elapsed().as_secs(), end.as_str()), (takes, "stopped"));
        match sent {
            Some(sent) => assert!((sent - 1..=sent + 1).contains(&data.len()), "{data:?}"),
            None => assert_eq!(data, ["saved"]),
        }
        sleep(SECOND).await;
        assert_eq!(run.state(), RunState::Stopped);
        // It has ended.
        run.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn limits_are_those_of_a_node_and_of_an_owner() {
    let options = RunsOptions::new().max_runs(3).max_runs_per_owner(2);
    let runs = Runs::with_options(&hub(), options);
    let start = async |owner: &str| {
        let work = runs.start(owner, |_events, mut stop| async move {
            stop.requested().await;
            Ok(())
        });
        work.await
    };
    let first = start("ann").await.unwrap();
    start("ann").await.unwrap();
    let full = start("ann").await.unwrap_err();
    assert!(full.is_full() && !full.is_invalid_owner(), "{full}");
    start("bob").await.unwrap();
    assert!(start("cem").await.unwrap_err().is_full());
    first.stop().await.unwrap();
    sleep(SECOND).await;
    start("cem").await.unwrap();
    for invalid in ["", &"x".repeat(1000)] {
        assert!(start(invalid).await.unwrap_err().is_invalid_owner());
    }
    assert_eq!((runs.list("ann").len(), runs.list("bob").len(), runs.list("").len()), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_ended_run_is_forgotten_after_its_time_to_live() {
    let hub = hub();
    let runs = Runs::with_options(&hub, RunsOptions::new().ttl(60 * SECOND));
    let run = counting(&runs, "ann", 3, || Ok(())).await;
    read_all(&run).await;
    sleep(50 * SECOND).await;
    assert!(runs.get("ann", run.id()).await.is_some());
    sleep(60 * SECOND).await;
    assert!(runs.get("ann", run.id()).await.is_none());
    assert!(runs.list("ann").is_empty());
    hub.publish("other", "x").await.unwrap();
    // The node itself reads two topics.
    let stats = hub.stats();
    assert_eq!((stats.topics, stats.events), (3, 1), "{stats:?}");
}

/// A handler whose work says the words of the request's path, and how often it was called.
fn saying(runs: &Runs) -> (RunsHandler<()>, Arc<AtomicUsize>) {
    let called = Arc::new(AtomicUsize::new(0));
    let calls = called.clone();
    let handler = runs.handler(
        |connect| async move {
            let owner = connect.headers().get("x-owner").and_then(|owner| owner.to_str().ok());
            let owner = owner.unwrap_or_default().to_owned();
            Ok(connect.accept().owner(owner))
        },
        move |request: Request<()>, events, mut stop| {
            calls.fetch_add(1, SeqCst);
            async move {
                for word in request.headers()["x-words"].to_str()?.split(' ') {
                    if word == "forever" {
                        stop.requested().await;
                        return Ok(());
                    }
                    events.send(Event::new(word).with_type("token")).await?;
                    sleep(SECOND).await;
                }
                Ok(())
            }
        },
    );
    (handler, called)
}

async fn ask(
    handler: &RunsHandler<()>,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Response<EventBody> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let Ok(response) = handler.clone().oneshot(request.body(()).unwrap()).await;
    response
}

#[tokio::test(start_paused = true)]
async fn the_handler_starts_attaches_stops_and_keeps_owners_apart() {
    let runs = Runs::with_options(&hub(), RunsOptions::new().max_runs_per_owner(2));
    let (handler, called) = saying(&runs);
    let ann = ("x-owner", "ann");
    let response = ask(&handler, Method::POST, "/runs", &[ann, ("x-words", "to be or")]).await;
    assert_eq!(response.status(), 200);
    let path = response.headers()["location"].to_str().unwrap().to_owned();
    assert!(path.starts_with("/runs/") && path.len() == 6 + 32, "{path}");
    let again = ask(&handler, Method::GET, &path, &[ann]).await;
    let first = read_text(response.into_body()).await;
    for word in ["to", "be", "or"] {
        assert!(first.contains(&format!("event: token\ndata: {word}\n")), "{first}");
    }
    assert!(first.contains("event: end\ndata: finished\n"), "{first}");
    let events = |text: &str| text.matches("event: ").count();
    assert_eq!(events(&read_text(again.into_body()).await), 4);
    // A client that has an event goes on after it, and one that has all gets a 204.
    let ids: Vec<_> = first.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    let (second, last) = (ids[ids.len() - 3], ids[ids.len() - 1]);
    let resumed = ask(&handler, Method::GET, &path, &[ann, ("last-event-id", second)]).await;
    assert_eq!(events(&read_text(resumed.into_body()).await), 2);
    let done = ask(&handler, Method::GET, &path, &[ann, ("last-event-id", last)]).await;
    assert_eq!(done.status(), 204);
    // Nobody else sees it.
    for (method, owner, path) in [
        (Method::GET, "bob", &*path),
        (Method::DELETE, "bob", &path),
        (Method::GET, "ann", "/runs/0123456789abcdef0123456789abcdef"),
        (Method::GET, "ann", "/runs/nonsense"),
        (Method::GET, "ann", "/runs"),
    ] {
        let response = ask(&handler, method.clone(), path, &[("x-owner", owner)]).await;
        assert_eq!(response.status(), 404, "{method} {owner} {path}");
    }
    assert_eq!(ask(&handler, Method::PUT, &path, &[ann]).await.status(), 405);
    assert_eq!(ask(&handler, Method::POST, "/runs", &[("x-words", "a")]).await.status(), 400);
    assert_eq!(called.load(SeqCst), 1);

    // It goes on without readers, until it is stopped.
    let forever = [ann, ("x-words", "a forever")];
    let response = ask(&handler, Method::POST, "/runs/", &forever).await;
    let path = response.headers()["location"].to_str().unwrap().to_owned();
    drop(response);
    let other = ask(&handler, Method::POST, "/runs", &forever).await;
    assert_eq!(ask(&handler, Method::POST, "/runs", &forever).await.status(), 429);
    sleep(10 * SECOND).await;
    let reading = ask(&handler, Method::GET, &path, &[ann]).await;
    assert_eq!(ask(&handler, Method::DELETE, &path, &[ann]).await.status(), 204);
    let text = read_text(reading.into_body()).await;
    assert!(text.contains("data: a\n") && text.contains("data: stopped\n"), "{text}");
    assert_eq!(runs.list("ann").len(), 3);
    drop(other);
}

/// The hub forgets the output before the run.
#[tokio::test(start_paused = true)]
async fn no_reader_waits_for_an_ended_run_whose_output_is_gone() {
    let history = History::events(1000);
    let builder = Hub::builder().history(history).total_history(history);
    let hub = builder.finished_ttl(10 * SECOND).build();
    let runs = Runs::with_options(&hub, RunsOptions::new().ttl(600 * SECOND));
    let (handler, _) = saying(&runs);
    let ann = ("x-owner", "ann");
    let response = ask(&handler, Method::POST, "/runs", &[ann, ("x-words", "to be")]).await;
    let path = response.headers()["location"].to_str().unwrap().to_owned();
    let run = runs.get("ann", path.rsplit('/').next().unwrap()).await.unwrap();
    read_text(response.into_body()).await;
    sleep(SECOND).await;
    assert_eq!(ask(&handler, Method::GET, &path, &[ann]).await.status(), 200);
    sleep(20 * SECOND).await;
    assert_eq!(run.state(), RunState::Finished);
    assert_eq!(ask(&handler, Method::GET, &path, &[ann]).await.status(), 404);
    assert_eq!(read_all(&run).await, (Vec::new(), "finished".to_owned()));
}

/// An error whose text panics.
#[derive(Debug)]
struct Unprintable;

impl std::fmt::Display for Unprintable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no text")
    }
}

impl std::error::Error for Unprintable {}

#[tokio::test(start_paused = true)]
async fn an_error_that_panics_ends_its_run() {
    let runs = Runs::with_options(&hub(), RunsOptions::new().max_runs(1));
    for _ in 0..2 {
        let run = runs.start("ann", |_events, _stop| async { Err(Unprintable.into()) }).await;
        assert_eq!(read_all(&run.unwrap()).await, (Vec::new(), "failed".to_owned()));
        sleep(SECOND).await;
    }
}

/// A hub that takes no further reader.
#[tokio::test(start_paused = true)]
async fn no_work_starts_whose_client_cannot_read_it() {
    let hub = Hub::builder().max_named_topics(2).build();
    let runs = Runs::new(&hub);
    sleep(SECOND).await;
    let (handler, called) = saying(&runs);
    let start = [("x-owner", "ann"), ("x-words", "to be")];
    assert_eq!(ask(&handler, Method::POST, "/runs", &start).await.status(), 503);
    sleep(SECOND).await;
    assert_eq!(called.load(SeqCst), 0);
    assert!(runs.list("ann").iter().all(|info| info.state == RunState::Failed));
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_client_leaves_at_once_ends_as_failed() {
    let runs = Runs::new(&hub());
    let (handler, called) = saying(&runs);
    // The response is never polled again after the hook has decided.
    let handler = handler.max_streams_per(|_| Some(()), 0);
    let refused = ask(&handler, Method::POST, "/runs", &[("x-owner", "ann")]).await;
    assert_eq!((refused.status().as_u16(), called.load(SeqCst)), (429, 0));
    sleep(SECOND).await;
    assert!(runs.list("ann").iter().all(|info| info.state == RunState::Failed));
}
