//! What is around the board: RAM, a linear frame buffer, disks. All note what they are asked, and cost little to put back.

use rrvmm_devices::dma::{DiskFault, Disks, Memory};
use rrvmm_devices::pc::VIDEO_MEMORY_BASE;

/// Bytes of RAM, from address 0 on.
pub const RAM: u64 = 0x2_0000;
/// Bytes of the frame buffer that there are.
const VIDEO: u64 = 0x1_0000;
/// Bytes on each disk.
pub const DISK: u64 = 0x1_0000;
pub const DISKS: usize = 2;
const PAGE: usize = 0x1000;
/// More accesses than any request needs, in all the time between two accesses of the guest.
const MOST_ACCESSES: u64 = 8_000_000;
/// More bytes at once than a device may hold for a guest that only names a number.
const LONGEST: usize = 1 << 20;

/// Bytes that can be put back to what they were at first.
#[derive(Clone, Debug)]
struct Store {
    bytes: Vec<u8>,
    written: Vec<bool>,
    first: Vec<u8>,
}

impl Store {
    fn new(len: u64, first: fn(usize) -> u8) -> Self {
        let bytes: Vec<u8> = (0..len as usize).map(first).collect();
        Self { written: vec![false; bytes.len() / PAGE], first: bytes.clone(), bytes }
    }

    fn range(&self, offset: u64, len: usize) -> Option<std::ops::Range<usize>> {
        let at = usize::try_from(offset).ok()?;
        let end = at.checked_add(len)?;
        (end <= self.bytes.len()).then_some(at..end)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let Some(range) = self.range(offset, bytes.len()) else { return false };
        if !range.is_empty() {
            self.written[range.start / PAGE..=(range.end - 1) / PAGE].fill(true);
        }
        self.bytes[range].copy_from_slice(bytes);
        true
    }

    fn put_back(&mut self) {
        for page in 0..self.written.len() {
            if std::mem::take(&mut self.written[page]) {
                let range = page * PAGE..(page + 1) * PAGE;
                self.bytes[range.clone()].copy_from_slice(&self.first[range]);
            }
        }
    }

    /// Whether both have the same bytes.
    fn equals(&self, other: &Self) -> bool {
        (0..self.written.len()).filter(|page| self.written[*page] || other.written[*page]).all(|page| {
            let range = page * PAGE..(page + 1) * PAGE;
            self.bytes[range.clone()] == other.bytes[range]
        })
    }
}

/// Guest memory.
#[derive(Clone, Debug)]
pub struct Ram {
    ram: Store,
    video: Store,
    /// What stands in a buffer after a read that failed: the bytes mean nothing then.
    pub poison: u8,
    pub accesses: u64,
    /// Successful writes so far.
    pub writes: u64,
}

impl Ram {
    pub fn new() -> Self {
        Self {
            ram: Store::new(RAM, |_| 0),
            video: Store::new(VIDEO, |_| 0),
            poison: 0,
            accesses: 0,
            writes: 0,
        }
    }

    pub fn put_back(&mut self) {
        self.ram.put_back();
        self.video.put_back();
    }

    /// What a driver writes; nothing where there is no RAM.
    pub fn poke(&mut self, addr: u64, bytes: &[u8]) {
        self.ram.write(addr, bytes);
    }

    pub fn equals(&self, other: &Self) -> bool {
        self.ram.equals(&other.ram) && self.video.equals(&other.video)
    }

    pub fn video(&self) -> &[u8] {
        &self.video.bytes
    }

    fn count(&mut self, len: usize) {
        self.accesses += 1;
        assert!(self.accesses < MOST_ACCESSES, "this does not end");
        assert!(len <= LONGEST, "{len} bytes are moved at once");
    }

    fn place(&self, addr: u64) -> (&Store, u64) {
        match addr.checked_sub(VIDEO_MEMORY_BASE) {
            Some(offset) => (&self.video, offset),
            None => (&self.ram, addr),
        }
    }
}

impl Memory for Ram {
    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> bool {
        self.count(bytes.len());
        let (store, offset) = self.place(addr);
        match store.range(offset, bytes.len()) {
            Some(range) => bytes.copy_from_slice(&store.bytes[range]),
            None => {
                bytes.fill(self.poison);
                return false;
            }
        }
        true
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> bool {
        self.count(bytes.len());
        let done = match addr.checked_sub(VIDEO_MEMORY_BASE) {
            Some(offset) => self.video.write(offset, bytes),
            None => self.ram.write(addr, bytes),
        };
        self.writes += u64::from(done);
        done
    }
}

/// The disks; one sector of each cannot be read.
#[derive(Clone, Debug)]
pub struct Drives {
    disks: Vec<Store>,
    /// Successful reads and writes so far.
    pub requests: u64,
}

const BAD_SECTOR: u64 = 77 * 512;

impl Drives {
    pub fn new() -> Self {
        Self { disks: vec![Store::new(DISK, |at| (at / 512) as u8 ^ at as u8); DISKS], requests: 0 }
    }

    pub fn put_back(&mut self) {
        self.disks.iter_mut().for_each(Store::put_back);
    }

    pub fn equals(&self, other: &Self) -> bool {
        self.disks.iter().zip(&other.disks).all(|(a, b)| a.equals(b))
    }
}

impl Disks for Drives {
    fn len(&self, disk: usize) -> u64 {
        self.disks.get(disk).map_or(0, |disk| disk.bytes.len() as u64)
    }

    fn read(&mut self, disk: usize, offset: u64, bytes: &mut [u8]) -> Result<(), DiskFault> {
        assert!(bytes.len() <= LONGEST, "{} bytes are read at once", bytes.len());
        let disk = self.disks.get(disk).ok_or(DiskFault::OutOfRange)?;
        let range = disk.range(offset, bytes.len()).ok_or(DiskFault::OutOfRange)?;
        if range.contains(&(BAD_SECTOR as usize)) {
            return Err(DiskFault::Unreadable);
        }
        bytes.copy_from_slice(&disk.bytes[range]);
        self.requests += 1;
        Ok(())
    }

    fn write(&mut self, disk: usize, offset: u64, bytes: &[u8]) -> Result<(), DiskFault> {
        let disk = self.disks.get_mut(disk).ok_or(DiskFault::OutOfRange)?;
        if !disk.write(offset, bytes) {
            return Err(DiskFault::OutOfRange);
        }
        self.requests += 1;
        Ok(())
    }
}
