//! Whether bytes are printable ASCII and nothing else, looked at once.
//!
//! Where that is so no line ends, no character is cut and nothing is to be replaced: one pass says
//! what else takes two, a search for line ends and a check of UTF-8. It is written so that a compiler
//! makes wide instructions of it, those that every processor of the architecture has.

/// How many bytes are looked at together.
const BLOCK: usize = 128;

/// Returns whether every byte is printable ASCII.
///
/// It stops at the first block that has another, so that text of other kinds costs next to nothing.
#[inline(never)]
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<BLOCK>() else {
        return bytes.iter().all(|&byte| is_printable(byte));
    };
    // The last block overlaps the one before, so that none is shorter.
    bytes.chunks_exact(BLOCK).all(is_plain_block) && is_plain_block(last)
}

#[inline]
fn is_plain_block(block: &[u8]) -> bool {
    // A mask of eight bits is what a comparison of many bytes gives.
    let others = block.iter().fold(0, |mask, &byte| mask | if is_printable(byte) { 0 } else { 0xff });
    others == 0_u8
}

/// As a signed number a byte that is not ASCII is less than a space too. DEL is no matter.
#[inline]
fn is_printable(byte: u8) -> bool {
    byte as i8 >= b' ' as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_that_is_not_printable_is_found_wherever_it_is() {
        for length in [0, 1, 127, 128, 129, 255, 256, 257, 300] {
            let mut bytes = vec![b'~'; length];
            assert!(is_plain(&bytes));
            for at in 0..length {
                for byte in 0..=255 {
                    bytes[at] = byte;
                    assert_eq!(is_plain(&bytes), matches!(byte, b' '..=0x7f), "{byte} at {at}");
                }
                bytes[at] = b' ';
            }
        }
    }
}
