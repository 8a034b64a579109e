//! The crate as a whole: its auto traits, programs that must not compile, its memory, its random
//! delays, and the table of the origins of the tests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod allocations;
mod auto_traits;
mod client_memory;
mod compile_fail;
mod delay_ranges;
#[path = "../support/heap.rs"]
mod heap;
#[cfg(feature = "hub")]
mod hub_memory;
#[cfg(feature = "hub")]
mod hub_scale;
mod origins;
#[path = "../support/mod.rs"]
mod support;
