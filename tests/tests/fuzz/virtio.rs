//! Virtio drivers that mostly do what drivers do: rings, chains, indirect tables, and some of each that is wrong.

use crate::world::{Queue, World};
use rrvmm_devices::bus::Width;
use rrvmm_devices::pc::VIRTIO_MMIO_BASE;

const NEXT: u64 = 1;
const WRITE: u64 = 2;
const INDIRECT: u64 = 4;
/// Where buffers are; rings and tables are below.
const BUFFERS: u64 = 0x1_0000;
const TABLES: u64 = 0x8000;

/// How the registers are reached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Pci,
    Mmio,
}

/// What requests look like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Block,
    Net,
    Console,
    Rng,
    Input,
}

/// Registers of both transports: PCI offset and width, memory offset.
#[derive(Clone, Copy)]
struct Register(u64, Width, u64);

const DEVICE_SELECT: Register = Register(0x00, Width::B4, 0x14);
const DEVICE_FEATURES: Register = Register(0x04, Width::B4, 0x10);
const DRIVER_SELECT: Register = Register(0x08, Width::B4, 0x24);
const DRIVER_FEATURES: Register = Register(0x0c, Width::B4, 0x20);
const STATUS: Register = Register(0x14, Width::B1, 0x70);
const QUEUE_SELECT: Register = Register(0x16, Width::B2, 0x30);
const QUEUE_SIZE: Register = Register(0x18, Width::B2, 0x38);
const QUEUE_ENABLE: Register = Register(0x1c, Width::B2, 0x44);
/// Addresses: in memory, the upper half is four bytes further; PCI takes eight at once.
const AREAS: [(u64, u64); 3] = [(0x20, 0x80), (0x28, 0x90), (0x30, 0xa0)];

/// A device behind its registers.
pub struct Device {
    pub transport: Transport,
    pub kind: Kind,
    pub queues: u64,
}

impl Device {
    fn base(&self, world: &World) -> u64 {
        match self.transport {
            Transport::Pci => world.bars[4],
            Transport::Mmio => VIRTIO_MMIO_BASE,
        }
    }

    fn write(&self, world: &mut World, register: Register, value: u64) {
        let base = self.base(world);
        match self.transport {
            Transport::Pci => world.write(base.wrapping_add(register.0), register.1, value),
            Transport::Mmio => world.write(base + register.2, Width::B4, value),
        }
    }

    fn read(&self, world: &mut World, register: Register) -> u64 {
        let base = self.base(world);
        match self.transport {
            Transport::Pci => world.read(base.wrapping_add(register.0), register.1),
            Transport::Mmio => world.read(base + register.2, Width::B4),
        }
    }

    fn set_area(&self, world: &mut World, area: usize, addr: u64) {
        let base = self.base(world);
        match self.transport {
            Transport::Pci => world.write(base.wrapping_add(AREAS[area].0), Width::B8, addr),
            Transport::Mmio => {
                world.write(base + AREAS[area].1, Width::B4, addr);
                world.write(base + AREAS[area].1 + 4, Width::B4, addr >> 32);
            }
        }
    }

    fn ring(&self, world: &mut World, queue: u64) {
        let base = self.base(world);
        match self.transport {
            Transport::Pci => world.write(base.wrapping_add(0x3000 + 4 * queue), Width::B2, queue),
            Transport::Mmio => world.write(base + 0x50, Width::B4, queue),
        }
    }

    /// Resets the device, agrees on features, and sets up its queues.
    pub fn set_up(&self, world: &mut World) {
        for status in [0, 1, 3] {
            self.write(world, STATUS, status);
        }
        let mask = if world.random.one_in(2) { world.random.next() | 1 << 32 } else { u64::MAX };
        for half in 0..2 {
            self.write(world, DEVICE_SELECT, half);
            let offered = self.read(world, DEVICE_FEATURES);
            self.write(world, DRIVER_SELECT, half);
            let more = if world.random.errs() { world.random.next() } else { 0 };
            self.write(world, DRIVER_FEATURES, offered & (mask >> (32 * half)) | more);
        }
        self.write(world, STATUS, 0xb);
        for queue in 0..self.queues {
            if !world.random.errs() {
                self.set_up_queue(world, queue);
            }
        }
        if self.transport == Transport::Pci && world.random.one_in(2) {
            self.set_up_messages(world);
        }
        let status = if world.random.errs() { 0x8f } else { 0xf };
        self.write(world, STATUS, status);
    }

    fn set_up_queue(&self, world: &mut World, queue: u64) {
        self.write(world, QUEUE_SELECT, queue);
        let most = self.read(world, QUEUE_SIZE).max(1) & 0x3ff;
        let size = match world.random.below(8) {
            0 if world.random.errs() => world.random.value() & 0xffff,
            1 => most.min(64),
            _ => world.random.pick(&[4, 8, 16, 16, 64]),
        };
        self.write(world, QUEUE_SIZE, size);
        let start = 0x1000 * queue;
        let mut areas = [start, start + 0x800, start + 0xc00];
        if world.random.errs() {
            let which = world.random.below(3) as usize;
            areas[which] = world.random.address(0);
        }
        for (n, area) in areas.into_iter().enumerate() {
            self.set_area(world, n, area);
        }
        self.write(world, QUEUE_ENABLE, 1);
        world.driver[queue as usize & 7] = Queue { size: size.max(1), areas, index: 0 };
    }

    /// MSI-X on, with some vectors open.
    fn set_up_messages(&self, world: &mut World) {
        world.write_config(world.devfn, 0x9a, Width::B2, 0x8000);
        let base = self.base(world).wrapping_add(0x4000);
        for vector in 0..=self.queues {
            let fields = [0xfee0_0000 | world.random.below(2) << 2, 0, 0x40 + vector, world.random.below(2)];
            for (n, field) in (0..).zip(fields) {
                world.write(base.wrapping_add(16 * vector + 4 * n), Width::B4, field);
            }
        }
        for queue in 0..self.queues {
            self.write(world, QUEUE_SELECT, queue);
            self.write(world, Register(0x1a, Width::B2, 0), queue + 1);
        }
    }

    /// One thing that a driver does.
    pub fn step(&self, world: &mut World) {
        let queue = world.random.below(self.queues);
        match world.random.below(32) {
            0 => {
                self.write(world, STATUS, 0);
                if !world.random.one_in(8) {
                    self.set_up(world);
                }
            }
            1 | 2 if world.random.errs() => {
                let (at, width, value) = self.any_register(world);
                world.write(at, width, value);
            }
            3 | 4 => {
                let (at, width, _) = self.any_register(world);
                world.read(at, width);
            }
            5 => {
                let addr = world.random.address(BUFFERS);
                let len = world.random.below(64);
                let bytes = world.random.bytes(len);
                world.poke(addr, &bytes);
            }
            7 => self.ring(world, queue),
            8 => {
                let n = world.random.value() & 7;
                self.ring(world, n);
            }
            9 => self.set_event(world, queue),
            10 if self.transport == Transport::Mmio => {
                let value = world.random.below(4);
                world.write(VIRTIO_MMIO_BASE + 0x64, Width::B4, value);
            }
            10 => _ = world.read(world.bars[4].wrapping_add(0x1000), Width::B1),
            11 if world.random.errs() => self.set_up_queue(world, queue),
            _ => self.submit(world, queue),
        }
    }

    fn any_register(&self, world: &mut World) -> (u64, Width, u64) {
        let width = world.random.pick(&[Width::B1, Width::B2, Width::B4, Width::B4, Width::B8]);
        let offset = match self.transport {
            Transport::Pci => {
                let part = world.random.pick(&[0, 0, 0, 0x1000, 0x2000, 0x3000, 0x4000, 0x4800, 0x7000]);
                part + world.random.below(0x44)
            }
            Transport::Mmio => 4 * world.random.below(0x50) + if world.random.one_in(8) { 1 } else { 0 },
        };
        (self.base(world).wrapping_add(offset), width, world.random.value())
    }

    /// Where the driver wants the next interrupt, and whether it wants any.
    fn set_event(&self, world: &mut World, queue: u64) {
        let state = world.driver[queue as usize];
        let event = u64::from(state.index).wrapping_add(world.random.below(4)).wrapping_sub(2) as u16;
        let flags = world.random.below(2) as u16;
        world.poke(state.areas[1].wrapping_add(4 + 2 * state.size), &event.to_le_bytes());
        world.poke(state.areas[1], &flags.to_le_bytes());
    }

    /// Makes requests available, mostly says so, and mostly waits for them.
    fn submit(&self, world: &mut World, queue: u64) {
        let most = (world.driver[queue as usize].size / 4).clamp(1, 3);
        for n in 0..1 + world.random.below(most) {
            let head = self.chain(world, queue, 4 * n);
            let state = &mut world.driver[queue as usize];
            let (size, available) = (state.size.max(1), state.areas[1]);
            let slot = available.wrapping_add(4 + 2 * (u64::from(state.index) % size));
            state.index = state.index.wrapping_add(1);
            let index = state.index;
            world.poke(slot, &(head as u16).to_le_bytes());
            let jump = if world.random.errs() { world.random.next() as u16 } else { 0 };
            world.poke(available.wrapping_add(2), &index.wrapping_add(jump).to_le_bytes());
        }
        if !world.random.one_in(8) {
            self.ring(world, queue);
        }
        if !world.random.one_in(8) {
            let ns = world.random.below(40_000);
            world.pass(ns);
        }
    }

    /// Puts a chain into the descriptor table, maybe through an indirect one. Gives its first descriptor.
    fn chain(&self, world: &mut World, queue: u64, head: u64) -> u64 {
        let Queue { size, areas, .. } = world.driver[queue as usize];
        let size = size.max(1);
        let head = if world.random.errs() { world.random.below(size + 3) } else { head % size };
        if world.random.one_in(4) {
            let table = if world.random.errs() {
                world.random.address(0)
            } else {
                TABLES + 0x400 * world.random.below(8)
            };
            let count = self.descriptors(world, queue, table, 64, 0);
            let len = if world.random.errs() { world.random.len() } else { 16 * count };
            let flags = INDIRECT | if world.random.errs() { world.random.below(8) } else { 0 };
            let next = world.random.below(size);
            self.descriptor(world, areas[0], head, [table, len, flags, next]);
        } else {
            self.descriptors(world, queue, areas[0], size, head);
        }
        head
    }

    /// A request's descriptors in the table at `table` with `size` places, from `first` on. Gives how many.
    fn descriptors(&self, world: &mut World, queue: u64, table: u64, size: u64, first: u64) -> u64 {
        let (readable, writable) = self.shape(world, queue);
        let count = readable + writable;
        for n in 0..count {
            let addr = world.random.address(BUFFERS);
            let mut len = world.random.len();
            if n == 0 && readable > 0 {
                len = self.header(world, queue, addr, len, readable > 1);
            } else if self.kind == Kind::Block && !world.random.errs() {
                len = if n + 1 == count { 1 } else { 512 * (1 + world.random.below(4)) };
            }
            let mut flags = if n >= readable { WRITE } else { 0 };
            flags |= if n + 1 < count { NEXT } else { 0 };
            if world.random.errs() {
                flags ^= 1 << world.random.below(4);
            }
            let next =
                if world.random.errs() { world.random.below(size + 2) } else { (first + n + 1) % size };
            self.descriptor(world, table, (first + n) % size, [addr, len, flags, next]);
        }
        count
    }

    fn descriptor(&self, world: &mut World, table: u64, n: u64, [addr, len, flags, next]: [u64; 4]) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&addr.to_le_bytes());
        bytes[8..12].copy_from_slice(&(len as u32).to_le_bytes());
        bytes[12..14].copy_from_slice(&(flags as u16).to_le_bytes());
        bytes[14..].copy_from_slice(&(next as u16).to_le_bytes());
        world.poke(table.wrapping_add(16 * n), &bytes);
    }

    /// How many descriptors to read and to write a request has.
    fn shape(&self, world: &mut World, queue: u64) -> (u64, u64) {
        let few = 1 + world.random.below(3);
        if world.random.errs() {
            return (world.random.below(4), world.random.below(4).max(1));
        }
        match self.kind {
            Kind::Block => world.random.pick(&[(1, 2), (1, 2), (1, 3), (2, 1), (2, 1), (3, 1)]),
            // Even queues receive.
            Kind::Net | Kind::Console if queue.is_multiple_of(2) => (0, few),
            Kind::Net | Kind::Console => (few, 0),
            Kind::Rng => (0, few),
            Kind::Input if queue == 0 => (0, 1),
            Kind::Input => (1, 0),
        }
    }

    /// Puts what a request begins with to `addr`. Gives its descriptor's length.
    fn header(&self, world: &mut World, queue: u64, addr: u64, len: u64, is_out: bool) -> u64 {
        let random = &mut world.random;
        let (bytes, len) = match self.kind {
            Kind::Block => {
                let kinds = if is_out { [1, 1, 1, 1] } else { [0, 0, 4, 8] };
                let kind = if random.errs() { random.value() } else { random.pick(&kinds) };
                let kind = if is_out && random.one_in(4) { random.pick(&[11, 13]) } else { kind };
                let sector = if random.errs() { random.value() } else { random.below(124) };
                let mut bytes = (kind as u32).to_le_bytes().to_vec();
                bytes.extend([0; 4]);
                bytes.extend(sector.to_le_bytes());
                // Pieces to discard or to zero: sector, number, flags.
                bytes.extend(random.below(130).to_le_bytes());
                bytes.extend((random.below(10) as u32).to_le_bytes());
                bytes.extend((random.below(3) as u32).to_le_bytes());
                (
                    bytes,
                    if kind >= 11 {
                        32
                    } else if random.errs() {
                        random.pick(&[15, 48, len])
                    } else {
                        16
                    },
                )
            }
            Kind::Net => {
                let mut bytes = random.bytes(12);
                bytes[0] &= 1;
                bytes[1] = random.pick(&[0, 0, 0, 1, 4, 0x81]);
                bytes.extend([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
                (bytes, 12 + len)
            }
            Kind::Console if queue == 3 => {
                let mut bytes = (random.below(3) as u32).to_le_bytes().to_vec();
                bytes.extend((random.below(9) as u16).to_le_bytes());
                bytes.extend((random.below(3) as u16).to_le_bytes());
                (bytes, if random.errs() { len } else { 8 })
            }
            Kind::Console | Kind::Rng | Kind::Input => {
                let bytes = random.bytes(16);
                (bytes, len.min(0x1000))
            }
        };
        world.poke(addr, &bytes);
        len
    }
}
