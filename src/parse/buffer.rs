//! Buffers that are reused from event to event.

/// The maximum capacity that a buffer keeps for the next event, in bytes.
pub(super) const MAX_KEPT_CAPACITY: usize = 128 << 10;

/// The maximum length of a line that is copied out of a buffer, in bytes. A copy of a longer one
/// would hold up to twice the memory that the limits allow, so it takes the buffer instead.
pub(super) const MAX_COPIED: usize = 4 << 10;

/// Reserves room for `more` bytes. The capacity doubles, but never exceeds `max_len`, so that a
/// buffer is never larger than its limit.
pub(super) fn reserve(buffer: &mut Vec<u8>, more: usize, max_len: usize) {
    let needed = buffer.len() + more;
    if needed > buffer.capacity() {
        let doubled = (buffer.capacity().saturating_mul(2)).min(max_len);
        buffer.reserve_exact(doubled.max(needed) - buffer.len());
    }
}

/// Clears a buffer. It keeps its capacity only if that is moderate.
pub(super) fn clear(buffer: &mut Vec<u8>) {
    if buffer.capacity() > MAX_KEPT_CAPACITY {
        *buffer = Vec::new();
    } else {
        buffer.clear();
    }
}
