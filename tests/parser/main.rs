//! The parser against the WHATWG standard, "Interpreting an event stream".
//!
//! | file | holds |
//! |---|---|
//! | `standard.rs` | a row of input and the events it must give, for every sentence of the algorithm |
//! | `oracle.rs` | the algorithm as the standard has it, transcribed without regard to speed |
//! | `chunks.rs` | the parser agrees with the oracle on any bytes, wherever they are cut |
//! | `limits.rs` | events and lines over the limit, wherever they are cut |
//! | `reading.rs` | the parser as it is used: items, sticky IDs, resets |
//! | `outcome.rs` | what a stream gives, and how it is compared |
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod chunks;
mod limits;
mod oracle;
mod outcome;
mod reading;
mod standard;

use outcome::{Item, Outcome, cut, last_event_id, parse, to_item};
