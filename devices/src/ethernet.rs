//! What network cards have in common.

/// The frame check sequence of a frame (IEEE 802.3, 3.2.9).
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut n = 0;
        while n < 16 {
            let mut value = n as u32;
            let mut bit = 0;
            while bit < 4 {
                value = value >> 1 ^ if value & 1 != 0 { POLYNOMIAL } else { 0 };
                bit += 1;
            }
            table[n] = value;
            n += 1;
        }
        table
    };
    let half = |crc: u32, nibble: u32| crc >> 4 ^ TABLE[((crc ^ nibble) & 15) as usize];
    !bytes.iter().fold(!0, |crc, byte| half(half(crc, u32::from(*byte)), u32::from(*byte) >> 4))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_sequence_is_the_standards() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}
