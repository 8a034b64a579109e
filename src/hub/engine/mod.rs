//! A hub over a [`Backend`](super::backend::Backend): the log is elsewhere, and the window follows it.
//!
//! - `tail` follows the log and appends its entries to the window.
//! - `publish` appends to the log, and waits until the window has the entries.
//! - `fetch` reads what the window does not have: pages of older entries, the state, and ends.
//! - `control` has what nodes tell each other.
//! - `count` tells the other nodes how many readers this one has.
//! - `loss` marks where the log has lost entries.
//! - `forget` removes topics from the log whose time to live is over.

pub(super) mod control;
mod count;
mod fetch;
mod forget;
mod loss;
mod publish;
pub(super) mod shared;
mod tail;

pub(super) use self::{
    count::{append_counts, find_counts},
    fetch::{Page, PageRange, fetch_ends, fetch_newest, fetch_page, fetch_state},
    forget::forget_expired,
    publish::{append, publish_queued},
    tail::{find_start, follow},
};
