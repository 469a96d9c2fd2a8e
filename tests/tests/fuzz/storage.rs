//! Drivers of IDE and AHCI that mostly do what drivers do.

use crate::world::World;
use rrvmm_devices::bus::Width;

/// Commands that a drive knows, and some that it does not.
const COMMANDS: [u64; 40] = [
    0x20, 0x20, 0x21, 0x24, 0x29, 0x30, 0x30, 0x31, 0x34, 0x39, 0xc4, 0xc5, 0xc6, 0xc8, 0xc8, 0xca, 0xca,
    0x25, 0x25, 0x35, 0x35, 0x3d, 0x60, 0x61, 0x2f, 0x47, 0x06, 0xec, 0xa1, 0xa0, 0xa0, 0xef, 0x08, 0x90,
    0xe7, 0xea, 0x40, 0x42, 0xe0, 0xb0,
];
/// Commands in packets.
const PACKETS: [u64; 28] = [
    0x00, 0x03, 0x12, 0x1b, 0x1e, 0x25, 0x28, 0x28, 0x28, 0xa8, 0xa8, 0x2b, 0x42, 0x43, 0x43, 0x43, 0x46,
    0x4a, 0x51, 0x52, 0x5a, 0xad, 0xbd, 0xbe, 0xbe, 0xb9, 0x55, 0xff,
];
/// Where tables are; buffers are behind them.
const TABLE: u64 = 0x1000;
const BUFFERS: u64 = 0x8000;

fn packet(world: &mut World) -> Vec<u8> {
    let mut bytes = if world.random.one_in(4) { world.random.bytes(12) } else { vec![0; 12] };
    bytes[0] = world.random.pick(&PACKETS) as u8;
    bytes[1] = world.random.value() as u8 & if world.random.one_in(2) { 2 } else { 0xff };
    bytes[5] = world.random.below(40) as u8;
    bytes[7] = world.random.pick(&[0, 0, 0, 2, 0xff]);
    bytes[8] = world.random.pick(&[0, 1, 2, 8, 36, 0xff]);
    bytes[9] = world.random.value() as u8;
    bytes
}

pub fn set_up_ide(world: &mut World) {
    world.write_config(world.devfn, 4, Width::B2, 5);
    let table = TABLE;
    for channel in 0..2 {
        let port = world.bars[4] as u16;
        world.port_out(port.wrapping_add(8 * channel + 4), Width::B4, table);
    }
}

/// One thing that a driver of IDE does.
pub fn step_ide(world: &mut World) {
    let channel = world.random.below(2) as u16;
    let (base, control) = if channel == 0 { (0x1f0, 0x3f6) } else { (0x170, 0x376) };
    let master = (world.bars[4] as u16).wrapping_add(8 * channel);
    match world.random.below(16) {
        0 | 1 => ide_command(world, base),
        2..5 => transfer(world, base, master),
        5 | 6 => {
            let len = world.random.pick(&[1, 2, 6, 6, 12, 16, 60, 260]);
            let width = world.random.pick(&[Width::B2, Width::B2, Width::B4, Width::B1]);
            let out = world.random.one_in(2);
            for n in 0..len {
                if out {
                    world.port_out(base, width, n * 0x0101_0101)
                } else {
                    _ = world.port_in(base, width)
                }
            }
        }
        7 if world.random.one_in(4) => {
            for word in packet(world).chunks(2) {
                world.port_out(base, Width::B2, u64::from(word[0]) | u64::from(word[1]) << 8);
            }
        }
        8 if world.random.one_in(4) => {
            let value = world.random.pick(&[0, 2, 4, 6, 8, 0x80]);
            world.outb(control, value);
        }
        9 | 10 => regions(world),
        11 | 12 => {
            let value = world.random.pick(&[0, 1, 8, 9, 9, 1, 0xff]);
            world.port_out(master, Width::B1, value);
        }
        13 if world.random.errs() => {
            let (offset, width) =
                (world.random.below(8) as u16, world.random.pick(&[Width::B1, Width::B2, Width::B4]));
            let value = if world.random.one_in(3) { world.random.address(0) } else { world.random.value() };
            world.port_out(master.wrapping_add(offset), width, value);
        }
        14 => {
            let port = world.random.pick(&[
                base,
                base + 1,
                base + 2,
                base + 5,
                base + 6,
                base + 7,
                control,
                master,
                master.wrapping_add(2),
            ]);
            let width = world.random.pick(&[Width::B1, Width::B1, Width::B2, Width::B4]);
            world.port_in(port, width);
        }
        _ => {
            let (port, value) = (base + world.random.below(8) as u16, world.random.value());
            world.outb(port, value);
        }
    }
}

fn ide_command(world: &mut World, base: u16) {
    for n in 2..6 {
        let value = if world.random.errs() { world.random.value() } else { world.random.below(4) };
        if world.random.one_in(4) {
            world.outb(base + n, 0);
        }
        world.outb(base + n, value);
    }
    let drive = world.random.pick(&[0xe0, 0xe0, 0xe0, 0xf0, 0xa0, 0x00, 0x40]);
    world.outb(base + 6, drive);
    let features = world.random.pick(&[0, 0, 1, 2, 3, 0x66, 0xaa]);
    world.outb(base + 1, features);
    let command = world.random.pick(&COMMANDS);
    world.outb(base + 7, command);
    if command == 0xa0 && !world.random.one_in(4) {
        for word in packet(world).chunks(2) {
            world.port_out(base, Width::B2, u64::from(word[0]) | u64::from(word[1]) << 8);
        }
    }
}

/// A whole request, by bus master or through the data register, on the disk or on the disc.
fn transfer(world: &mut World, base: u16, master: u16) {
    let by_master = world.random.one_in(2);
    let is_write = world.random.one_in(3);
    world.outb(base + 6, 0xe0);
    for (n, value) in [(2, 1 + world.random.below(4)), (3, world.random.below(124)), (4, 0), (5, 0)] {
        world.outb(base + n, value);
    }
    if by_master {
        regions(world);
        world.port_out(master, Width::B1, if is_write { 0 } else { 8 });
        world.port_out(master.wrapping_add(2), Width::B1, 6);
    }
    if base == 0x170 {
        world.outb(base + 1, u64::from(by_master));
        for (n, value) in [(4, 0), (5, 8)] {
            world.outb(base + n, value);
        }
        world.outb(base + 7, 0xa0);
        world.pass(20_000);
        for word in packet(world).chunks(2) {
            world.port_out(base, Width::B2, u64::from(word[0]) | u64::from(word[1]) << 8);
        }
    } else {
        let commands = match (by_master, is_write) {
            (true, false) => [0xc8, 0x25],
            (true, true) => [0xca, 0x35],
            (false, false) => [0x20, 0xc4],
            (false, true) => [0x30, 0xc5],
        };
        let command = world.random.pick(&commands);
        world.outb(base + 7, command);
    }
    if by_master {
        world.port_out(master, Width::B1, if is_write { 1 } else { 9 });
    }
    let ns = world.random.below(60_000);
    world.pass(ns);
    if !by_master {
        let words = world.random.pick(&[256, 256, 40, 8, 300]);
        for n in 0..words {
            if is_write {
                world.port_out(base, Width::B2, n * 0x0101);
            } else {
                world.port_in(base, Width::B2);
            }
        }
    }
    if world.random.one_in(2) {
        world.port_in(base + 7, Width::B1);
        world.port_out(master, Width::B1, 0);
    }
}

/// Physical region descriptors, as a driver writes them or nearly so.
fn regions(world: &mut World) {
    let count = 1 + world.random.below(4);
    for n in 0..count {
        let addr = world.random.address(BUFFERS) & !u64::from(!world.random.errs());
        let len = world.random.len() & 0xffff & !1;
        let end = if n + 1 == count && !world.random.errs() { 1 << 31 } else { 0 };
        let region = (addr & 0xffff_ffff) | (len | end) << 32;
        world.poke(TABLE + 8 * n, &region.to_le_bytes());
    }
}

const LIST: u64 = 0x1000;
const RECEIVED: u64 = 0x2000;
const TABLES: u64 = 0x3000;

fn port(world: &World, port: u64, register: u64) -> u64 {
    world.bars[5].wrapping_add(0x100 + 0x80 * port + register)
}

pub fn set_up_ahci(world: &mut World) {
    let control = world.bars[5].wrapping_add(4);
    world.write(control, Width::B4, 0x8000_0002);
    for n in 0..2 {
        for (register, value) in
            [(0, LIST + 0x400 * n), (8, RECEIVED + 0x100 * n), (0x14, u64::MAX), (0x18, 0x11)]
        {
            let at = port(world, n, register);
            let value = if world.random.errs() { world.random.address(0) } else { value };
            world.write(at, Width::B4, value);
        }
    }
}

/// One thing that a driver of AHCI does.
pub fn step_ahci(world: &mut World) {
    let n = world.random.below(2);
    match world.random.below(16) {
        0..6 => {
            for _ in 0..=world.random.below(3) {
                let slots = if world.random.one_in(8) { 32 } else { 4 };
                let slot = world.random.below(slots);
                prepare(world, n, slot);
                issue(world, n, 1 << slot);
            }
            if !world.random.one_in(8) {
                let ns = world.random.below(80_000);
                world.pass(ns);
            }
            if world.random.one_in(3) {
                // As after an error.
                for (register, value) in [(0x18, 0x10), (0x30, u64::MAX), (0x10, u64::MAX), (0x18, 0x11)] {
                    let at = port(world, n, register);
                    world.write(at, Width::B4, value);
                }
            }
        }
        6 if world.random.errs() => {
            let slots = world.random.next();
            issue(world, n, slots);
        }
        7 if world.random.one_in(3) => {
            // Stopped and started again, or reset.
            let values =
                world.random.pick(&[[0, 0x11], [0x10, 0x11], [0x11, 0x19], [1, 0], [0x1001_0011, 0x11]]);
            for value in values {
                let at = port(world, n, 0x18);
                world.write(at, Width::B4, value);
            }
        }
        8 if world.random.one_in(3) => {
            for value in [0x301, 0x300] {
                let at = port(world, n, 0x2c);
                world.write(at, Width::B4, value);
            }
        }
        9 => {
            let register = world.random.pick(&[0x10, 0x30]);
            let (at, value) = (port(world, n, register), world.random.value());
            world.write(at, Width::B4, value);
        }
        10 => set_up_ahci(world),
        11 | 12 => {
            let offset = world.random.below(0x240);
            let width = world.random.pick(&[Width::B1, Width::B2, Width::B4, Width::B8]);
            world.read(world.bars[5].wrapping_add(offset), width);
        }
        13 if world.random.errs() => {
            let addr = world.random.address(LIST);
            let len = world.random.below(32);
            let bytes = world.random.bytes(len);
            world.poke(addr, &bytes);
        }
        _ if world.random.one_in(8) => {
            let offset = 4 * world.random.below(0x90);
            let width = world.random.pick(&[Width::B4, Width::B4, Width::B4, Width::B1, Width::B8]);
            let value = world.random.value();
            world.write(world.bars[5].wrapping_add(offset), width, value);
        }
        _ => {
            let slot = world.random.below(4);
            prepare(world, n, slot);
            issue(world, n, 1 << slot);
        }
    }
}

fn issue(world: &mut World, n: u64, slots: u64) {
    if world.random.one_in(3) {
        let active = port(world, n, 0x34);
        world.write(active, Width::B4, slots);
    }
    let at = port(world, n, 0x38);
    world.write(at, Width::B4, slots);
}

/// Puts a command and its regions into a slot.
fn prepare(world: &mut World, n: u64, slot: u64) {
    let table =
        if world.random.errs() { world.random.address(0) & !0x7f } else { TABLES + 0x400 * (slot & 7) };
    let count = if world.random.errs() { world.random.value() & 0xffff } else { world.random.below(4) };
    let mut flags = 5 | world.random.pick(&[0, 0x20, 0x40, 0x60, 0x400, 0x500]);
    if world.random.errs() {
        flags = world.random.value() & 0xffff;
    }
    let header = [(flags | count << 16) as u32, 0, table as u32, (table >> 32) as u32];
    let header: Vec<u8> = header.into_iter().flat_map(u32::to_le_bytes).collect();
    world.poke(LIST + 0x400 * n + 32 * slot, &header);
    let mut fis = vec![0; 20];
    let few = world.random.below(4) as u8;
    let usual = if n == 0 { [0x25, 0x35, 0xc8, 0xca, 0x60, 0x61, 0x2f, 0xec] } else { [0xa0; 8] };
    let command =
        if world.random.one_in(4) { world.random.pick(&COMMANDS) } else { world.random.pick(&usual) };
    fis[..4].copy_from_slice(&[0x27, 0x80, command as u8, world.random.pick(&[0, 1, 2, 8])]);
    fis[4..8].copy_from_slice(&[
        world.random.below(130) as u8,
        0,
        0,
        world.random.pick(&[0x40, 0x40, 0xe0, 0]),
    ]);
    (fis[12], fis[13]) = (world.random.pick(&[few, few << 3, slot as u8 * 8]), 0);
    if world.random.errs() {
        let at = world.random.below(20) as usize;
        fis[at] = world.random.value() as u8;
    }
    world.poke(table, &fis);
    let packet = packet(world);
    world.poke(table + 0x40, &packet);
    for region in 0..count.min(8) {
        let addr = world.random.address(BUFFERS) & !u64::from(!world.random.errs());
        let len = world.random.len().wrapping_sub(1) | u64::from(!world.random.errs());
        let words = [addr as u32, (addr >> 32) as u32, 0, len as u32 & 0x803f_ffff];
        let words: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        world.poke(table + 0x80 + 16 * region, &words);
    }
}
