//! One counter of the 8254: its six modes as functions of the ticks since it was loaded.
//!
//! Nothing happens per tick. OUT and the count are computed from the tick, so a counter costs nothing while it runs.

use serde::{Deserialize, Serialize};

/// Which bytes of a count are read and written (control word bits 5 and 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Bytes {
    Low,
    High,
    #[default]
    Both,
}

/// A count that takes over when the current period ends (modes 2 and 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Successor {
    count: u32,
    at: u64,
}

/// A counter. Ticks are absolute: periods of its clock since power-on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    mode: u8,
    bcd: bool,
    bytes: Bytes,
    gate: bool,
    /// The count that was written last; 0 until one is.
    written: u32,
    /// The count that is counted down; 0 while nothing is.
    count: u32,
    /// The tick at which `count` was loaded.
    loaded_at: u64,
    /// Ticks that had passed since loading when the gate stopped the counting.
    stopped_after: Option<u64>,
    successor: Option<Successor>,
    low_byte: Option<u8>,
    read_high_next: bool,
    latched_count: Option<u16>,
    latched_status: Option<u8>,
}

impl Counter {
    /// A counter whose gate pin is tied to `gate`. Until it is programmed OUT is high: the datasheet leaves that open, and a
    /// rise upon programming would be an interrupt that nobody asked for.
    #[must_use]
    pub fn new(gate: bool) -> Self {
        Self { gate, mode: 3, ..Self::default() }
    }

    /// Brings a pending count into force if its time has come.
    pub fn advance(&mut self, tick: u64) {
        if let Some(next) = self.successor
            && tick >= next.at
        {
            self.count = next.count;
            self.loaded_at = next.at;
            self.successor = None;
        }
    }

    /// The control word was written; `value` without its counter number.
    pub fn write_control(&mut self, value: u8) {
        self.bytes = match value >> 4 & 3 {
            1 => Bytes::Low,
            2 => Bytes::High,
            _ => Bytes::Both,
        };
        self.mode = match value >> 1 & 7 {
            mode @ 0..=5 => mode,
            mode => mode - 4,
        };
        *self = Self {
            mode: self.mode,
            bcd: value & 1 != 0,
            bytes: self.bytes,
            gate: self.gate,
            ..Self::default()
        };
    }

    /// Counter latch command.
    pub fn latch_count(&mut self, tick: u64) {
        if self.latched_count.is_none() {
            self.latched_count = Some(self.reading(tick));
        }
    }

    /// Read-back command for the status.
    pub fn latch_status(&mut self, tick: u64) {
        if self.latched_status.is_none() {
            let out = u8::from(self.out(tick)) << 7;
            let null = u8::from(self.null_count()) << 6;
            let bytes = match self.bytes {
                Bytes::Low => 0x10,
                Bytes::High => 0x20,
                Bytes::Both => 0x30,
            };
            self.latched_status = Some(out | null | bytes | self.mode << 1 | u8::from(self.bcd));
        }
    }

    /// The guest reads the counter's port.
    pub fn read(&mut self, tick: u64) -> u8 {
        if let Some(status) = self.latched_status.take() {
            return status;
        }
        let value = self.latched_count.unwrap_or_else(|| self.reading(tick));
        let high = match self.bytes {
            Bytes::Low => false,
            Bytes::High => true,
            Bytes::Both => self.read_high_next,
        };
        if self.bytes == Bytes::Both {
            self.read_high_next = !high;
        }
        if self.bytes != Bytes::Both || high {
            self.latched_count = None;
        }
        (if high { value >> 8 } else { value }) as u8
    }

    /// The guest writes the counter's port.
    pub fn write(&mut self, tick: u64, value: u8) {
        let count = match (self.bytes, self.low_byte.take()) {
            (Bytes::Low, _) => u16::from(value),
            (Bytes::High, _) => u16::from(value) << 8,
            (Bytes::Both, Some(low)) => u16::from(value) << 8 | u16::from(low),
            (Bytes::Both, None) => {
                self.low_byte = Some(value);
                // In mode 0 the first byte stops the counting.
                if self.mode == 0 {
                    self.count = 0;
                }
                return;
            }
        };
        self.written = self.decode(count);
        match self.mode {
            0 | 4 => self.load(tick),
            2 | 3 if self.count == 0 || !self.gate => self.load(tick),
            2 | 3 => {
                let periods = self.elapsed(tick) / u64::from(self.count) + 1;
                let at = self.loaded_at.saturating_add(periods.saturating_mul(u64::from(self.count)));
                self.successor = Some(Successor { count: self.written, at });
            }
            // Modes 1 and 5 wait for the gate.
            _ => {}
        }
    }

    /// The gate pin changes.
    pub fn set_gate(&mut self, tick: u64, gate: bool) {
        let rises = gate && !self.gate;
        let falls = !gate && self.gate;
        match self.mode {
            0 | 4 if falls && self.count != 0 => self.stopped_after = Some(self.elapsed(tick)),
            0 | 4 if rises => {
                if let Some(elapsed) = self.stopped_after.take() {
                    self.loaded_at = tick.saturating_sub(elapsed);
                }
            }
            1 | 5 if rises && self.written != 0 => self.load(tick),
            2 | 3 if rises && self.written != 0 => self.load(tick),
            _ => {}
        }
        self.gate = gate;
    }

    /// The OUT pin.
    #[must_use]
    pub fn out(&self, tick: u64) -> bool {
        if self.count == 0 {
            return self.mode != 0;
        }
        let elapsed = self.elapsed(tick);
        let count = u64::from(self.count);
        match self.mode {
            0 | 1 => elapsed >= count,
            2 => !self.gate || count == 1 || elapsed % count != count - 1,
            3 => !self.gate || elapsed % count < count.div_ceil(2),
            _ => elapsed != count,
        }
    }

    /// The first tick after `tick` at which OUT rises, unless the guest does something before.
    #[must_use]
    pub fn next_rise(&self, tick: u64) -> Option<u64> {
        if self.count == 0 || self.stopped_after.is_some() {
            return None;
        }
        let count = u64::from(self.count);
        let once = |after: u64| Some(self.loaded_at.saturating_add(after)).filter(|at| *at > tick);
        match self.mode {
            0 | 1 => once(count),
            2 | 3 if !self.gate => None,
            2 | 3 => {
                let period = |loaded_at: u64, count: u64| {
                    let periods = tick.saturating_sub(loaded_at) / count + 1;
                    // With a count of one OUT stays high.
                    (count > 1).then(|| loaded_at.saturating_add(periods.saturating_mul(count)))
                };
                let later = self.successor.map(|next| (next.at, u64::from(next.count.max(1))));
                match later {
                    Some((at, next)) if tick >= at => period(at, next),
                    Some((at, next)) => period(self.loaded_at, count).or_else(|| period(at, next)),
                    None => period(self.loaded_at, count),
                }
            }
            _ => once(count + 1),
        }
    }

    fn load(&mut self, tick: u64) {
        self.count = self.written;
        self.loaded_at = tick;
        self.successor = None;
        self.stopped_after = (!self.gate && matches!(self.mode, 0 | 4)).then_some(0);
    }

    fn elapsed(&self, tick: u64) -> u64 {
        self.stopped_after.unwrap_or_else(|| tick.saturating_sub(self.loaded_at))
    }

    /// A count has been written that is not counted down yet.
    fn null_count(&self) -> bool {
        self.count == 0 || self.count != self.written || self.successor.is_some()
    }

    /// What the count register would give now, encoded as the guest sees it.
    fn reading(&self, tick: u64) -> u16 {
        let modulus = if self.bcd { 10_000 } else { 0x1_0000 };
        let count = u64::from(self.count);
        if count == 0 {
            return self.encode(u64::from(self.written) % modulus);
        }
        let elapsed = self.elapsed(tick);
        let value = match self.mode {
            2 => count - elapsed % count,
            3 => count - 2 * elapsed % count / 2 * 2,
            _ => (count + modulus - elapsed % modulus) % modulus,
        };
        self.encode(value % modulus)
    }

    /// The number a written count stands for; zero is the largest.
    fn decode(&self, value: u16) -> u32 {
        if !self.bcd {
            return if value == 0 { 0x1_0000 } else { u32::from(value) };
        }
        let digit = |n: u32| u32::from(value >> (4 * n) & 15) * 10u32.pow(n);
        match (0..4).map(digit).sum() {
            0 => 10_000,
            count => count,
        }
    }

    fn encode(&self, value: u64) -> u16 {
        if !self.bcd {
            return value as u16;
        }
        (0..4u32).map(|n| ((value / 10u64.pow(n) % 10) as u16) << (4 * n)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programmed(mode: u8, count: u16, gate: bool) -> Counter {
        let mut counter = Counter::new(gate);
        counter.write_control(0x30 | mode << 1);
        counter.write(100, count as u8);
        counter.write(100, (count >> 8) as u8);
        counter
    }

    /// OUT from tick 100 on, one character a tick.
    fn wave(counter: &Counter, ticks: u64) -> String {
        (100..100 + ticks).map(|tick| if counter.out(tick) { '-' } else { '_' }).collect()
    }

    fn rises(counter: &Counter, ticks: u64) -> Vec<u64> {
        let mut tick = 99;
        let next = || {
            tick = counter.next_rise(tick).filter(|at| *at < 100 + ticks)?;
            Some(tick - 100)
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn out_follows_the_timing_diagrams() {
        assert_eq!(wave(&programmed(0, 4, true), 8), "____----");
        assert_eq!(wave(&programmed(2, 4, true), 12), "---_---_---_");
        assert_eq!(wave(&programmed(3, 4, true), 12), "--__--__--__");
        assert_eq!(wave(&programmed(3, 5, true), 10), "---__---__");
        assert_eq!(wave(&programmed(4, 4, true), 8), "----_---");
        let mut one_shot = programmed(1, 4, false);
        assert_eq!(wave(&one_shot, 4), "----");
        one_shot.set_gate(100, true);
        assert_eq!(wave(&one_shot, 8), "____----");
        let mut strobe = programmed(5, 3, false);
        strobe.set_gate(100, true);
        assert_eq!(wave(&strobe, 8), "---_----");
    }

    #[test]
    fn announced_rises_are_those_of_the_wave() {
        for mode in 0..6 {
            for count in [2, 3, 4, 7] {
                let mut counter = programmed(mode, count, false);
                counter.set_gate(100, true);
                let wave = wave(&counter, 40);
                let seen: Vec<u64> = (1..40)
                    .filter(|n| wave[*n - 1..*n] == *"_" && wave[*n..*n + 1] == *"-")
                    .map(|n| n as u64)
                    .collect();
                assert_eq!(rises(&counter, 40), seen, "mode {mode} count {count}");
            }
        }
    }

    /// Whoever does not look in between hears of the same rises.
    #[test]
    fn a_count_of_one_never_rises_and_the_next_does() {
        let mut counter = programmed(2, 1, true);
        assert_eq!((counter.next_rise(100), wave(&counter, 4)), (None, "----".to_owned()));
        counter.write(103, 4);
        counter.write(103, 0);
        assert_eq!(counter.next_rise(103), Some(108));
        counter.advance(104);
        assert_eq!(counter.next_rise(104), Some(108));
        counter.write(105, 1);
        counter.write(105, 0);
        assert_eq!((counter.next_rise(105), counter.next_rise(108)), (Some(108), None));
    }

    #[test]
    fn a_new_count_waits_for_the_end_of_the_period() {
        let mut counter = programmed(2, 10, true);
        counter.write(103, 4);
        counter.write(103, 0);
        assert_eq!(counter.next_rise(103), Some(110));
        assert_eq!(counter.next_rise(110), Some(114));
        counter.advance(121);
        assert_eq!(counter.next_rise(121), Some(122));
    }

    #[test]
    fn the_gate_holds_mode_0_and_restarts_mode_2() {
        let mut counter = programmed(0, 10, true);
        counter.set_gate(104, false);
        assert_eq!(counter.reading(200), 6);
        assert_eq!(counter.next_rise(200), None);
        counter.set_gate(300, true);
        assert_eq!(counter.next_rise(300), Some(306));

        let mut counter = programmed(2, 10, true);
        counter.set_gate(109, false);
        assert!(counter.out(109));
        counter.set_gate(200, true);
        assert_eq!(counter.next_rise(200), Some(210));
    }

    #[test]
    fn the_latched_count_stays_until_both_bytes_are_read() {
        let mut counter = programmed(2, 0x1234, true);
        counter.latch_count(104);
        counter.latch_count(150);
        assert_eq!((counter.read(200), counter.read(201)), (0x30, 0x12));
        assert_eq!(counter.read(104 + 0x1234), 0x30);
    }

    #[test]
    fn status_tells_out_null_count_and_mode() {
        let mut counter = Counter::new(true);
        counter.write_control(0x36);
        counter.latch_status(0);
        assert_eq!(counter.read(0), 0xf6);
        counter.write(0, 10);
        counter.write(0, 0);
        counter.latch_status(7);
        assert_eq!(counter.read(7), 0x36);
    }

    #[test]
    fn decimal_counts_wrap_at_ten_thousand() {
        let mut counter = Counter::new(true);
        counter.write_control(0x31);
        counter.write(0, 0x10);
        counter.write(0, 0x00);
        assert_eq!(counter.reading(1), 0x09);
        assert_eq!(counter.reading(11), 0x9999);
    }
}
