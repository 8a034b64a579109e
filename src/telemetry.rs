//! What can be seen of the streams of a server: spans and logs, with the feature `tracing`, and
//! metrics, with the feature `metrics`. Both go through the facade crates of these names, to
//! whatever the application has installed there; without the features there is no code for it.
//!
//! # Spans
//!
//! Each stream has a span `event_stream`, at level `INFO`, below the span that its request was
//! answered in. Its handler is polled inside of it. It lasts from the answer to the end of
//! `on_disconnect`.
//!
//! | field | |
//! |---|---|
//! | `method`, `path` | of the request; never the query, for tokens stand there. Both are missing for an [`EventBody`](crate::EventBody) that a handler of a framework has made |
//! | `last_event_id` | where the client goes on, if it said so |
//! | `reason` | why the stream ended, as [`EndReason::as_str`](crate::EndReason::as_str) names it |
//! | `events`, `bytes` | what was handed to the server, as in [`StreamEnd`](crate::StreamEnd) |
//! | `duration` | in seconds |
//!
//! # Logs
//!
//! | level | message | when | fields |
//! |---|---|---|---|
//! | `DEBUG` | `event stream opened` | a stream was accepted | |
//! | `DEBUG` | `event stream ended` | by itself, by the server, or because the client left | `reason`, `events`, `bytes`, `dropped`, `duration` |
//! | `WARN` | `event stream ended` | the client was too slow, and was evicted | the same |
//! | `ERROR` | `event stream failed` | the handler returned an error or panicked | the same, and `error` |
//! | `DEBUG` | `event stream refused` | a request did not become a stream | `by`, as below |
//! | `DEBUG` | `a reader of a hub has a gap` | it resumes or lags, and events are missing | `reason`, as below, and `missed`, if that is known |
//! | `ERROR` | `on_connect failed: answered with 500` | an error in `on_connect`, or a panic | `error` |
//! | `ERROR` | `… panicked` | code of the application, a hook say, panicked | `panic` |
//! | `ERROR` | `handler failed after its event stream had ended` | | `error` |
//! | `WARN` | `… is off: the event stream is polled outside of a tokio runtime` | a setting needs one | |
//!
//! # Metrics
//!
//! | name | kind | labels | |
//! |---|---|---|---|
//! | `tower_sse_streams_open` | gauge | | streams that are open |
//! | `tower_sse_streams_ended_total` | counter | `reason` | streams that have ended |
//! | `tower_sse_stream_duration_seconds` | histogram | `reason` | how long they lasted |
//! | `tower_sse_refusals_total` | counter | `by` | requests that did not become streams |
//! | `tower_sse_events_total` | counter | | events that were handed to the server |
//! | `tower_sse_bytes_total` | counter | | bytes that were handed to the server, greeting and keep-alives among them |
//! | `tower_sse_event_bytes` | histogram | | the encoded length of each event that was sent |
//! | `tower_sse_events_dropped_total` | counter | | events that dropping and sliding buffers have dropped |
//! | `tower_sse_send_wait_seconds` | histogram | | how long each send has waited that had to wait |
//! | `tower_sse_hub_published_total` | counter | | events that were published in hubs |
//! | `tower_sse_hub_gaps_total` | counter | `reason` | readers of hubs that missed something |
//!
//! | label | values |
//! |---|---|
//! | `reason` | those of [`EndReason`](crate::EndReason): `client_gone`, `finished`, `failed`, `shut_down`, `expired`, `evicted`, `revoked` |
//! | `reason` of a gap | those of `hub::GapReason` for a reader that resumes: `trimmed`, `other_epoch`, `unknown`, `other_topic`; `lagged` for one that was too slow |
//! | `by` | `on_connect`, `max_streams`, `max_streams_per`, `shutdown`, `last_event_id` (one that cannot be an id) |
//!
//! A stream, and a hub, looks its metrics up when it is made, so install the recorder before the server starts.

/// Tells the recorder what each metric is, and in which unit: for recorders that show it, such as
/// Prometheus' `# HELP`. Call it once, after the recorder was installed.
#[cfg(feature = "metrics")]
pub fn describe_metrics() {
    crate::metrics::describe();
}
