//! Drivers of the e1000 and of the NE2000 that mostly do what drivers do.

use crate::world::World;
use rrvmm_devices::Input;
use rrvmm_devices::bus::Width;

pub const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// A frame arrives.
pub fn arrive(world: &mut World) {
    let len = match world.random.below(8) {
        0 => world.random.below(14),
        1 => world.random.below(20_000),
        2 => world.random.pick(&[59, 60, 1514, 1518, 1519, 9000, 16288, 65535]),
        _ => 14 + world.random.below(200),
    };
    let mut bytes = vec![world.random.next() as u8; len as usize];
    let to = world.random.pick(&[MAC, MAC, [0xff; 6], [0x33, 0x33, 0, 0, 0, 1], [2; 6]]);
    let to = &to[..6.min(bytes.len())];
    bytes[..to.len()].copy_from_slice(to);
    if bytes.len() > 40 {
        bytes[12..14].copy_from_slice(&world.random.pick(&[[8, 0], [0x81, 0], [0x86, 0xdd]]));
    }
    world.input(Input::Frame { nic: 0, bytes });
}

const RX: u64 = 0x1000;
const TX: u64 = 0x2000;
const BUFFERS: u64 = 0x8000;

/// Registers that drivers use: most of them.
const E1000: [u64; 36] = [
    0x0000, 0x0008, 0x0010, 0x0014, 0x0018, 0x0020, 0x0028, 0x00c0, 0x00c4, 0x00c8, 0x00d0, 0x00d8, 0x0100,
    0x0400, 0x0410, 0x2800, 0x2804, 0x2808, 0x2810, 0x2818, 0x2820, 0x282c, 0x3800, 0x3804, 0x3808, 0x3810,
    0x3818, 0x3828, 0x4000, 0x40d0, 0x5000, 0x5200, 0x5400, 0x5404, 0x5600, 0x5820,
];

fn e1000(world: &mut World, register: u64, value: u64) {
    world.write(world.bars[0].wrapping_add(register), Width::B4, value);
}

pub fn set_up_e1000(world: &mut World) {
    let len = world.random.pick(&[0x80, 0x80, 0x100, 0x1000]);
    for (register, value) in
        [(0x2800, RX), (0x2804, 0), (0x2808, len), (0x3800, TX), (0x3804, 0), (0x3808, len)]
    {
        let value = if world.random.errs() { world.random.address(0) } else { value };
        e1000(world, register, value);
    }
    for register in [0x2810, 0x3810] {
        e1000(world, register, 0);
    }
    for n in 0..8 {
        let addr = world.random.address(BUFFERS);
        world.poke(RX + 16 * n, &addr.to_le_bytes());
        world.poke(RX + 16 * n + 8, &[0; 8]);
    }
    let receive = 2 | world.random.pick(&[
        1 << 15,
        1 << 3 | 1 << 4,
        1 << 15 | 1 << 16,
        1 << 5 | 1 << 25,
        1 << 26,
        3 << 16,
    ]);
    for (register, value) in [(0x100, receive), (0x400, 0xa), (0xd0, u64::MAX), (0x2818, 7)] {
        e1000(world, register, value);
    }
}

/// One thing that a driver of the e1000 does.
pub fn step_e1000(world: &mut World) {
    match world.random.below(16) {
        0..6 => transmit(world),
        6 | 7 => arrive(world),
        8 if world.random.errs() => {
            let (ring, n) = (world.random.pick(&[RX, TX]), world.random.below(8));
            let bytes = world.random.bytes(16);
            world.poke(ring + 16 * n, &bytes);
        }
        9 => {
            let tail = world.random.below(8);
            let register =
                if world.random.errs() { world.random.pick(&[0x3818, 0x2810, 0x3810]) } else { 0x2818 };
            e1000(world, register, tail);
        }
        10 => _ = world.read(world.bars[0].wrapping_add(0xc0), Width::B4),
        11 => set_up_e1000(world),
        12 => {
            let register = world.random.pick(&E1000);
            let width = world.random.pick(&[Width::B4, Width::B4, Width::B2, Width::B1, Width::B8]);
            world.read(world.bars[0].wrapping_add(register), width);
        }
        13 if world.random.errs() => {
            // Through the ports: address, then data.
            let port = world.bars[1] as u16;
            let (register, value) = (world.random.pick(&E1000), world.random.value());
            world.port_out(port, Width::B4, register);
            world.port_out(port.wrapping_add(4), Width::B4, value);
            world.port_in(port.wrapping_add(4), Width::B4);
        }
        14 if world.random.errs() => {
            let register = world.random.below(0x2_0000);
            let (width, value) =
                (world.random.pick(&[Width::B4, Width::B1, Width::B8]), world.random.value());
            world.write(world.bars[0].wrapping_add(register), width, value);
        }
        _ if !world.random.errs() => transmit(world),
        _ => {
            let (register, value) = (world.random.pick(&E1000), world.random.value());
            e1000(world, register, value);
        }
    }
}

/// Puts descriptors of all kinds into the ring, and moves its tail.
fn transmit(world: &mut World) {
    let tail = world.read(world.bars[0].wrapping_add(0x3818), Width::B4);
    let count = 1 + world.random.below(4);
    for n in 0..count {
        let random = &mut world.random;
        let addr = random.address(BUFFERS);
        let command = random.below(256) | if random.one_in(3) { 0 } else { 1 };
        let len = random.len();
        // Long packets take long.
        let most = random.pick(&[0x7ff, 0x7ff, 0x7ff, 0xffff, 0xf_ffff]);
        let (low, high) = match random.below(4) {
            // Legacy.
            0 => (
                len & 0xffff | random.next() << 16 & 0xff_0000 | (command & !0x20) << 24,
                random.below(64) << 8,
            ),
            // A context: places of checksums, header and segment.
            1 => {
                let places = 14 | 24 << 8 | 33 << 16 | random.below(80) << 32 | random.below(80) << 40;
                let context = if random.one_in(4) { random.next() } else { places };
                let low = random.below(0x4000) | (0x20 | command & 0x0f) << 24;
                let segment = random.pick(&[0, 1, 536, 1460, 0xffff]);
                let high = random.below(120) << 8 | segment << 16;
                let at = TX + 16 * ((tail + n) & 7);
                world.poke(at, &context.to_le_bytes());
                world.poke(at + 8, &(low | high << 32).to_le_bytes());
                continue;
            }
            // Data.
            _ => (len & most | 1 << 20 | (command | 0x20) << 24, random.below(4) << 8),
        };
        let at = TX + 16 * ((tail + n) & 7);
        world.poke(at, &addr.to_le_bytes());
        world.poke(at + 8, &(low | high << 32).to_le_bytes());
    }
    e1000(world, 0x3818, tail.wrapping_add(count) & 7);
}

fn ne2000(world: &mut World, register: u16, value: u64) {
    world.outb((world.bars[0] as u16).wrapping_add(register), value);
}

pub fn set_up_ne2000(world: &mut World) {
    let writes = [
        (0x00, 0x21),
        (0x0e, 0x49),
        (0x0a, 0),
        (0x0b, 0),
        (0x0c, 0x20),
        (0x0d, 2),
        (0x01, 0x46),
        (0x02, 0x60),
        (0x03, 0x46),
        (0x07, 0xff),
        (0x0f, 0x3f),
        (0x00, 0x61),
        (0x07, 0x47),
        (0x01, 0x52),
        (0x02, 0x54),
        (0x03, 0),
        (0x04, 0x12),
        (0x05, 0x34),
        (0x06, 0x56),
        (0x00, 0x22),
        (0x0d, 0),
        (0x0c, 0x1c),
    ];
    for (register, value) in writes {
        let value = if world.random.errs() { world.random.value() } else { value };
        ne2000(world, register, value);
    }
}

/// One thing that a driver of the NE2000 does.
pub fn step_ne2000(world: &mut World) {
    let base = world.bars[0] as u16;
    match world.random.below(16) {
        0..3 => arrive(world),
        3 | 4 => {
            // A frame to send: length, page, go.
            let len = world.random.len();
            for (register, value) in [(0x05, len), (0x06, len >> 8), (0x04, 0x40), (0x00, 0x26)] {
                ne2000(world, register, value);
            }
        }
        5..9 => remote(world, base),
        9 => {
            let value = world.random.below(0x80);
            ne2000(world, 0x03, value);
        }
        10 => {
            ne2000(world, 0x07, 0xff);
            ne2000(world, 0x00, 0x22);
        }
        11 => set_up_ne2000(world),
        12 => _ = world.port_in(base.wrapping_add(0x1f), Width::B1),
        13 | 14 if world.random.errs() => {
            let (register, value) = (world.random.below(0x20) as u16, world.random.value());
            let width = world.random.pick(&[Width::B1, Width::B1, Width::B2, Width::B4]);
            world.port_out(base.wrapping_add(register), width, value);
        }
        _ => {
            let register = world.random.below(0x20) as u16;
            let width = world.random.pick(&[Width::B1, Width::B1, Width::B2, Width::B4]);
            world.port_in(base.wrapping_add(register), width);
        }
    }
}

/// The processor reads or writes the card's memory.
fn remote(world: &mut World, base: u16) {
    let out = world.random.one_in(2);
    let at = if world.random.one_in(4) { world.random.value() } else { 0x4000 + world.random.below(0x2100) };
    let len = world.random.below(80);
    let command = if out { 0x12 } else { 0x0a };
    for (register, value) in [(0x0a, len), (0x0b, 0), (0x08, at), (0x09, at >> 8), (0x00, command)] {
        ne2000(world, register, value);
    }
    let width = world.random.pick(&[Width::B2, Width::B2, Width::B1, Width::B4]);
    for n in 0..world.random.below(60) {
        let port = base.wrapping_add(0x10);
        if out { world.port_out(port, width, n * 77) } else { _ = world.port_in(port, width) }
    }
}
