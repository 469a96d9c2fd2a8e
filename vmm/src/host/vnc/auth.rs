//! "VNC authentication" (RFC 6143, 7.2.2): DES of a challenge with the password as the key, its bytes' bits turned around.

use des::Des;
use des::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use std::io::{self, Read as _};

/// Bytes of a challenge and of the answer to it.
pub(super) const CHALLENGE: usize = 16;

/// A challenge that nobody has seen before.
pub(super) fn challenge() -> io::Result<[u8; CHALLENGE]> {
    let mut bytes = [0; CHALLENGE];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What who knows `password` answers.
pub(super) fn answer(password: &str, challenge: [u8; CHALLENGE]) -> [u8; CHALLENGE] {
    let mut key = [0; 8];
    for (to, from) in key.iter_mut().zip(password.bytes()) {
        *to = from.reverse_bits();
    }
    let cipher = Des::new(&key.into());
    let mut answer = challenge;
    for block in answer.as_chunks_mut::<8>().0 {
        let mut bytes = (*block).into();
        cipher.encrypt_block(&mut bytes);
        *block = bytes.into();
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_that_of_other_implementations() {
        // DES of zeros under the key of zeros (FIPS 46-3 known answer).
        assert_eq!(answer("", [0; 16])[..8], [0x8c, 0xa6, 0x4d, 0xe9, 0xc1, 0xb1, 0x23, 0xa7]);
        assert_ne!(answer("a", [0; 16]), answer("b", [0; 16]));
    }
}
