//! Subscriptions for graphql-sse, in its mode of distinct connections: one request, one stream.
//!
//! - A result is an event `next`, and the end an event `complete` with empty data. An event of another type ends the
//!   subscription of the client with an error. IDs, `retry` and comments are ignored.
//! - A request that is wrong is a status and `{"errors": …}`. The client takes each status but a success for a failure
//!   of the network, and tries again. A late error is a result with `errors`.
//! - The protocol cannot resume: a client that reconnects asks again. It gets the last message first.
//! - A client that unsubscribes closes the connection.
//!
//! ```js
//! const client = createClient({ url: 'http://127.0.0.1:8080/graphql' })
//! const query = 'subscription ($topic: String!) { messages(topic: $topic) }'
//! for await (const result of client.iterate({ query, variables: { topic: 'news' } })) show(result.data.messages)
//! ```
//!
//! `curl -d hello http://127.0.0.1:8080/topics/news` sends a message (`events.rs`).

use axum::{Json, Router, extract::State, response::*, routing::post};
use http::StatusCode;
use serde_json::{Value, json};
use tower_sse::{
    Event, Refusal,
    hub::{Entry, Selection},
};

use crate::Site;

pub(crate) fn router(site: &Site) -> Router {
    Router::new().route("/graphql", post(execute)).with_state(site.clone())
}

/// A stand-in for a GraphQL engine: it knows one subscription.
async fn execute(State(site): State<Site>, request: Json<Value>) -> Result<Response, Refusal> {
    let query = request["query"].as_str().unwrap_or_default();
    let topic = request["variables"]["topic"].as_str();
    let Some(topic) = topic.filter(|_| query.contains("messages(")) else {
        let errors = json!({"errors": [{"message": "only messages(topic: String!) is known"}]});
        return Ok((StatusCode::BAD_REQUEST, Json(errors)).into_response());
    };
    let selection = Selection::new([topic]).map_err(Refusal::bad_request)?.last(1);
    let results = site.hub.subscribe(selection).await?.map(result);
    Ok(results.into_body().options(site.feed("graphql_sse")).into_response())
}

/// Returns a message of the topic as an event of this protocol.
fn result(entry: &Entry) -> Event {
    let event = entry.event();
    let result = match event.data() {
        "fail" => json!({"data": null, "errors": [{"message": "the message is lost"}]}),
        message => json!({"data": {"messages": message}}),
    };
    match event.event_type().as_str() {
        "end" => Event::new("").with_type("complete"),
        _ => Event::new(result.to_string()).with_type("next"),
    }
}
