//! Virtual time: a function of position and idle jumps, nothing else.

use rrvmm_replay::{Position, VirtualTime};
use serde::{Deserialize, Serialize};

/// Virtual nanoseconds that one instruction takes.
pub const NS_PER_INSTRUCTION: u64 = 1;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Sum of all idle jumps, in nanoseconds.
    idle_ns: u64,
}

impl Clock {
    /// The time at `count` completed instructions.
    #[must_use]
    pub fn at(self, count: u64) -> VirtualTime {
        VirtualTime::from_ns(count.saturating_mul(NS_PER_INSTRUCTION).saturating_add(self.idle_ns))
    }

    /// The first position whose time is `time` or later, seen from `now`; never before `now`.
    #[must_use]
    pub fn position_of(self, time: VirtualTime, now: Position) -> Position {
        let busy = time.ns().saturating_sub(self.idle_ns).div_ceil(NS_PER_INSTRUCTION);
        Position::from_count(busy.max(now.count()))
    }

    /// Lets time pass to `time` without an instruction; does nothing when it has passed already.
    pub fn jump(&mut self, time: VirtualTime, now: Position) {
        self.idle_ns += time.since(self.at(now.count()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_moves_time_and_not_position() {
        let mut clock = Clock::default();
        let now = Position::from_count(1000);
        assert_eq!(clock.at(1000).ns(), 1000);
        clock.jump(VirtualTime::from_ns(5000), now);
        assert_eq!(clock.at(1000).ns(), 5000);
        clock.jump(VirtualTime::from_ns(4000), now);
        assert_eq!(clock.at(1001).ns(), 5001);
        assert_eq!(clock.position_of(VirtualTime::from_ns(6000), now).count(), 2000);
        assert_eq!(clock.position_of(VirtualTime::from_ns(1), now), now);
    }
}
