//! A channel: two drives, of which one is selected, and how a command goes through its registers.

use super::bus_master::{BusMaster, Trouble};
use crate::ata::{
    Answer, AtaDrive, DISC_BLOCK, Drive, PACKET_BYTES, Packet, SECTOR,
    error::ICRC,
    status::{BSY, DRDY, DRQ, DSC},
};
use crate::bus::Width;
use crate::dma::{DiskFault, Masters};
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

/// Device control: no interrupts.
const NIEN: u8 = 0x02;
/// Device control: software reset.
const SRST: u8 = 0x04;
/// Device control: registers of two bytes show the one written before the last.
const HOB: u8 = 0x80;
/// What a channel without drives reads as.
const NOTHING: u8 = 0xff;
/// Virtual nanoseconds until a drive has looked up what a command asks for.
const COMMAND_NS: u64 = 10_000;
/// Virtual nanoseconds until the next data go through the data register.
const BLOCK_NS: u64 = 2_000;
/// Bytes that a bus master moves in a virtual nanosecond.
const BYTES_PER_NS: u64 = 4;
/// Most blocks of a disc that are read at a time.
const DISC_BLOCKS: u32 = 32;

/// What the selected drive is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// It takes commands.
    #[default]
    Idle,
    /// Something happens then.
    Busy(VirtualTime),
    /// The host moves the buffer's bytes.
    Data,
    /// The bus master has to be started.
    WaitsForMaster,
}

/// What is still to be moved, or done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Job {
    #[default]
    Nothing,
    Flush,
    Sectors {
        lba: u64,
        left: u32,
        write: bool,
        /// At a time through the data register; none by DMA.
        pio: Option<u8>,
    },
    /// A packet is awaited, or has come.
    Packet {
        dma: bool,
    },
    /// What a packet asked for: bytes in the buffer from `start` on, then blocks of the disc.
    Disc {
        start: usize,
        next: u64,
        left: u32,
        dma: bool,
    },
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Channel {
    drives: [Option<Drive>; 2],
    selected: u8,
    control: u8,
    irq: bool,
    phase: Phase,
    job: Job,
    /// Data that go through the data register, from `at` to `end`.
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    master: BusMaster,
}

impl Channel {
    pub(super) fn new(drives: [Option<AtaDrive>; 2]) -> Self {
        Self {
            drives: drives.map(|drive| drive.map(Drive::new)),
            selected: 0,
            control: 0,
            irq: false,
            phase: Phase::Idle,
            job: Job::Nothing,
            buffer: Vec::new(),
            at: 0,
            end: 0,
            master: BusMaster::default(),
        }
    }

    pub(super) fn irq(&self) -> bool {
        self.irq && self.control & NIEN == 0
    }

    pub(super) fn service_at(&self) -> Option<VirtualTime> {
        match self.phase {
            Phase::Busy(at) => Some(at),
            Phase::Idle | Phase::Data | Phase::WaitsForMaster => None,
        }
    }

    fn drive(&mut self) -> Option<&mut Drive> {
        self.drives[usize::from(self.selected & 1)].as_mut()
    }

    fn is_empty(&self) -> bool {
        self.drives.iter().all(Option::is_none)
    }

    pub(super) fn alternate_status(&self) -> u8 {
        match &self.drives[usize::from(self.selected & 1)] {
            Some(drive) => drive.regs.status,
            None if self.is_empty() => NOTHING,
            // The other drive answers for it.
            None => 0,
        }
    }

    pub(super) fn read(&mut self, register: u8) -> u8 {
        if register == 7 {
            self.irq = false;
            return self.alternate_status();
        }
        let is_empty = self.is_empty();
        let older = usize::from(self.control & HOB != 0);
        let Some(drive) = self.drive() else { return if is_empty { NOTHING } else { 0 } };
        let regs = &drive.regs;
        match register {
            1 => regs.error,
            2 => regs.count[older],
            3..=5 => regs.lba[usize::from(register - 3)][older],
            _ => regs.device | 0xa0,
        }
    }

    pub(super) fn write(&mut self, now: VirtualTime, register: u8, value: u8) {
        self.control &= !HOB;
        if register == 7 {
            self.command(now, value);
            return;
        }
        if register == 6 && self.phase == Phase::Idle {
            self.selected = value >> 4 & 1;
        }
        // Both drives hear it.
        for drive in self.drives.iter_mut().flatten().filter(|drive| drive.regs.status & (BSY | DRQ) == 0) {
            let regs = &mut drive.regs;
            let pair = match register {
                1 => &mut regs.features,
                2 => &mut regs.count,
                3..=5 => &mut regs.lba[usize::from(register - 3)],
                _ => {
                    regs.device = value;
                    continue;
                }
            };
            *pair = [value, pair[0]];
        }
    }

    pub(super) fn write_control(&mut self, value: u8) {
        let before = std::mem::replace(&mut self.control, value);
        if value & SRST != 0 {
            self.stop();
            for drive in self.drives.iter_mut().flatten() {
                drive.regs.status = BSY;
            }
        } else if before & SRST != 0 {
            self.selected = 0;
            self.drives.iter_mut().flatten().for_each(Drive::reset);
        }
    }

    /// Forgets what was going on.
    fn stop(&mut self) {
        self.phase = Phase::Idle;
        self.job = Job::Nothing;
        self.irq = false;
        self.buffer.clear();
        (self.at, self.end) = (0, 0);
    }

    fn command(&mut self, now: VirtualTime, command: u8) {
        let busy = self.phase != Phase::Idle;
        let Some(drive) = self.drive() else { return };
        let reset = command == 0x08 && drive.takes_packets();
        if busy && !reset || drive.regs.status & BSY != 0 {
            return;
        }
        if reset || command == 0x90 {
            self.stop();
        }
        self.irq = false;
        let Some(drive) = self.drive() else { return };
        match drive.command(command) {
            Answer::Done if reset => {}
            Answer::Done => self.interrupt(),
            Answer::In(bytes) => {
                self.fill(bytes);
                self.busy(now, BLOCK_NS);
            }
            Answer::Flush => {
                self.job = Job::Flush;
                self.busy(now, COMMAND_NS);
            }
            Answer::Sectors { lba, count, write, pio } => {
                self.job = Job::Sectors { lba, left: count, write, pio };
                match (pio, write) {
                    (None, _) => self.wait_for_master(now),
                    (Some(_), false) => self.busy(now, COMMAND_NS),
                    (Some(block), true) => {
                        self.fill(vec![0; block_bytes(count, block)]);
                        self.present();
                    }
                }
            }
            Answer::Packet { dma } => {
                self.job = Job::Packet { dma };
                self.fill(vec![0; PACKET_BYTES]);
                self.reason(1);
                self.present();
            }
        }
    }

    /// The drive is busy for so long.
    fn busy(&mut self, now: VirtualTime, ns: u64) {
        self.phase = Phase::Busy(now.after(ns));
        self.set_status(BSY);
    }

    /// Waits for the bus master, if it is not there yet.
    fn wait_for_master(&mut self, now: VirtualTime) {
        if self.master.started() {
            let ns = COMMAND_NS + self.dma_bytes() / BYTES_PER_NS;
            self.busy(now, ns);
        } else {
            self.phase = Phase::WaitsForMaster;
            self.set_status(DRDY | DSC | DRQ);
        }
    }

    fn dma_bytes(&self) -> u64 {
        match &self.job {
            Job::Sectors { left, .. } => u64::from(*left) * SECTOR,
            Job::Disc { left, .. } => u64::from(*left) * DISC_BLOCK,
            Job::Nothing | Job::Flush | Job::Packet { .. } => 0,
        }
    }

    fn set_status(&mut self, status: u8) {
        if let Some(drive) = self.drive() {
            drive.regs.status = status;
        }
    }

    /// Interrupt reason of a packet command.
    fn reason(&mut self, reason: u8) {
        if let Some(drive) = self.drive() {
            drive.regs.count[0] = reason;
        }
    }

    fn interrupt(&mut self) {
        self.irq = true;
        self.master.note_interrupt();
    }

    /// Takes bytes for the data register.
    fn fill(&mut self, bytes: Vec<u8>) {
        (self.at, self.end) = (0, bytes.len());
        self.buffer = bytes;
    }

    /// Lets the host move what is between `at` and `end`.
    fn present(&mut self) {
        self.phase = Phase::Data;
        self.set_status(DRDY | DSC | DRQ);
    }

    pub(super) fn read_data(&mut self, now: VirtualTime, width: Width) -> u32 {
        let is_empty = self.is_empty();
        if self.phase != Phase::Data {
            return if is_empty { u32::MAX } else { 0 };
        }
        let mut bytes = [0; 4];
        let n = (width.bytes() as usize).min(self.end.saturating_sub(self.at)).min(4);
        if let Some(from) = self.buffer.get(self.at..self.at + n) {
            bytes[..n].copy_from_slice(from);
        }
        self.moved(now, n);
        u32::from_le_bytes(bytes)
    }

    pub(super) fn write_data(&mut self, now: VirtualTime, width: Width, value: u32) {
        if self.phase != Phase::Data {
            return;
        }
        let n = (width.bytes() as usize).min(self.end.saturating_sub(self.at)).min(4);
        if let Some(to) = self.buffer.get_mut(self.at..self.at + n) {
            to.copy_from_slice(&value.to_le_bytes()[..n]);
        }
        self.moved(now, n);
    }

    /// `n` bytes have gone through the data register.
    fn moved(&mut self, now: VirtualTime, n: usize) {
        self.at += n;
        if self.at < self.end {
            return;
        }
        match self.job {
            Job::Nothing | Job::Sectors { left: 0, .. } => self.finish_quietly(),
            Job::Sectors { .. } | Job::Packet { .. } | Job::Disc { .. } | Job::Flush => {
                self.busy(now, BLOCK_NS)
            }
        }
    }

    /// The last data of a command that reads have been taken: nobody is told.
    fn finish_quietly(&mut self) {
        self.phase = Phase::Idle;
        self.job = Job::Nothing;
        self.buffer.clear();
        if let Some(drive) = self.drive() {
            drive.done();
        }
    }

    pub(super) fn read_bus_master(&self, register: u8) -> u8 {
        self.master.read(register)
    }

    pub(super) fn write_bus_master(&mut self, now: VirtualTime, register: u8, value: u8) {
        self.master.write(register, value);
        let by_dma = matches!(self.job, Job::Sectors { pio: None, .. } | Job::Disc { dma: true, .. });
        match self.phase {
            Phase::WaitsForMaster if self.master.started() => self.wait_for_master(now),
            // Stopped in the middle.
            Phase::Busy(_) if by_dma && !self.master.started() => self.wait_for_master(now),
            Phase::Idle | Phase::Busy(_) | Phase::Data | Phase::WaitsForMaster => {}
        }
    }

    /// What the drive was busy with is due.
    pub(super) fn serve(&mut self, now: VirtualTime, masters: &mut Masters<'_>) {
        self.phase = Phase::Idle;
        match self.job.clone() {
            Job::Nothing => {
                self.present();
                self.interrupt();
            }
            Job::Flush => self.finish(),
            Job::Sectors { lba, left, write, pio: None } => self.serve_dma(masters, lba, left, write),
            Job::Sectors { lba, left, write: false, pio: Some(block) } => {
                self.serve_read(masters, lba, left, block)
            }
            Job::Sectors { lba, left, write: true, pio: Some(block) } => {
                self.serve_write(masters, lba, left, block);
            }
            Job::Packet { dma } => self.serve_packet(now, dma),
            Job::Disc { start, next, left, dma: false } => self.serve_disc(masters, start, next, left),
            Job::Disc { start, next, left, dma: true } => self.serve_disc_dma(masters, start, next, left),
        }
    }

    /// Ends a command well, and says so.
    fn finish(&mut self) {
        self.finish_quietly();
        self.interrupt();
    }

    /// Ends a command otherwise.
    fn give_up(&mut self, how: impl FnOnce(&mut Drive)) {
        self.finish_quietly();
        if let Some(drive) = self.drive() {
            how(drive);
        }
        self.interrupt();
    }

    fn disk(&self) -> usize {
        self.drives[usize::from(self.selected & 1)].as_ref().map_or(usize::MAX, |drive| drive.config.disk)
    }

    fn serve_read(&mut self, masters: &mut Masters<'_>, lba: u64, left: u32, block: u8) {
        let mut bytes = vec![0; block_bytes(left, block)];
        if let Err(fault) = masters.disks.read(self.disk(), Drive::offset(lba), &mut bytes) {
            return self.give_up(|drive| drive.failed(lba, fault));
        }
        let count = left.min(block.into());
        let lba = lba.saturating_add(count.into());
        self.job = Job::Sectors { lba, left: left - count, write: false, pio: Some(block) };
        self.fill(bytes);
        self.present();
        self.interrupt();
    }

    fn serve_write(&mut self, masters: &mut Masters<'_>, lba: u64, left: u32, block: u8) {
        if let Err(fault) = masters.disks.write(self.disk(), Drive::offset(lba), &self.buffer) {
            return self.give_up(|drive| drive.failed(lba, fault));
        }
        let count = left.min(block.into());
        let (lba, left) = (lba.saturating_add(count.into()), left - count);
        if left == 0 {
            return self.finish();
        }
        self.job = Job::Sectors { lba, left, write: true, pio: Some(block) };
        self.fill(vec![0; block_bytes(left, block)]);
        self.present();
        self.interrupt();
    }

    fn serve_dma(&mut self, masters: &mut Masters<'_>, lba: u64, left: u32, write: bool) {
        let (disk, start) = (self.disk(), Drive::offset(lba));
        let moved =
            self.master.transfer(masters, !write, u64::from(left) * SECTOR, |masters, done, bytes| {
                if write {
                    masters.disks.write(disk, start.saturating_add(done), bytes)
                } else {
                    masters.disks.read(disk, start.saturating_add(done), bytes)
                }
            });
        self.master.finish(moved.err());
        match moved {
            Ok(()) => self.finish(),
            Err(Trouble::Disk(done, fault)) => {
                self.give_up(|drive| drive.failed(lba.saturating_add(done / SECTOR), fault))
            }
            Err(Trouble::Memory) => self.give_up(|drive| drive.fail(ICRC)),
            Err(Trouble::Short) => self.stall(),
        }
    }

    /// The table was too short: the drive waits for a bus master that does not come, until it is reset.
    fn stall(&mut self) {
        self.phase = Phase::WaitsForMaster;
        self.set_status(DRDY | DSC | DRQ);
    }

    fn serve_packet(&mut self, now: VirtualTime, dma: bool) {
        let packet = self.buffer.first_chunk::<PACKET_BYTES>().copied().unwrap_or_default();
        let limit = self.drive().map_or(0, |drive| drive.regs.byte_count());
        let Some(drive) = self.drive() else { return };
        let (bytes, next, left) = match drive.packet(&packet) {
            Packet::Done => {
                let regs = drive.regs.clone();
                return self.give_up(|drive| drive.regs = regs);
            }
            Packet::In(bytes) => (bytes, 0, 0),
            Packet::Blocks { first, count } => (Vec::new(), first, count),
        };
        drive.regs.set_byte_count(limit);
        self.fill(bytes);
        self.end = 0;
        self.job = Job::Disc { start: 0, next, left, dma };
        if dma {
            self.wait_for_master(now);
        } else {
            self.busy(now, COMMAND_NS);
        }
    }

    /// Presents the next bytes that a packet asked for, as many at a time as the host wants.
    fn serve_disc(&mut self, masters: &mut Masters<'_>, mut start: usize, mut next: u64, mut left: u32) {
        if start >= self.buffer.len() {
            if left == 0 {
                return self.give_up(Drive::packet_finished);
            }
            let count = left.min(DISC_BLOCKS);
            let mut bytes = vec![0; count as usize * DISC_BLOCK as usize];
            if masters.disks.read(self.disk(), next.saturating_mul(DISC_BLOCK), &mut bytes).is_err() {
                return self.give_up(Drive::packet_failed);
            }
            self.fill(bytes);
            (start, next, left) = (0, next.saturating_add(count.into()), left - count);
        }
        // What does not end the data is even, and no limit is one of all there can be.
        let wanted = self.drive().map_or(0, |drive| drive.regs.byte_count());
        let limit = if wanted == 0 { 0xfffe } else { usize::from(wanted) };
        let rest = self.buffer.len() - start;
        let n = if rest <= limit { rest } else { (limit & !1).max(2).min(rest) };
        (self.at, self.end) = (start, start + n);
        self.job = Job::Disc { start: start + n, next, left, dma: false };
        if let Some(drive) = self.drive() {
            drive.regs.set_byte_count(n as u16);
        }
        self.reason(2);
        self.present();
        self.interrupt();
    }

    fn serve_disc_dma(&mut self, masters: &mut Masters<'_>, start: usize, next: u64, left: u32) {
        let disk = self.disk();
        let ready = self.buffer.get(start..).unwrap_or_default().to_vec();
        let total = ready.len() as u64 + u64::from(left) * DISC_BLOCK;
        let moved = self.master.transfer(masters, true, total, |masters, done, bytes| {
            // Either bytes or blocks.
            if ready.is_empty() {
                masters.disks.read(disk, next.saturating_mul(DISC_BLOCK).saturating_add(done), bytes)
            } else {
                let from = ready.get(done as usize..).and_then(|rest| rest.get(..bytes.len()));
                from.map(|from| bytes.copy_from_slice(from)).ok_or(DiskFault::OutOfRange)
            }
        });
        self.master.finish(moved.err());
        match moved {
            Ok(()) => self.give_up(Drive::packet_finished),
            Err(Trouble::Disk(..)) => self.give_up(Drive::packet_failed),
            Err(Trouble::Memory) => self.give_up(|drive| drive.fail(ICRC)),
            Err(Trouble::Short) => self.stall(),
        }
    }
}

/// Bytes of the next block of sectors.
fn block_bytes(left: u32, block: u8) -> usize {
    left.min(block.into()) as usize * SECTOR as usize
}
