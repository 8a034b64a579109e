//! What is decided before a stream begins: the request as [`Connect`], and the answer, [`Accept`]
//! or [`Refusal`].
//!
//! An `on_connect` hook is async, sees everything of the request but its body, and decides the head
//! of the response. Until it has, nothing is on the wire, and if it refuses, the handler never
//! runs.
//!
//! ```
//! use http::StatusCode;
//! use tower_sse::{Connect, Event, Refusal, event_channel_handler};
//!
//! #[derive(Clone)]
//! struct User(String);
//!
//! let handler = event_channel_handler::<_, _, ()>(|request, events| async move {
//!     let User(name) = request.extensions().get::<User>().expect("set in on_connect");
//!     events.send(Event::new(format!("hello {name}"))).await?;
//!     Ok(())
//! })
//! .on_connect(|mut connect: Connect| async move {
//!     let Some(token) = connect.headers().get("authorization") else {
//!         return Err(Refusal::new(StatusCode::UNAUTHORIZED).body("who are you?"));
//!     };
//!     let user = User(token.to_str()?.to_owned()); // any error is a 500
//!     connect.extensions_mut().insert(user);
//!     Ok(connect.accept())
//! });
//! # let _ = handler;
//! ```
//!
//! # Browsers and refusals
//!
//! A browser's `EventSource` takes every status but 200 for the last word: after a 401, and after a
//! 503 too, it never comes back by itself. That is right for a token that is wrong, and wrong for a
//! server that is full. To send it away for a while, refuse with [`Refusal::retry_later`], or, if
//! others than browsers ask as well, with [`Connect::retry_later`]; to end it for good without an
//! error, with [`Refusal::stop`].
//!
//! `EventSource` cannot set request headers either. What browsers can send is a cookie, or a
//! short-lived token in the query.

#[expect(clippy::module_inception, reason = "`Connect` is what the module is about")]
mod connect;
mod last_event_id;
mod refusal;

pub(crate) use self::connect::AcceptParts;
pub use self::{
    connect::{Accept, Connect, ResponseHead},
    last_event_id::{InvalidLastEventId, LastEventId},
    refusal::Refusal,
};
