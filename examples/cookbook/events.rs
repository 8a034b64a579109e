//! Feeds for `eventsource` and `@microsoft/fetch-event-source`: many readers that resume after a reconnect.
//!
//! - `eventsource` does what a browser does: it reconnects after every end, with the last ID, until a 204. A topic
//!   that has ended is a 204, once the reader has everything.
//! - `fetch-event-source` sends a POST with a body and headers. It reconnects after a failure only: a clean end is the
//!   end for it. The last event has the type `end`, so the page throws in `onclose` if that is missing.
//! - `fetch-event-source` shows a block without data as an empty message: here, the first ID of a stream. Skip it. From
//!   a hub's handler a page gets that ID as an event of the type `position`.
//!
//! ```js
//! new EventSource('/topics/news')
//! fetchEventSource('/events', { method: 'POST', body: JSON.stringify({ topics: ['news'] }),
//!     headers: { 'content-type': 'application/json', authorization: 'Bearer secret' },
//!     onmessage(event) { if (event.event === 'end') ended = true; else if (event.data) show(event) },
//!     onclose() { if (!ended) throw new Error('reconnect') } })
//! ```

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{get_service, post},
};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use tower_sse::{Connect, Event, EventBody, LastEventId, Refusal, hub::Selection};

use crate::Site;

#[derive(Deserialize)]
struct Wanted {
    topics: Vec<String>,
}

pub(crate) fn router(site: &Site) -> Router {
    let topic = |connect: Connect| async move {
        let topic = connect.uri().path().rsplit('/').next().unwrap_or_default();
        let topic = percent_decode_str(topic).decode_utf8()?.into_owned();
        connect.accept().topics([topic])
    };
    let reader = site.hub.handler(topic).options(site.feed("events"));
    Router::new()
        .route("/topics/{topic}", get_service(reader).post(publish).delete(finish))
        .route("/events", post(read))
        .with_state(site.clone())
}

/// Reads topics that are in the body of the request.
async fn read(
    State(site): State<Site>,
    last: Option<LastEventId>,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> Result<EventBody, Refusal> {
    if headers.get(AUTHORIZATION).is_none_or(|key| key != "Bearer secret") {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED));
    }
    let selection = Selection::new(wanted.topics).map_err(Refusal::bad_request)?;
    let subscription = match last {
        Some(last) => site.hub.resume(selection, last.as_str()).await?,
        None => site.hub.subscribe(selection).await?,
    };
    Ok(subscription.into_body().options(site.feed("events")))
}

/// Publishes the body of the request, for example `curl -d hello http://127.0.0.1:8080/topics/news`.
async fn publish(
    State(site): State<Site>,
    Path(topic): Path<String>,
    data: String,
) -> Result<(), Refusal> {
    site.hub.publish(topic, Event::new(data)).await?;
    Ok(())
}

/// Ends a topic. Its readers get the rest, and this last event.
async fn finish(State(site): State<Site>, Path(topic): Path<String>) -> Result<(), Refusal> {
    site.hub.finish(topic, Event::new("").with_type("end")).await?;
    Ok(())
}
