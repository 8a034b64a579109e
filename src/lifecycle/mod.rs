//! How an event stream ends: its status, the request to stop it, and the reason that is reported.
//!
//! It is the same for every kind of stream. A stream of a handler keeps a [`StreamStatus`] next to
//! its queue, under the queue's lock. A stream of a hub has no queue: a shutdown reaches it through
//! a [`StopSlot`], and everything else is known to the hub's log. A shutdown sees both as a
//! [`StreamHandle`].

mod handle;
mod reason;
mod slot;
mod status;
mod stop;

pub use self::reason::EndReason;
pub(crate) use self::{
    handle::{StopTarget, StreamHandle},
    slot::StopSlot,
    status::{AbortReason, StreamStatus},
    stop::StopRequest,
};
