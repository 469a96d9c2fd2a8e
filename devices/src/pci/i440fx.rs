//! 82441FX host bridge (Intel datasheet 290549): the programmable attribute map decides what the BIOS area shows.

use crate::pc::PamSegment;
use crate::pci::config_space::{ConfigSpace, Identity};
use serde::{Deserialize, Serialize};

/// First of the seven attribute registers.
const PAM0: u8 = 0x59;
const READ_RAM: u8 = 1;
const WRITE_RAM: u8 = 2;

/// The host bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct I440fx {
    pub(crate) config: ConfigSpace,
}

impl I440fx {
    /// The bridge after reset. Without firmware the whole BIOS area is RAM.
    #[must_use]
    pub fn new(firmware: bool) -> Self {
        let mut config = ConfigSpace::new(Identity {
            vendor: 0x8086,
            device: 0x1237,
            revision: 2,
            class: 0x06_0000,
            multifunction: false,
            interrupt_pin: 0,
        });
        // DRAM timing, row boundaries, SMRAM: set and read back, without effect.
        config.allow(0x50, &[0xff; 9]);
        config.allow(PAM0, &[0x33; 7]);
        config.allow(0x60, &[0xff; 0x14]);
        config.set_byte(0x72, 0x02);
        if !firmware {
            for n in 0..7 {
                config.set_byte(PAM0 + n, 0x33);
            }
        }
        Self { config }
    }

    /// The attribute registers.
    #[must_use]
    pub fn pam_registers(&self) -> [u8; 7] {
        [0, 1, 2, 3, 4, 5, 6].map(|n| self.config.byte(PAM0 + n))
    }

    /// What the BIOS area shows: twelve segments of 16 KiB, and the last 64 KiB.
    #[must_use]
    pub fn pam(&self) -> [PamSegment; 13] {
        let registers = self.pam_registers();
        std::array::from_fn(|n| {
            let (start, len, attribute) = match n {
                12 => (0xf_0000, 0x1_0000, registers[0] >> 4),
                n => (0xc_0000 + 0x4000 * n as u64, 0x4000, registers[1 + n / 2] >> (n % 2 * 4)),
            };
            PamSegment {
                start,
                len,
                read_ram: attribute & READ_RAM != 0,
                write_ram: attribute & WRITE_RAM != 0,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_registers_map_their_segments() {
        let mut bridge = I440fx::new(true);
        assert!(bridge.pam().iter().all(|segment| !segment.read_ram && !segment.write_ram));
        bridge.config.write(PAM0, 0x30);
        bridge.config.write(PAM0 + 3, 0x21);
        let pam = bridge.pam();
        assert_eq!(pam[12], PamSegment { start: 0xf_0000, len: 0x1_0000, read_ram: true, write_ram: true });
        assert_eq!(pam[4], PamSegment { start: 0xd_0000, len: 0x4000, read_ram: true, write_ram: false });
        assert_eq!(pam[5], PamSegment { start: 0xd_4000, len: 0x4000, read_ram: false, write_ram: true });
        assert!(pam.windows(2).all(|pair| pair[0].start + pair[0].len == pair[1].start));
    }
}
