//! The ACPI fixed hardware of the 82371AB PIIX4 (datasheet, 7.2) and of ACPI 6.5, 4.8: PM1 events, PM1 control, the power
//! management timer, a general purpose event block without events, and the APM control ports.

use crate::chips::ticks::Oscillator;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

const CLOCK: Oscillator = Oscillator::new(3_579_545);
/// The timer status is set whenever the 24-bit counter's highest bit changes.
const HALF: u64 = 1 << 23;
const COUNTER_MASK: u64 = 0xff_ffff;

const TIMER_STATUS: u16 = 1 << 0;
const GLOBAL_STATUS: u16 = 1 << 5;
const POWER_BUTTON_STATUS: u16 = 1 << 8;
const RTC_STATUS: u16 = 1 << 10;
const EVENTS: u16 = TIMER_STATUS | GLOBAL_STATUS | POWER_BUTTON_STATUS | RTC_STATUS;
const SCI_ENABLE: u16 = 1 << 0;
const SLEEP_ENABLE: u16 = 1 << 13;
const CONTROL_WRITABLE: u16 = 0x1c03;
/// SLP_TYP that means soft off, in `\_S5`.
pub const SLEEP_TYPE_S5: u16 = 0;
/// What the APM control port takes to switch ACPI mode on and off; the FADT tells it.
pub const ACPI_ENABLE: u8 = 0xf1;
/// See [`ACPI_ENABLE`].
pub const ACPI_DISABLE: u8 = 0xf0;

/// The block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pm {
    status: u16,
    enable: u16,
    control: u16,
    gpe_enable: u16,
    apm: [u8; 2],
    /// Changes of the timer's highest bit that have been reported.
    halves_seen: u64,
}

impl Pm {
    /// The block after reset; `acpi` tells whether the machine starts in ACPI mode, for kernels without firmware.
    #[must_use]
    pub fn new(now: VirtualTime, acpi: bool) -> Self {
        Self {
            control: if acpi { SCI_ENABLE } else { 0 },
            halves_seen: CLOCK.ticks(now) / HALF,
            ..Self::default()
        }
    }

    /// Brings the timer to `now`.
    pub fn advance(&mut self, now: VirtualTime) {
        let halves = CLOCK.ticks(now) / HALF;
        if std::mem::replace(&mut self.halves_seen, halves) != halves {
            self.status |= TIMER_STATUS;
        }
    }

    /// The system control interrupt line; level triggered.
    #[must_use]
    pub fn sci(&self) -> bool {
        self.control & SCI_ENABLE != 0 && self.status & self.enable & EVENTS != 0
    }

    /// When the timer raises the line, unless the guest does something before.
    #[must_use]
    pub fn deadline(&self) -> Option<VirtualTime> {
        if self.enable & TIMER_STATUS == 0 || self.control & SCI_ENABLE == 0 || self.sci() {
            return None;
        }
        Some(CLOCK.instant((self.halves_seen + 1) * HALF))
    }

    /// The power button is pressed.
    pub fn press_power_button(&mut self) {
        self.status |= POWER_BUTTON_STATUS;
    }

    /// Reads the byte at `offset` of the power management ports. The block must have been advanced to `now`.
    #[must_use]
    pub fn read(&self, now: VirtualTime, offset: u16) -> u8 {
        let byte = |value: u16| value.to_le_bytes()[usize::from(offset & 1)];
        match offset {
            0x00 | 0x01 => byte(self.status),
            0x02 | 0x03 => byte(self.enable),
            0x04 | 0x05 => byte(self.control),
            0x08..=0x0b => self.timer(now).to_le_bytes()[usize::from(offset & 3)],
            // The rest of the PIIX4's block: no clock throttling, no global events.
            _ => 0,
        }
    }

    /// The power management timer.
    #[must_use]
    pub fn timer(&self, now: VirtualTime) -> u32 {
        (CLOCK.ticks(now) & COUNTER_MASK) as u32
    }

    /// Writes the byte at `offset`. True if the machine is to be switched off.
    #[must_use]
    pub fn write(&mut self, offset: u16, value: u8) -> bool {
        let shift = (offset & 1) * 8;
        let bits = u16::from(value) << shift;
        let merge = |old: u16| old & !(0xff << shift) | bits;
        match offset {
            0x00 | 0x01 => self.status &= !bits,
            0x02 | 0x03 => self.enable = merge(self.enable) & EVENTS,
            0x04 | 0x05 => {
                let new = merge(self.control & !SLEEP_ENABLE);
                self.control = new & CONTROL_WRITABLE;
                return new & SLEEP_ENABLE != 0 && new >> 10 & 7 == SLEEP_TYPE_S5;
            }
            _ => {}
        }
        false
    }

    /// Reads a byte of the general purpose event block: two status bytes, always clear, and two enable bytes.
    #[must_use]
    pub fn read_gpe(&self, offset: u16) -> u8 {
        match offset & 3 {
            0 | 1 => 0,
            n => self.gpe_enable.to_le_bytes()[usize::from(n - 2)],
        }
    }

    /// Writes a byte of the general purpose event block.
    pub fn write_gpe(&mut self, offset: u16, value: u8) {
        if offset & 2 != 0 {
            let mut bytes = self.gpe_enable.to_le_bytes();
            bytes[usize::from(offset & 1)] = value;
            self.gpe_enable = u16::from_le_bytes(bytes);
        }
    }

    /// Reads APM control (0) or status (1).
    #[must_use]
    pub fn read_apm(&self, offset: u16) -> u8 {
        self.apm[usize::from(offset & 1)]
    }

    /// Writes APM control or status. There is no system management mode; ACPI mode is switched here itself.
    pub fn write_apm(&mut self, offset: u16, value: u8) {
        self.apm[usize::from(offset & 1)] = value;
        match (offset & 1, value) {
            (0, ACPI_ENABLE) => self.control |= SCI_ENABLE,
            (0, ACPI_DISABLE) => self.control &= !SCI_ENABLE,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timer_counts_24_bits_at_its_frequency() {
        let pm = Pm::default();
        assert_eq!(pm.timer(VirtualTime::from_ns(1_000_000_000)), 3_579_545);
        assert_eq!(pm.timer(VirtualTime::from_ns(5_000_000_000)), 3_579_545 * 5 - 0x100_0000);
    }

    #[test]
    fn overflow_raises_the_line_until_acknowledged() {
        let mut pm = Pm::new(VirtualTime::ZERO, true);
        let _ = pm.write(2, 1);
        let due = pm.deadline().unwrap();
        assert_eq!(CLOCK.ticks(due), HALF);
        pm.advance(due);
        assert!(pm.sci());
        let _ = pm.write(0, 1);
        assert!(!pm.sci());
        assert_eq!(CLOCK.ticks(pm.deadline().unwrap()), 2 * HALF);
    }

    #[test]
    fn sleeping_in_s5_switches_off() {
        let mut pm = Pm::new(VirtualTime::ZERO, true);
        assert!(!pm.write(5, 0x04), "type without enable");
        assert!(!pm.write(5, 0x24), "another state");
        assert!(pm.write(5, 0x20));
        assert_eq!(pm.read(VirtualTime::ZERO, 5), 0, "sleep enable reads as zero");
    }

    #[test]
    fn power_button_needs_acpi_mode() {
        let mut pm = Pm::new(VirtualTime::ZERO, false);
        let _ = pm.write(3, 1);
        pm.press_power_button();
        assert!(!pm.sci());
        pm.write_apm(0, ACPI_ENABLE);
        assert!(pm.sci());
    }
}
