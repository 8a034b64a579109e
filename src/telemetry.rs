//! Spans, logs and metrics of a server's streams, and of event sources.
//!
//! Spans and logs need the feature `tracing`, metrics the feature `metrics`. They go through the
//! facade crates of these names to the subscriber and the recorder that the application has
//! installed. Without the features there is no code for them.
//!
//! # Spans
//!
//! There are two spans at level `INFO`, both children of the span in which the response is made.
//!
//! `event_stream_head` lasts until the head of the response goes out, so it is exported at once. `on_connect` is
//! polled in it. Its fields are `method`, `path`, `route`, `last_event_id` and `status`.
//!
//! `event_stream` lasts until `on_disconnect` has returned. The handler is polled in it. It follows from the span of
//! the head (`follows_from`), which `tracing-opentelemetry` turns into a link.
//!
//! | response | `event_stream_head` | `event_stream` |
//! |---|---|---|
//! | a stream of a handler, or relayed | yes | yes |
//! | a refusal, or a relayed response of another kind | yes | |
//! | an [`EventBody`](crate::EventBody) that a handler of a framework returns, or a stream of [`SseGovern`](crate::SseGovern) | | yes |
//!
//! | field | meaning |
//! |---|---|
//! | `method`, `path` | of the request, without the query, which may contain tokens. Both are missing if a handler of a framework has made the [`EventBody`](crate::EventBody) |
//! | `route` | as in the metrics, if it is set |
//! | `last_event_id` | the last event ID, if the client sent one: at most 256 bytes of it |
//! | `reason` | why the stream ended, as in [`EndReason::as_str`](crate::EndReason::as_str) |
//! | `events`, `bytes` | passed to the server, as in [`StreamEnd`](crate::StreamEnd) |
//! | `duration` | of the stream, in seconds |
//!
//! Each attempt of an [`EventSource`](crate::EventSource) has a span `event_source_attempt` at level
//! `INFO`, a child of the span in which the source is polled. The service is polled in it. It lasts
//! until the response is an open stream or is refused, or until the attempt fails.
//!
//! | field | meaning |
//! |---|---|
//! | `attempt` | the number of the attempt, counted from 1 over the life of the source |
//! | `method`, `url` | of the request, without the query |
//! | `last_event_id` | the last event ID, if the request has one |
//! | `status` | of the last response |
//! | `outcome` | `opened` or `failed`; empty if the source was dropped or closed before |
//!
//! # Logs
//!
//! All spans and logs have the target `tower_sse`. A line at the end of a stream has the fields of the span as well:
//! `tracing_subscriber`'s plain format shows them twice, and its JSON format can leave the span out.
//!
//! | level | message | when | fields |
//! |---|---|---|---|
//! | `DEBUG` | `event stream opened` | a stream was accepted | |
//! | `DEBUG` | `event stream ended` | a stream ended in any way that the next two rows do not name | `reason`, `events`, `bytes`, `dropped`, `duration` |
//! | `WARN` | `event stream ended` | the client was too slow and was evicted | the same |
//! | `ERROR` | `event stream failed` | the handler returned an error or panicked, a sender called `fail`, or the upstream of a relay failed | the same, and `error` |
//! | `WARN` | `the upstream of a relay has failed` | before the response has begun | `error` |
//! | `DEBUG` | `event stream refused` | a request did not become a stream | `by`, as below |
//! | `INFO` | `the server is leaving` | the signal of a [`Shutdown`](crate::Shutdown) has come | `drain`, `whole`: until all connections are cut (both in seconds), `streams` |
//! | `INFO` | `the streams of the server have ended` | for the first time after the start of a [`Shutdown`](crate::Shutdown), its last stream has ended | `streams`: that have ended since the start, `overdue`: of these, not before connections were cut, `duration` since the start, in seconds |
//! | `DEBUG` | `hub reader has a gap` | a reader resumed or lagged, and events may be missing | `reason`, as below, and `missed`, if the number is known |
//! | `ERROR` | `on_connect failed: answered with 500` | `on_connect` returned an error or panicked | `error` |
//! | `ERROR` | `… panicked` | application code panicked, for example a hook | `panic` |
//! | `ERROR` | `handler failed after its event stream had ended` | the error could not end the stream any more | `error` |
//! | `WARN` | `… is off: the event stream is polled outside of a tokio runtime` | a setting needs a runtime and has no effect | |
//! | `ERROR` | `queued events were not published` | the engine of a hub did not take events of `try_publish` | `error`, `events` |
//! | `WARN`, then `DEBUG` | `the hub's backend does not answer` | a call of the backend has failed: a warning if the one before was answered | `error` |
//! | `INFO` | `the hub's backend answers again` | | |
//! | `WARN` | `the hub's log has entries that are not events: they are skipped` | the first time that a node finds one | |
//! | `DEBUG` | `event source opened` | a source has opened a connection | |
//! | `WARN`, then `DEBUG` | `event source reconnects` | a source reconnects after a delay: a warning for the first time after each open connection. At `DEBUG` also if the application has called [`reconnect`](crate::EventSource::reconnect) | `attempt` (its number), `delay` (in seconds), `cause` (with its sources), `url` (without the query) |
//!
//! # Metrics
//!
//! | name | kind | labels | meaning |
//! |---|---|---|---|
//! | `tower_sse_streams_open` | gauge | `route` | open streams |
//! | `tower_sse_streams_ended_total` | counter | `reason`, `route` | streams that have ended |
//! | `tower_sse_stream_duration_seconds` | histogram | `reason`, `route` | duration of the streams that have ended |
//! | `tower_sse_open_seconds` | histogram | `route` | time from a request to the head of its response, if that is an event stream. Not recorded for an `EventBody` that a handler of a framework returns |
//! | `tower_sse_first_event_seconds` | histogram | `route` | time from a request, or else from the creation of its body, to the first event that is passed to the server |
//! | `tower_sse_stalls_total` | counter | `route` | silences longer than [`stall_after`](crate::BodyOptions::stall_after). Off by default |
//! | `tower_sse_refusals_total` | counter | `by` | requests that were refused a stream |
//! | `tower_sse_events_total` | counter | `route` | events passed to the server |
//! | `tower_sse_bytes_total` | counter | `route` | bytes passed to the server, including greetings and keep-alives |
//! | `tower_sse_event_bytes` | histogram | | encoded length of each sent event |
//! | `tower_sse_events_dropped_total` | counter | | events dropped by dropping and sliding buffers |
//! | `tower_sse_send_wait_seconds` | histogram | | waiting time of each send that had to wait |
//! | `tower_sse_client_connected` | gauge | | open connections of event sources |
//! | `tower_sse_client_events_total` | counter | | events returned by event sources |
//! | `tower_sse_client_reconnects_total` | counter | | losses and failures after which an event source sends its request again |
//! | `tower_sse_client_open_seconds` | histogram | | duration of each connection of an event source |
//! | `tower_sse_hub_published_total` | counter | | events published in hubs |
//! | `tower_sse_hub_backend_up` | gauge | | 1 if the hub's backend answers, 0 if not |
//! | `tower_sse_hub_backend_errors_total` | counter | | calls of the backend that failed |
//! | `tower_sse_hub_backend_lag_seconds` | histogram | | the age of the newest entry when a node received it |
//! | `tower_sse_hub_backend_replays_total` | counter | | pages of older events that were read from the backend |
//! | `tower_sse_hub_backend_junk_total` | counter | | entries of the log that were skipped, because they are not events |
//! | `tower_sse_hub_events_replayed_total` | counter | | events that bodies sent to a reader although they were published before it came: after a last event ID, from the start, the newest ones, or the state |
//! | `tower_sse_hub_gaps_total` | counter | `reason` | gaps of hub readers |
//!
//! | label | values |
//! |---|---|
//! | `route` | the value of [`route`](crate::BodyOptions::route) or [`route_of`](crate::EventChannelHandler::route_of); the label is absent if neither is set |
//! | `reason` | as in [`EndReason`](crate::EndReason): `client_gone`, `finished`, `failed`, `shut_down`, `expired`, `evicted`, `revoked` |
//! | `reason` of a gap | for a reader that resumed, as in `hub::GapReason`: `trimmed`, `other_epoch`, `unknown`, `other_topic`; for a reader that was too slow: `lagged` |
//! | `by` | `on_connect`, `max_streams`, `max_streams_per`, `shutdown`, `last_event_id` (an invalid ID), `method`, `handler` (it failed before its first event, with `commit_within`), `upstream` (a relay's, which failed before the response had begun), `max_named_topics` |
//!
//! Streams, hubs and event sources look up their metrics when they are created, so install the
//! recorder before you create them.
//!
//! ## Prometheus
//!
//! Without buckets the exporter makes summaries, which cannot be added up over several servers. Streams last longer
//! than requests, and need buckets of their own:
//!
//! ```
//! use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
//!
//! # fn main() -> Result<(), metrics_exporter_prometheus::BuildError> {
//! let builder = PrometheusBuilder::new()
//!     .set_buckets_for_metric(
//!         Matcher::Full("tower_sse_open_seconds".into()),
//!         &[0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 5.0, 10.0],
//!     )?
//!     .set_buckets_for_metric(
//!         Matcher::Full("tower_sse_first_event_seconds".into()),
//!         &[0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0],
//!     )?
//!     .set_buckets_for_metric(
//!         Matcher::Full("tower_sse_stream_duration_seconds".into()),
//!         &[1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0],
//!     )?
//!     .set_buckets_for_metric(
//!         Matcher::Full("tower_sse_send_wait_seconds".into()),
//!         &[0.001, 0.01, 0.1, 1.0, 10.0, 60.0],
//!     )?
//!     .set_buckets_for_metric(
//!         Matcher::Full("tower_sse_event_bytes".into()),
//!         &[64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 1_048_576.0],
//!     )?;
//! # let _ = builder.build_recorder();
//! # Ok(()) }
//! ```
//!
//! # Other layers
//!
//! A layer that measures requests until the end of their body, as those of tower-http do, reports a stream as a very
//! slow request. Responses that are streams have the extension
//! [`EventStreamResponse`](crate::body::EventStreamResponse), by which such a layer can leave them out:
//!
//! ```
//! use std::time::Duration;
//! use axum::{body::Body, http::Response};
//! use tower_http::trace::TraceLayer;
//! use tower_sse::body::EventStreamResponse;
//! use tracing::Span;
//!
//! let trace = TraceLayer::new_for_http()
//!     .on_response(|response: &Response<Body>, latency: Duration, _: &Span| {
//!         // The latency of a stream is that of its head.
//!         if response.extensions().get::<EventStreamResponse>().is_none() {
//!             tracing::info!(?latency, status = response.status().as_u16(), "response");
//!         }
//!     })
//!     // A stream ends after hours, and a client that disconnects is no error of the server.
//!     .on_eos(())
//!     .on_failure(());
//! # fn check<L: tower::Layer<S>, S>(_: L, _: S) {}
//! # check(trace, tower::service_fn(|_: http::Request<Body>| async { Ok::<_, std::convert::Infallible>(Response::new(Body::empty())) }));
//! ```
//!
//! Keep the order in mind: only layers *around* the handler see the extension.

/// Registers the unit and the description of each metric, for recorders that show them, for example
/// as `# HELP` lines of Prometheus. Call it once, after the recorder is installed.
#[cfg(feature = "metrics")]
pub fn describe_metrics() {
    crate::metrics::describe();
}
