//! A response body that is an event stream. It sends the events of its source, keeps the connection
//! alive, and ends once.
//!
//! An [`EventBody`] is created from a handler closure, from an [event channel](crate::channel), or
//! from any stream of events. Every server that sends an [http body](https://docs.rs/http-body) can
//! send it:
//!
//! ```
//! use http::Response;
//! use tower_sse::{Event, EventBody};
//!
//! async fn ticks() -> Response<EventBody> {
//!     EventBody::new(|events| async move {
//!         for n in 0..3 {
//!             events.send(Event::new(n).with_id(n)).await?;
//!         }
//!         Ok(())
//!     })
//!     .into_http_response()
//! }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
//! let mut body = ticks().await.into_body();
//! let all = body.next_chunk().await.unwrap()?;
//! assert!(all.starts_with(b": connected\nid: 0\ndata: 0\n\n"));
//! # Ok(()) }
//! ```
//!
//! # What goes out, and when
//!
//! 1. A comment goes out first, at once, so that every proxy and every client sees a byte. The
//!    reconnection time goes out with it, if [`retry`](EventBody::retry) is set. The body writes
//!    both itself, so that no buffer can drop them.
//! 2. Events go out as soon as they are ready. All events that are ready go out together, as one
//!    frame of at most 64 KiB. After 64 KiB the body lets the server write before it continues.
//! 3. A [`KeepAlive`] goes out when nothing else has for a while. The default is a comment after 15
//!    seconds.
//!
//! # The handler runs inside the body
//!
//! The body spawns no task. When the server polls the body, the body polls the handler if it was
//! woken, and takes the events that it sent. When the client leaves, the server drops the body, and
//! the handler is dropped with it, at the point where it awaits.
//!
//! A server does not poll a body while the connection cannot be written to. So a handler is paused
//! while its client is slow. Most streams want this backpressure. A handler that must keep running
//! meanwhile, for example because it reads a sensor or has a timeout of its own, runs in a task
//! with [`HandlerOptions::spawn_handler`].
//!
//! # The end
//!
//! The stream ends when its handler has returned and the last sender was dropped, or when the
//! application closes it. Every end has one [`EndReason`], and
//! [`on_disconnect`](EventBody::on_disconnect) is called once with it.
//!
//! A handler that returns an error, or panics, ends the body with an error, after everything that
//! it has sent. The client sees a truncated stream: over HTTP/1.1 the last chunk is missing, over
//! HTTP/2 the stream is reset. The body yields the error 10 ms late, so that the server first
//! writes the events. A body has no surer way.
//!
//! The server ends a stream when a [shutdown](crate::shutdown) starts, when its
//! [`max_lifetime`](EventBody::max_lifetime) is over, or at its [`deadline`](EventBody::deadline).
//! Events that were sent go out, then a [`Farewell`](crate::Farewell), then the stream ends.
//!
//! A stream whose client is too slow for [`send_timeout`](HandlerOptions::send_timeout), or that
//! the application [revokes](crate::EventSender::revoke), is cut off: its queue is discarded, and
//! the body ends with an error.
//!
//! The body learns that a client has left when the server drops it. Most servers notice at once
//! that a connection was closed. An HTTP/1.1 server does not look while bytes of the client wait to
//! be read: the rest of a large request body, or a pipelined request. It then notices when the next
//! keep-alive cannot be written. A client that closes only its sending half counts as gone too. A proxy may hide
//! that a client has left for one or two keep-alives: see [`recipes`](crate::recipes#proxies).
//!
//! # Time
//!
//! Keep-alives, lifetimes, deadlines, batch windows, grace periods and `send_timeout` need a tokio
//! runtime with its timer enabled. Elsewhere they are off, and a warning is logged. A stream
//! without them runs on any executor.

mod account;
mod active;
mod event_body;
mod keep_alive;
mod options;
mod output;
mod pacing;
mod poll_loop;
mod prelude;
mod report;
mod response;
mod source;
mod stop;
mod stream_end;
mod teardown;
mod timers;

pub(crate) use self::source::ExternalSource;
pub(crate) use self::{
    account::AcceptedStream,
    options::{Lifetime, Route, body_settings, handler_settings},
    source::{BoxHandler, HandlerSettings},
};
pub use self::{
    event_body::{EventBody, EventBodyError},
    keep_alive::KeepAlive,
    options::{BodyOptions, HandlerOptions},
    response::EventStreamResponse,
    source::StreamItem,
    stream_end::StreamEnd,
};
pub use crate::lifecycle::EndReason;
