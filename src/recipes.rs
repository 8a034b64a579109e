//! Answers to questions that come up when an application serves or reads event streams.
//!
//! This module holds no code.
#![doc = include_str!("../docs/recipes.md")]

#[cfg(feature = "hub")]
#[doc = include_str!("../docs/nodes.md")]
pub mod more_than_one_machine {}

#[cfg(feature = "hub")]
#[doc = include_str!("../docs/cookbook.md")]
pub mod cookbook {}
