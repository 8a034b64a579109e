//! Where a hub keeps its log.

mod identity;
mod position;

pub use self::{identity::Identity, position::Position};
