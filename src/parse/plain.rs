//! How much text is printable ASCII and nothing else.
//!
//! There no line ends, no character is cut and nothing is to be replaced: one look says what else
//! takes two, a search for the line's end and a check of UTF-8. It is written so that a compiler
//! makes wide instructions of it, those that every processor of the architecture has.

/// How many bytes are looked at together.
const BLOCK: usize = 128;

/// Returns how many bytes at the start are printable ASCII: all of them, or up to the block with the
/// first other one.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let blocks = bytes.chunks_exact(BLOCK);
    let rest = blocks.remainder();
    let plain = BLOCK * blocks.take_while(|block| is_plain(block)).count();
    if plain + rest.len() < bytes.len() {
        return plain;
    }
    // The last block overlaps the one before, so that it is no shorter: of a known length.
    let is_plain_to_the_end =
        bytes.last_chunk::<BLOCK>().map_or_else(|| is_plain(rest), |last| is_plain(last));
    if is_plain_to_the_end { bytes.len() } else { plain }
}

/// Whether all is printable: as a signed number a byte that is not ASCII is less than a space too.
/// DEL is no matter.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let plain = |byte: u8| byte as i8 >= b' ' as i8;
    // A mask of eight bits is what a comparison of many bytes gives.
    bytes.iter().fold(0xff_u8, |mask, &byte| mask & if plain(byte) { 0xff } else { 0 }) == 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_that_is_not_printable_is_found_wherever_it_is() {
        for length in [0, 1, 127, 128, 129, 255, 256, 257, 300] {
            let mut bytes = vec![b'~'; length];
            assert_eq!(plain_length(&bytes), length);
            for at in 0..length {
                for byte in 0..=255 {
                    bytes[at] = byte;
                    let plain =
                        if matches!(byte, b' '..=0x7f) { length } else { at / BLOCK * BLOCK };
                    assert_eq!(plain_length(&bytes), plain, "{byte} at {at} of {length}");
                }
                bytes[at] = b' ';
            }
        }
    }
}
