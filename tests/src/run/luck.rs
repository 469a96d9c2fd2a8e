//! Random numbers for tests, from a seed that a failure message can name.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// A generator of pseudo-random numbers (SplitMix64).
#[derive(Clone, Copy, Debug)]
pub struct Luck {
    seed: u64,
    state: u64,
}

impl Luck {
    /// Seeded by `$SEED` if set, else anew at each run.
    #[must_use]
    pub fn new() -> Self {
        let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        Self { seed, state: seed }
    }

    /// Seeded by `seed`, whatever the environment says.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// What to set `$SEED` to for the same numbers.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The next number, of all 64-bit numbers.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    /// True once in `times` times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of a list that is not empty.
    pub fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// A value of the kind that finds bugs: anything, small, near a power of two, or made of few bits.
    pub fn value(&mut self) -> u64 {
        let value = match self.below(6) {
            0 => self.below(256),
            1 => (1u64 << self.below(64)).wrapping_add(self.below(3)).wrapping_sub(1),
            2 => self.bits() & self.bits() & self.bits(),
            3 => u64::MAX << self.below(64),
            _ => self.bits(),
        };
        if self.once_in(8) { value.wrapping_neg() } else { value }
    }

    /// A time below `bound`, in steps of a microsecond.
    pub fn pause(&mut self, bound: Duration) -> Duration {
        let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.below(micros))
    }
}

impl Default for Luck {
    fn default() -> Self {
        Self::new()
    }
}
