//! Answers to questions that come up when an application serves or reads event streams.
//!
//! This module holds no code.
#![doc = include_str!("../docs/recipes.md")]

#[doc = include_str!("../docs/from-axum.md")]
pub mod from_axum {}

#[doc = include_str!("../docs/from-other-clients.md")]
pub mod from_other_clients {}

#[doc = include_str!("../docs/middleware.md")]
pub mod middleware {}

#[doc = include_str!("../docs/deploy.md")]
pub mod deploy {}

#[cfg(feature = "hub")]
#[doc = include_str!("../docs/nodes.md")]
pub mod more_than_one_machine {}

#[cfg(feature = "hub")]
#[doc = include_str!("../docs/sizing.md")]
pub mod sizing {}

#[cfg(feature = "hub")]
#[doc = include_str!("../docs/cookbook.md")]
pub mod cookbook {}
