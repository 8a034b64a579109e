//! Detects printable ASCII.
//!
//! Printable ASCII contains no line end, no partial character and nothing that must be replaced. So
//! one pass does what otherwise takes two: a search for the line end and a check of UTF-8. The code
//! is written so that the compiler vectorizes it with the instructions that every processor of the
//! architecture has.

/// How many bytes are checked together.
const STRIDE: usize = 128;

/// Returns the length of a prefix that is printable ASCII: all bytes, or those before the stride
/// that contains the first other byte.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let strides = bytes.chunks_exact(STRIDE);
    let remainder = strides.remainder();
    let plain = STRIDE * strides.take_while(|stride| is_plain(stride)).count();
    if plain + remainder.len() < bytes.len() {
        return plain;
    }
    // The last stride overlaps the one before, so that its length is constant too.
    let is_plain_to_the_end =
        bytes.last_chunk::<STRIDE>().map_or_else(|| is_plain(remainder), |last| is_plain(last));
    if is_plain_to_the_end { bytes.len() } else { plain }
}

/// Returns whether all bytes are printable. As `i8`, non-ASCII bytes are negative and thus below
/// the space. DEL counts as printable, which is harmless: it has no meaning in an event stream.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let plain = |byte: u8| byte as i8 >= b' ' as i8;
    // A mask of eight bits, as a vector comparison of bytes returns it.
    bytes.iter().fold(0xff_u8, |mask, &byte| mask & if plain(byte) { 0xff } else { 0 }) == 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_that_is_not_printable_is_found_at_every_position() {
        for length in [0, 1, 127, 128, 129, 255, 256, 257, 300] {
            let mut bytes = vec![b'~'; length];
            assert_eq!(plain_length(&bytes), length);
            for at in 0..length {
                for byte in 0..=255 {
                    bytes[at] = byte;
                    let plain =
                        if matches!(byte, b' '..=0x7f) { length } else { at / STRIDE * STRIDE };
                    assert_eq!(plain_length(&bytes), plain, "{byte} at {at} of {length}");
                }
                bytes[at] = b' ';
            }
        }
    }
}
