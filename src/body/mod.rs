//! A body that is an event stream: it takes what its source sends, joins what is ready, keeps the
//! connection alive, and ends once.
//!
//! An [`EventBody`] is made from a handler closure, from an [event channel](crate::channel), or
//! from any stream of events, and any server takes it that takes an [http body](https://docs.rs/http-body):
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
//!     .into_response()
//! }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
//! let mut body = ticks().await.into_body();
//! let all = body.next_chunk().await.unwrap()?;
//! assert!(all.starts_with(b": connected\n\nid: 0\ndata: 0\n\n"));
//! # Ok(()) }
//! ```
//!
//! # What goes out, and when
//!
//! 1. First, at once, a comment, so that every proxy and every client sees a byte; with it the
//!    reconnection time, if [`retry`](EventBody::retry) is set. Both are written by the body and
//!    never lost to a buffer that drops.
//! 2. Then whatever is ready, as one frame, as soon as it is ready: at most 64 KiB, and after 64
//!    KiB the body lets the server write before it goes on.
//! 3. When nothing has left for a while, a [`KeepAlive`], by default a comment after 15 seconds.
//!
//! # The handler runs inside the body
//!
//! There is no task and no spawn: when the server polls the body, the body polls the handler, then
//! takes what it sent. So a client that leaves drops the body, and with it the handler, where it
//! awaits. And a handler is paused while its client is slow: a server polls no body whose
//! connection takes nothing. That is the backpressure that most streams want. A handler that must
//! go on meanwhile (a sensor, "the latest 64", a timeout of its own) is given a task with
//! [`spawn_handler`](EventBody::spawn_handler).
//!
//! # The end
//!
//! The stream ends when its handler has returned and the last sender is gone, or when the
//! application closes it. Every end has one [`EndReason`], which
//! [`on_disconnect`](EventBody::on_disconnect) is told, once. A handler that returns an
//! error, or panics, ends the body with an error, after everything it has sent: the client sees a
//! truncated stream, over HTTP/1.1 as a missing last chunk, over HTTP/2 as a stream that is reset.
//! The error is held back for 10 ms, so that what was sent before it gets out before it takes the
//! connection down, which is as much as a body can do.
//!
//! A stream that would go on is ended by the server when a [shutdown](crate::shutdown) starts, when
//! its [`max_lifetime`](EventBody::max_lifetime) is over, or its [`deadline`](EventBody::deadline)
//! has come: what was sent goes out, then a [`Farewell`](crate::Farewell), then the end. One whose
//! client is too slow for [`send_timeout`](EventBody::send_timeout), or that the application
//! [revokes](crate::EventSender::revoke), is cut: what waits is dropped, and the body ends with an
//! error.
//!
//! That a client has left is known when the server drops the body: at once, for requests whose body
//! the server has read. After a large unread request body, or pipelined bytes, HTTP/1.1 servers do
//! not look, and the next keep-alive tells.
//!
//! # Time
//!
//! Keep-alives, lifetimes, deadlines, the time that a shutdown gives, and `send_timeout` need a
//! tokio runtime with its timer enabled; elsewhere they are off, and a warning is logged. A stream
//! without them runs on any executor.

mod accepted;
#[expect(clippy::module_inception, reason = "`body::EventBody` is what the module is about")]
mod body;
mod curfew;
mod end;
mod keep_alive;
mod live;
mod options;
mod source;

#[cfg(feature = "hub")]
pub(crate) use self::source::{Fed, Feed};
pub(crate) use self::{accepted::AcceptedStream, options::stream_settings, source::BoxHandler};
pub use self::{
    body::{EventBody, EventBodyError},
    end::{EndReason, StreamEnd},
    keep_alive::KeepAlive,
    options::StreamOptions,
    source::StreamItem,
};
