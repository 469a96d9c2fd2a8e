//! IA-PC HPET (specification 1.0a): a 100 MHz counter with three comparators, no FSB delivery.

use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

/// Length of one count.
const PERIOD_NS: u64 = 10;
const TIMERS: usize = 3;
/// Revision 1, three timers, 64 bits, legacy replacement, vendor 8086, period in femtoseconds.
const CAPABILITIES: u64 =
    ((PERIOD_NS * 1_000_000) << 32) | 0x8086 << 16 | 1 << 15 | 1 << 13 | (TIMERS as u64 - 1) << 8 | 1;

const ENABLE: u64 = 1;
const LEGACY: u64 = 2;
const T_LEVEL: u64 = 1 << 1;
const T_INTERRUPT: u64 = 1 << 2;
const T_PERIODIC: u64 = 1 << 3;
const T_VALUE_SET: u64 = 1 << 6;
const T_32_BIT: u64 = 1 << 8;
const T_WRITABLE: u64 = T_LEVEL | T_INTERRUPT | T_PERIODIC | T_VALUE_SET | T_32_BIT | 0x1f << 9;
/// Periodic and 64-bit capable, routable to I/O APIC inputs 20 to 23.
const T_CAPABILITIES: u64 = 0x00f0_0000 << 32 | 1 << 5 | 1 << 4;

/// One comparator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Timer {
    config: u64,
    comparator: u64,
    period: u64,
}

impl Timer {
    fn is(&self, bit: u64) -> bool {
        self.config & bit != 0
    }

    fn mask(&self) -> u64 {
        if self.is(T_32_BIT) { 0xffff_ffff } else { u64::MAX }
    }

    /// Counts from `counter` to the next match; a match at `counter` itself is past.
    fn distance(&self, counter: u64) -> u128 {
        let distance = self.comparator.wrapping_sub(counter) & self.mask();
        if distance == 0 { u128::from(self.mask()) + 1 } else { u128::from(distance) }
    }

    /// Whether it matches within `counts` from `counter` on; a periodic comparator then moves on.
    fn advance(&mut self, counter: u64, counts: u64) -> bool {
        let distance = self.distance(counter);
        if distance > u128::from(counts) {
            return false;
        }
        if self.is(T_PERIODIC) && self.period & self.mask() != 0 {
            let period = self.period & self.mask();
            let periods = (u128::from(counts) - distance) as u64 / period + 1;
            self.comparator = self.comparator.wrapping_add(periods.wrapping_mul(period)) & self.mask();
        }
        true
    }
}

/// Where a timer's interrupt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Instead of the 8254 and the RTC: an ISA interrupt, edge triggered.
    Legacy(u8),
    /// To an input of the I/O APIC.
    Pin(u8),
}

/// What has to be done about a timer that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where to.
    pub route: Route,
    /// Level triggered: the line now follows [`Hpet::level`]. Otherwise it is pulsed.
    pub level: bool,
}

/// The block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hpet {
    config: u64,
    status: u64,
    /// The counter at `since`.
    counter: u64,
    since: VirtualTime,
    timers: [Timer; TIMERS],
}

impl Default for Hpet {
    fn default() -> Self {
        let timer = Timer { config: 0, comparator: u64::MAX, period: 0 };
        Self {
            config: 0,
            status: 0,
            counter: 0,
            since: VirtualTime::ZERO,
            timers: [timer.clone(), timer.clone(), timer],
        }
    }
}

impl Hpet {
    /// Whether timers 0 and 1 replace the 8254 and the RTC.
    #[must_use]
    pub fn legacy(&self) -> bool {
        self.config & LEGACY != 0
    }

    /// Brings the counter to `now`. Returns what the timers that matched ask for.
    pub fn advance(&mut self, now: VirtualTime) -> [Option<Event>; TIMERS] {
        let mut events = [None; TIMERS];
        let counts = self.counts_since(now);
        if counts == 0 {
            return events;
        }
        for (n, event) in events.iter_mut().enumerate() {
            if self.timers[n].advance(self.counter, counts) {
                *event = self.matched(n);
            }
        }
        self.counter = self.counter.wrapping_add(counts);
        self.since = self.since.after(counts * PERIOD_NS);
        events
    }

    /// Timer `n`'s route, and when it matches next, if that makes an interrupt.
    #[must_use]
    pub fn deadline(&self, n: usize) -> Option<(Route, VirtualTime)> {
        let timer = self.timers.get(n)?;
        if self.config & ENABLE == 0
            || !timer.is(T_INTERRUPT)
            || timer.is(T_LEVEL) && self.status >> n & 1 != 0
        {
            return None;
        }
        let ns = u64::try_from(timer.distance(self.counter) * u128::from(PERIOD_NS)).ok()?;
        Some((self.route(n), self.since.after(ns)))
    }

    /// The level of an I/O APIC input, as far as level triggered timers drive it.
    #[must_use]
    pub fn level(&self, pin: u8) -> bool {
        (0..TIMERS).any(|n| {
            self.status >> n & 1 != 0 && self.timers[n].is(T_INTERRUPT) && self.route(n) == Route::Pin(pin)
        })
    }

    /// The guest reads 64 bits at `offset` (a multiple of 8). The block must have been advanced to `now`.
    #[must_use]
    pub fn read(&self, offset: u64) -> u64 {
        match offset {
            0x000 => CAPABILITIES,
            0x010 => self.config,
            0x020 => self.status,
            0x0f0 => self.counter,
            0x100..=0x15f => {
                let timer = &self.timers[(offset as usize - 0x100) / 0x20];
                match offset & 0x18 {
                    0x00 => timer.config | T_CAPABILITIES,
                    0x08 => timer.comparator,
                    // FSB routes.
                    _ => 0,
                }
            }
            _ => 0,
        }
    }

    /// The guest writes the bits in `mask` of the 64 bits at `offset`. The block must have been advanced to `now`.
    pub fn write(&mut self, now: VirtualTime, offset: u64, mask: u64, value: u64) {
        let merge = |old: u64| old & !mask | value & mask;
        match offset {
            0x010 => {
                let enabled = self.config & ENABLE == 0 && merge(self.config) & ENABLE != 0;
                self.config = merge(self.config) & (ENABLE | LEGACY);
                if enabled {
                    self.since = now;
                }
            }
            0x020 => self.status &= !(value & mask),
            // The counter takes writes while it stands (2.3.7); writing a running one is undefined.
            0x0f0 if self.config & ENABLE == 0 => self.counter = merge(self.counter),
            0x100..=0x15f => {
                let timer = &mut self.timers[(offset as usize - 0x100) / 0x20];
                match offset & 0x18 {
                    0x00 => {
                        timer.config = merge(timer.config) & T_WRITABLE;
                        timer.comparator &= timer.mask();
                    }
                    0x08 => write_comparator(timer, mask, value),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn counts_since(&self, now: VirtualTime) -> u64 {
        if self.config & ENABLE == 0 { 0 } else { now.since(self.since) / PERIOD_NS }
    }

    fn route(&self, n: usize) -> Route {
        match n {
            0 if self.legacy() => Route::Legacy(0),
            1 if self.legacy() => Route::Legacy(8),
            _ => Route::Pin((self.timers[n].config >> 9 & 0x1f) as u8),
        }
    }

    fn matched(&mut self, n: usize) -> Option<Event> {
        let timer = &self.timers[n];
        let route = self.route(n);
        let level = timer.is(T_LEVEL) && matches!(route, Route::Pin(_));
        if level {
            self.status |= 1 << n;
        }
        timer.is(T_INTERRUPT).then_some(Event { route, level })
    }
}

/// A periodic timer's comparator is set only when asked for; otherwise the write gives the period (2.3.9.2.2).
fn write_comparator(timer: &mut Timer, mask: u64, value: u64) {
    let merge = |old: u64| old & !mask | value & mask;
    if !timer.is(T_PERIODIC) || timer.is(T_VALUE_SET) {
        timer.comparator = merge(timer.comparator) & timer.mask();
    }
    if timer.is(T_PERIODIC) {
        timer.period = merge(timer.period) & timer.mask();
    }
    // The upper half of a split write still belongs to the same setting.
    if mask & 0xffff_ffff == 0 || mask == u64::MAX || timer.is(T_32_BIT) {
        timer.config &= !T_VALUE_SET;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> VirtualTime {
        VirtualTime::from_ns(ns)
    }

    fn write(hpet: &mut Hpet, offset: u64, value: u64) {
        hpet.write(at(0), offset, u64::MAX, value);
    }

    #[test]
    fn counter_runs_only_while_enabled() {
        let mut hpet = Hpet::default();
        assert_eq!(hpet.read(0) >> 32, 10_000_000);
        hpet.advance(at(1000));
        assert_eq!(hpet.read(0xf0), 0);
        hpet.write(at(1000), 0x10, u64::MAX, 1);
        hpet.advance(at(2005));
        assert_eq!(hpet.read(0xf0), 100);
        hpet.write(at(2005), 0x10, u64::MAX, 0);
        hpet.advance(at(9000));
        assert_eq!(hpet.read(0xf0), 100);
    }

    #[test]
    fn one_shot_matches_once() {
        let mut hpet = Hpet::default();
        write(&mut hpet, 0x100, 20 << 9 | T_INTERRUPT);
        write(&mut hpet, 0x108, 500);
        write(&mut hpet, 0x10, 1);
        assert_eq!(hpet.deadline(0), Some((Route::Pin(20), at(5000))));
        assert_eq!(hpet.advance(at(4999))[0], None);
        assert_eq!(hpet.advance(at(5000))[0], Some(Event { route: Route::Pin(20), level: false }));
        assert_eq!(hpet.advance(at(9000))[0], None);
    }

    #[test]
    fn legacy_periodic_timer_is_set_as_linux_does_it() {
        let mut hpet = Hpet::default();
        write(&mut hpet, 0x10, 3);
        write(&mut hpet, 0x100, T_INTERRUPT | T_PERIODIC | T_VALUE_SET | T_32_BIT);
        hpet.write(at(0), 0x108, 0xffff_ffff, 1000);
        hpet.write(at(0), 0x108, 0xffff_ffff, 400);
        for due in [10_000, 14_000, 18_000] {
            assert_eq!(hpet.deadline(0), Some((Route::Legacy(0), at(due))));
            assert!(hpet.advance(at(due))[0].is_some());
        }
        assert!(hpet.advance(at(1_000_001))[0].is_some());
        assert_eq!(hpet.deadline(0).unwrap().1, at(1_002_000));
    }

    #[test]
    fn level_interrupts_hold_until_their_status_is_cleared() {
        let mut hpet = Hpet::default();
        write(&mut hpet, 0x140, 21 << 9 | T_INTERRUPT | T_LEVEL);
        write(&mut hpet, 0x148, 10);
        write(&mut hpet, 0x10, 1);
        assert!(hpet.advance(at(100))[2].unwrap().level);
        assert!(hpet.level(21) && !hpet.level(20));
        assert_eq!(hpet.deadline(2), None);
        write(&mut hpet, 0x20, 4);
        assert!(!hpet.level(21));
    }

    #[test]
    fn a_32_bit_comparator_wraps() {
        let mut hpet = Hpet::default();
        hpet.write(at(0), 0xf0, u64::MAX, 0x1_ffff_ff00);
        write(&mut hpet, 0x100, T_INTERRUPT | T_32_BIT);
        write(&mut hpet, 0x108, 0x10);
        write(&mut hpet, 0x10, 1);
        assert_eq!(hpet.deadline(0).unwrap().1, at(0x110 * 10));
    }
}
