//! SipHash-2-4, the keyed hash of Aumasson and Bernstein (2012).
//!
//! The hash of a text must be the same on all nodes of a hub, and after an update of the compiler.
//! The hashers of `std` promise neither.

use std::mem;

/// Hashes bytes under a key. How the bytes are split into writes makes no difference.
#[derive(Clone, Debug)]
pub(super) struct SipHash {
    /// The state of the rounds.
    v: [u64; 4],
    /// The bytes that do not fill a word yet, the first one in the lowest bits.
    tail: u64,
    /// The number of all bytes.
    len: usize,
}

impl SipHash {
    pub(super) const fn new(key: &[u8; 16]) -> Self {
        let key = u128::from_le_bytes(*key);
        let (k0, k1) = (key as u64, (key >> 64) as u64);
        let v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { v, tail: 0, len: 0 }
    }

    /// Returns the hash of one text.
    pub(super) fn hash(key: &[u8; 16], bytes: &[u8]) -> u64 {
        let mut hash = Self::new(key);
        hash.write(bytes);
        hash.finish()
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        // Fill the word that an earlier write has begun.
        while self.len % 8 != 0 {
            let Some((first, rest)) = bytes.split_first() else { return };
            self.push(*first);
            bytes = rest;
        }
        while let Some((word, rest)) = bytes.split_first_chunk() {
            self.compress(u64::from_le_bytes(*word));
            self.len = self.len.wrapping_add(8);
            bytes = rest;
        }
        for byte in bytes {
            self.push(*byte);
        }
    }

    pub(super) fn finish(mut self) -> u64 {
        // The last word ends with the length modulo 256.
        self.compress(self.tail | (self.len as u64) << 56);
        self.v[2] ^= 0xff;
        for _ in 0..4 {
            self.round();
        }
        self.v.into_iter().fold(0, |all, v| all ^ v)
    }

    fn push(&mut self, byte: u8) {
        self.tail |= u64::from(byte) << (8 * (self.len % 8));
        self.len = self.len.wrapping_add(1);
        if self.len % 8 == 0 {
            let word = mem::take(&mut self.tail);
            self.compress(word);
        }
    }

    fn compress(&mut self, word: u64) {
        self.v[3] ^= word;
        self.round();
        self.round();
        self.v[0] ^= word;
    }

    fn round(&mut self) {
        let [mut v0, mut v1, mut v2, mut v3] = self.v;
        v0 = v0.wrapping_add(v1);
        v1 = v1.rotate_left(13) ^ v0;
        v0 = v0.rotate_left(32);
        v2 = v2.wrapping_add(v3);
        v3 = v3.rotate_left(16) ^ v2;
        v0 = v0.wrapping_add(v3);
        v3 = v3.rotate_left(21) ^ v0;
        v2 = v2.wrapping_add(v1);
        v1 = v1.rotate_left(17) ^ v2;
        v2 = v2.rotate_left(32);
        self.v = [v0, v1, v2, v3];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of the paper's test: 00 01 … 0f.
    fn key() -> [u8; 16] {
        std::array::from_fn(|at| at as u8)
    }

    fn counting(len: usize) -> Vec<u8> {
        (0..len).map(|at| at as u8).collect()
    }

    #[test]
    fn the_test_vectors_of_the_paper_and_of_its_reference_code() {
        // The paper's appendix A hashes the bytes 00 01 … 0e.
        assert_eq!(SipHash::hash(&key(), &counting(15)), 0xa129_ca61_49be_45e5);
        let vectors = [
            (0, 0x726f_db47_dd0e_0e31),
            (1, 0x74f8_39c5_93dc_67fd),
            (2, 0x0d6c_8009_d9a9_4f5a),
            (3, 0x8567_6696_d7fb_7e2d),
            (7, 0xab02_00f5_8b01_d137),
            (8, 0x93f5_f579_9a93_2462),
            (63, 0x958a_324c_eb06_4572),
        ];
        for (len, hash) in vectors {
            assert_eq!(SipHash::hash(&key(), &counting(len)), hash, "{len} bytes");
        }
    }

    #[test]
    fn splitting_the_bytes_makes_no_difference() {
        for len in 0..40 {
            let bytes = counting(len);
            let whole = SipHash::hash(&key(), &bytes);
            for at in 0..=len {
                for to in at..=len {
                    let mut hash = SipHash::new(&key());
                    for part in [&bytes[..at], &bytes[at..to], &bytes[to..]] {
                        hash.write(part);
                    }
                    assert_eq!(hash.finish(), whole, "{len} bytes, split at {at} and {to}");
                }
            }
        }
    }

    #[test]
    fn another_key_gives_another_hash() {
        let mut other = key();
        other[15] ^= 0x80;
        assert_ne!(SipHash::hash(&key(), b"a"), SipHash::hash(&other, b"a"));
    }
}
