//! The decision before a stream begins: the request as a [`Connect`], and the answer, an [`Accept`]
//! or a [`Refusal`].
//!
//! An `on_connect` hook is async, sees all of the request except its body, and decides the head of
//! the response. Nothing is sent before it has decided. If it refuses, the handler does not run.
//!
//! ```
//! use http::StatusCode;
//! use tower_sse::{Event, Refusal, event_channel_handler};
//!
//! #[derive(Clone)]
//! struct User(String);
//!
//! let handler = event_channel_handler(|request, events| async move {
//!     let User(name) = request.extensions().get::<User>().expect("set in on_connect");
//!     events.send(Event::new(format!("hello {name}"))).await?;
//!     Ok(())
//! })
//! .on_connect(|mut connect| async move {
//!     let Some(token) = connect.headers().get("authorization") else {
//!         return Err(Refusal::new(StatusCode::UNAUTHORIZED).body("log in first"));
//!     };
//!     let user = User(token.to_str()?.to_owned()); // any error is a 500
//!     connect.extensions_mut().insert(user);
//!     Ok(connect.accept())
//! });
//! let app: axum::Router = axum::Router::new().route_service("/events", handler);
//! ```
//!
//! # Browsers and refusals
//!
//! A browser's `EventSource` gives up after every status but 200: after a 401, and after a 503 too,
//! it never reconnects by itself. That suits an invalid token, but not a server that is full for a
//! while. To make clients come back later, refuse with [`Refusal::retry_later`], or with
//! [`Connect::retry_later`] if not only browsers connect. To end a client for good without an
//! error, refuse with [`Refusal::stop`].
//!
//! `EventSource` cannot set request headers. Browsers can authenticate with a cookie, or with a
//! short-lived token in the query.

mod accept;
mod last_event_id;
mod refusal;
mod request;

pub(crate) use self::accept::AcceptParts;
pub use self::{
    accept::{Accept, ResponseHead},
    last_event_id::{InvalidLastEventId, LastEventId},
    refusal::Refusal,
    request::Connect,
};
