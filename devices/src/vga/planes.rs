//! The four planes and the graphics controller in front of them (IBM PS/2 Hardware Technical Reference, "Graphics Controller
//! Registers").

use crate::bytes::Bytes;
use crate::vga::font;
use serde::{Deserialize, Serialize};

/// Bytes of one plane.
pub(super) const PLANE: usize = 0x1_0000;
/// The plane that has the fonts.
const FONT_PLANE: usize = 2;

/// Sequencer register 2: planes that writes reach.
const MAP_MASK: usize = 2;
/// Sequencer register 4: bit 2 clear for odd/even addressing, bit 3 for chain-4.
const MEMORY_MODE: usize = 4;
const NOT_ODD_EVEN: u8 = 0x04;
const CHAIN_4: u8 = 0x08;
/// Graphics register 5: bit 3 compares colours when reading, bit 4 reads odd/even.
const MODE: usize = 5;
const READ_COMPARE: u8 = 0x08;
const READ_ODD_EVEN: u8 = 0x10;

/// The planes and what was last read of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Planes {
    /// Byte `n` of plane `p` is at `4 * n + p`.
    bytes: Bytes<{ 4 * PLANE }>,
    latch: u32,
}

impl Planes {
    /// Black, with a font in plane 2.
    pub fn with_font() -> Self {
        let mut planes = Self::default();
        for (code, glyph) in (0..).zip(font::glyphs()) {
            for (row, bits) in glyph.into_iter().enumerate() {
                planes.bytes[(code * 32 + row) * 4 + FONT_PLANE] = bits;
            }
        }
        planes
    }

    /// The four planes' bytes at `at`, plane 0 lowest.
    pub fn at(&self, at: usize) -> u32 {
        let at = at % PLANE * 4;
        u32::from_le_bytes([self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]])
    }

    /// The font plane's byte at `at`.
    pub fn font(&self, at: usize) -> u8 {
        self.bytes[at % PLANE * 4 + FONT_PLANE]
    }

    fn set(&mut self, at: usize, value: u32, planes: u8) {
        let at = at % PLANE * 4;
        for (plane, byte) in value.to_le_bytes().into_iter().enumerate() {
            if planes >> plane & 1 != 0 {
                self.bytes[at + plane] = byte;
            }
        }
    }

    /// The processor reads byte `at` of the window.
    pub fn read(&mut self, at: usize, sequencer: &[u8; 8], graphics: &[u8; 16]) -> u8 {
        let (at, plane) = if sequencer[MEMORY_MODE] & CHAIN_4 != 0 {
            (at & !3, at & 3)
        } else if graphics[MODE] & READ_ODD_EVEN != 0 {
            (at & !1, usize::from(graphics[4] & 2) | at & 1)
        } else {
            (at, usize::from(graphics[4] & 3))
        };
        self.latch = self.at(at);
        if graphics[MODE] & READ_COMPARE != 0 {
            // A bit is set where all planes that are cared for have the colour to compare with.
            let differing = (self.latch ^ spread(graphics[2])) & spread(graphics[7]);
            return !differing.to_le_bytes().into_iter().fold(0, |any, plane| any | plane);
        }
        self.latch.to_le_bytes()[plane]
    }

    /// The processor writes byte `at` of the window.
    pub fn write(&mut self, at: usize, value: u8, sequencer: &[u8; 8], graphics: &[u8; 16]) {
        let enabled = sequencer[MAP_MASK] & 15;
        let (at, planes) = if sequencer[MEMORY_MODE] & CHAIN_4 != 0 {
            (at & !3, enabled & 1 << (at & 3))
        } else if sequencer[MEMORY_MODE] & NOT_ODD_EVEN == 0 {
            (at & !1, enabled & if at & 1 == 0 { 0b0101 } else { 0b1010 })
        } else {
            (at, enabled)
        };
        self.set(at, self.written(value, graphics), planes);
    }

    /// What the graphics controller makes of a byte that the processor writes.
    fn written(&self, value: u8, graphics: &[u8; 16]) -> u32 {
        let rotated = value.rotate_right(u32::from(graphics[3] & 7));
        let set_reset = spread(graphics[0]);
        let (data, bits) = match graphics[MODE] & 3 {
            0 => {
                let enabled = spread(graphics[1]);
                (all_planes(rotated) & !enabled | set_reset & enabled, graphics[8])
            }
            1 => return self.latch,
            2 => (spread(value), graphics[8]),
            _ => (set_reset, graphics[8] & rotated),
        };
        let data = match graphics[3] >> 3 & 3 {
            0 => data,
            1 => data & self.latch,
            2 => data | self.latch,
            _ => data ^ self.latch,
        };
        let bits = all_planes(bits);
        data & bits | self.latch & !bits
    }
}

/// All ones in the planes of the lower four bits.
fn spread(planes: u8) -> u32 {
    (0..4).filter(|plane| planes >> plane & 1 != 0).fold(0, |all, plane| all | 0xff << (8 * plane))
}

/// The byte in each plane.
fn all_planes(byte: u8) -> u32 {
    u32::from_le_bytes([byte; 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planes addressed one by one, all enabled, no bit masked.
    fn plain() -> ([u8; 8], [u8; 16]) {
        let (mut sequencer, mut graphics) = ([0; 8], [0; 16]);
        (sequencer[MAP_MASK], sequencer[MEMORY_MODE]) = (15, 6);
        (graphics[7], graphics[8]) = (15, 0xff);
        (sequencer, graphics)
    }

    #[test]
    fn chain_4_and_odd_even_choose_planes_by_address() {
        let (mut sequencer, mut graphics) = plain();
        let mut planes = Planes::default();
        sequencer[MEMORY_MODE] = 0x0e;
        for (n, value) in [1, 2, 3, 4].into_iter().enumerate() {
            planes.write(0x104 + n, value, &sequencer, &graphics);
        }
        assert_eq!(planes.at(0x104), 0x0403_0201);
        assert_eq!(planes.read(0x106, &sequencer, &graphics), 3);
        sequencer[MEMORY_MODE] = 2;
        sequencer[MAP_MASK] = 3;
        graphics[MODE] = 0x10;
        planes.write(0x200, b'A', &sequencer, &graphics);
        planes.write(0x201, 0x1f, &sequencer, &graphics);
        assert_eq!(planes.at(0x200), 0x1f41);
        assert_eq!(planes.read(0x201, &sequencer, &graphics), 0x1f);
    }

    #[test]
    fn write_mode_0_rotates_sets_and_combines_under_the_bit_mask() {
        let (sequencer, mut graphics) = plain();
        let mut planes = Planes::default();
        planes.set(5, 0xaaaa_aaaa, 15);
        planes.read(5, &sequencer, &graphics);
        (graphics[0], graphics[1]) = (0b1000, 0b1100);
        graphics[3] = 0x18 | 4;
        graphics[8] = 0x0f;
        planes.write(5, 0xf0, &sequencer, &graphics);
        // Planes 0 and 1 get 0x0F, plane 2 zeros, plane 3 ones, all exclusive-or 0xAA in the lower four bits.
        assert_eq!(planes.at(5).to_le_bytes(), [0xa5, 0xa5, 0xaa, 0xa5]);
    }

    #[test]
    fn write_modes_1_to_3() {
        let (sequencer, mut graphics) = plain();
        let mut planes = Planes::default();
        planes.set(1, 0x1122_3344, 15);
        planes.read(1, &sequencer, &graphics);
        graphics[MODE] = 1;
        planes.write(2, 0, &sequencer, &graphics);
        assert_eq!(planes.at(2), 0x1122_3344);
        graphics[MODE] = 2;
        graphics[8] = 0xf0;
        planes.write(3, 0b0101, &sequencer, &graphics);
        assert_eq!(planes.at(3).to_le_bytes(), [0xf4, 0x03, 0xf2, 0x01]);
        graphics[MODE] = 3;
        graphics[0] = 0b0010;
        graphics[8] = 0xff;
        planes.write(4, 0x0f, &sequencer, &graphics);
        assert_eq!(planes.at(4).to_le_bytes(), [0x40, 0x3f, 0x20, 0x10]);
    }

    #[test]
    fn map_mask_and_read_mode_1() {
        let (mut sequencer, mut graphics) = plain();
        let mut planes = Planes::default();
        sequencer[MAP_MASK] = 0b0110;
        planes.write(9, 0xc3, &sequencer, &graphics);
        assert_eq!(planes.at(9), 0x00c3_c300);
        graphics[MODE] = READ_COMPARE;
        graphics[2] = 0b0110;
        assert_eq!(planes.read(9, &sequencer, &graphics), 0xc3);
        graphics[7] = 0b1001;
        assert_eq!(planes.read(9, &sequencer, &graphics), 0xff);
    }
}
