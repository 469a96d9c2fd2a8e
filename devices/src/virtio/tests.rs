//! A driver for tests of devices: it finds its way by capabilities and registers only, as a guest's does.

use super::queue::Area;
use super::{Kind, Queue, Segment, VirtioPci};
use crate::bus::Width;
use crate::dma::Masters;
use crate::dma::tests::{Ram, RamDisks};
use crate::output::Output;
use crate::pci::PciFunction;
use rrvmm_replay::VirtualTime;

/// Where a queue's rings are: so many bytes for each.
const RINGS: u64 = 0x4000;
const COMMON: u64 = 0;
const DEVICE: u64 = 0x2000;
const NOTIFY: u64 = 0x3000;

/// A device with its driver and the world around.
pub struct Bench {
    pub device: VirtioPci,
    pub ram: Ram,
    pub disks: RamDisks,
    pub outputs: Vec<Output>,
    pub now: VirtualTime,
    size: u16,
    available: Vec<u16>,
    seen: Vec<u16>,
}

impl Bench {
    /// A device that has only been found.
    pub fn found(kind: Kind) -> Self {
        let queues = kind.get().queue_sizes().len();
        Self {
            device: VirtioPci::new(kind),
            ram: Ram(vec![0; 0x20_0000]),
            disks: RamDisks::default(),
            outputs: Vec::new(),
            now: VirtualTime::from_ns(1000),
            size: 16,
            available: vec![0; queues],
            seen: vec![0; queues],
        }
    }

    /// A device that is driven with `features` and queues of 16.
    pub fn driven(kind: Kind, features: u64) -> Self {
        let mut bench = Self::found(kind);
        bench.negotiate(features | 1 << 32);
        for n in 0..bench.available.len() as u16 {
            bench.set_up(n);
        }
        bench.write(COMMON + 0x14, Width::B1, 0xf);
        assert_eq!(bench.read(COMMON + 0x14, Width::B1), 0xf);
        bench.serve();
        bench
    }

    pub fn negotiate(&mut self, features: u64) {
        self.write(COMMON + 0x14, Width::B1, 0);
        self.write(COMMON + 0x14, Width::B1, 3);
        for half in 0..2 {
            self.write(COMMON + 0x08, Width::B4, half);
            self.write(COMMON + 0x0c, Width::B4, features >> (32 * half) & 0xffff_ffff);
        }
        self.write(COMMON + 0x14, Width::B1, 0xb);
    }

    pub fn offered(&mut self) -> u64 {
        (0..2).fold(0, |features, half| {
            self.write(COMMON, Width::B4, half);
            features | self.read(COMMON + 4, Width::B4) << (32 * half)
        })
    }

    fn set_up(&mut self, n: u16) {
        self.write(COMMON + 0x16, Width::B2, u64::from(n));
        self.write(COMMON + 0x18, Width::B2, u64::from(self.size));
        let queue = Queue::new(self.size);
        let mut at = u64::from(n) * RINGS;
        for (field, area) in [(0x20, Area::Descriptors), (0x28, Area::Available), (0x30, Area::Used)] {
            self.write(COMMON + field, Width::B4, at);
            self.write(COMMON + field + 4, Width::B4, 0);
            at = (at + queue.area_len(area)).next_multiple_of(16);
        }
        self.write(COMMON + 0x1c, Width::B2, 1);
    }

    pub fn read(&mut self, offset: u64, width: Width) -> u64 {
        self.device.read(self.now, 4, offset, width)
    }

    pub fn write(&mut self, offset: u64, width: Width, value: u64) {
        self.device.write(self.now, 4, offset, width, value);
    }

    pub fn config(&mut self, offset: u64, width: Width) -> u64 {
        self.read(DEVICE + offset, width)
    }

    pub fn status(&mut self) -> u64 {
        self.read(COMMON + 0x14, Width::B1)
    }

    /// Where the rings of queue `n` are.
    pub fn area(&self, n: u16, area: Area) -> u64 {
        let queue = Queue::new(self.size);
        let base = u64::from(n) * RINGS;
        let available = base + queue.area_len(Area::Descriptors);
        match area {
            Area::Descriptors => base,
            Area::Available => available,
            Area::Used => (available + queue.area_len(Area::Available)).next_multiple_of(16),
        }
    }

    pub fn put(&mut self, at: u64, bytes: &[u8]) {
        self.ram.0[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    pub fn get(&self, at: u64, len: usize) -> &[u8] {
        &self.ram.0[at as usize..][..len]
    }

    pub fn descriptor(&mut self, at: u64, segment: Segment, flags: u16, next: u16) {
        let mut bytes = segment.addr.to_le_bytes().to_vec();
        bytes.extend(segment.len.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        self.put(at, &bytes);
    }

    /// Makes a chain from descriptor `head` on available, pieces for reading and then pieces for writing.
    pub fn offer(&mut self, n: u16, head: u16, readable: &[(u64, u32)], writable: &[(u64, u32)]) {
        let all = readable.iter().map(|piece| (piece, 0)).chain(writable.iter().map(|piece| (piece, 2)));
        let count = readable.len() + writable.len();
        for (k, ((addr, len), flags)) in all.enumerate() {
            let index = head + k as u16;
            let more = u16::from(k + 1 < count);
            let at = self.area(n, Area::Descriptors) + u64::from(index) * 16;
            self.descriptor(at, Segment { addr: *addr, len: *len }, flags | more, index + 1);
        }
        self.make_available(n, head);
    }

    pub fn make_available(&mut self, n: u16, head: u16) {
        let ring = self.area(n, Area::Available);
        let index = self.available[usize::from(n)];
        self.put(ring + 4 + u64::from(index % self.size) * 2, &head.to_le_bytes());
        self.available[usize::from(n)] = index.wrapping_add(1);
        self.put(ring + 2, &index.wrapping_add(1).to_le_bytes());
    }

    pub fn ring(&mut self, n: u16) {
        self.write(NOTIFY + u64::from(n) * 4, Width::B2, u64::from(n));
        self.serve();
    }

    /// Serves what is due, and lets no time pass.
    pub fn serve(&mut self) {
        let mut masters = Masters { memory: &mut self.ram, disks: &mut self.disks };
        while self.device.service_at().is_some_and(|at| at <= self.now) {
            self.device.serve(self.now, &mut masters, &mut self.outputs);
            assert!(self.device.service_at().is_none_or(|at| at > self.now));
        }
    }

    /// Lets time pass until nothing is due any more.
    pub fn settle(&mut self) {
        while let Some(at) = self.device.service_at() {
            self.now = self.now.max(at);
            self.serve();
        }
    }

    /// What was given back in queue `n` since this was last asked: head and length.
    pub fn used(&mut self, n: u16) -> Vec<(u32, u32)> {
        let ring = self.area(n, Area::Used) as usize;
        let u32_at = |ram: &[u8], at: usize| u32::from_le_bytes(ram[at..at + 4].try_into().unwrap());
        let index = u16::from_le_bytes(self.ram.0[ring + 2..ring + 4].try_into().unwrap());
        let seen = &mut self.seen[usize::from(n)];
        let mut found = Vec::new();
        while *seen != index {
            let at = ring + 4 + usize::from(*seen % self.size) * 8;
            found.push((u32_at(&self.ram.0, at), u32_at(&self.ram.0, at + 4)));
            *seen = seen.wrapping_add(1);
        }
        found
    }

    /// Whether the interrupt pin was up; reading takes it back.
    pub fn interrupted(&mut self) -> u64 {
        let pin = self.device.interrupt();
        let isr = self.read(0x1000, Width::B1);
        assert_eq!(pin, isr != 0);
        isr
    }
}
