//! The first event through a run, and through a plain stream, in the same run. Neither ends before its reader has the
//! event, as with a model that goes on.
//!
//! ```text
//! cargo bench --bench runs --features hub
//! ```

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tower_sse::{
    Event, EventBody, Hub,
    hub::runs::{Runs, RunsOptions},
};

const ROUNDS: usize = 20_000;

/// Reads until the first event has come.
async fn first_event(mut body: EventBody) -> EventBody {
    loop {
        let chunk = body.next_chunk().await.expect("an event").expect("no error");
        if chunk.windows(5).any(|bytes| bytes == b"token") {
            return body;
        }
    }
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let hub = Hub::builder().finished_ttl(Duration::from_secs(1)).build();
        let options = RunsOptions::new().ttl(Duration::from_secs(1));
        let runs = Runs::with_options(&hub, options);
        let (mut plain, mut through_run, mut started) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (_goes_on, ends) = oneshot::channel::<()>();
            let begun = Instant::now();
            let body = EventBody::new(|events| async move {
                events.send(Event::new("token")).await?;
                let _ = ends.await;
                Ok(())
            });
            let _body = first_event(body).await;
            plain.push(begun.elapsed());

            let (goes_on, ends) = oneshot::channel::<()>();
            let begun = Instant::now();
            let run = runs.start("ann", |events, _stop| async move {
                events.send(Event::new("token")).await?;
                let _ = ends.await;
                Ok(())
            });
            let run = run.await.expect("a run");
            started.push(begun.elapsed());
            let reader = run.subscribe().await.expect("a reader");
            let mut body = first_event(reader.into_body()).await;
            through_run.push(begun.elapsed());
            // The run and its stream end before the next round.
            drop(goes_on);
            while body.next_chunk().await.is_some() {}
        }
        let (plain, started, through_run) = (median(plain), median(started), median(through_run));
        println!("the first event of a plain stream: {plain:?}");
        println!("the start of a run: {started:?}");
        println!("the first event through a run, with its start: {through_run:?}");
        println!("the difference: {:?}", through_run.saturating_sub(plain));
    });
}
