//! The bound of a step.

/// The most records, topics, groups or readers that one step visits under a lock. Longer work
/// continues in another step, after other threads had a chance to take the lock.
pub(super) const MAX_STEPS: usize = 1024;
