//! Ends all streams of a server when it shuts down.
//!
//! A server that shuts down gracefully waits until its responses have ended. An event stream does
//! not end by itself, so one open stream keeps the server running. A [`Shutdown`] is a handle that
//! ends all of them. Give it to handlers, layers and bodies, and start it together with the
//! server's own graceful shutdown:
//!
//! ```no_run
//! use std::time::Duration;
//! use axum::{Router, serve::ListenerExt as _};
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
//! let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
//! axum::serve(listener, Router::new().route_service("/ticks", ticks))
//!     .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! # How streams end
//!
//! A [`Farewell`] describes it, for a shutdown and for the
//! [lifetime](crate::EventBody::max_lifetime) of a stream:
//!
//! | | |
//! |---|---|
//! | [`Shutdown::now()`] | ends the streams at once |
//! | [`Farewell::event`] | is sent as the last event |
//! | [`Farewell::retry`] | tells clients how long to wait before they reconnect; drawn at random from a range, so that they do not all reach the next node at the same time |
//! | [`Farewell::grace_period`] | lets handlers finish after [`EventSender::ending`](crate::EventSender::ending) has completed; for streams that cannot be resumed, for example the answer of a model |
//! | [`Farewell::stagger_over`] | spreads the ends over a time |
//!
//! These settings can be combined. Events that were sent before the end go out first, then the
//! farewell, then the stream ends. A handler that still runs is dropped at the point where it
//! awaits. A stream whose handler returns during the shutdown sends its farewell too, because its
//! client will reconnect; its reason is [`Finished`](crate::EndReason::Finished).
//!
//! Handlers and layers turn away the requests that arrive after the start: browsers get a stream
//! with only `retry`, because they never reconnect after a 503; other clients get a 503 with
//! `Retry-After`. See [`Connect::retry_later`](crate::Connect::retry_later). A body that a handler
//! of a framework creates during the shutdown is sent, and ends within the same time as the other
//! streams.
//!
//! # Clients that have stopped reading
//!
//! A server does not poll a body while the connection cannot be written to, so such a stream cannot
//! end. Only its connection can be cut:
//!
//! - [`Shutdown::cut_io`] wraps a connection, so that it is cut when streams are open longer than
//!   they may be;
//! - [`Shutdown::overdue`] completes at that time, for servers that manage their own connections;
//! - [`Shutdown::finished_within`] waits for a limited time, and returns the number of streams that
//!   are still open.
//!
//! A [recipe](crate::recipes#shut-down-gracefully) shows all of it together.

mod farewell;
mod handle;
mod io;
mod registration;
mod timeout;

pub(crate) use self::registration::Registration;
pub use self::{farewell::Farewell, handle::Shutdown, io::ShutdownIo, timeout::ShutdownTimeout};
