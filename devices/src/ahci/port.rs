//! A port: its registers, its list of commands, and the drive behind it.

use super::fis::{self, COMMAND_BYTES, Sent};
use crate::ata::{
    Answer, AtaDrive, DISC_BLOCK, Drive, PACKET_BYTES, Packet, SECTOR, error::ABRT, status::ERR,
};
use crate::dma::{DiskFault, Masters, Memory};
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

/// Command: the list is worked on.
const ST: u32 = 1;
/// Command: answers are left in memory.
const FRE: u32 = 1 << 4;
/// Command: what software sets: also spin-up, power, and that the drive takes packets.
const CMD_WRITABLE: u32 = ST | FRE | SPINNING | 1 << 24;
/// Command: spun up, and with power.
const SPINNING: u32 = 0x6;
/// Command: answers are being left in memory.
const FR: u32 = 1 << 14;
/// Command: the list is being worked on.
const CR: u32 = 1 << 15;
/// Interrupt: a register FIS has come.
const DHRS: u32 = 1;
/// Interrupt: a PIO Setup FIS has come.
const PSS: u32 = 1 << 1;
/// Interrupt: a Set Device Bits FIS has come.
const SDBS: u32 = 1 << 3;
/// Interrupt: the drive has been plugged; as long as the error register says so.
const PCS: u32 = 1 << 6;
/// Interrupt: the link has changed; as long as the error register says so.
const PRCS: u32 = 1 << 22;
/// Interrupt: memory did not take it.
const HBFS: u32 = 1 << 29;
/// Interrupt: a command failed.
const TFES: u32 = 1 << 30;
/// Error register: the link has changed.
const DIAG_N: u32 = 1 << 16;
/// Error register: a drive was exchanged, or reset.
const DIAG_X: u32 = 1 << 26;
/// Status: a drive, 3 Gbit/s, active.
const LINKED: u32 = 0x123;
/// Signatures.
const DISK: u32 = 0x0000_0101;
const PACKETS: u32 = 0xeb14_0101;
/// Virtual nanoseconds from the issue of a command to its end.
const COMMAND_NS: u64 = 10_000;
/// Bytes that are moved at a time.
const PIECE: u64 = 64 << 10;
/// Device control: software reset.
const SRST: u8 = 0x04;
/// READ and WRITE FPDMA QUEUED.
const QUEUED: [u8; 2] = [0x60, 0x61];
const READ_LOG_EXT: u8 = 0x2f;
/// The log that says which queued command failed (ATA8-ACS, A.7).
const QUEUED_ERROR_LOG: u8 = 0x10;

/// A port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Port {
    drive: Option<Drive>,
    list: u64,
    received: u64,
    interrupts: u32,
    enabled: u32,
    command: u32,
    link_control: u32,
    link_errors: u32,
    active: u32,
    issued: u32,
    /// When what is issued is done.
    due: Option<VirtualTime>,
    /// A command has failed: nothing more is done until software starts the list again.
    is_stopped: bool,
    in_reset: bool,
    /// What the log of queued errors says.
    log: [u8; 18],
}

/// Why a command comes to nothing.
enum Failure {
    /// The drive says so in its registers.
    Drive,
    /// Something is not RAM.
    Memory,
}

/// A command's header and where its regions are listed.
struct Header {
    at: u64,
    table: u64,
    regions: u32,
}

impl Port {
    pub(super) fn new(drive: Option<AtaDrive>) -> Self {
        Self {
            drive: drive.map(Drive::new),
            list: 0,
            received: 0,
            interrupts: 0,
            enabled: 0,
            command: SPINNING,
            link_control: 0,
            link_errors: 0,
            active: 0,
            issued: 0,
            due: None,
            is_stopped: false,
            in_reset: false,
            log: [0; 18],
        }
    }

    /// The adapter is reset.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.drive.as_ref().map(|drive| drive.config));
    }

    fn interrupts(&self) -> u32 {
        let plugged = if self.link_errors & DIAG_X != 0 { PCS } else { 0 };
        let changed = if self.link_errors & DIAG_N != 0 { PRCS } else { 0 };
        self.interrupts | plugged | changed
    }

    /// Whether it asks for an interrupt.
    pub(super) fn asks(&self) -> bool {
        self.interrupts() & self.enabled != 0
    }

    pub(super) fn service_at(&self) -> Option<VirtualTime> {
        self.due
    }

    fn is_linked(&self) -> bool {
        self.drive.is_some() && self.link_control & 0xf == 0
    }

    pub(super) fn read(&self, register: u64) -> u32 {
        match register {
            0x00 => self.list as u32,
            0x04 => (self.list >> 32) as u32,
            0x08 => self.received as u32,
            0x0c => (self.received >> 32) as u32,
            0x10 => self.interrupts(),
            0x14 => self.enabled,
            0x18 => {
                let list = if self.command & ST != 0 { CR } else { 0 };
                self.command | list | if self.command & FRE != 0 { FR } else { 0 }
            }
            0x20 => match &self.drive {
                Some(drive) if self.is_linked() => {
                    u32::from(drive.regs.error) << 8 | u32::from(drive.regs.status)
                }
                _ => 0x7f,
            },
            0x24 => match &self.drive {
                Some(drive) if drive.takes_packets() => PACKETS,
                Some(_) => DISK,
                None => u32::MAX,
            },
            0x28 if self.is_linked() => LINKED,
            0x2c => self.link_control,
            0x30 => self.link_errors,
            0x34 => self.active,
            0x38 => self.issued,
            _ => 0,
        }
    }

    pub(super) fn write(&mut self, now: VirtualTime, register: u64, value: u32) {
        let low = |old: u64| old & !0xffff_ffff | u64::from(value);
        let high = |old: u64| old & 0xffff_ffff | u64::from(value) << 32;
        match register {
            0x00 => self.list = low(self.list) & !0x3ff,
            0x04 => self.list = high(self.list),
            0x08 => self.received = low(self.received) & !0xff,
            0x0c => self.received = high(self.received),
            0x10 => self.interrupts &= !value,
            0x14 => self.enabled = value & 0xfdc0_00ff,
            0x18 => self.write_command(value),
            0x2c => self.write_link_control(value),
            0x30 => self.link_errors &= !value,
            0x34 if self.command & ST != 0 => self.active |= value,
            0x38 if self.command & ST != 0 => {
                self.issued |= value;
                self.plan(now);
            }
            _ => {}
        }
    }

    fn plan(&mut self, now: VirtualTime) {
        if self.issued != 0 && !self.is_stopped && self.due.is_none() && self.is_linked() {
            self.due = Some(now.after(COMMAND_NS));
        }
    }

    fn write_command(&mut self, value: u32) {
        self.command = value & CMD_WRITABLE;
        if self.command & ST == 0 {
            self.issued = 0;
            self.active = 0;
            self.due = None;
            self.is_stopped = false;
        }
    }

    /// A reset of the link resets the drive; it is back when the reset is taken away.
    fn write_link_control(&mut self, value: u32) {
        let before = std::mem::replace(&mut self.link_control, value & 0xfff);
        if self.link_control & 0xf != 0 {
            self.due = None;
        } else if before & 0xf != 0
            && let Some(drive) = &mut self.drive
        {
            drive.reset();
            self.link_errors |= DIAG_N | DIAG_X;
        }
    }

    /// Does what has been issued.
    pub(super) fn serve(&mut self, masters: &mut Masters<'_>) {
        self.due = None;
        for slot in 0..32 {
            if self.issued >> slot & 1 != 0 && !self.is_stopped {
                self.slot(masters, slot);
            }
        }
    }

    fn slot(&mut self, masters: &mut Masters<'_>, slot: u32) {
        let Some(mut drive) = self.drive.take() else { return };
        let done = self.do_slot(masters, slot, &mut drive);
        match done {
            Ok(()) => {}
            Err(Failure::Memory) => {
                self.interrupts |= HBFS;
                self.is_stopped = true;
            }
            Err(Failure::Drive) => {
                self.interrupts |= TFES;
                self.is_stopped = true;
            }
        }
        self.drive = Some(drive);
    }

    fn do_slot(&mut self, masters: &mut Masters<'_>, slot: u32, drive: &mut Drive) -> Result<(), Failure> {
        let header = self.header(&mut *masters.memory, slot).ok_or(Failure::Memory)?;
        let mut fis = [0; COMMAND_BYTES];
        if !masters.memory.read(header.table, &mut fis) {
            return Err(Failure::Memory);
        }
        let done = 1 << slot;
        match fis::receive(&fis, &mut drive.regs) {
            Some(Sent::Control(control)) => {
                let resets = control & SRST != 0;
                if self.in_reset && !resets {
                    drive.reset();
                    self.leave(masters, fis::DEVICE_TO_HOST_AT, &fis::device_to_host(&drive.regs))?;
                }
                self.in_reset = resets;
                self.issued &= !done;
                Ok(())
            }
            Some(Sent::Command(command)) if QUEUED.contains(&command) && !drive.takes_packets() => {
                self.queued(masters, &header, slot, drive, command == QUEUED[1])
            }
            Some(Sent::Command(command)) => {
                let piped = self.command(masters, &header, drive, command)?;
                self.issued &= if drive.regs.status & ERR != 0 { u32::MAX } else { !done };
                match piped.filter(|_| drive.regs.status & ERR == 0) {
                    Some(bytes) => {
                        self.leave(masters, fis::PIO_SETUP_AT, &fis::pio_setup(&drive.regs, bytes))?;
                        self.interrupts |= PSS;
                    }
                    None => {
                        self.leave(masters, fis::DEVICE_TO_HOST_AT, &fis::device_to_host(&drive.regs))?;
                        self.interrupts |= DHRS;
                    }
                }
                if drive.regs.status & ERR != 0 { Err(Failure::Drive) } else { Ok(()) }
            }
            None => {
                drive.fail(ABRT);
                Err(Failure::Drive)
            }
        }
    }

    /// Does a command that is not queued. Gives the number of bytes if they go to the host as PIO's do.
    fn command(
        &mut self,
        masters: &mut Masters<'_>,
        header: &Header,
        drive: &mut Drive,
        command: u8,
    ) -> Result<Option<u64>, Failure> {
        if command == READ_LOG_EXT && drive.regs.lba[0][0] == QUEUED_ERROR_LOG {
            let bytes = self.error_log();
            drive.done();
            return self.give(masters, header, &bytes).map(Some);
        }
        match drive.command(command) {
            Answer::Done => Ok(None),
            Answer::Flush => {
                drive.done();
                Ok(None)
            }
            Answer::In(bytes) => {
                drive.done();
                self.give(masters, header, &bytes).map(Some)
            }
            Answer::Sectors { lba, count, write, pio } => {
                self.sectors(masters, header, drive, (lba, count, write))?;
                Ok(pio.filter(|_| !write).map(|_| u64::from(count) * SECTOR))
            }
            Answer::Packet { .. } => self.packet(masters, header, drive).map(|()| None),
        }
    }

    /// READ or WRITE FPDMA QUEUED.
    fn queued(
        &mut self,
        masters: &mut Masters<'_>,
        header: &Header,
        slot: u32,
        drive: &mut Drive,
        write: bool,
    ) -> Result<(), Failure> {
        let tag = u32::from(drive.regs.count[0] >> 3);
        // The drive has taken it; what comes of it is told by tag.
        self.issued &= !(1 << slot);
        match drive.queued() {
            Some((lba, count)) => self.sectors(masters, header, drive, (lba, count, write))?,
            None => drive.failed(drive.regs.lba48(), DiskFault::OutOfRange),
        }
        let regs = &drive.regs;
        let tags = if regs.status & ERR == 0 { 1 << tag } else { 0 };
        self.leave(masters, fis::SET_DEVICE_BITS_AT, &fis::set_device_bits(regs, tags))?;
        self.interrupts |= SDBS;
        if regs.status & ERR == 0 {
            self.active &= !tags;
            return Ok(());
        }
        self.log = [0; 18];
        self.log[..4].copy_from_slice(&[tag as u8, 0, regs.status, regs.error]);
        for (n, pair) in regs.lba.iter().enumerate() {
            (self.log[4 + n], self.log[8 + n]) = (pair[0], pair[1]);
        }
        Err(Failure::Drive)
    }

    fn error_log(&self) -> Vec<u8> {
        let mut bytes = vec![0; SECTOR as usize];
        bytes[..18].copy_from_slice(&self.log);
        bytes[511] = bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_sub(*byte));
        bytes
    }

    /// Moves sectors; the registers say how it ended.
    fn sectors(
        &mut self,
        masters: &mut Masters<'_>,
        header: &Header,
        drive: &mut Drive,
        (lba, count, write): (u64, u32, bool),
    ) -> Result<(), Failure> {
        let (disk, start) = (drive.config.disk, Drive::offset(lba));
        let total = u64::from(count) * SECTOR;
        let moved = header.transfer(masters, !write, total, |masters, done, bytes| {
            let at = start.saturating_add(done);
            if write { masters.disks.write(disk, at, bytes) } else { masters.disks.read(disk, at, bytes) }
        });
        match moved? {
            Ok(done) if done == total => drive.done(),
            Ok(_) => drive.fail(ABRT),
            Err((done, fault)) => drive.failed(lba.saturating_add(done / SECTOR), fault),
        }
        Ok(())
    }

    fn packet(
        &mut self,
        masters: &mut Masters<'_>,
        header: &Header,
        drive: &mut Drive,
    ) -> Result<(), Failure> {
        let mut packet = [0; PACKET_BYTES];
        if !masters.memory.read(header.table.wrapping_add(0x40), &mut packet) {
            return Err(Failure::Memory);
        }
        match drive.packet(&packet) {
            Packet::Done => {}
            Packet::In(bytes) => {
                drive.packet_finished();
                self.give(masters, header, &bytes)?;
            }
            Packet::Blocks { first, count } => {
                let (disk, start) = (drive.config.disk, first.saturating_mul(DISC_BLOCK));
                let total = u64::from(count) * DISC_BLOCK;
                let moved = header.transfer(masters, true, total, |masters, done, bytes| {
                    masters.disks.read(disk, start.saturating_add(done), bytes)
                });
                match moved? {
                    Ok(_) => drive.packet_finished(),
                    Err(_) => drive.packet_failed(),
                }
            }
        }
        Ok(())
    }

    /// Gives bytes to the host, as many as it has room for.
    fn give(&mut self, masters: &mut Masters<'_>, header: &Header, bytes: &[u8]) -> Result<u64, Failure> {
        let moved = header.transfer(masters, true, bytes.len() as u64, |_, done, to| {
            let from = bytes.get(done as usize..).and_then(|rest| rest.get(..to.len()));
            from.map(|from| to.copy_from_slice(from)).ok_or(DiskFault::OutOfRange)
        });
        Ok(moved?.unwrap_or(0))
    }

    /// Leaves an answer in memory, if there is a place for it.
    fn leave(&self, masters: &mut Masters<'_>, at: u64, fis: &[u8]) -> Result<(), Failure> {
        if self.command & FRE == 0 {
            return Ok(());
        }
        let taken = masters.memory.write(self.received.wrapping_add(at), fis);
        if taken { Ok(()) } else { Err(Failure::Memory) }
    }

    fn header(&self, memory: &mut dyn Memory, slot: u32) -> Option<Header> {
        let at = self.list.wrapping_add(u64::from(slot) * 32);
        let mut bytes = [0; 16];
        if !memory.read(at, &mut bytes) {
            return None;
        }
        let regions = u32::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        let [.., a, b, c, d, e, f, g, h] = bytes;
        Some(Header { at, table: u64::from_le_bytes([a, b, c, d, e, f, g, h]) & !0x7f, regions })
    }
}

impl Header {
    /// Moves `total` bytes piece by piece between memory and a drive, and says in the header how many were moved. Gives that
    /// number, which is less if the regions have no room for more, or how far it came and what the disk said.
    fn transfer(
        &self,
        masters: &mut Masters<'_>,
        to_memory: bool,
        total: u64,
        mut piece: impl FnMut(&mut Masters<'_>, u64, &mut [u8]) -> Result<(), DiskFault>,
    ) -> Result<Result<u64, (u64, DiskFault)>, Failure> {
        let mut done = 0;
        let mut buffer = Vec::new();
        for n in 0..self.regions {
            if done == total {
                break;
            }
            let (mut at, len) = self.region(&mut *masters.memory, n).ok_or(Failure::Memory)?;
            let mut left = len.min(total - done);
            while left > 0 {
                let bytes = left.min(PIECE);
                buffer.resize(bytes as usize, 0);
                if !to_memory && !masters.memory.read(at, &mut buffer) {
                    return Err(Failure::Memory);
                }
                if let Err(fault) = piece(masters, done, &mut buffer) {
                    return Ok(Err((done, fault)));
                }
                if to_memory && !masters.memory.write(at, &buffer) {
                    return Err(Failure::Memory);
                }
                done += bytes;
                left -= bytes;
                at = at.wrapping_add(bytes);
            }
        }
        if !masters.memory.write(self.at.wrapping_add(4), &(done as u32).to_le_bytes()) {
            return Err(Failure::Memory);
        }
        Ok(Ok(done))
    }

    /// Address and length of region `n`.
    fn region(&self, memory: &mut dyn Memory, n: u32) -> Option<(u64, u64)> {
        let mut bytes = [0; 16];
        if !memory.read(self.table.wrapping_add(0x80 + u64::from(n) * 16), &mut bytes) {
            return None;
        }
        let [a, b, c, d, e, f, g, h, _, _, _, _, l, m, o, _] = bytes;
        let count = u32::from_le_bytes([l, m, o, 0]) & 0x3f_ffff;
        Some((u64::from_le_bytes([a, b, c, d, e, f, g, h]) & !1, u64::from(count | 1) + 1))
    }
}
