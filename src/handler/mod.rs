//! A service that answers each request with an event stream, made from a closure by
//! [`event_channel_handler`].
//!
//! ```
//! use std::time::Duration;
//! use tower_sse::{Event, event_channel_handler};
//!
//! let ticks = event_channel_handler(|_request, events| async move {
//!     for n in 0..10 {
//!         events.send(Event::new(format!("tick {n}")).with_type("tick").with_id(n)).await?;
//!         tokio::time::sleep(Duration::from_secs(1)).await;
//!     }
//!     Ok(())
//! })
//! .on_disconnect(|end| println!("{} after {} events", end.reason(), end.events()));
//! let app: axum::Router = axum::Router::new().route_service("/events", ticks);
//! ```
//!
//! # Where to use it
//!
//! | place | how |
//! |---|---|
//! | axum | `Router::new().route_service("/ticks", ticks)` |
//! | hyper | `TowerToHyperService::new(ticks)` |
//! | in front of any other service, for example of warp or tonic | [`SseLayer::new(ticks).path("/ticks")`](crate::SseLayer) |
//! | inside a handler of a framework | no service needed: [`EventBody::new`](crate::EventBody::new) |
//!
//! # What the closure returns
//!
//! The closure's future returns `Result<(), BoxError>`, so that `?` works with any error and an
//! endless loop needs no type annotation. `Ok(())` ends the stream. An error or a panic ends it
//! abnormally: it is logged and passed to `on_disconnect`, and other streams are not affected. When
//! the client has left, [`send`](crate::EventSender::send) returns an error. Returning that error
//! is not a failure of the stream, which has ended already.
//!
//! By default the head of the response goes out at once, with status 200. With
//! [`commit_within`](EventChannelHandler::commit_within) it waits for the first event, and a closure that fails
//! before it decides the status.
//!
//! # The request
//!
//! Any method is served. The closure gets the request with its body. Besides the values of layers
//! and of `on_connect`, its extensions contain:
//!
//! - [`LastEventId`](crate::LastEventId), if the client sent one. It is read from the header, else
//!   from the query, because a page cannot set the header;
//!   [`without_last_event_id_query`](EventChannelHandler::without_last_event_id_query) turns the
//!   query off. An invalid ID is answered with a 400;
//! - [`ResponseHead`](crate::ResponseHead): the headers that were sent.
//!
//! A `HEAD` request is decided by `on_connect` like a `GET`. It has no stream, so neither the
//! closure nor `on_disconnect` is called.

mod service;

pub use self::service::{EventChannelHandler, event_channel_handler};
pub use crate::admission::HandlerFuture;
