//! Operands: random, and at the boundaries of integers, strings and floating-point formats.

use crate::stub::{MEMORY, Machine};

/// splitmix64: seeded, so a failure repeats.
pub struct Random(pub u64);

impl Random {
    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// One of `from`.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Registers and memory for one case; `float` prefers floating-point operands.
    pub fn machine(&mut self, float: bool) -> Machine {
        let mut machine = Machine::default();
        let kind = self.kind(float);
        for value in &mut machine.xmm {
            *value = self.value(kind);
        }
        for value in machine.mm.iter_mut().chain(&mut machine.gpr) {
            *value = self.value(kind) as u64;
        }
        let stored = self.value(kind);
        for (place, byte) in machine.memory.chunks_exact_mut(16).zip(0..) {
            place.copy_from_slice(&stored.wrapping_add(byte - MEMORY as u128 / 32).to_le_bytes());
        }
        if self.below(8) == 0 {
            // Operands that are equal, or nearly so.
            machine.xmm[2] = machine.xmm[1] ^ self.pick(&[0, 0, 1, 1 << 31, 1 << 63, 0xFF << 64]);
            machine.mm[2] = machine.mm[1] ^ self.pick(&[0, 1, 1 << 31, 1 << 63]);
        }
        machine.rax = self.length();
        machine.rdx = self.length();
        machine.rcx = self.next();
        machine.flags = self.next() as u32 & rrvmm_tcg::x86::sse::STATUS_FLAGS;
        machine.mxcsr = self.mxcsr();
        machine
    }

    fn mxcsr(&mut self) -> u32 {
        let masks = if self.below(5) < 3 { 0x1F80 } else { self.next() as u32 & 0x1F80 };
        let flags = if self.below(2) == 0 { 0 } else { self.next() as u32 & 0x3F };
        let rounding = self.next() as u32 & 0x6000;
        let flush = if self.below(2) == 0 { 0 } else { self.next() as u32 & 0x8040 };
        masks | flags | rounding | flush
    }

    fn length(&mut self) -> u64 {
        let length = match self.below(4) {
            0 => self.next(),
            1 => self.pick(&[0, 1, 8, 16, 17, 1 << 31, 1 << 32, 1 << 63, (1 << 32) + 3]),
            _ => self.below(18),
        };
        if self.below(3) == 0 { length.wrapping_neg() } else { length }
    }

    fn kind(&mut self, float: bool) -> Kind {
        if float && self.below(8) != 0 {
            return self.pick(&[Kind::Single, Kind::Double]);
        }
        self.pick(&[Kind::Bits, Kind::Bits, Kind::Letters, Kind::Edges, Kind::Small, Kind::Single])
    }

    fn value(&mut self, kind: Kind) -> u128 {
        match kind {
            Kind::Bits => u128::from(self.next()) << 64 | u128::from(self.next()),
            Kind::Letters => self.lanes(16, |r| r.below(4)),
            Kind::Small => self.lanes(4, |r| r.below(70)),
            Kind::Edges => {
                let count = self.pick(&[16, 8, 4, 2]);
                let top = 1u64 << (128 / count - 1);
                self.lanes(count, |r| {
                    let edge = r.pick(&[0, 1, top - 1, top, top + 1, u64::MAX, top >> 1, 0xFF, 0xFFFF, 0x80]);
                    edge.wrapping_add(r.pick(&[0, 0, 0, 1, u64::MAX]))
                })
            }
            Kind::Single => {
                let near = self.below(256);
                self.lanes(4, |r| r.float(8, 23, near))
            }
            Kind::Double => {
                let near = self.below(2048);
                self.lanes(2, |r| r.float(11, 52, near))
            }
        }
    }

    fn lanes(&mut self, count: u32, mut lane: impl FnMut(&mut Self) -> u64) -> u128 {
        let bits = 128 / count;
        (0..count).fold(0, |value, n| value | (u128::from(lane(self)) & (!0 >> (128 - bits))) << (n * bits))
    }

    /// A float of any class; half of them have exponents near `near`, many are near an integer.
    fn float(&mut self, exponent_bits: u32, fraction_bits: u32, near: u64) -> u64 {
        let max = (1u64 << exponent_bits) - 1;
        let bias = max / 2;
        let exponent = match self.below(12) {
            0 => 0,
            1 => max,
            2 => 1 + self.below(3),
            3 => max - 1 - self.below(3),
            4 => bias + self.below(70),
            5 => bias + self.pick(&[0, 30, 31, 32, 62, 63, 64]),
            6 => bias / 2 + self.below(u64::from(fraction_bits)),
            7..=10 => (near + self.below(5)).min(max),
            _ => self.next() & max,
        };
        let mask = (1u64 << fraction_bits) - 1;
        let run = 1u64 << self.below(fraction_bits.into());
        let fraction = match self.below(6) {
            0 => 0,
            1 => mask,
            2 => run,
            3 => run.wrapping_neg(),
            4 => run.wrapping_sub(1) ^ self.below(4),
            _ => self.next(),
        } & mask;
        (self.below(2) << exponent_bits | exponent) << fraction_bits | fraction
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Bits,
    /// Bytes of a small alphabet with zeros, for string comparison.
    Letters,
    Edges,
    Small,
    Single,
    Double,
}
