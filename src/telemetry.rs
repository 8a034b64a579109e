//! Spans, logs and metrics of a server's streams, and of event sources.
//!
//! Spans and logs need the feature `tracing`, metrics the feature `metrics`. They go through the
//! facade crates of these names to the subscriber and the recorder that the application has
//! installed. Without the features there is no code for them.
//!
//! # Spans
//!
//! Each stream has a span `event_stream` at level `INFO`, a child of the span in which the response
//! was made. The handler is polled in it. It lasts from the response to the end of `on_disconnect`.
//!
//! | field | meaning |
//! |---|---|
//! | `method`, `path` | of the request, without the query, which may contain tokens. Both are missing if a handler of a framework has made the [`EventBody`](crate::EventBody) |
//! | `last_event_id` | the last event ID, if the client sent one |
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
//! All spans and logs have the target `tower_sse`.
//!
//! | level | message | when | fields |
//! |---|---|---|---|
//! | `DEBUG` | `event stream opened` | a stream was accepted | |
//! | `DEBUG` | `event stream ended` | a stream ended in any way that the next two rows do not name | `reason`, `events`, `bytes`, `dropped`, `duration` |
//! | `WARN` | `event stream ended` | the client was too slow and was evicted | the same |
//! | `ERROR` | `event stream failed` | the handler returned an error or panicked, or a sender called `fail` | the same, and `error` |
//! | `DEBUG` | `event stream refused` | a request did not become a stream | `by`, as below |
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
//! | `tower_sse_streams_open` | gauge | | open streams |
//! | `tower_sse_streams_ended_total` | counter | `reason` | streams that have ended |
//! | `tower_sse_stream_duration_seconds` | histogram | `reason` | duration of the streams that have ended |
//! | `tower_sse_refusals_total` | counter | `by` | requests that were refused a stream |
//! | `tower_sse_events_total` | counter | | events passed to the server |
//! | `tower_sse_bytes_total` | counter | | bytes passed to the server, including greetings and keep-alives |
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
//! | `tower_sse_hub_gaps_total` | counter | `reason` | gaps of hub readers |
//!
//! | label | values |
//! |---|---|
//! | `reason` | as in [`EndReason`](crate::EndReason): `client_gone`, `finished`, `failed`, `shut_down`, `expired`, `evicted`, `revoked` |
//! | `reason` of a gap | for a reader that resumed, as in `hub::GapReason`: `trimmed`, `other_epoch`, `unknown`, `other_topic`; for a reader that was too slow: `lagged` |
//! | `by` | `on_connect`, `max_streams`, `max_streams_per`, `shutdown`, `last_event_id` (an invalid ID), `handler` (it failed before its first event, with `commit_within`), `max_named_topics` |
//!
//! Streams, hubs and event sources look up their metrics when they are created, so install the
//! recorder before you create them.

/// Registers the unit and the description of each metric, for recorders that show them, for example
/// as `# HELP` lines of Prometheus. Call it once, after the recorder is installed.
#[cfg(feature = "metrics")]
pub fn describe_metrics() {
    crate::metrics::describe();
}
