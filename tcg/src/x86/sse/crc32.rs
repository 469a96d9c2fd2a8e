//! CRC32: the Castagnoli polynomial 11EDC6F41H, bits reflected (SDM volume 2, CRC32).

use super::{rows, value};

const POLYNOMIAL: u32 = 0x1EDC_6F41u32.reverse_bits();

static TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

fn crc32c(crc: u128, data: u128, bytes: usize) -> u128 {
    let step = |crc: u32, byte: &u8| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)];
    data.to_le_bytes()[..bytes].iter().fold(crc as u32, step).into()
}

rows! {
    Crc32_r32_rm8 GE1, Crc32_r64_rm8 GQE1 => value(|d, s, _| crc32c(d, s, 1));
    Crc32_r32_rm16 GE2 => value(|d, s, _| crc32c(d, s, 2));
    Crc32_r32_rm32 GE => value(|d, s, _| crc32c(d, s, 4));
    Crc32_r64_rm64 GQE => value(|d, s, _| crc32c(d, s, 8));
}
