//! The ChaCha20 block function (RFC 8439, 2.3), with a counter of 64 bits and no nonce.

/// Bytes of a block.
pub const BLOCK: usize = 64;

/// Block `counter` of the stream under `key`.
#[must_use]
pub fn block(key: &[u8; 32], counter: u64) -> [u8; BLOCK] {
    block_of(key, [counter as u32, (counter >> 32) as u32, 0, 0])
}

fn block_of(key: &[u8; 32], last: [u32; 4]) -> [u8; BLOCK] {
    let mut start = [0; 16];
    start[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
    for (word, bytes) in start[4..12].iter_mut().zip(key.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    start[12..].copy_from_slice(&last);
    let mut state = start;
    for _ in 0..10 {
        for n in 0..4 {
            quarter_round(&mut state, [n, 4 + n, 8 + n, 12 + n]);
        }
        for n in 0..4 {
            quarter_round(&mut state, [n, 4 + (n + 1) % 4, 8 + (n + 2) % 4, 12 + (n + 3) % 4]);
        }
    }
    let mut out = [0; BLOCK];
    for ((to, a), b) in out.as_chunks_mut::<4>().0.iter_mut().zip(state).zip(start) {
        *to = a.wrapping_add(b).to_le_bytes();
    }
    out
}

fn quarter_round(s: &mut [u32; 16], [a, b, c, d]: [usize; 4]) {
    for (turn_d, turn_b) in [(16, 12), (8, 7)] {
        s[a] = s[a].wrapping_add(s[b]);
        s[d] = (s[d] ^ s[a]).rotate_left(turn_d);
        s[c] = s[c].wrapping_add(s[d]);
        s[b] = (s[b] ^ s[c]).rotate_left(turn_b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8439, 2.3.2.
    #[test]
    fn the_block_function_is_that_of_the_rfc() {
        let key: [u8; 32] = std::array::from_fn(|n| n as u8);
        let bytes = block_of(&key, [1, 0x0900_0000, 0x4a00_0000, 0]);
        assert_eq!(bytes[..8], [0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15]);
        assert_eq!(bytes[60..], [0xa2, 0x50, 0x3c, 0x4e]);
    }
}
