//! MC146818A real-time clock and its CMOS memory (Motorola datasheet).
//!
//! The time is what the wall clock said when the machine was told, plus virtual time since.

use crate::bytes::Bytes;
use crate::chips::rtc_calendar::DateTime;
use crate::chips::ticks::Oscillator;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

const NS_PER_S: u64 = 1_000_000_000;
const CRYSTAL: Oscillator = Oscillator::new(32_768);
/// How long before the update the "update in progress" bit is set: 244 us of warning and 1984 us of updating.
const UPDATE_NS: u64 = 2_228_000;
/// After the divider chain is released, the first update comes half a second later.
const RELEASE_NS: u64 = NS_PER_S / 2;

const SECONDS: u8 = 0x00;
const SECONDS_ALARM: u8 = 0x01;
const MINUTES: u8 = 0x02;
const MINUTES_ALARM: u8 = 0x03;
const HOURS: u8 = 0x04;
const HOURS_ALARM: u8 = 0x05;
const WEEKDAY: u8 = 0x06;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const REG_A: u8 = 0x0a;
const REG_B: u8 = 0x0b;
const REG_C: u8 = 0x0c;
const REG_D: u8 = 0x0d;
/// Where PCs keep the century.
const CENTURY: u8 = 0x32;

const A_UPDATE_IN_PROGRESS: u8 = 0x80;
const B_SET: u8 = 0x80;
const B_PERIODIC: u8 = 0x40;
const B_ALARM: u8 = 0x20;
const B_UPDATE: u8 = 0x10;
const B_BINARY: u8 = 0x04;
const B_24_HOURS: u8 = 0x02;
const C_IRQ: u8 = 0x80;
const C_PERIODIC: u8 = 0x40;
const C_ALARM: u8 = 0x20;
const C_UPDATE: u8 = 0x10;
/// Alarm bytes from here up match anything.
const ALARM_ANY: u8 = 0xc0;

/// The chip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mc146818 {
    index: u8,
    /// Alarm bytes, registers A to C, and the battery-backed memory. While the clock stands, the time too.
    memory: Bytes<128>,
    /// The time that is shown until `next_update`, in seconds since 1970.
    seconds: i64,
    next_update: VirtualTime,
    /// Periodic ticks have been counted up to this half period of the crystal.
    crystal_seen: u64,
}

impl Default for Mc146818 {
    fn default() -> Self {
        let mut memory = Bytes::default();
        memory[usize::from(REG_A)] = 0x26;
        memory[usize::from(REG_B)] = B_24_HOURS;
        Self { index: 0, memory, seconds: 0, next_update: VirtualTime::from_ns(NS_PER_S), crystal_seen: 0 }
    }
}

impl Mc146818 {
    /// The reset pin: interrupts are off, the time and the memory go on.
    pub fn reset(&mut self) {
        self.memory[usize::from(REG_B)] &= !(B_PERIODIC | B_ALARM | B_UPDATE);
        self.memory[usize::from(REG_C)] = 0;
    }

    /// Fills a byte of the battery-backed memory, as set-up software would have.
    pub fn set_memory(&mut self, index: u8, value: u8) {
        self.memory[usize::from(index & 0x7f)] = value;
    }

    /// Sets the clock; a new second begins.
    pub fn set_time(&mut self, now: VirtualTime, unix_seconds: i64) {
        self.advance(now);
        self.seconds = unix_seconds;
        self.next_update = now.after(NS_PER_S);
        if !self.running() {
            self.store_time();
        }
    }

    /// Brings the clock to `now`.
    pub fn advance(&mut self, now: VirtualTime) {
        self.advance_periodic(now);
        if now < self.next_update || !self.running() {
            return;
        }
        let updates = 1 + now.since(self.next_update) / NS_PER_S;
        let last = self.seconds.saturating_add(updates as i64);
        let mut flags = C_UPDATE;
        if self.memory[usize::from(REG_C)] & C_ALARM == 0 && self.next_alarm().is_some_and(|at| at <= last) {
            flags |= C_ALARM;
        }
        self.memory[usize::from(REG_C)] |= flags;
        self.seconds = last;
        self.next_update = self.next_update.after(updates.saturating_mul(NS_PER_S));
    }

    /// The IRQ pin, active.
    #[must_use]
    pub fn irq(&self) -> bool {
        self.memory[usize::from(REG_C)] & self.memory[usize::from(REG_B)] & (C_PERIODIC | C_ALARM | C_UPDATE)
            != 0
    }

    /// When the IRQ pin becomes active unless the guest does something before.
    #[must_use]
    pub fn deadline(&self) -> Option<VirtualTime> {
        let enabled = self.memory[usize::from(REG_B)];
        if self.irq() || enabled & (B_PERIODIC | B_ALARM | B_UPDATE) == 0 {
            return None;
        }
        let periodic = self
            .crystal_per_tick()
            .filter(|_| enabled & B_PERIODIC != 0)
            .map(|period| CRYSTAL.instant((self.crystal_seen / period + 1) * period));
        let update = (enabled & B_UPDATE != 0 && self.running()).then_some(self.next_update);
        let alarm = if enabled & B_ALARM != 0 && self.running() {
            self.next_alarm().map(|at| self.next_update.after((at - self.seconds - 1) as u64 * NS_PER_S))
        } else {
            None
        };
        [periodic, update, alarm].into_iter().flatten().min()
    }

    /// The guest reads port 0x70 (even) or 0x71 (odd). The chip must have been advanced to `now`.
    pub fn read(&mut self, now: VirtualTime, port: u16) -> u8 {
        if port & 1 == 0 {
            // The index register cannot be read.
            return 0xff;
        }
        match self.index & 0x7f {
            SECONDS | MINUTES | HOURS | WEEKDAY..=YEAR | CENTURY if self.running() => self.shown(self.index),
            REG_A => {
                let updating = self.running() && now.after(UPDATE_NS) >= self.next_update;
                self.memory[usize::from(REG_A)] | if updating { A_UPDATE_IN_PROGRESS } else { 0 }
            }
            REG_C => {
                let irq = if self.irq() { C_IRQ } else { 0 };
                std::mem::take(&mut self.memory[usize::from(REG_C)]) | irq
            }
            // The battery is good.
            REG_D => 0x80,
            index => self.memory[usize::from(index)],
        }
    }

    /// The guest writes port 0x70 or 0x71. The chip must have been advanced to `now`.
    pub fn write(&mut self, now: VirtualTime, port: u16, value: u8) {
        if port & 1 == 0 {
            self.index = value & 0x7f;
            return;
        }
        match self.index & 0x7f {
            REG_A | REG_B => self.write_control(now, value),
            REG_C | REG_D => {}
            SECONDS | MINUTES | HOURS | WEEKDAY..=YEAR | CENTURY if self.running() => {
                self.store_time();
                self.memory[usize::from(self.index & 0x7f)] = value;
                self.seconds = self.stored_time();
            }
            index => self.memory[usize::from(index)] = value,
        }
    }

    /// Registers A and B can stop the clock and let it go on.
    fn write_control(&mut self, now: VirtualTime, value: u8) {
        let was_running = self.running();
        let was_in_reset = self.divider_in_reset();
        if was_running {
            self.store_time();
        }
        match self.index {
            REG_A => self.memory[usize::from(REG_A)] = value & 0x7f,
            // Setting SET clears the update interrupt enable.
            _ => self.memory[usize::from(REG_B)] = if value & B_SET != 0 { value & !B_UPDATE } else { value },
        }
        if self.running() && !was_running {
            self.seconds = self.stored_time();
        }
        if was_in_reset && !self.divider_in_reset() {
            self.next_update = now.after(RELEASE_NS);
        } else if !was_running && now >= self.next_update {
            // The divider chain ran on while SET only kept the time from being shown.
            let late = now.since(self.next_update) / NS_PER_S + 1;
            self.next_update = self.next_update.after(late.saturating_mul(NS_PER_S));
        }
    }

    fn divider_in_reset(&self) -> bool {
        self.memory[usize::from(REG_A)] & 0x60 == 0x60
    }

    fn running(&self) -> bool {
        self.memory[usize::from(REG_B)] & B_SET == 0 && !self.divider_in_reset()
    }

    fn advance_periodic(&mut self, now: VirtualTime) {
        let seen = std::mem::replace(&mut self.crystal_seen, CRYSTAL.ticks(now));
        if let Some(period) = self.crystal_per_tick()
            && seen / period != self.crystal_seen / period
        {
            self.memory[usize::from(REG_C)] |= C_PERIODIC;
        }
    }

    /// Periods of the crystal in one periodic interrupt (table 5, for 32.768 kHz).
    fn crystal_per_tick(&self) -> Option<u64> {
        match self.memory[usize::from(REG_A)] & 0x0f {
            0 => None,
            // The two fastest settings are those of rates 8 and 9.
            rate @ (1 | 2) => Some(1 << (rate + 6)),
            rate => Some(1 << (rate - 1)),
        }
    }

    /// The first second after the one shown at which all three alarm bytes match.
    fn next_alarm(&self) -> Option<i64> {
        let wanted = |index: u8| {
            let value = self.memory[usize::from(index)];
            (value < ALARM_ANY).then_some(value)
        };
        let second = wanted(SECONDS_ALARM).map(|value| self.decode(value));
        let minute = wanted(MINUTES_ALARM).map(|value| self.decode(value));
        let hour = wanted(HOURS_ALARM).map(|value| self.decode_hour(value));
        if second > Some(59) || minute > Some(59) || hour > Some(23) {
            return None;
        }
        let matches = |wanted: Option<u8>, value: i64| wanted.is_none_or(|wanted| i64::from(wanted) == value);
        let mut at = self.seconds.saturating_add(1);
        let end = at.saturating_add(86_400);
        while at < end {
            let of_day = at.rem_euclid(86_400);
            if !matches(hour, of_day / 3600) {
                at += 3600 - of_day % 3600;
            } else if !matches(minute, of_day / 60 % 60) {
                at += 60 - of_day % 60;
            } else if !matches(second, of_day % 60) {
                at += 1;
            } else {
                return Some(at);
            }
        }
        None
    }

    fn shown(&self, index: u8) -> u8 {
        let time = DateTime::from_unix(self.seconds);
        match index {
            SECONDS => self.encode(time.second),
            MINUTES => self.encode(time.minute),
            HOURS => self.encode_hour(time.hour),
            WEEKDAY => self.encode(time.weekday()),
            DAY => self.encode(time.day),
            MONTH => self.encode(time.month),
            YEAR => self.encode((time.year % 100) as u8),
            _ => self.encode((time.year / 100) as u8),
        }
    }

    /// Writes the shown time into memory, where the guest changes it while the clock stands.
    fn store_time(&mut self) {
        for index in [SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY] {
            self.memory[usize::from(index)] = self.shown(index);
        }
    }

    fn stored_time(&self) -> i64 {
        let field = |index: u8| self.decode(self.memory[usize::from(index)]);
        DateTime {
            year: u16::from(field(CENTURY)) * 100 + u16::from(field(YEAR)),
            month: field(MONTH),
            day: field(DAY),
            hour: self.decode_hour(self.memory[usize::from(HOURS)]),
            minute: field(MINUTES),
            second: field(SECONDS),
        }
        .to_unix()
    }

    fn encode(&self, value: u8) -> u8 {
        if self.memory[usize::from(REG_B)] & B_BINARY != 0 {
            value
        } else {
            ((value / 10) << 4) | (value % 10)
        }
    }

    fn decode(&self, value: u8) -> u8 {
        if self.memory[usize::from(REG_B)] & B_BINARY != 0 { value } else { (value >> 4) * 10 + (value & 15) }
    }

    fn encode_hour(&self, hour: u8) -> u8 {
        if self.memory[usize::from(REG_B)] & B_24_HOURS != 0 {
            return self.encode(hour);
        }
        let afternoon = if hour >= 12 { 0x80 } else { 0 };
        self.encode((hour + 11) % 12 + 1) | afternoon
    }

    fn decode_hour(&self, value: u8) -> u8 {
        if self.memory[usize::from(REG_B)] & B_24_HOURS != 0 {
            return self.decode(value);
        }
        let afternoon = if value & 0x80 != 0 { 12 } else { 0 };
        self.decode(value & 0x7f) % 12 + afternoon
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22 14:05:09 UTC.
    const WALL: i64 = 1_795_356_309;

    fn at(ns: u64) -> VirtualTime {
        VirtualTime::from_ns(ns)
    }

    fn read(rtc: &mut Mc146818, now: u64, index: u8) -> u8 {
        rtc.advance(at(now));
        rtc.write(at(now), 0x70, index);
        rtc.read(at(now), 0x71)
    }

    fn write(rtc: &mut Mc146818, now: u64, index: u8, value: u8) {
        rtc.advance(at(now));
        rtc.write(at(now), 0x70, index);
        rtc.write(at(now), 0x71, value);
    }

    fn started() -> Mc146818 {
        let mut rtc = Mc146818::default();
        rtc.set_time(at(0), WALL);
        rtc
    }

    #[test]
    fn time_is_shown_in_bcd_and_binary_in_24_and_12_hours() {
        let mut rtc = started();
        let date = [CENTURY, YEAR, MONTH, DAY, WEEKDAY, HOURS, MINUTES, SECONDS]
            .map(|index| read(&mut rtc, 0, index));
        assert_eq!(date, [0x20, 0x26, 0x11, 0x22, 1, 0x14, 0x05, 0x09]);
        assert_eq!(read(&mut rtc, 2_000_000_000, SECONDS), 0x11);
        write(&mut rtc, 2_000_000_000, REG_B, B_BINARY);
        assert_eq!((read(&mut rtc, 2_000_000_000, HOURS), read(&mut rtc, 2_000_000_000, YEAR)), (0x82, 26));
    }

    #[test]
    fn setting_freezes_the_time_until_released() {
        let mut rtc = started();
        write(&mut rtc, 0, REG_B, B_SET | B_24_HOURS);
        write(&mut rtc, 0, HOURS, 0x23);
        write(&mut rtc, 0, DAY, 0x31);
        write(&mut rtc, 0, MONTH, 0x12);
        assert_eq!(read(&mut rtc, 5_000_000_000, SECONDS), 0x09);
        write(&mut rtc, 5_000_000_000, REG_B, B_24_HOURS);
        assert_eq!(read(&mut rtc, 5_900_000_000, SECONDS), 0x09);
        assert_eq!(read(&mut rtc, 6_000_000_000, SECONDS), 0x10);
        let later = 6_000_000_000 + 3_600_000_000_000;
        let date = [YEAR, MONTH, DAY, HOURS].map(|index| read(&mut rtc, later, index));
        assert_eq!(date, [0x27, 0x01, 0x01, 0x00]);
    }

    #[test]
    fn the_first_update_comes_half_a_second_after_the_divider_is_released() {
        let mut rtc = started();
        write(&mut rtc, 0, REG_A, 0x76);
        write(&mut rtc, 9_000_000_000, REG_A, 0x26);
        assert_eq!(read(&mut rtc, 9_499_999_999, SECONDS), 0x09);
        assert_eq!(read(&mut rtc, 9_500_000_000, SECONDS), 0x10);
    }

    #[test]
    fn update_interrupts_come_each_second_and_reading_c_ends_them() {
        let mut rtc = started();
        write(&mut rtc, 0, REG_B, B_24_HOURS | B_UPDATE);
        assert_eq!(rtc.deadline(), Some(at(NS_PER_S)));
        assert_eq!(read(&mut rtc, NS_PER_S - 1_000_000, REG_A), 0xa6);
        rtc.advance(at(NS_PER_S));
        assert!(rtc.irq());
        assert_eq!(rtc.deadline(), None);
        assert_eq!(read(&mut rtc, NS_PER_S, REG_C) & 0x90, 0x90);
        assert!(!rtc.irq());
        assert_eq!(rtc.deadline(), Some(at(2 * NS_PER_S)));
    }

    #[test]
    fn periodic_interrupts_have_the_selected_rate() {
        let mut rtc = started();
        write(&mut rtc, 0, REG_B, B_24_HOURS | B_PERIODIC);
        let mut count = 0;
        while let Some(due) = rtc.deadline().filter(|due| due.ns() <= NS_PER_S) {
            rtc.advance(due);
            assert_eq!(read(&mut rtc, due.ns(), REG_C) & 0xc0, 0xc0);
            count += 1;
        }
        assert_eq!(count, 1024);
    }

    #[test]
    fn alarm_matches_with_wildcards() {
        let mut rtc = started();
        write(&mut rtc, 0, SECONDS_ALARM, 0x30);
        write(&mut rtc, 0, MINUTES_ALARM, 0xff);
        write(&mut rtc, 0, HOURS_ALARM, 0x15);
        write(&mut rtc, 0, REG_B, B_24_HOURS | B_ALARM);
        // 15:00:30 is 54 minutes and 81 seconds later.
        let due = (54 * 60 + 81) * NS_PER_S;
        assert_eq!(rtc.deadline(), Some(at(due)));
        rtc.advance(at(due - 1));
        assert!(!rtc.irq());
        rtc.advance(at(due));
        assert!(rtc.irq());
    }

    #[test]
    fn alarm_that_never_matches_is_never_due() {
        let mut rtc = started();
        write(&mut rtc, 0, HOURS_ALARM, 0x99);
        write(&mut rtc, 0, REG_B, B_24_HOURS | B_ALARM);
        assert_eq!(rtc.deadline(), None);
    }
}
