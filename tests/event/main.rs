//! Events as values: what they can be made from, and that an event type, an ID or a field name
//! cannot be invalid.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[cfg(feature = "json")]
mod json;
mod names;
#[path = "../support/mod.rs"]
mod support;
mod values;
