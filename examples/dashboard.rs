//! A page with live charts of a few hundred keys, fed by a hub with a thousand updates a second.
//!
//! ```text
//! cargo run --example dashboard     then open http://127.0.0.1:8080
//! curl -N http://127.0.0.1:8080/events
//! ```
//!
//! Each update supersedes the previous update of its key. A page opens with the current value of
//! each key. A page that is slow, or was asleep, receives only the newest value of each key that
//! has changed.

use std::{net::SocketAddr, time::Duration};

use axum::{Json, Router, response::Html, routing::get, serve::ListenerExt as _};
use clap::Parser;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::interval};
use tower_sse::{
    BoxError, Farewell, Hub, Shutdown,
    hub::{Lagging, Publication, Selection},
};

/// Live charts of many keys.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// Updates a second
    #[arg(long, default_value_t = 1000)]
    rate: usize,
    /// How long updates wait to be sent together
    #[arg(long, default_value = "40ms")]
    window: humantime::Duration,
}

/// Each region is a topic, and all have the same number of keys.
pub(crate) const REGIONS: [&str; 4] = ["ams", "fra", "iad", "sin"];
pub(crate) const HOSTS: usize = 64;

const TICK: Duration = Duration::from_millis(10);

pub(crate) fn app(rate: usize, window: Duration, shutdown: &Shutdown) -> Router {
    // A reader that lags with keys has missed nothing that matters, so it need not be evicted.
    let hub = Hub::builder().lagging(Lagging::Skip).build();
    tokio::spawn(publish(hub.clone(), rate));
    let events = hub
        .handler(|connect| async move {
            let all = Selection::default().patterns(["load.*"])?.with_state();
            Ok(connect.accept().subscribe(all))
        })
        .batch_window(window)
        .retry(Duration::from_secs(1))
        .shutdown(shutdown);
    let stats = move || {
        let stats = hub.stats();
        let counts = json!({ "published": stats.published, "kept": stats.events });
        async move { Json::<Value>(counts) }
    };
    let style = || async { ([(CONTENT_TYPE, "text/css")], include_str!("style.css")) };
    Router::new()
        .route("/", get(Html(include_str!("dashboard.html"))))
        .route("/style.css", get(style))
        .route("/stats", get(stats))
        .route_service("/events", events)
}

/// Changes the load of one host in each update, at random.
async fn publish(hub: Hub, rate: usize) -> Result<(), BoxError> {
    let mut loads = vec![0.4; REGIONS.len() * HOSTS];
    let mut tick = interval(TICK);
    let mut number = 0;
    for second in (TICK.as_millis() as usize..).step_by(TICK.as_millis() as usize) {
        tick.tick().await;
        let mut updates = Vec::new();
        while number < rate * second / 1000 {
            number += 1;
            // The first updates are for each host in turn, so that every chart has a value.
            let host =
                if number <= loads.len() { number - 1 } else { fastrand::usize(..loads.len()) };
            let calm = if fastrand::u8(..) == 0 { 4.0 } else { 0.12 };
            let step = (fastrand::f64() - 0.5) * calm - (loads[host] - 0.4) * 0.05;
            loads[host] = f64::clamp(loads[host] + step, 0.02, 1.0);
            updates.push(update(host, number, loads[host]));
        }
        hub.publish_all(updates).await?;
    }
    Ok(())
}

fn update(host: usize, number: usize, load: f64) -> Publication {
    let region = REGIONS[host / HOSTS];
    let key = format!("{region}-{:02}", host % HOSTS);
    let data = json!({ "key": key, "n": number, "load": (load * 100.0).round() / 100.0 });
    Publication::new(format!("load.{region}"), data.to_string()).key(key)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let shutdown =
        Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
    axum::serve(listener, app(args.rate, args.window.into(), &shutdown))
        .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
        .await?;
    Ok(())
}
