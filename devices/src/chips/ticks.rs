//! Virtual nanoseconds to and from the ticks of an oscillator.

use rrvmm_replay::VirtualTime;

/// An oscillator that started its first period at power-on.
#[derive(Clone, Copy, Debug)]
pub struct Oscillator {
    hz: u64,
}

const NS_PER_S: u64 = 1_000_000_000;

impl Oscillator {
    /// An oscillator of `hz` hertz.
    #[must_use]
    pub const fn new(hz: u64) -> Self {
        Self { hz }
    }

    /// Whole periods completed at `now`.
    #[must_use]
    pub const fn ticks(self, now: VirtualTime) -> u64 {
        match now.ns().checked_mul(self.hz) {
            Some(product) => product / NS_PER_S,
            None => (now.ns() as u128 * self.hz as u128 / NS_PER_S as u128) as u64,
        }
    }

    /// The first instant at which [`Self::ticks`] is at least `tick`; the end of time if that is never.
    #[must_use]
    pub const fn instant(self, tick: u64) -> VirtualTime {
        match tick.checked_mul(NS_PER_S) {
            Some(product) => VirtualTime::from_ns(product.div_ceil(self.hz)),
            None => {
                let ns = (tick as u128 * NS_PER_S as u128).div_ceil(self.hz as u128);
                VirtualTime::from_ns(if ns > u64::MAX as u128 { u64::MAX } else { ns as u64 })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_begins_at_its_instant_and_not_a_nanosecond_before() {
        let pit = Oscillator::new(1_193_182);
        for tick in [1, 2, 65_536, 1_193_182, 1 << 40] {
            let at = pit.instant(tick);
            assert_eq!(pit.ticks(at), tick);
            assert_eq!(pit.ticks(VirtualTime::from_ns(at.ns() - 1)), tick - 1);
        }
    }
}
