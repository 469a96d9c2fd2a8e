//! A channel's bus master: moves a drive's data to and from the regions of memory that a table lists.

use crate::dma::{DiskFault, Masters, Memory};
use serde::{Deserialize, Serialize};

/// Command: go.
const START: u8 = 0x01;
/// Command: towards memory.
const TO_MEMORY: u8 = 0x08;
/// Status: at work.
const ACTIVE: u8 = 0x01;
/// Status: memory did not take it.
const ERROR: u8 = 0x02;
/// Status: the drive has asked for an interrupt.
const INTERRUPT: u8 = 0x04;
/// Status: software notes here that the drives can do it.
const CAPABLE: u8 = 0x60;
/// Most entries of a table, which fits into 64 KiB.
const MAX_ENTRIES: u32 = 8192;
const LAST_ENTRY: u32 = 1 << 31;

/// The registers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BusMaster {
    command: u8,
    status: u8,
    table: u32,
}

/// How a transfer ended that is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The table was at its end before the data were.
    Short,
    /// Something is not RAM, or the direction is not the command's.
    Memory,
    /// The disk, so many bytes in.
    Disk(u64, DiskFault),
}

impl BusMaster {
    pub(super) fn started(&self) -> bool {
        self.command & START != 0
    }

    pub(super) fn read(&self, register: u8) -> u8 {
        match register {
            0 => self.command,
            2 => self.status,
            4..=7 => self.table.to_le_bytes()[usize::from(register & 3)],
            _ => 0,
        }
    }

    pub(super) fn write(&mut self, register: u8, value: u8) {
        match register {
            0 => {
                let starts = value & START != 0 && !self.started();
                self.command = value & (START | TO_MEMORY);
                if starts {
                    self.status |= ACTIVE;
                } else if !self.started() {
                    self.status &= !ACTIVE;
                }
            }
            2 => {
                let cleared = value & (ERROR | INTERRUPT);
                self.status = self.status & !cleared & !CAPABLE | value & CAPABLE;
            }
            4..=7 => {
                let mut bytes = self.table.to_le_bytes();
                bytes[usize::from(register & 3)] = value;
                self.table = u32::from_le_bytes(bytes) & !3;
            }
            _ => {}
        }
    }

    /// The drive asks for an interrupt.
    pub(super) fn note_interrupt(&mut self) {
        self.status |= INTERRUPT;
    }

    /// The transfer has ended.
    pub(super) fn finish(&mut self, trouble: Option<Trouble>) {
        self.status &= !ACTIVE;
        if trouble == Some(Trouble::Memory) {
            self.status |= ERROR;
        }
    }

    /// Moves `total` bytes, piece by piece: `piece` moves bytes from so far in on between the drive and a buffer.
    pub(super) fn transfer(
        &self,
        masters: &mut Masters<'_>,
        to_memory: bool,
        total: u64,
        mut piece: impl FnMut(&mut Masters<'_>, u64, &mut [u8]) -> Result<(), DiskFault>,
    ) -> Result<(), Trouble> {
        if to_memory != (self.command & TO_MEMORY != 0) {
            return Err(Trouble::Memory);
        }
        let mut done = 0;
        let mut buffer = Vec::new();
        for n in 0..MAX_ENTRIES {
            if done == total {
                return Ok(());
            }
            let (address, length, last) = self.entry(&mut *masters.memory, n).ok_or(Trouble::Memory)?;
            let length = u64::from(length).min(total - done);
            buffer.resize(length as usize, 0);
            if to_memory {
                piece(masters, done, &mut buffer).map_err(|fault| Trouble::Disk(done, fault))?;
                if !masters.memory.write(address.into(), &buffer) {
                    return Err(Trouble::Memory);
                }
            } else {
                if !masters.memory.read(address.into(), &mut buffer) {
                    return Err(Trouble::Memory);
                }
                piece(masters, done, &mut buffer).map_err(|fault| Trouble::Disk(done, fault))?;
            }
            done += length;
            if last && done < total {
                return Err(Trouble::Short);
            }
        }
        if done == total { Ok(()) } else { Err(Trouble::Short) }
    }

    /// Address and length of the region in entry `n`, and whether it is the last.
    fn entry(&self, memory: &mut dyn Memory, n: u32) -> Option<(u32, u32, bool)> {
        let mut entry = [0; 8];
        if !memory.read(u64::from(self.table) + u64::from(n) * 8, &mut entry) {
            return None;
        }
        let [a, b, c, d, e, f, g, h] = entry;
        let (address, control) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let length = match control & 0xfffe {
            0 => 0x1_0000,
            length => length,
        };
        Some((address & !1, length, control & LAST_ENTRY != 0))
    }
}
