//! A backend of one's own: the log of a hub in PostgreSQL.
//!
//! Two nodes have the same log. The program publishes on one, and reads on the other:
//!
//! ```sh
//! cargo run --example postgres -- postgres://user:password@127.0.0.1/database
//! ```
//!
//! `backend.rs` has the backend. `tests/hub_postgres/` checks it with the suite of the feature
//! `backend-testing`.

mod backend;

use tower_sse::{
    BoxError, Event, Hub,
    hub::{Selection, Subscription},
};

use backend::PostgresBackend;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = std::env::args().nth(1).ok_or("usage: postgres postgres://user@host/database")?;
    let writer = node(&url).await?;
    let reader = node(&url).await?;

    let mut subscription = reader.subscribe(Selection::new(["orders"])?).await?;
    for state in ["paid", "packed", "sent"] {
        let published = writer.publish("orders", Event::new(state)).await?;
        println!("published {state:6} on one node   id {}", published.id);
    }
    print(&mut subscription, 3).await;

    let last_event_id = subscription.position().to_string();
    writer.publish("orders", Event::new("delivered")).await?;
    println!("the reader resumes with the ID of the last event, on the node that published");
    let mut resumed = writer.resume(Selection::new(["orders"])?, &last_event_id).await?;
    print(&mut resumed, 1).await;
    Ok(())
}

/// Opens a node of the hub. Usually each node is another process.
async fn node(url: &str) -> Result<Hub, BoxError> {
    Ok(Hub::builder().open(PostgresBackend::open(url, 100_000).await?).await?)
}

async fn print(subscription: &mut Subscription, number: usize) {
    for _ in 0..number {
        match subscription.next().await {
            Some(Ok(entry)) => println!("read      {:9}", entry.event().data()),
            Some(Err(lagged)) => println!("events are missing: {lagged}"),
            None => return,
        }
    }
}
