//! A hub over a [`Backend`](super::backend::Backend): the log is elsewhere, and the window follows it.
//!
//! - `tail` follows the log and appends its entries to the window.
//! - `publish` appends to the log, and waits until the window has the entries.
//! - `fetch` reads what the window does not have: pages of older entries, and the state.

mod fetch;
mod publish;
pub(super) mod shared;
mod tail;

pub(super) use self::{
    fetch::{Page, PageRange, fetch_page, fetch_state},
    publish::{append, publish_queued},
    tail::{follow, open},
};
