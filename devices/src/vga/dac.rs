//! The digital-to-analogue converter: 256 colours of 18 bits (or 24, as a VBE mode asks).

use crate::bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Three bytes a colour.
const SIZE: u16 = 768;

/// The converter's registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dac {
    mask: u8,
    state: u8,
    /// The next component to read, three for each colour.
    read: u16,
    /// The next component to write.
    write: u16,
    palette: Bytes<{ SIZE as usize }>,
}

impl Default for Dac {
    /// With the 64 colours of the EGA, which the text modes' palette is chosen from.
    fn default() -> Self {
        let mut palette = Bytes::default();
        for (n, colour) in palette.as_chunks_mut::<3>().0.iter_mut().take(64).enumerate() {
            for (component, bit) in colour.iter_mut().zip([2, 1, 0]) {
                *component = 0x2a * (n >> bit & 1) as u8 + 0x15 * (n >> (bit + 3) & 1) as u8;
            }
        }
        Self { mask: 0xff, state: 0, read: 0, write: 0, palette }
    }
}

impl Dac {
    /// The guest reads a port from 0x3C6 to 0x3C9.
    pub fn read(&mut self, port: u16) -> u8 {
        match port {
            0x3c6 => self.mask,
            0x3c7 => self.state,
            0x3c8 => (self.write / 3) as u8,
            _ => {
                let value = self.palette[usize::from(self.read % SIZE)];
                self.read = (self.read + 1) % SIZE;
                value
            }
        }
    }

    /// The guest writes one of those ports.
    pub fn write(&mut self, port: u16, value: u8, has_8_bits: bool) {
        match port {
            0x3c6 => self.mask = value,
            0x3c7 => {
                self.read = u16::from(value) * 3;
                self.state = 3;
            }
            0x3c8 => {
                self.write = u16::from(value) * 3;
                self.state = 0;
            }
            _ => {
                let mask = if has_8_bits { 0xff } else { 0x3f };
                self.palette[usize::from(self.write % SIZE)] = value & mask;
                self.write = (self.write % SIZE + 1) % SIZE;
            }
        }
    }

    /// The colours as the screen shows them: red, green, blue.
    pub fn colours(&self, has_8_bits: bool) -> [[u8; 3]; 256] {
        let wide = |value: u8| if has_8_bits { value } else { value << 2 | value >> 4 & 3 };
        let colours = self.palette.as_chunks::<3>().0;
        std::array::from_fn(|n| colours[n & usize::from(self.mask)].map(wide))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_come_one_after_the_other() {
        let mut dac = Dac::default();
        dac.write(0x3c8, 255, false);
        for value in [0xff, 2, 3, 4] {
            dac.write(0x3c9, value, false);
        }
        dac.write(0x3c7, 255, false);
        assert_eq!([0; 4].map(|_| dac.read(0x3c9)), [0x3f, 2, 3, 4]);
        assert_eq!(dac.colours(false)[255], [0xff, 8, 12]);
        assert_eq!(dac.colours(true)[255], [0x3f, 2, 3]);
    }

    #[test]
    fn the_mask_hides_colours() {
        let mut dac = Dac::default();
        assert_eq!(dac.colours(false)[0x14], [0xaa, 0x55, 0]);
        dac.write(0x3c6, 0x07, false);
        assert_eq!(dac.colours(false)[0x14], dac.colours(false)[4]);
    }
}
