//! The way of a request to its stream: `on_connect`, and limits on the number of open streams.
//!
//! A permit is taken before `on_connect` runs if its key is known by then, else after `on_connect`
//! has accepted. It is a value that moves from the response's future to the body, and frees its
//! place when it is dropped. So no place can leak.

mod acceptor;
mod commit;
mod future;
mod head;
mod limits;
mod permit;
mod settings;

pub use self::future::HandlerFuture;
pub(crate) use self::{
    acceptor::{Acceptor, Admitted, AdmittedForeign, MakeStream},
    head::PendingHead,
    limits::{count_refusal, default_retry_after, refuse_at_shutdown},
    settings::acceptor_settings,
};
