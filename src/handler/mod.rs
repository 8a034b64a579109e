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
//! | inside a handler of a framework | no service needed: [`EventBody::new`](crate::EventBody::new). warp's filters cannot return the body of another crate: use the layer there |
//!
//! # What the closure returns
//!
//! The closure's future returns `Result<(), BoxError>`, so that `?` works with any error and an
//! endless loop needs no type annotation. `Ok(())` ends the stream. An error or a panic ends it
//! abnormally: it is logged and passed to `on_disconnect`, and other streams are not affected. When
//! the client has left, [`send`](crate::EventSender::send) returns an error. Returning that error
//! is not a failure of the stream, which has ended already. A [`Refusal`](crate::Refusal) is not an error:
//! `check().map_err(Refusal::into_error)?`.
//!
//! By default the head of the response goes out at once, with status 200. With
//! [`commit_within`](EventChannelHandler::commit_within) it waits for the first event. If the
//! closure fails before it, its error decides the status.
//!
//! # The request
//!
//! `GET`, `HEAD` and `POST` are served, and other methods get a 405:
//! [`methods`](EventChannelHandler::methods) changes that. The closure gets the request with its
//! body. Besides the values of layers and of `on_connect`, its extensions contain:
//!
//! - [`LastEventId`](crate::LastEventId), if the client sent one. It is read from the header, else
//!   from the query, because a page cannot set the header;
//!   [`without_last_event_id_query`](EventChannelHandler::without_last_event_id_query) turns the
//!   query off. An invalid ID is answered with a 400;
//! - [`ResponseHead`](crate::connect::ResponseHead): the headers that were sent.
//!
//! Read the body of a request to its end, even if it does not matter. Otherwise an HTTP/1.1 server closes
//! the connection at the end of the stream while bytes of the client wait to be read, and the client may
//! lose the last events: see the recipe [Read the body of a
//! request](crate::recipes#read-the-body-of-a-request).
//!
//! With [`on_disconnect`](EventChannelHandler::on_disconnect) the extensions live as long as the stream, and in
//! the handler of a hub they always do. If a layer has put a pooled connection of a database there, take it out
//! in `on_connect`, so that it goes back: `connect.extensions_mut().remove::<Pooled>()`.
//!
//! The closure runs when the server polls the body, which is after the layers around the handler have
//! returned. A task-local of such a layer is not set there. Copy its value in `on_connect`, into the
//! extensions.
//!
//! Between two `send`s the closure must not block: even the head of the response may wait for it. Do
//! blocking work in `tokio::task::spawn_blocking`, which sends with
//! [`blocking_send`](crate::EventSender::blocking_send).
//!
//! `on_connect` decides a `HEAD` like a `GET`. A `HEAD` has no stream, so neither the closure nor
//! `on_disconnect` is called.

mod service;

pub use self::service::{EventChannelHandler, event_channel_handler};
pub use crate::admission::HandlerFuture;
