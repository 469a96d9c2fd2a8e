//! A drive and what it makes of a command (ATA8-ACS).

use super::identify::{MAX_MULTIPLE, identify};
use super::packet::Sense;
use super::registers::{Registers, error, status};
use super::{DISC_BLOCK, SECTOR};
use crate::dma::DiskFault;
use serde::{Deserialize, Serialize};

/// What is in a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Media {
    /// A hard disk.
    Disk,
    /// A CD or DVD.
    Disc,
}

/// How a drive is put together. Part of a recording's manifest: fields are only ever added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtaDrive {
    /// Number of the disk it has.
    pub disk: usize,
    /// What that is.
    pub media: Media,
    /// Its length in sectors of 512 bytes.
    pub sectors: u64,
    /// It speaks Serial ATA: it has a queue, and no cable to be told of.
    #[serde(default)]
    pub serial: bool,
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done, or refused; the registers say so.
    Done,
    /// These bytes go to the host.
    In(Vec<u8>),
    /// Sectors are moved; then [`Drive::done`] or [`Drive::failed`].
    Sectors {
        /// The first.
        lba: u64,
        /// How many.
        count: u32,
        /// To the disk.
        write: bool,
        /// By DMA; otherwise so many at a time through the data register.
        pio: Option<u8>,
    },
    /// Nothing is moved, but it takes a while.
    Flush,
    /// A packet of [`PACKET_BYTES`](super::PACKET_BYTES) is wanted; then [`Drive::packet`].
    Packet {
        /// The packet's data are moved by DMA.
        dma: bool,
    },
}

/// A drive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drive {
    /// How it is put together.
    pub config: AtaDrive,
    /// Its registers.
    pub regs: Registers,
    /// Sectors of a READ MULTIPLE; none if that is not set up.
    pub(super) multiple: u8,
    /// The transfer mode chosen, which makes no difference.
    pub(super) mode: u8,
    pub(super) sense: Sense,
}

impl Drive {
    /// A drive after power-on.
    #[must_use]
    pub fn new(config: AtaDrive) -> Self {
        let (regs, sense) = (Registers::default(), Sense::default());
        let mut drive = Self { config, regs, multiple: 0, mode: 0, sense };
        drive.reset();
        drive
    }

    /// A reset: by line, by the device control register, or asked for.
    pub fn reset(&mut self) {
        let packets = self.takes_packets();
        self.regs.set_signature(packets);
        self.regs.status = if packets { 0 } else { status::DRDY | status::DSC };
        self.multiple = 0;
    }

    /// Whether it is a drive for packets.
    #[must_use]
    pub fn takes_packets(&self) -> bool {
        self.config.media == Media::Disc
    }

    /// Ends a command well.
    pub fn done(&mut self) {
        self.regs.status = status::DRDY | status::DSC;
        self.regs.error = 0;
    }

    /// Ends a command with an error.
    pub fn fail(&mut self, error: u8) {
        self.regs.status = status::DRDY | status::DSC | status::ERR;
        self.regs.error = error;
    }

    /// Ends a command that moved sectors and came upon a fault at sector `lba`.
    pub fn failed(&mut self, lba: u64, fault: DiskFault) {
        self.regs.set_lba48(lba);
        self.fail(match fault {
            DiskFault::OutOfRange => error::IDNF,
            DiskFault::ReadOnly => error::ABRT,
            DiskFault::Unreadable => error::UNC,
        });
    }

    /// Where sector `lba` is on the disk, in bytes.
    #[must_use]
    pub fn offset(lba: u64) -> u64 {
        lba.saturating_mul(SECTOR)
    }

    /// Blocks on the disc.
    #[must_use]
    pub fn disc_blocks(&self) -> u64 {
        self.config.sectors.saturating_mul(SECTOR) / DISC_BLOCK
    }

    /// Takes a command, with the registers as the host has set them.
    pub fn command(&mut self, command: u8) -> Answer {
        self.regs.error = 0;
        if self.takes_packets() { self.packet_drive_command(command) } else { self.disk_command(command) }
    }

    fn disk_command(&mut self, command: u8) -> Answer {
        let multiple = (self.multiple > 0).then_some(self.multiple);
        match command {
            0xec => Answer::In(identify(self)),
            0x20 | 0x21 => self.sectors28(false, Some(1)),
            0x24 => self.sectors48(false, Some(1)),
            0x30 | 0x31 => self.sectors28(true, Some(1)),
            0x34 => self.sectors48(true, Some(1)),
            0xc4 | 0xc5 if multiple.is_some() => self.sectors28(command == 0xc5, multiple),
            0x29 | 0x39 if multiple.is_some() => self.sectors48(command == 0x39, multiple),
            0xc8 | 0xc9 => self.sectors28(false, None),
            0xca | 0xcb => self.sectors28(true, None),
            0x25 => self.sectors48(false, None),
            0x35 | 0x3d => self.sectors48(true, None),
            0x40 | 0x41 => self.verify(self.regs.lba28(), self.regs.count8()),
            0x42 => self.verify(Some(self.regs.lba48()), self.regs.count16()),
            0xe7 | 0xea => Answer::Flush,
            0xc6 => self.set_multiple(),
            // READ NATIVE MAX ADDRESS (EXT)
            0xf8 => {
                let last = self.config.sectors.saturating_sub(1).min(0x0fff_ffff);
                self.regs.set_lba48(last & 0xff_ffff);
                self.regs.device = self.regs.device & 0xf0 | (last >> 24) as u8;
                self.complete()
            }
            0x27 => {
                self.regs.set_lba48(self.config.sectors.saturating_sub(1));
                self.complete()
            }
            // RECALIBRATE, SEEK, INITIALIZE DEVICE PARAMETERS: there is nothing to move, and one geometry.
            0x10..=0x1f | 0x70..=0x7f | 0x91 => self.complete(),
            _ => self.common_command(command),
        }
    }

    fn packet_drive_command(&mut self, command: u8) -> Answer {
        match command {
            0xa0 => Answer::Packet { dma: self.regs.features[0] & 1 != 0 },
            0xa1 => Answer::In(identify(self)),
            // DEVICE RESET
            0x08 => {
                self.reset();
                Answer::Done
            }
            // What is for disks is refused with the signature: that is how software finds out.
            0xec | 0x20 => {
                self.regs.set_signature(true);
                self.refuse()
            }
            _ => self.common_command(command),
        }
    }

    fn common_command(&mut self, command: u8) -> Answer {
        match command {
            // EXECUTE DEVICE DIAGNOSTIC
            0x90 => {
                self.reset();
                Answer::Done
            }
            0xef => self.set_features(),
            // CHECK POWER MODE: active.
            0xe5 | 0x98 => {
                self.regs.count[0] = 0xff;
                self.complete()
            }
            // IDLE, STANDBY, SLEEP
            0xe0..=0xe3 | 0xe6 | 0x94..=0x97 | 0x99 => self.complete(),
            _ => self.refuse(),
        }
    }

    /// NCQ's READ and WRITE FPDMA QUEUED, whose count is in the features registers: the sectors, or nothing if there are none
    /// such.
    #[must_use]
    pub fn queued(&self) -> Option<(u64, u32)> {
        let count = match u16::from_le_bytes(self.regs.features) {
            0 => 1 << 16,
            count => u32::from(count),
        };
        let lba = self.regs.lba48();
        self.has(lba, count).then_some((lba, count))
    }

    fn sectors28(&mut self, write: bool, pio: Option<u8>) -> Answer {
        let (lba, count) = (self.regs.lba28(), self.regs.count8());
        self.sectors(lba, count, write, pio)
    }

    fn sectors48(&mut self, write: bool, pio: Option<u8>) -> Answer {
        let (lba, count) = (self.regs.lba48(), self.regs.count16());
        self.sectors(Some(lba), count, write, pio)
    }

    fn sectors(&mut self, lba: Option<u64>, count: u32, write: bool, pio: Option<u8>) -> Answer {
        match lba.filter(|lba| self.has(*lba, count)) {
            Some(lba) => Answer::Sectors { lba, count, write, pio },
            None => {
                self.fail(error::IDNF);
                Answer::Done
            }
        }
    }

    fn verify(&mut self, lba: Option<u64>, count: u32) -> Answer {
        if lba.is_some_and(|lba| self.has(lba, count)) {
            return self.complete();
        }
        self.fail(error::IDNF);
        Answer::Done
    }

    fn has(&self, lba: u64, count: u32) -> bool {
        lba.checked_add(count.into()).is_some_and(|end| end <= self.config.sectors)
    }

    fn set_multiple(&mut self) -> Answer {
        let count = self.regs.count[0];
        if count > MAX_MULTIPLE || !(count == 0 || count.is_power_of_two()) {
            return self.refuse();
        }
        self.multiple = count;
        self.complete()
    }

    fn set_features(&mut self) -> Answer {
        match self.regs.features[0] {
            0x03 => {
                self.mode = self.regs.count[0];
                self.complete()
            }
            // Write cache, read look-ahead, reverting to defaults, power management: no difference.
            0x02 | 0x82 | 0xaa | 0x55 | 0x66 | 0xcc | 0x05 | 0x85 | 0x10 | 0x90 => self.complete(),
            _ => self.refuse(),
        }
    }

    fn complete(&mut self) -> Answer {
        self.done();
        Answer::Done
    }

    fn refuse(&mut self) -> Answer {
        self.fail(error::ABRT);
        Answer::Done
    }
}
