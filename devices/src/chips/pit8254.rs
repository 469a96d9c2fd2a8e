//! 8254 programmable interval timer, and the PC's port 0x61 (Intel 8254 datasheet).

use crate::chips::pit_counter::Counter;
use crate::chips::ticks::Oscillator;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

/// The clock of all three counters: a twelfth of 14.31818 MHz.
const CLOCK: Oscillator = Oscillator::new(1_193_182);
/// The refresh bit of port 0x61 toggles at this interval.
const REFRESH_NS: u64 = 15_085;
/// Which counter makes sound.
const SPEAKER: usize = 2;

/// The chip and port 0x61.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pit8254 {
    counters: [Counter; 3],
    /// Rises of counter 0's OUT have been reported up to this tick.
    reported: u64,
    /// Port 0x61's lower four bits: gate 2, speaker, parity and channel check enables.
    control: u8,
}

impl Default for Pit8254 {
    fn default() -> Self {
        Self {
            counters: [Counter::new(true), Counter::new(true), Counter::new(false)],
            reported: 0,
            control: 0,
        }
    }
}

impl Pit8254 {
    /// Returns to the state at power-on.
    pub fn reset(&mut self, now: VirtualTime) {
        *self = Self { reported: CLOCK.ticks(now), ..Self::default() };
    }

    /// Brings the chip to `now`. True if counter 0's OUT has risen since the last time.
    #[must_use]
    pub fn advance(&mut self, now: VirtualTime) -> bool {
        let tick = CLOCK.ticks(now);
        let rose = self.counters[0].next_rise(self.reported).is_some_and(|at| at <= tick);
        for counter in &mut self.counters {
            counter.advance(tick);
        }
        self.reported = tick;
        rose
    }

    /// When counter 0's OUT rises next.
    #[must_use]
    pub fn deadline(&self) -> Option<VirtualTime> {
        self.counters[0].next_rise(self.reported).map(|tick| CLOCK.instant(tick))
    }

    /// The guest reads port 0x40 to 0x43. The chip must have been advanced to `now`.
    pub fn read(&mut self, now: VirtualTime, port: u16) -> u8 {
        match port & 3 {
            // The control word cannot be read.
            3 => 0xff,
            n => self.counters[usize::from(n)].read(CLOCK.ticks(now)),
        }
    }

    /// The guest writes port 0x40 to 0x43. The chip must have been advanced to `now`. True if that raised counter 0's OUT.
    #[must_use]
    pub fn write(&mut self, now: VirtualTime, port: u16, value: u8) -> bool {
        let tick = CLOCK.ticks(now);
        let before = self.counters[0].out(tick);
        match (port & 3, value >> 6) {
            (3, 3) => self.read_back(tick, value),
            (3, n) if value & 0x30 == 0 => self.counters[usize::from(n)].latch_count(tick),
            (3, n) => self.counters[usize::from(n)].write_control(value & 0x3f),
            (n, _) => self.counters[usize::from(n)].write(tick, value),
        }
        !before && self.counters[0].out(tick)
    }

    /// The guest reads port 0x61.
    #[must_use]
    pub fn read_control(&self, now: VirtualTime) -> u8 {
        let refresh = ((now.ns() / REFRESH_NS) & 1) as u8;
        let out = u8::from(self.counters[SPEAKER].out(CLOCK.ticks(now)));
        self.control | refresh << 4 | out << 5
    }

    /// The guest writes port 0x61.
    pub fn write_control(&mut self, now: VirtualTime, value: u8) {
        self.control = value & 0x0f;
        self.counters[SPEAKER].set_gate(CLOCK.ticks(now), value & 1 != 0);
    }

    fn read_back(&mut self, tick: u64, value: u8) {
        for (n, counter) in self.counters.iter_mut().enumerate() {
            if value & 2 << n != 0 {
                if value & 0x20 == 0 {
                    counter.latch_count(tick);
                }
                if value & 0x10 == 0 {
                    counter.latch_status(tick);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> VirtualTime {
        VirtualTime::from_ns(ns)
    }

    fn rate(pit: &mut Pit8254, divisor: u16) {
        let _ = pit.write(at(0), 0x43, 0x34);
        let _ = pit.write(at(0), 0x40, divisor as u8);
        let _ = pit.write(at(0), 0x40, (divisor >> 8) as u8);
    }

    #[test]
    fn rate_generator_interrupts_at_its_frequency_without_drift() {
        let mut pit = Pit8254::default();
        rate(&mut pit, 11_932);
        let mut rises = 0;
        while let Some(due) = pit.deadline().filter(|due| due.ns() <= 1_000_000_000) {
            assert!(!pit.advance(at(due.ns() - 1)));
            assert!(pit.advance(due));
            rises += 1;
        }
        assert_eq!(rises, 99, "1193182 / 11932");
    }

    #[test]
    fn rises_that_nobody_watched_are_one() {
        let mut pit = Pit8254::default();
        rate(&mut pit, 100);
        assert!(pit.advance(at(5_000_000)));
        assert!(!pit.advance(at(5_000_000)));
    }

    #[test]
    fn read_back_latches_count_and_status_of_several_counters() {
        let mut pit = Pit8254::default();
        rate(&mut pit, 1000);
        let _ = pit.write(at(0), 0x43, 0xc2);
        assert_eq!(pit.read(at(0), 0x40), 0xb4);
        assert_eq!((pit.read(at(0), 0x40), pit.read(at(0), 0x40)), (0xe8, 0x03));
    }

    #[test]
    fn port_61_gates_the_speaker_counter_and_shows_its_output() {
        let mut pit = Pit8254::default();
        let _ = pit.write(at(0), 0x43, 0xb0);
        let _ = pit.write(at(0), 0x42, 0xff);
        let _ = pit.write(at(0), 0x42, 0x00);
        assert_eq!(pit.read_control(at(10_000_000)) & 0x20, 0, "the gate is closed");
        pit.write_control(at(10_000_000), 0x01);
        assert_eq!(pit.read_control(at(10_200_000)) & 0x21, 0x01);
        assert_eq!(pit.read_control(at(10_220_000)) & 0x21, 0x21);
        assert_ne!(pit.read_control(at(0)) & 0x10, pit.read_control(at(REFRESH_NS)) & 0x10);
    }
}
