//! How a server ends its streams: all of them when it shuts down, and what a stream says before
//! its end.
//!
//! A server that shuts down gracefully waits for its responses to end, and a stream does not: one
//! open stream hangs it for ever. [`Shutdown`] is a handle that ends them all. It is given to
//! handlers, layers and bodies, and started beside the server's own graceful shutdown:
//!
//! ```no_run
//! use std::time::Duration;
//! use axum::Router;
//! use tower_sse::{Event, Farewell, Shutdown, event_channel_handler};
//!
//! # #[tokio::main] async fn main() -> Result<(), tower_sse::BoxError> {
//! let shutdown = Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));
//! let ticks = event_channel_handler(|_, events| async move {
//!     events.send(Event::new("tick")).await?;
//!     std::future::pending().await
//! })
//! .shutdown(&shutdown);
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! axum::serve(listener, Router::new().route_service("/ticks", ticks))
//!     .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! # How they end
//!
//! One value says it, a [`Farewell`], for a shutdown and for the
//! [lifetime](crate::EventBody::max_lifetime) of a stream:
//!
//! | | for |
//! |---|---|
//! | [`Shutdown::now()`] | the streams end at once |
//! | [`Farewell::event`], [`Farewell::retry`] | they say something before, and when to come back: at random from a range, so that the next node is not hit by all of them at once |
//! | [`Farewell::grace_period`] | handlers are told, by [`EventSender::ending`](crate::EventSender::ending), and may end by themselves: for streams that cannot be resumed, a model's answer say |
//! | [`Farewell::stagger_over`] | the ends are spread over a time |
//!
//! They go together. What was sent before the end goes out, then the farewell, then the end; a
//! handler that still runs is dropped where it awaits. A stream that its handler ends while the
//! shutdown runs says its farewell too, but its reason is
//! [`Finished`](crate::EndReason::Finished).
//!
//! Requests that an event channel handler or a layer gets once it has started are sent away:
//! browsers by a stream that holds a `retry` and ends, for they would never come back after a 503;
//! all others by a 503 with `Retry-After`. See [`Connect::retry_later`](crate::Connect::retry_later). A
//! body that a handler of a framework makes by then opens, and ends as the others do, within the
//! same time.
//!
//! # Clients that have stopped reading
//!
//! A server polls no body whose connection takes nothing, so such a stream cannot end: only its
//! connection can be cut. [`Shutdown::cut_io`] wraps a connection so that it is, when streams are
//! open for longer than they may; [`Shutdown::overdue`] is the same as a future, for whoever has
//! the connections in hand; and [`Shutdown::finished_within`] waits no longer than that, and says
//! how many are stuck. There is a [recipe](crate::recipes#shut-down-gracefully) of the whole.

mod farewell;
mod io;
#[expect(clippy::module_inception, reason = "`Shutdown` is what the module is about")]
mod shutdown;

pub(crate) use self::shutdown::Registration;
pub use self::{
    farewell::Farewell,
    io::ShutdownIo,
    shutdown::{Shutdown, ShutdownTimeout},
};
