//! The parser against the WHATWG standard, "Interpreting an event stream".
//!
//! | | |
//! |---|---|
//! | `rows.rs` | a line of input and the events it must give, for every sentence of the algorithm |
//! | `oracle.rs` | the algorithm as the standard has it, transcribed without a thought for speed |
//! | `splits.rs` | whatever the bytes and wherever they are cut, the parser agrees with the oracle |
//! | `told.rs` | what is told of a stream, and how the parser is asked |
//! | `limits.rs` | events over the limit, wherever they are cut |
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod limits;
mod oracle;
mod rows;
mod splits;
mod told;

use told::{Outcome, Told, cut, last_event_id, parse, tell};
