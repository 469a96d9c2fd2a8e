//! A small generator of random numbers, and of numbers that devices find interesting.

use crate::memory::RAM;

/// A generator (SplitMix64): all it gives follows from its seed.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
    /// One thing in so many goes wrong; 0 for none.
    wrong: u64,
}

/// Values at which something often changes.
const EDGES: [u64; 16] = [
    0,
    1,
    2,
    3,
    7,
    0x10,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    u64::MAX,
];

/// Ends of the address spaces that there are.
const ENDS: [u64; 8] = [RAM, 0xa_0000, 0x10_0000, 0xfee0_0000, 1 << 32, 1 << 40, (1 << 40) + 0x1_0000, 0];

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self { state: seed, wrong: 0 };
        random.wrong = random.pick(&[0, 0, 300, 100, 30, 8]);
        random
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.state;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Whether something goes wrong here: never in some histories, often in others.
    pub fn errs(&mut self) -> bool {
        self.wrong != 0 && self.one_in(self.wrong)
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    pub fn bytes(&mut self, count: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count as usize + 8);
        while bytes.len() < count as usize {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(count as usize);
        bytes
    }

    /// Small numbers, single bits, numbers at edges, anything.
    pub fn value(&mut self) -> u64 {
        match self.below(8) {
            0 | 1 => self.below(0x100),
            2 => 1 << self.below(64),
            3 => self.pick(&EDGES),
            4 => self.below(0x2_0000),
            5 => (1u64 << self.below(33)).wrapping_sub(1 + self.below(2)),
            _ => self.next(),
        }
    }

    /// In RAM from `from` on, unless it errs: then around the end of something.
    pub fn address(&mut self, from: u64) -> u64 {
        if !self.errs() {
            // Buffers mostly fit.
            let end = if self.one_in(64) { RAM } else { RAM - 0x2000 };
            return from + self.below(end - from);
        }
        match self.below(4) {
            0 => self.pick(&ENDS).wrapping_sub(self.below(64)),
            1 => self.pick(&ENDS).wrapping_sub(self.below(0x2000)),
            2 => RAM - self.below(16),
            _ => self.next(),
        }
    }

    /// A length that mostly suits a request.
    pub fn len(&mut self) -> u64 {
        match self.below(12) {
            0 if self.errs() => 0,
            1 if self.errs() => self.value() & 0xffff_ffff,
            2 => self.below(16),
            3 => self.below(0x2000),
            4 | 5 => 512 * (1 + self.below(8)),
            _ => 1 + self.below(600),
        }
    }

    /// How long until the next thing happens, in nanoseconds.
    pub fn pause(&mut self) -> u64 {
        match self.below(8) {
            0..4 => self.below(2_000),
            4 | 5 => self.below(60_000),
            6 => self.below(3_000_000),
            _ => self.below(3_000_000_000),
        }
    }
}
