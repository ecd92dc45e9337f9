//! The index of a term.

/// The index of a term: MurmurHash3 (32 bits, seed 0; Austin Appleby's public-domain algorithm) of its UTF-8 bytes, read as a
/// signed number, without its sign.
///
/// That is what the clients of the dialect compute who make BM25 vectors themselves, so their vectors and ours can be
/// searched together. It never changes: stored vectors hold it.
pub(super) fn token_id(term: &str) -> u32 {
    (murmur3_32(term.as_bytes()) as i32).unsigned_abs()
}

fn murmur3_32(bytes: &[u8]) -> u32 {
    let scramble = |block: u32| {
        block
            .wrapping_mul(0xCC9E_2D51)
            .rotate_left(15)
            .wrapping_mul(0x1B87_3593)
    };
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = 0_u32;
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xE654_6B64);
    }
    let last = tail
        .iter()
        .rev()
        .fold(0, |block, &byte| block << 8 | u32::from(byte));
    hash ^= scramble(last);
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85EB_CA6B);
    hash = (hash ^ hash >> 13).wrapping_mul(0xC2B2_AE35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published values of the algorithm for seed 0.
    #[test]
    fn known_values() {
        for (text, hash) in [
            ("", 0),
            ("a", 0x3C25_69B2),
            ("test", 0xBA6B_D213),
            ("Hello, world!", 0xC036_3E43),
            ("The quick brown fox jumps over the lazy dog", 0x2E4F_F723),
        ] {
            assert_eq!(murmur3_32(text.as_bytes()), hash, "{text:?}");
        }
        assert_eq!(token_id("test"), 0x4594_2DED, "negative as a signed number");
    }
}
