//! Virtual time: a function of position and idle jumps, nothing else.

use rrvmm_replay::{Position, VirtualTime};
use serde::{Deserialize, Serialize};

/// Virtual nanoseconds that one instruction takes.
pub const NS_PER_INSTRUCTION: u64 = 1;

/// Virtual nanoseconds that one access to a device takes, where accesses are the measure.
pub const NS_PER_ACCESS: u64 = 500;

/// What makes time go on while the machine runs. No part of the state: it belongs to the CPU model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measure {
    /// Each instruction.
    #[default]
    Instructions,
    /// Each access to a device, and what the host's clock says ([`rrvmm_devices::Input::Time`]): where not all instructions
    /// are counted.
    Accesses,
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Sum of all jumps, in nanoseconds: in sleep, and all others where instructions are not the measure.
    idle_ns: u64,
    #[serde(skip)]
    measure: Measure,
}

impl Clock {
    /// A clock at power-on.
    #[must_use]
    pub fn new(measure: Measure) -> Self {
        Self { idle_ns: 0, measure }
    }

    /// What makes it go on.
    #[must_use]
    pub fn measure(self) -> Measure {
        self.measure
    }

    /// Shows what `saved` does.
    pub fn restore(&mut self, saved: Clock) {
        self.idle_ns = saved.idle_ns;
    }

    /// The time at `count` completed instructions.
    #[must_use]
    pub fn at(self, count: u64) -> VirtualTime {
        let busy = match self.measure {
            Measure::Instructions => count.saturating_mul(NS_PER_INSTRUCTION),
            Measure::Accesses => 0,
        };
        VirtualTime::from_ns(busy.saturating_add(self.idle_ns))
    }

    /// The first position whose time is `time` or later, seen from `now`; never before `now`. None where the position does
    /// not say.
    #[must_use]
    pub fn position_of(self, time: VirtualTime, now: Position) -> Option<Position> {
        match self.measure {
            Measure::Instructions => {
                let busy = time.ns().saturating_sub(self.idle_ns).div_ceil(NS_PER_INSTRUCTION);
                Some(Position::from_count(busy.max(now.count())))
            }
            Measure::Accesses => None,
        }
    }

    /// Lets time pass to `time` without an instruction; does nothing when it has passed already.
    pub fn jump(&mut self, time: VirtualTime, now: Position) {
        self.idle_ns += time.since(self.at(now.count()));
    }

    /// A device is accessed.
    pub fn access(&mut self) {
        match self.measure {
            Measure::Instructions => {}
            Measure::Accesses => self.idle_ns += NS_PER_ACCESS,
        }
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
        assert_eq!(clock.position_of(VirtualTime::from_ns(6000), now), Some(Position::from_count(2000)));
        assert_eq!(clock.position_of(VirtualTime::from_ns(1), now), Some(now));
        clock.access();
        assert_eq!(clock.at(1001).ns(), 5001);
    }

    #[test]
    fn where_accesses_are_the_measure_instructions_are_not() {
        let mut clock = Clock::new(Measure::Accesses);
        assert_eq!(clock.at(1000).ns(), 0);
        clock.access();
        clock.jump(VirtualTime::from_ns(2 * NS_PER_ACCESS), Position::from_count(5));
        assert_eq!(clock.at(0).ns(), 2 * NS_PER_ACCESS);
        assert_eq!(clock.position_of(VirtualTime::from_ns(1 << 20), Position::START), None);
    }
}
