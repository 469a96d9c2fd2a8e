//! The local APIC's timer (Intel SDM volume 3, 11.5.4): one-shot, periodic and TSC-deadline.

use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

/// What the timer's local vector table entry selects (bits 18 and 17).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimerMode {
    /// Counts down once.
    #[default]
    OneShot,
    /// Counts down again and again.
    Periodic,
    /// Expires when the time stamp counter reaches a value.
    TscDeadline,
}

impl TimerMode {
    /// The mode in a local vector table entry; the reserved value counts once.
    #[must_use]
    pub fn from_lvt(entry: u32) -> Self {
        match entry >> 17 & 3 {
            1 => TimerMode::Periodic,
            2 => TimerMode::TscDeadline,
            _ => TimerMode::OneShot,
        }
    }
}

/// The timer. Its clock runs at 1 GHz, so one count lasts as many nanoseconds as the divisor says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LapicTimer {
    mode: TimerMode,
    divide_configuration: u32,
    initial: u32,
    /// The current count at `since`; 0 when the timer has stopped.
    count: u32,
    since: VirtualTime,
    /// IA32_TSC_DEADLINE in nanoseconds; 0 when disarmed.
    deadline_ns: u64,
}

impl LapicTimer {
    /// Brings the timer to `now`. True if it has expired since the last time.
    #[must_use]
    pub fn advance(&mut self, now: VirtualTime) -> bool {
        let Some(expiry) = self.expiry().filter(|at| *at <= now) else { return false };
        match self.mode {
            TimerMode::TscDeadline => self.deadline_ns = 0,
            TimerMode::OneShot => self.count = 0,
            TimerMode::Periodic => {
                let period = u64::from(self.initial) * self.divisor();
                // A period of zero cannot be: the initial count that made it expire was not zero.
                let periods = now.since(expiry) / period.max(1);
                self.since = expiry.after(periods * period);
                self.count = self.initial;
            }
        }
        true
    }

    /// When the timer expires next.
    #[must_use]
    pub fn expiry(&self) -> Option<VirtualTime> {
        match self.mode {
            TimerMode::TscDeadline => (self.deadline_ns != 0).then(|| VirtualTime::from_ns(self.deadline_ns)),
            TimerMode::OneShot | TimerMode::Periodic => {
                (self.count != 0).then(|| self.since.after(u64::from(self.count) * self.divisor()))
            }
        }
    }

    /// Selects the mode. Entering or leaving TSC-deadline mode disarms the timer (SDM 11.5.4.1).
    pub fn set_mode(&mut self, mode: TimerMode) {
        if (mode == TimerMode::TscDeadline) != (self.mode == TimerMode::TscDeadline) {
            self.deadline_ns = 0;
            self.count = 0;
        }
        self.mode = mode;
    }

    /// The initial count register.
    #[must_use]
    pub fn initial_count(&self) -> u32 {
        self.initial
    }

    /// Writes the initial count register: starts the timer, or stops it with zero. Without effect in TSC-deadline mode.
    pub fn set_initial_count(&mut self, now: VirtualTime, value: u32) {
        if self.mode != TimerMode::TscDeadline {
            self.initial = value;
            self.count = value;
            self.since = now;
        }
    }

    /// The current count register. The timer must have been advanced to `now`.
    #[must_use]
    pub fn current_count(&self, now: VirtualTime) -> u32 {
        if self.mode == TimerMode::TscDeadline {
            return 0;
        }
        self.count - (now.since(self.since) / self.divisor()).min(u64::from(self.count)) as u32
    }

    /// The divide configuration register.
    #[must_use]
    pub fn divide_configuration(&self) -> u32 {
        self.divide_configuration
    }

    /// Writes the divide configuration register; a running count goes on at the new rate.
    pub fn set_divide_configuration(&mut self, now: VirtualTime, value: u32) {
        self.count = self.current_count(now);
        self.since = now;
        self.divide_configuration = value & 0x0b;
    }

    /// IA32_TSC_DEADLINE, in nanoseconds.
    #[must_use]
    pub fn tsc_deadline(&self) -> u64 {
        self.deadline_ns
    }

    /// Writes IA32_TSC_DEADLINE. Without effect in the other modes.
    pub fn set_tsc_deadline(&mut self, value: u64) {
        if self.mode == TimerMode::TscDeadline {
            self.deadline_ns = value;
        }
    }

    fn divisor(&self) -> u64 {
        // Bits 3, 1 and 0: 0 is by 2, 6 is by 128, 7 is by 1.
        let selected = self.divide_configuration & 3 | self.divide_configuration >> 1 & 4;
        1 << ((selected + 1) & 7)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> VirtualTime {
        VirtualTime::from_ns(ns)
    }

    #[test]
    fn one_shot_counts_down_by_the_divisor_and_stops() {
        let mut timer = LapicTimer::default();
        timer.set_divide_configuration(at(0), 0x3);
        timer.set_initial_count(at(1000), 100);
        assert_eq!(timer.expiry(), Some(at(1000 + 1600)));
        assert_eq!(timer.current_count(at(1000 + 160)), 90);
        assert!(!timer.advance(at(2599)));
        assert!(timer.advance(at(2600)));
        assert_eq!((timer.current_count(at(9999)), timer.expiry()), (0, None));
        assert_eq!(timer.initial_count(), 100);
    }

    #[test]
    fn every_divisor() {
        let divisors = [(0x0, 2), (0x1, 4), (0x2, 8), (0x3, 16), (0x8, 32), (0x9, 64), (0xa, 128), (0xb, 1)];
        for (value, divisor) in divisors {
            let mut timer = LapicTimer::default();
            timer.set_divide_configuration(at(0), value);
            assert_eq!(timer.divisor(), divisor);
        }
    }

    #[test]
    fn periodic_keeps_its_phase_however_late_it_is_looked_at() {
        let mut timer = LapicTimer::default();
        timer.set_mode(TimerMode::Periodic);
        timer.set_divide_configuration(at(0), 0xb);
        timer.set_initial_count(at(5), 1000);
        assert!(timer.advance(at(7_500)));
        assert_eq!(timer.expiry(), Some(at(8_005)));
        assert_eq!(timer.current_count(at(7_505)), 500);
    }

    #[test]
    fn a_new_divisor_keeps_the_count() {
        let mut timer = LapicTimer::default();
        timer.set_initial_count(at(0), 100);
        timer.set_divide_configuration(at(100), 0xb);
        assert_eq!(timer.current_count(at(100)), 50);
        assert_eq!(timer.expiry(), Some(at(150)));
    }

    #[test]
    fn tsc_deadline_fires_once_and_only_in_its_mode() {
        let mut timer = LapicTimer::default();
        timer.set_tsc_deadline(500);
        assert_eq!(timer.tsc_deadline(), 0);
        timer.set_mode(TimerMode::TscDeadline);
        timer.set_tsc_deadline(500);
        assert!(timer.advance(at(500)));
        assert_eq!((timer.tsc_deadline(), timer.advance(at(501))), (0, false));
        timer.set_tsc_deadline(900);
        timer.set_mode(TimerMode::OneShot);
        assert_eq!(timer.expiry(), None);
    }
}
