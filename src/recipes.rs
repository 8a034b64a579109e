//! Answers to questions that come up when an application serves or reads event streams.
//!
//! This module holds no code.
#![doc = include_str!("../docs/recipes.md")]
