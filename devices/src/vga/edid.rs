//! What the monitor says of itself: an EDID base block (VESA E-EDID Standard, release A2, section 3), which the display adapter
//! shows at the beginning of its registers in memory (QEMU docs/specs/standard-vga.rst).

/// Bytes of the block.
const EDID_BYTES: usize = 128;

const HEADER: [u8; 8] = [0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00];
/// Manufacturer RVM, in three letters of five bits; product 1, no serial number, made in 2026, EDID 1.4.
const IDENTITY: [u8; 12] = [0x4a, 0xcd, 1, 0, 0, 0, 0, 0, 0, 36, 1, 4];
/// Digital with 8 bits a colour, 27 by 20 centimetres, gamma 2.2, sRGB, the first timing is the preferred one.
const FEATURES: [u8; 5] = [0xa5, 27, 20, 120, 0x06];
/// Chromaticity of sRGB.
const COLOURS: [u8; 10] = [0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54];
/// 640 by 480, 800 by 600 and 1024 by 768, each at 60 Hz.
const ESTABLISHED: [u8; 3] = [0x21, 0x08, 0];
/// At 60 Hz: width / 8 - 31, and the aspect ratio (16:10, 4:3, 5:4, 16:9) in the upper two bits.
const STANDARD: [u8; 16] =
    [0x71, 0x40, 0x81, 0x00, 0x81, 0x80, 0x95, 0x00, 0xa9, 0x40, 0xb3, 0x00, 0xd1, 0xc0, 0x01, 0x01];
/// 1024 by 768 at 60 Hz: 65 MHz, blanking 320 and 38, front porches 24 and 3, sync 136 and 6, 270 by 203 millimetres.
const PREFERRED: [u8; 18] = [
    0x64, 0x19, 0x00, 0x40, 0x41, 0x00, 0x26, 0x30, 0x18, 0x88, 0x36, 0x00, 0x0e, 0xcb, 0x10, 0x00, 0x00,
    0x18,
];
/// 50 to 125 Hz vertically, 30 to 160 kHz horizontally, up to 340 MHz.
const LIMITS: [u8; 18] =
    [0, 0, 0, 0xfd, 0, 50, 125, 30, 160, 34, 0x01, 0x0a, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20];
const NAME: [u8; 18] = *b"\0\0\0\xfc\0rrvmm\n       ";
const UNUSED: [u8; 18] = *b"\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Reads `bytes` from `offset` on: the block, and zeros behind it, so there is no other.
pub(super) fn read(offset: u64, bytes: u64) -> u64 {
    let block = edid();
    let byte = |n: u64| block.get((offset + n) as usize).copied().unwrap_or(0);
    (0..bytes.min(8)).fold(0, |value, n| value | u64::from(byte(n)) << (8 * n))
}

/// The block, with its checksum.
fn edid() -> [u8; EDID_BYTES] {
    let mut block = [0; EDID_BYTES];
    let parts: [&[u8]; 10] = [
        &HEADER,
        &IDENTITY,
        &FEATURES,
        &COLOURS,
        &ESTABLISHED,
        &STANDARD,
        &PREFERRED,
        &LIMITS,
        &NAME,
        &UNUSED,
    ];
    for (to, from) in block.iter_mut().zip(parts.concat()) {
        *to = from;
    }
    block[EDID_BYTES - 1] = block.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_whole_and_sums_to_zero() {
        let block = edid();
        assert_eq!(block.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
        assert_eq!((&block[..8], &block[54..56], block[126]), (&HEADER[..], &[0x64, 0x19][..], 0));
        assert_eq!(&block[90..108], &NAME);
    }

    #[test]
    fn it_is_read_in_any_width_and_ends() {
        let block = edid();
        assert_eq!(read(0, 8).to_le_bytes(), HEADER);
        assert_eq!(read(8, 2), u64::from(u16::from_le_bytes([block[8], block[9]])));
        assert_eq!(read(127, 4), u64::from(block[127]));
        assert_eq!(read(0x3ff, 8), 0);
    }
}
