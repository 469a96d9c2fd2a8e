//! The registers by which a command is given and answered (ATA/ATAPI-7 volume 1, clause 5).

use serde::{Deserialize, Serialize};

/// Bits of the status register.
pub mod status {
    /// The command ended in an error.
    pub const ERR: u8 = 0x01;
    /// Data wait to be moved.
    pub const DRQ: u8 = 0x08;
    /// Seek complete; old software waits for it.
    pub const DSC: u8 = 0x10;
    /// Device fault.
    pub const DF: u8 = 0x20;
    /// The drive takes commands.
    pub const DRDY: u8 = 0x40;
    /// The drive is busy; nothing else means anything.
    pub const BSY: u8 = 0x80;
}

/// Bits of the error register.
pub mod error {
    /// The command was refused.
    pub const ABRT: u8 = 0x04;
    /// There is no such sector.
    pub const IDNF: u8 = 0x10;
    /// The data cannot be read.
    pub const UNC: u8 = 0x40;
    /// Interface CRC, which also stands for a transfer that memory did not take.
    pub const ICRC: u8 = 0x80;
}

/// Device register: sector numbers, not cylinders and heads.
const LBA: u8 = 0x40;
/// Heads and sectors of the geometry that old software is told.
pub(super) const HEADS: u64 = 16;
pub(super) const SECTORS_PER_TRACK: u64 = 63;

/// A drive's registers. Registers of two bytes have the byte written last first, the one before it second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registers {
    /// Features.
    pub features: [u8; 2],
    /// Sector count; interrupt reason of a packet command.
    pub count: [u8; 2],
    /// LBA low, mid and high.
    pub lba: [[u8; 2]; 3],
    /// Device.
    pub device: u8,
    /// Status.
    pub status: u8,
    /// Error.
    pub error: u8,
}

impl Registers {
    /// The 48-bit sector number.
    #[must_use]
    pub fn lba48(&self) -> u64 {
        let [low, mid, high] = self.lba;
        u64::from_le_bytes([low[0], mid[0], high[0], low[1], mid[1], high[1], 0, 0])
    }

    /// The sector number of a command without extended registers, which may be given by cylinder, head and sector.
    pub(super) fn lba28(&self) -> Option<u64> {
        let [low, mid, high] = self.lba.map(|bytes| u64::from(bytes[0]));
        let top = u64::from(self.device & 0x0f);
        if self.device & LBA != 0 {
            return Some(top << 24 | high << 16 | mid << 8 | low);
        }
        let cylinder = high << 8 | mid;
        (low != 0).then(|| (cylinder * HEADS + top) * SECTORS_PER_TRACK + low - 1)
    }

    /// Sectors of a command without extended registers.
    pub(super) fn count8(&self) -> u32 {
        if self.count[0] == 0 { 256 } else { self.count[0].into() }
    }

    /// Sectors of a command with extended registers.
    #[must_use]
    pub fn count16(&self) -> u32 {
        match u16::from_le_bytes(self.count) {
            0 => 1 << 16,
            count => count.into(),
        }
    }

    /// Shows a sector number.
    pub(super) fn set_lba48(&mut self, lba: u64) {
        let bytes = lba.to_le_bytes();
        for n in 0..3 {
            self.lba[n] = [bytes[n], bytes[n + 3]];
        }
    }

    /// Shows the signature of a drive after a reset: of a disk, or of one that takes packets (clause 9.12).
    pub(super) fn set_signature(&mut self, packets: bool) {
        let [mid, high] = if packets { [0x14, 0xeb] } else { [0, 0] };
        self.count = [1, 0];
        self.lba = [[1, 0], [mid, 0], [high, 0]];
        self.device &= 0x10;
        self.error = 1;
    }

    /// The byte count that a packet command's data come in at most, or come in now (LBA mid and high).
    #[must_use]
    pub fn byte_count(&self) -> u16 {
        u16::from_le_bytes([self.lba[1][0], self.lba[2][0]])
    }

    /// Shows a byte count.
    pub fn set_byte_count(&mut self, bytes: u16) {
        let [mid, high] = bytes.to_le_bytes();
        (self.lba[1][0], self.lba[2][0]) = (mid, high);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sector_numbers_come_in_three_ways() {
        let mut regs = Registers {
            device: 0xe3,
            lba: [[0x11, 0xaa], [0x22, 0xbb], [0x33, 0xcc]],
            ..Registers::default()
        };
        assert_eq!((regs.lba28(), regs.lba48()), (Some(0x0333_2211), 0xccbb_aa33_2211));
        regs.device = 0xa1;
        assert_eq!(regs.lba28(), Some((0x3322 * 16 + 1) * 63 + 0x10));
        regs.lba[0][0] = 0;
        assert_eq!(regs.lba28(), None);
        regs.set_lba48(0x0605_0403_0201);
        assert_eq!(regs.lba48(), 0x0605_0403_0201);
        assert_eq!((regs.count8(), regs.count16()), (256, 0x1_0000));
    }
}
