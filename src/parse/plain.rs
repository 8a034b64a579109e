//! How much text is printable ASCII and nothing else.
//!
//! There no line ends, no character is cut and nothing is to be replaced: one look says what else
//! takes two, a search for the line's end and a check of UTF-8. It is written so that a compiler
//! makes wide instructions of it, those that every processor of the architecture has.

/// How many bytes are looked at together.
const BLOCK: usize = 128;

/// Returns how many bytes at the start are printable ASCII: all of them, or fewer than there are, by
/// less than a block.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let blocks = bytes.chunks_exact(BLOCK);
    let rest = blocks.remainder();
    let length = BLOCK * blocks.take_while(|block| is_plain(block)).count();
    if length + rest.len() == bytes.len() && is_plain(bytes.last_chunk::<BLOCK>().map_or(rest, |last| last)) {
        bytes.len()
    } else {
        length
    }
}

/// Whether all is printable: as a signed number a byte that is not ASCII is less than a space too.
/// DEL is no matter.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    // A mask of eight bits is what a comparison of many bytes gives.
    bytes.iter().fold(0xff, |mask, &byte| mask & if byte as i8 >= b' ' as i8 { 0xff } else { 0 }) == 0xff_u8
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
                    let plain = if matches!(byte, b' '..=0x7f) { length } else { at / BLOCK * BLOCK };
                    assert_eq!(plain_length(&bytes), plain, "{byte} at {at} of {length}");
                }
                bytes[at] = b' ';
            }
        }
    }
}
