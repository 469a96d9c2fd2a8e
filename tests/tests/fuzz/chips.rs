//! The chips of the board, each by a table of its registers with the values that mean something there.

use crate::random::Random;
use crate::world::World;
use rrvmm_devices::bus::Width;
use rrvmm_devices::{Button, Input, Key, Pointer};

/// What a driver writes to some ports or addresses.
pub struct Chip {
    /// Ports, with values that mean something there.
    pub ports: &'static [(u16, &'static [u64])],
    /// Addresses, with such values.
    pub memory: &'static [(u64, &'static [u64])],
    /// Writes to ports that set it up.
    pub start: &'static [(u16, u64)],
    /// Writes of four bytes to addresses that do.
    pub memory_start: &'static [(u64, u64)],
}

const NOTHING: Chip = Chip { ports: &[], memory: &[], start: &[], memory_start: &[] };

pub const PS2: Chip = Chip {
    ports: &[
        (
            0x64,
            &[
                0x20, 0x60, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xad, 0xae, 0xc0, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4,
                0xd4, 0xd4, 0xdd, 0xdf, 0xe0, 0xf0, 0xff,
            ],
        ),
        (
            0x60,
            &[
                0x47, 0x03, 0xed, 0x07, 0xee, 0xf0, 1, 2, 3, 0xf2, 0xf3, 0x20, 200, 100, 80, 0xf4, 0xf5,
                0xf6, 0xfe, 0xff, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xee, 0xfb,
            ],
        ),
        (0x60, &[0xf4]),
        (0x92, &[0, 2, 3, 0xfd]),
    ],
    start: &[(0x64, 0x60), (0x60, 0x47), (0x64, 0xd4), (0x60, 0xf4), (0x60, 0xf4)],
    ..NOTHING
};

pub const PIT: Chip = Chip {
    ports: &[
        (
            0x43,
            &[
                0x34, 0x36, 0x30, 0x32, 0x38, 0x3a, 0x14, 0x24, 0x74, 0xb0, 0xb6, 0xb4, 0x00, 0x40, 0x80,
                0xc2, 0xce, 0xd8, 0xe2, 0xf0, 0x35, 0x3f,
            ],
        ),
        (0x40, &[0, 1, 2, 0xff, 0x99, 0x10]),
        (0x41, &[0, 1, 0xff]),
        (0x42, &[0, 1, 2, 0xff]),
        (0x61, &[0, 1, 2, 3, 0xff]),
    ],
    start: &[(0x43, 0x34), (0x40, 0), (0x40, 1)],
    ..NOTHING
};

pub const RTC: Chip = Chip {
    ports: &[
        (0x70, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xa, 0xa, 0xb, 0xb, 0xc, 0xc, 0xd, 0xe, 0x32, 0x80, 0xff]),
        (
            0x71,
            &[
                0x20, 0x2f, 0x21, 0x26, 0x02, 0x82, 0x72, 0x42, 0x12, 0x07, 0x06, 0, 0x59, 0x23, 0x92, 0xc0,
                0xff, 0x60,
            ],
        ),
        (0x71, &[0x26, 0x72]),
    ],
    start: &[(0x70, 0x0a), (0x71, 0x23), (0x70, 0x0b), (0x71, 0x72)],
    ..NOTHING
};

pub const PIC: Chip = Chip {
    ports: &[
        (0x20, &[0x11, 0x13, 0x19, 0x20, 0x60, 0x67, 0x0a, 0x0b, 0x0c, 0x68, 0x48, 0xa0, 0xc0, 0x80, 0x00]),
        (0x21, &[0x20, 4, 1, 3, 0x1f, 0, 0xff, 0xfb, 0x08]),
        (0xa0, &[0x11, 0x20, 0x60, 0x0a, 0x0b, 0x0c, 0x68]),
        (0xa1, &[0x28, 2, 1, 3, 0, 0xff]),
        (0x4d0, &[0, 0xff, 0x20]),
        (0x4d1, &[0, 0xff, 0x0c]),
        (0x43, &[0x34, 0x30]),
        (0x40, &[0, 2]),
    ],
    start: &[
        (0x20, 0x11),
        (0x21, 0x20),
        (0x21, 4),
        (0x21, 1),
        (0xa0, 0x11),
        (0xa1, 0x28),
        (0xa1, 2),
        (0xa1, 1),
        (0x21, 0),
        (0xa1, 0),
    ],
    ..NOTHING
};

pub const UART: Chip = Chip {
    ports: &[
        (0x3f8, &[0x41, 1, 12, 0]),
        (0x3f9, &[0, 1, 2, 3, 7, 0xf]),
        (0x3fa, &[0, 1, 7, 0x41, 0x81, 0xc7]),
        (0x3fb, &[3, 0x83, 0x1f, 0x43]),
        (0x3fc, &[0, 8, 0xb, 0x1b, 0x13]),
        (0x3fd, &[0]),
        (0x3fe, &[0]),
        (0x3ff, &[0x55]),
        (0x2f8, &[0x41, 1]),
        (0x2f9, &[0, 3, 0xf]),
        (0x2fa, &[1, 7]),
        (0x2fb, &[3, 0x83]),
        (0x2fc, &[8, 0xb, 0x1b]),
    ],
    start: &[(0x3fb, 3), (0x3fa, 0x81), (0x3f9, 1), (0x3fc, 0x0b), (0x21, 0)],
    ..NOTHING
};

pub const LOCAL_APIC: Chip = Chip {
    memory: &[
        (0xfee0_0020, &[0]),
        (0xfee0_0080, &[0, 0x20, 0xf0, 0xff]),
        (0xfee0_00a0, &[0]),
        (0xfee0_00b0, &[0]),
        (0xfee0_00d0, &[0x100_0000, 0xff00_0000]),
        (0xfee0_00e0, &[0xffff_ffff, 0x0fff_ffff]),
        (0xfee0_00f0, &[0x1ff, 0xff, 0x10f, 0x3ff]),
        (0xfee0_0100, &[0]),
        (0xfee0_0200, &[0]),
        (0xfee0_0280, &[0]),
        (0xfee0_02f0, &[0x10030, 0x30]),
        (
            0xfee0_0300,
            &[0x4_0030, 0x4_0031, 0x8_0032, 0xc_0033, 0x30, 0x400, 0x500, 0x600, 0x4_0400, 0xc500, 0x4_000f],
        ),
        (0xfee0_0310, &[0, 0x100_0000, 0xff00_0000]),
        (0xfee0_0320, &[0x31, 0x2_0031, 0x4_0031, 0x1_0031, 0x6_0031]),
        (0xfee0_0350, &[0x700, 0x1_0700, 0x30, 0x8030, 0x400]),
        (0xfee0_0360, &[0x400, 0x1_0400]),
        (0xfee0_0370, &[0x32, 0x1_0000]),
        (0xfee0_0380, &[0, 1, 100, 5000, 0xffff_ffff]),
        (0xfee0_0390, &[0]),
        (0xfee0_03e0, &[0, 1, 2, 3, 8, 9, 0xa, 0xb]),
    ],
    memory_start: &[(0xfee0_00f0, 0x1ff), (0xfee0_0320, 0x2_0031), (0xfee0_03e0, 3), (0xfee0_0380, 5000)],
    ..NOTHING
};

pub const IO_APIC: Chip = Chip {
    memory: &[
        (
            0xfec0_0000,
            &[0, 1, 2, 0x10, 0x12, 0x14, 0x15, 0x18, 0x20, 0x22, 0x30, 0x32, 0x38, 0x3f, 0x40, 0xff],
        ),
        (0xfec0_0000, &[0x14, 0x18, 0x22, 0x20]),
        (0xfec0_0010, &[0x30, 0x1_0030, 0x8031, 0xa032, 0x430, 0x730, 0x130, 0x900, 0xff00_0000, 0x8_031, 0]),
        (0xfec0_0010, &[0x34, 0x8038]),
        (0xfee0_00b0, &[0]),
        (0xfee0_00f0, &[0x1ff]),
    ],
    ports: &[
        (0x43, &[0x34, 0x30]),
        (0x40, &[0, 2]),
        (0x64, &[0xd2]),
        (0x60, &[0x55]),
        (0x3f9, &[2, 0]),
        (0x3fc, &[8]),
    ],
    memory_start: &[
        (0xfee0_00f0, 0x1ff),
        (0xfec0_0000, 0x14),
        (0xfec0_0010, 0x30),
        (0xfec0_0000, 0x18),
        (0xfec0_0010, 0x8034),
    ],
    start: &[(0x43, 0x34), (0x40, 0), (0x40, 2)],
};

pub const HPET: Chip = Chip {
    memory: &[
        (0xfed0_0000, &[0]),
        (0xfed0_0010, &[0, 1, 2, 3]),
        (0xfed0_0010, &[1, 3]),
        (0xfed0_0020, &[1, 2, 4, 7]),
        (0xfed0_00f0, &[0, 0xffff_ff00, 1 << 40]),
        (0xfed0_00f4, &[0, 1]),
        (0xfed0_0100, &[4, 0xc, 0x4c, 0x284e, 0x104, 0x2806, 0x4004, 0x284c]),
        (0xfed0_0108, &[0, 1, 1000, 3000, 0xffff_ffff, u64::MAX]),
        (0xfed0_010c, &[0, 1]),
        (0xfed0_0120, &[0x2804, 0x2806, 4, 0x104]),
        (0xfed0_0128, &[0, 500, 9000]),
        (0xfed0_0140, &[0x2a06, 0x2e04]),
        (0xfed0_0148, &[1, 4000]),
        (0xfec0_0000, &[0x14, 0x38, 0x3a]),
        (0xfec0_0010, &[0x30, 0x8034]),
    ],
    memory_start: &[
        (0xfee0_00f0, 0x1ff),
        (0xfec0_0000, 0x38),
        (0xfec0_0010, 0x8038),
        (0xfed0_0010, 1),
        (0xfed0_0100, 0x284e),
        (0xfed0_0108, 3000),
        (0xfed0_0128, 9000),
        (0xfed0_0120, 0x2804),
    ],
    ..NOTHING
};

pub const ACPI: Chip = Chip {
    ports: &[
        (0x600, &[0, 1, 0x20, 0x100, 0x8000, 0xffff]),
        (0x602, &[0, 1, 0x100, 0x121, 0x400]),
        (0x604, &[0, 1, 0x2000, 0x3400, 0x1c00, 0x2001, 0x3c01]),
        (0x608, &[0]),
        (0xafe0, &[0, 0xff]),
        (0xafe2, &[0, 1, 0xff]),
        (0xb2, &[0xf0, 0xf1, 0]),
        (0xb3, &[0, 1]),
        (0xcf9, &[0, 2, 4, 6, 0xe]),
        (0xe9, &[0x41]),
        (0x402, &[0x41]),
        (0xf4, &[0, 1]),
        (0x80, &[0]),
    ],
    start: &[(0x602, 1), (0x21, 0), (0xa1, 0)],
    ..NOTHING
};

pub const FW_CFG: Chip = Chip {
    ports: &[
        (0x510, &[0, 1, 5, 0x19, 0x20, 0x21, 0x8002, 0xffff]),
        (0x511, &[0]),
        (0x511, &[0]),
        (0x514, &[0]),
    ],
    ..NOTHING
};

impl Chip {
    pub fn set_up(&self, world: &mut World) {
        for (port, value) in self.start {
            world.outb(*port, *value);
        }
        for (address, value) in self.memory_start {
            world.write(*address, Width::B4, *value);
        }
    }

    /// One thing that a driver does.
    pub fn step(&self, world: &mut World) {
        let random = &mut world.random;
        let n = random.below((self.ports.len() + self.memory.len()) as u64) as usize;
        let is_read = random.one_in(3);
        let value = |random: &mut Random, values: &[u64]| {
            if random.one_in(4) { random.value() } else { random.pick(values) }
        };
        if let Some((port, values)) = self.ports.get(n) {
            let width = random.pick(&[Width::B1, Width::B1, Width::B1, Width::B1, Width::B2, Width::B4]);
            let port = if random.one_in(24) { port.wrapping_add(random.below(4) as u16) } else { *port };
            let value = value(random, values);
            if is_read { _ = world.port_in(port, width) } else { world.port_out(port, width, value) }
        } else {
            let (address, values) = self.memory[n - self.ports.len()];
            let width =
                random.pick(&[Width::B4, Width::B4, Width::B4, Width::B4, Width::B8, Width::B2, Width::B1]);
            let address = if random.one_in(24) { address + random.below(0x400) } else { address };
            let value = value(random, values);
            if is_read { _ = world.read(address, width) } else { world.write(address, width, value) }
        }
    }
}

/// Something arrives from outside.
pub fn input(world: &mut World) {
    let random = &mut world.random;
    let (a, b) = (random.value() as i16, random.value() as i16);
    let button = random.pick(&[Button::Left, Button::Middle, Button::Right]);
    let len = random.below(40);
    let input = match random.below(10) {
        0 | 1 => Input::Key { key: random.pick(Key::ALL), down: random.one_in(2) },
        2 => Input::Pointer(Pointer::Move { dx: a, dy: b }),
        3 => Input::Pointer(Pointer::Place { x: a as u16, y: b as u16 }),
        4 => Input::Pointer(Pointer::Button { button, down: a & 1 != 0 }),
        5 => Input::Pointer(Pointer::Wheel { notches: a as i8 }),
        6 => Input::Serial { port: random.below(3) as u8, bytes: random.bytes(len) },
        7 => Input::Console { port: random.below(3) as u8, bytes: random.bytes(len) },
        8 => Input::PowerButton,
        _ => Input::WallClock {
            unix_seconds: if random.one_in(2) { random.next() as i64 } else { random.below(1 << 33) as i64 },
        },
    };
    world.input(input);
}

/// Registers of the processor that are the board's.
pub fn processor(world: &mut World) {
    let value = world.random.value();
    let now = world.time();
    match world.random.below(6) {
        0 => world.pc.set_tpr(now, value as u8),
        1 => {
            let base = world.random.pick(&[0xfee0_0900, 0xfee0_0100, value, 0xfee0_0900]);
            let taken = world.pc.set_apic_base(now, base).is_ok();
            world.see(u64::from(taken));
        }
        2..4 => world.pc.set_tsc_deadline(now, world.now.wrapping_add(value & 0xf_ffff)),
        _ => {
            let deadline = world.pc.tsc_deadline(now);
            world.see(deadline);
        }
    }
    world.after_access();
}

/// One thing that a driver of the display does.
pub fn step_vga(world: &mut World) {
    const PORTS: [u16; 14] =
        [0x3c0, 0x3c1, 0x3c2, 0x3c4, 0x3c5, 0x3c7, 0x3c8, 0x3c9, 0x3ce, 0x3cf, 0x3d4, 0x3d5, 0x3da, 0x3cc];
    let random = &mut world.random;
    let value = random.value();
    match random.below(16) {
        0..4 => {
            let (index, most) = random.pick(&[(0x3c4, 8), (0x3ce, 16), (0x3d4, 0x30), (0x3c0, 0x40)]);
            let register = random.below(most);
            world.outb(index, register);
            world.outb(if index == 0x3c0 { index } else { index + 1 }, value);
        }
        4 | 5 => {
            let (register, value) = (
                random.below(0xc),
                random.pick(&[0, 1, 4, 8, 15, 16, 24, 32, 640, 1024, 1920, 0x41, 0xe1, 0xb0c5, value]),
            );
            world.port_out(0x1ce, Width::B2, register);
            world.port_out(0x1cf, Width::B2, value);
            if world.random.one_in(2) {
                world.port_in(0x1cf, Width::B2);
            }
        }
        6..9 => {
            let (at, width) = (
                0xa_0000 + random.below(0x2_0000 - 8),
                random.pick(&[Width::B1, Width::B2, Width::B4, Width::B8]),
            );
            world.write(at, width, value);
        }
        9 | 10 => {
            let (at, width) = (
                0xa_0000 + random.below(0x2_0000 - 8),
                random.pick(&[Width::B1, Width::B2, Width::B4, Width::B8]),
            );
            world.read(at, width);
        }
        11 => {
            // The registers in memory.
            let offset = random.pick(&[0x400, 0x500, 0x600, 0]) + random.below(0x20);
            let (width, write) = (random.pick(&[Width::B1, Width::B2, Width::B4]), random.one_in(2));
            let at = world.bars[2].wrapping_add(offset);
            if write { world.write(at, width, value) } else { _ = world.read(at, width) }
        }
        12 | 13 => {
            let port = random.pick(&PORTS);
            world.port_in(port, Width::B1);
        }
        _ => {
            let (port, width) = (random.pick(&PORTS), random.pick(&[Width::B1, Width::B1, Width::B2]));
            world.port_out(port, width, value);
        }
    }
}

/// A mode with a linear frame buffer, or one of the planes.
pub fn set_up_vga(world: &mut World) {
    let (depth, linear) =
        (world.random.pick(&[4, 8, 15, 16, 24, 32]), world.random.pick(&[0x01, 0x41, 0xc1, 0x61]));
    for (register, value) in [(4, 0), (1, 320), (2, 200), (3, depth), (4, linear)] {
        world.port_out(0x1ce, Width::B2, register);
        world.port_out(0x1cf, Width::B2, value);
    }
}

/// What the screen shows, now and then: drawing takes long.
pub fn draw(world: &mut World) {
    let frame = world.pc.frame(world.ram.video());
    let shown = format!("{frame:?}");
    world.see(shown.len() as u64);
}

/// Configuration space by its two ports, and what is behind the windows of any function.
pub fn step_pci(world: &mut World) {
    let random = &mut world.random;
    let value = if random.one_in(3) { random.address(0) } else { random.value() };
    match random.below(8) {
        0 => {
            let devfn = random.pick(&[0, 8, 9, 0xb, 0x10, 0x18, 0x20, 0x28, 0x30]);
            let address = 1 << 31 | devfn << 8 | random.next() & 0xfc;
            world.port_out(0xcf8, Width::B4, address);
        }
        1 => {
            let (port, width) =
                (0xcf8 + random.below(8) as u16, random.pick(&[Width::B1, Width::B2, Width::B4]));
            // Nothing is left of a machine that is reset this way.
            let value = if port == 0xcf9 && width == Width::B1 { value & !4 } else { value };
            world.port_out(port, width, value);
        }
        2 => {
            let (port, width) =
                (0xcf8 + random.below(8) as u16, random.pick(&[Width::B1, Width::B2, Width::B4]));
            world.port_in(port, width);
        }
        3 => {
            // Routing of interrupts, shadowing of ROM, the place of power management.
            let (devfn, offset) = random.pick(&[
                (8, 0x60),
                (8, 0x61),
                (0, 0x59),
                (0, 0x5a),
                (0, 0x72),
                (0xb, 0x40),
                (0xb, 0x80),
                (0x10, 0x30),
            ]);
            world.write_config(devfn, offset, Width::B1, value);
        }
        4 => {
            let devfn = random.pick(&[0x10, 0x18, 0x20, 0x28]);
            world.devfn = devfn;
            world.find_bars();
        }
        5 => {
            let bar = 0x10 + 4 * random.below(6) as u8;
            world.write_config(world.devfn, bar, Width::B4, value);
            world.find_bars();
        }
        6 => {
            let (bar, offset, width) = (
                random.below(6) as usize,
                random.below(0x8000),
                random.pick(&[Width::B1, Width::B4, Width::B8]),
            );
            let at = world.bars[bar].wrapping_add(offset);
            if random.one_in(2) { _ = world.read(at, width) } else { world.write(at, width, value) }
        }
        _ => {
            let command = random.pick(&[7, 0, 3, 6, 0x407]);
            world.write_config(world.devfn, 4, Width::B2, command);
        }
    }
}
