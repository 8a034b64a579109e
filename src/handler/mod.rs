//! A service that answers each request with an event stream: what [`event_channel_handler`] makes
//! of a closure.
//!
//! ```
//! use std::time::Duration;
//! use tower_sse::{Event, event_channel_handler};
//!
//! let ticks = event_channel_handler::<_, _, ()>(|_request, events| async move {
//!     for n in 0..10 {
//!         events.send(Event::new(format!("tick {n}")).with_type("tick").with_id(n)).await?;
//!         tokio::time::sleep(Duration::from_secs(1)).await;
//!     }
//!     Ok(())
//! })
//! .on_disconnect(|end| println!("{} after {} events", end.reason(), end.events()));
//! # let _ = ticks;
//! ```
//!
//! # Where it goes
//!
//! | server | |
//! |---|---|
//! | axum | `Router::new().route_service("/ticks", ticks)` |
//! | hyper | `TowerToHyperService::new(ticks)` |
//! | beside any other service, warp and tonic among them | [`SseLayer::new(ticks).path("/ticks")`](crate::SseLayer) |
//! | inside a handler of a framework | no service: [`EventBody::new`](crate::EventBody::new) |
//!
//! # What the closure returns
//!
//! `Result<(), BoxError>`, nothing else: so `?` takes any error, an endless loop needs no
//! annotation, and `Ok(())` ends. An error, or a panic, ends the stream abnormally, is logged and
//! told to `on_disconnect`; nothing else is harmed. The
//! error of [`send`](crate::EventSender::send), when the client is gone, is no failure: the stream
//! has ended already.
//!
//! # The request
//!
//! Any method is served. The request comes with its body, and in its extensions are, besides what
//! layers and `on_connect` have put there:
//!
//! - [`LastEventId`](crate::LastEventId), if the client tells one: in the header, else in the query
//!   (a page cannot set the header), unless
//!   [`without_last_event_id_query`](EventChannelHandler::without_last_event_id_query). One that
//!   cannot be an id is answered with a 400;
//! - [`ResponseHead`](crate::ResponseHead): the headers that were sent.
//!
//! `HEAD` is decided by `on_connect` as `GET` is; there is no stream, so neither the handler runs
//! nor a hook.

mod future;
#[expect(clippy::module_inception, reason = "`event_channel_handler` is what the module is about")]
mod handler;

pub use self::{
    future::HandlerFuture,
    handler::{EventChannelHandler, event_channel_handler},
};
