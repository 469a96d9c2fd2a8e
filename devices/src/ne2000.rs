//! NE2000 on the PCI bus, as the Realtek RTL8029AS makes it: a DP8390 with 32 KiB of memory of its own, all in 32 ports (Realtek,
//! "RTL8029AS"; National Semiconductor, "DP8390D").
//!
//! It never overruns: a frame for which the ring has no room waits outside.

use crate::bus::Width;
use crate::bytes::Bytes;
use crate::dma::Masters;
use crate::ethernet::{Arrivals, crc32};
use crate::input::{Backlog, Input};
use crate::output::Output;
use crate::pc::NicConfig;
use crate::pci::config_space::{BarKind, ConfigSpace, Identity};
use crate::pci::function::PciFunction;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

const VENDOR: u16 = 0x10ec;
const DEVICE: u16 = 0x8029;
const BAR: u8 = 0;
const PORTS: u64 = 32;
/// The data port, eight ports wide, and the reset port, as wide.
const DATA: u64 = 0x10;
const RESET: u64 = 0x18;

/// Command register: stop, start, transmit, what remote DMA does, page.
const STOP: u8 = 1;
const START: u8 = 1 << 1;
const TRANSMIT: u8 = 1 << 2;
const REMOTE: u8 = 7 << 3;
const REMOTE_READ: u8 = 1 << 3;
const REMOTE_WRITE: u8 = 2 << 3;
const PAGE: u8 = 3 << 6;

/// Interrupt status: received, transmitted, remote DMA complete, reset.
const RECEIVED: u8 = 1;
const TRANSMITTED: u8 = 1 << 1;
const REMOTE_DONE: u8 = 1 << 6;
const IN_RESET: u8 = 1 << 7;

/// Receive status: received intact, sent to a group.
const INTACT: u8 = 1;
const GROUP: u8 = 1 << 5;
/// Receive configuration: accept broadcasts, multicasts, everything; only look.
const BROADCAST: u8 = 1 << 2;
const MULTICAST: u8 = 1 << 3;
const PROMISCUOUS: u8 = 1 << 4;
const MONITOR: u8 = 1 << 5;
/// Data configuration: remote DMA moves words.
const WORDS: u8 = 1;
/// Transmit configuration: loopback modes.
const LOOPBACK: u8 = 3 << 1;

/// The chip's memory: the address PROM at 0, RAM from here on.
const RAM_START: usize = 0x4000;
const RAM: usize = 0x8000;
const PROM: usize = 32;
/// Bytes before each frame in the ring, and behind it.
const HEADER: usize = 4;
const CRC: usize = 4;
const SHORTEST: usize = 60;
const LONGEST: usize = 1518;

/// The card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ne2000 {
    config: ConfigSpace,
    nic: NicConfig,
    ram: Bytes<RAM>,
    command: u8,
    page_start: u8,
    page_stop: u8,
    boundary: u8,
    current: u8,
    transmit_page: u8,
    transmit_count: u16,
    transmit_status: u8,
    interrupt_status: u8,
    interrupt_mask: u8,
    remote_address: u16,
    remote_count: u16,
    receive_control: u8,
    receive_status: u8,
    transmit_control: u8,
    data_control: u8,
    address: [u8; 6],
    groups: [u8; 8],
    /// Frames that wait for room in the ring.
    waiting: Arrivals,
    /// Since when there is a frame to send or to receive.
    work: Option<VirtualTime>,
}

impl Ne2000 {
    /// A card after reset.
    #[must_use]
    pub fn new(nic: &NicConfig) -> Self {
        let class = 0x02_0000;
        let identity = Identity {
            vendor: VENDOR,
            device: DEVICE,
            revision: 0,
            class,
            multifunction: false,
            interrupt_pin: 1,
        };
        let mut config = ConfigSpace::new(identity);
        config.set_u16(0x2c, VENDOR);
        config.set_u16(0x2e, DEVICE);
        config.add_bar(BAR, BarKind::Io, PORTS);
        Self {
            config,
            nic: nic.clone(),
            ram: Bytes::default(),
            command: STOP | 4 << 3,
            page_start: 0,
            page_stop: 0,
            boundary: 0,
            current: 0,
            transmit_page: 0,
            transmit_count: 0,
            transmit_status: 0,
            interrupt_status: IN_RESET,
            interrupt_mask: 0,
            remote_address: 0,
            remote_count: 0,
            receive_control: 0,
            receive_status: 0,
            transmit_control: 0,
            data_control: 0,
            address: [0; 6],
            groups: [0; 8],
            waiting: Arrivals::default(),
            work: None,
        }
    }

    fn page(&self) -> u8 {
        self.command >> 6
    }

    fn read_register(&mut self, n: u64) -> u8 {
        match (self.page(), n) {
            (_, 0x00) => self.command,
            (0, 0x03) => self.boundary,
            (0, 0x04) => self.transmit_status,
            (0, 0x07) => self.interrupt_status,
            (0, 0x08) => self.remote_address as u8,
            (0, 0x09) => (self.remote_address >> 8) as u8,
            // Who makes it: "PC".
            (0, 0x0a) => 0x50,
            (0, 0x0b) => 0x43,
            (0, 0x0c) => self.receive_status,
            (1, 0x01..=0x06) => self.address[n as usize - 1],
            (1, 0x07) => self.current,
            (1, 0x08..=0x0f) => self.groups[n as usize - 8],
            (2, 0x01) => self.page_start,
            (2, 0x02) => self.page_stop,
            (2, 0x04) => self.transmit_page,
            (2, 0x0c) => self.receive_control,
            (2, 0x0d) => self.transmit_control,
            (2, 0x0e) => self.data_control,
            (2, 0x0f) => self.interrupt_mask,
            _ => 0,
        }
    }

    fn write_register(&mut self, now: VirtualTime, n: u64, value: u8) {
        let low = |word: u16| word & 0xff00 | u16::from(value);
        let high = |word: u16| word & 0x00ff | u16::from(value) << 8;
        match (self.page(), n) {
            (_, 0x00) => self.order(now, value),
            (0, 0x01) => self.page_start = value,
            (0, 0x02) => self.page_stop = value,
            (0, 0x03) => {
                self.boundary = value;
                self.receive_waiting();
            }
            (0, 0x04) => self.transmit_page = value,
            (0, 0x05) => self.transmit_count = low(self.transmit_count),
            (0, 0x06) => self.transmit_count = high(self.transmit_count),
            // Reset is a state, not an event.
            (0, 0x07) => {
                self.interrupt_status &= !(value & !IN_RESET);
                self.receive_waiting();
            }
            (0, 0x08) => self.remote_address = low(self.remote_address),
            (0, 0x09) => self.remote_address = high(self.remote_address),
            (0, 0x0a) => self.remote_count = low(self.remote_count),
            (0, 0x0b) => self.remote_count = high(self.remote_count),
            (0, 0x0c) => self.receive_control = value,
            (0, 0x0d) => self.transmit_control = value,
            (0, 0x0e) => self.data_control = value,
            (0, 0x0f) => self.interrupt_mask = value,
            (1, 0x01..=0x06) => self.address[n as usize - 1] = value,
            (1, 0x07) => self.current = value,
            (1, 0x08..=0x0f) => self.groups[n as usize - 8] = value,
            _ => {}
        }
    }

    /// The command register is written.
    fn order(&mut self, now: VirtualTime, value: u8) {
        self.command = value & (STOP | START | REMOTE | PAGE) | self.command & TRANSMIT;
        if value & STOP != 0 {
            self.interrupt_status |= IN_RESET;
            return;
        }
        if value & START == 0 {
            return;
        }
        self.interrupt_status &= !IN_RESET;
        if value & REMOTE & (REMOTE_READ | REMOTE_WRITE) != 0 && self.remote_count == 0 {
            self.interrupt_status |= REMOTE_DONE;
        }
        if value & TRANSMIT != 0 {
            self.command |= TRANSMIT;
            self.work = Some(now);
        }
        self.receive_waiting();
    }

    fn is_running(&self) -> bool {
        self.command & (STOP | START) == START
    }

    fn memory(&self, at: u16) -> u8 {
        match usize::from(at) {
            // Every byte of the PROM is there twice, for an access of two bytes; it ends with a signature.
            n @ 0..PROM => self.nic.mac.get(n / 2).copied().unwrap_or(if n >= PROM - 4 { 0x57 } else { 0 }),
            n => self.ram.get(n.wrapping_sub(RAM_START)).copied().unwrap_or(0xff),
        }
    }

    fn set_memory(&mut self, at: u16, value: u8) {
        if let Some(byte) = self.ram.get_mut(usize::from(at).wrapping_sub(RAM_START)) {
            *byte = value;
        }
    }

    /// The next address of remote DMA, if it has bytes left to move the way `command` says.
    fn remote(&mut self, command: u8) -> Option<u16> {
        if self.command & REMOTE != command || self.remote_count == 0 {
            return None;
        }
        let at = self.remote_address;
        self.remote_address = at.wrapping_add(1);
        // The ring is the only place where it goes around.
        if self.remote_address == u16::from(self.page_stop) << 8 {
            self.remote_address = u16::from(self.page_start) << 8;
        }
        self.remote_count -= 1;
        if self.remote_count == 0 {
            self.interrupt_status |= REMOTE_DONE;
        }
        Some(at)
    }

    fn accepts(&self, frame: &[u8]) -> bool {
        let Some(to) = frame.first_chunk::<6>() else { return false };
        let control = self.receive_control;
        if *to == [0xff; 6] {
            control & BROADCAST != 0
        } else if to[0] & 1 != 0 {
            // The upper six bits of the address's CRC select the bit.
            let hash = (!crc32(to)).reverse_bits() >> 26;
            control & MULTICAST != 0 && self.groups[(hash >> 3) as usize & 7] >> (hash & 7) & 1 != 0
        } else {
            control & PROMISCUOUS != 0 || *to == self.address
        }
    }

    /// Puts frames that wait into the ring as far as it has room.
    fn receive_waiting(&mut self) {
        while self.is_running()
            && let Some(frame) = self.waiting.first()
        {
            let is_seen = self.receive_control & MONITOR == 0
                && self.transmit_control & LOOPBACK == 0
                && frame.len() <= LONGEST
                && self.accepts(frame);
            if is_seen && !self.store() {
                // A driver that has acknowledged too early would never make room.
                self.interrupt_status |= RECEIVED;
                return;
            }
            self.waiting.drop_first();
        }
    }

    /// Puts the first frame that waits into the ring, if that has room.
    fn store(&mut self) -> bool {
        let (start, stop) = (self.page_start, self.page_stop);
        let Some(frame) = self.waiting.first() else { return true };
        let mut bytes = frame.to_vec();
        bytes.resize(frame.len().max(SHORTEST), 0);
        bytes.extend(crc32(&bytes).to_le_bytes());
        let pages = (HEADER + bytes.len()).div_ceil(256) as u8;
        let ring = stop.saturating_sub(start);
        let free = match self.boundary.checked_sub(self.current) {
            Some(free @ 1..) => free,
            _ => ring.saturating_sub(self.current.wrapping_sub(self.boundary)),
        };
        if free <= pages || !(start..stop).contains(&self.current) {
            return false;
        }
        let to_stop = stop - self.current;
        let next = if pages >= to_stop { start + (pages - to_stop) } else { self.current + pages };
        let group = bytes[0] & 1 != 0;
        self.receive_status = INTACT | if group { GROUP } else { 0 };
        let [low, high] = ((bytes.len() - CRC + HEADER) as u16).to_le_bytes();
        let mut at = u16::from(self.current) << 8;
        for byte in [self.receive_status, next, low, high].into_iter().chain(bytes) {
            self.set_memory(at, byte);
            at = at.wrapping_add(1);
            if at == u16::from(stop) << 8 {
                at = u16::from(start) << 8;
            }
        }
        self.current = next;
        self.interrupt_status |= RECEIVED;
        true
    }
}

impl PciFunction for Ne2000 {
    fn config(&self) -> &ConfigSpace {
        &self.config
    }

    fn config_mut(&mut self) -> &mut ConfigSpace {
        &mut self.config
    }

    fn interrupt(&self) -> bool {
        self.interrupt_status & self.interrupt_mask & !IN_RESET != 0
    }

    fn read(&mut self, _now: VirtualTime, _bar: u8, offset: u64, width: Width) -> u64 {
        match offset {
            DATA..RESET => {
                // In word mode an access of one byte takes a word, and leaves half of it.
                let moved = if self.data_control & WORDS != 0 { width.max(Width::B2) } else { width };
                let mut byte = |n: u64| {
                    let value = self.remote(REMOTE_READ).map_or(0xff, |at| self.memory(at));
                    u64::from(value) << (8 * n)
                };
                (0..moved.bytes()).fold(0, |value, n| value | byte(n)) & width.ones()
            }
            RESET.. => {
                self.interrupt_status |= IN_RESET;
                0
            }
            _ => (0..width.bytes().min(DATA - offset))
                .fold(0, |value, n| value | u64::from(self.read_register(offset + n)) << (8 * n)),
        }
    }

    fn write(&mut self, now: VirtualTime, _bar: u8, offset: u64, width: Width, value: u64) {
        for (n, byte) in (0..).zip(value.to_le_bytes().into_iter().take(width.bytes() as usize)) {
            match offset {
                DATA..RESET => {
                    if let Some(at) = self.remote(REMOTE_WRITE) {
                        self.set_memory(at, byte);
                    }
                }
                RESET.. => {}
                _ if offset + n < DATA => self.write_register(now, offset + n, byte),
                _ => {}
            }
        }
    }

    fn service_at(&self) -> Option<VirtualTime> {
        self.work
    }

    fn serve(&mut self, _now: VirtualTime, _masters: &mut Masters<'_>, outputs: &mut Vec<Output>) {
        self.work = None;
        self.receive_waiting();
        if self.command & TRANSMIT == 0 {
            return;
        }
        let from = u16::from(self.transmit_page) << 8;
        let len = self.transmit_count;
        if self.transmit_control & LOOPBACK == 0 && (14..=LONGEST as u16).contains(&len) {
            let bytes = (0..len).map(|n| self.memory(from.wrapping_add(n))).collect();
            outputs.push(Output::Frame { nic: self.nic.nic, bytes });
        }
        self.command &= !TRANSMIT;
        self.transmit_status = INTACT;
        self.interrupt_status |= TRANSMITTED;
    }

    /// Nobody hears a frame that arrives before the chip is started.
    fn receive(&mut self, now: VirtualTime, input: &Input) -> bool {
        let Input::Frame { nic, bytes } = input else { return false };
        if *nic != self.nic.nic {
            return false;
        }
        if self.is_running() && self.waiting.push(bytes) {
            self.work = self.work.or(Some(now));
        }
        true
    }

    fn backlog(&self, of: Backlog) -> usize {
        match of {
            Backlog::Nic(nic) if nic == self.nic.nic => self.waiting.bytes(),
            Backlog::Nic(_) | Backlog::Console(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dma::tests::{Ram, RamDisks};
    use proptest::prelude::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    const NOW: VirtualTime = VirtualTime::ZERO;

    struct Bench {
        card: Ne2000,
        outputs: Vec<Output>,
    }

    impl Bench {
        fn new() -> Self {
            Self { card: Ne2000::new(&NicConfig { nic: 0, mac: MAC, mtu: None }), outputs: Vec::new() }
        }

        /// As a driver sets it up: ring from page 0x46 to 0x50, transmit buffer at 0x40.
        fn driven() -> Self {
            let mut bench = Self::new();
            for (port, value) in [
                (0x00, 0x21),
                (0x0e, 0x49),
                (0x0a, 0),
                (0x0b, 0),
                (0x0c, 0x20),
                (0x0d, 0x02),
                (0x01, 0x46),
                (0x02, 0x50),
                (0x03, 0x46),
                (0x04, 0x40),
                (0x07, 0xff),
                (0x0f, 0x7f),
                (0x00, 0x61),
            ] {
                bench.write(port, value);
            }
            for (n, byte) in (1..).zip(MAC) {
                bench.write(n, byte);
            }
            for (port, value) in [(0x07, 0x47), (0x00, 0x22), (0x0d, 0x00), (0x0c, 0x04)] {
                bench.write(port, value);
            }
            bench
        }

        fn read(&mut self, port: u64) -> u8 {
            self.card.read(NOW, BAR, port, Width::B1) as u8
        }

        fn write(&mut self, port: u64, value: u8) {
            self.card.write(NOW, BAR, port, Width::B1, value.into());
            self.serve();
        }

        fn serve(&mut self) {
            let (mut ram, mut disks) = (Ram(Vec::new()), RamDisks::default());
            if self.card.service_at().is_some() {
                let mut masters = Masters { memory: &mut ram, disks: &mut disks };
                self.card.serve(NOW, &mut masters, &mut self.outputs);
            }
            assert_eq!(self.card.service_at(), None);
        }

        fn remote(&mut self, command: u8, at: u16, len: u16) {
            for (port, value) in [(0x0a, len), (0x0b, len >> 8), (0x08, at), (0x09, at >> 8)] {
                self.write(port, value as u8);
            }
            self.write(0, 2 | command);
        }

        fn fetch(&mut self, at: u16, len: u16) -> Vec<u8> {
            self.remote(REMOTE_READ, at, len);
            let words: Vec<u64> = (0..len / 2).map(|_| self.card.read(NOW, BAR, DATA, Width::B2)).collect();
            assert_eq!(self.read(7) & REMOTE_DONE, REMOTE_DONE);
            self.write(7, REMOTE_DONE);
            words.into_iter().flat_map(|word| (word as u16).to_le_bytes()).collect()
        }

        fn arrive(&mut self, to: [u8; 6], len: usize) -> Vec<u8> {
            let mut bytes = to.to_vec();
            bytes.extend((6..len).map(|n| n as u8));
            assert!(self.card.receive(NOW, &Input::Frame { nic: 0, bytes: bytes.clone() }));
            self.serve();
            bytes
        }
    }

    #[test]
    fn the_prom_has_the_address_twice() {
        let mut bench = Bench::driven();
        let prom = bench.fetch(0, 32);
        assert_eq!(prom[..12], MAC.map(|byte| [byte; 2]).concat());
        assert_eq!(prom[28..], [0x57; 4]);
        // Byte by byte, in word mode, it is there once.
        bench.remote(REMOTE_READ, 0, 32);
        assert_eq!([0; 6].map(|_| bench.read(DATA)), MAC);
    }

    #[test]
    fn a_frame_is_sent() {
        let mut bench = Bench::driven();
        let frame: Vec<u8> = (0..100).collect();
        bench.remote(REMOTE_WRITE, 0x4000, 100);
        for pair in frame.chunks(2) {
            let word = u64::from(u16::from_le_bytes([pair[0], pair[1]]));
            bench.card.write(NOW, BAR, DATA, Width::B2, word);
        }
        for (port, value) in [(5, 100), (6, 0), (0, 0x26)] {
            bench.write(port, value);
        }
        assert_eq!(bench.outputs, [Output::Frame { nic: 0, bytes: frame }]);
        assert_eq!(bench.read(7) & TRANSMITTED, TRANSMITTED);
        assert_eq!(bench.read(0) & TRANSMIT, 0);
        assert!(bench.card.interrupt());
    }

    #[test]
    fn frames_go_around_the_ring_and_wait_when_it_is_full() {
        let mut bench = Bench::driven();
        let mut frames = Vec::new();
        for _ in 0..4 {
            frames.push(bench.arrive(MAC, 600));
        }
        // Three pages each: two leave three of ten before the boundary, which is not enough.
        assert_eq!(bench.card.backlog(Backlog::Nic(0)), 1200);
        bench.write(7, RECEIVED);
        assert!(bench.card.interrupt(), "more waits");
        let mut page = 0x47;
        for frame in frames {
            let header = bench.fetch(u16::from(page) << 8, 4);
            assert_eq!((header[0], u16::from_le_bytes([header[2], header[3]])), (INTACT, 604));
            assert_eq!(bench.fetch((u16::from(page) << 8) + 4, 600), frame);
            page = header[1];
            bench.write(3, if page == 0x46 { 0x4f } else { page - 1 });
        }
        assert_eq!(page, 0x49);
        assert_eq!(bench.card.backlog(Backlog::Nic(0)), 0);
    }

    #[test]
    fn filters_let_through_what_they_should() {
        let mut bench = Bench::driven();
        let passes = |bench: &mut Bench, to| {
            bench.write(7, RECEIVED);
            bench.arrive(to, 60);
            let page = bench.card.current;
            bench.write(3, if page == 0x46 { 0x4f } else { page - 1 });
            bench.read(7) & RECEIVED != 0
        };
        let group = [1, 0, 0x5e, 0, 0, 1];
        assert!(passes(&mut bench, MAC));
        assert!(passes(&mut bench, [0xff; 6]));
        assert!(!passes(&mut bench, [0x52, 0, 0, 0, 0, 1]));
        assert!(!passes(&mut bench, group));
        bench.write(0x0c, 0x1c);
        assert!(passes(&mut bench, [0x52, 0, 0, 0, 0, 1]));
        assert!(!passes(&mut bench, group), "not in the table");
        bench.card.groups = [0xff; 8];
        assert!(passes(&mut bench, group));
    }

    proptest! {
        /// No panic, no hang, and a saved card is the card.
        #[test]
        fn any_guest_leaves_it_sane(
            events in prop::collection::vec((0u64..36, any::<u32>(), 0usize..1700, 0u8..5), 1..300)
        ) {
            let mut bench = Bench::driven();
            for (port, value, len, what) in events {
                match what {
                    0 => { bench.card.read(NOW, BAR, port, Width::B4); }
                    1 => { bench.arrive([0xff; 6], len); }
                    2 => bench.card.write(NOW, BAR, port, Width::B4, value.into()),
                    _ => bench.write(port, value as u8),
                }
            }
            bench.serve();
            let saved = rrvmm_replay::codec::to_bytes(&bench.card).unwrap();
            let loaded: Ne2000 = rrvmm_replay::codec::from_bytes(&saved).unwrap();
            prop_assert_eq!(loaded, bench.card);
        }
    }
}
