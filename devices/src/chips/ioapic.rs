//! 82093AA I/O APIC (Intel datasheet 290566).
//!
//! Lines are given as asserted or not; the polarity bit is stored and changes nothing, since the board's wiring and the
//! tables that describe it always agree.

use crate::chips::lapic::{DeliveryMode, InterruptMessage};
use serde::{Deserialize, Serialize};

/// Number of inputs.
pub const PINS: u8 = 24;

const VERSION: u32 = 0x11 | (PINS as u32 - 1) << 16;
const LEVEL: u64 = 1 << 15;
const REMOTE_IRR: u64 = 1 << 14;
const MASKED: u64 = 1 << 16;
const READ_ONLY: u64 = REMOTE_IRR | 1 << 12;
/// The bits of a redirection entry that exist.
const IMPLEMENTED: u64 = 0xff00_0000_0001_ffff;

/// The chip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoApic {
    id: u32,
    select: u8,
    entries: [u64; PINS as usize],
    lines: u32,
}

impl Default for IoApic {
    fn default() -> Self {
        Self { id: 0, select: 0, entries: [MASKED; PINS as usize], lines: 0 }
    }
}

impl IoApic {
    /// Returns to the reset state; the lines stay as they are driven.
    pub fn reset(&mut self) {
        *self = Self { lines: self.lines, ..Self::default() };
    }

    /// Sets an input's level. Returns the message this sends to the local APICs, if any.
    ///
    /// An edge on a masked input is lost (datasheet, 3.2.4, "Interrupt Mask").
    pub fn set_line(&mut self, pin: u8, level: bool) -> Option<InterruptMessage> {
        let bit = 1u32.checked_shl(u32::from(pin))?;
        let rises = level && self.lines & bit == 0;
        self.lines = if level { self.lines | bit } else { self.lines & !bit };
        let entry = *self.entries.get(usize::from(pin))?;
        if entry & LEVEL != 0 {
            self.service(pin)
        } else {
            (rises && entry & MASKED == 0).then(|| message(entry))
        }
    }

    /// Whether the input is not masked.
    #[must_use]
    pub fn listens_to(&self, pin: u8) -> bool {
        self.entries.get(usize::from(pin)).is_some_and(|entry| entry & MASKED == 0)
    }

    /// Sends a level triggered input's message if it is due: asserted, not masked, and not in service already.
    pub fn service(&mut self, pin: u8) -> Option<InterruptMessage> {
        let entry = self.entries.get_mut(usize::from(pin))?;
        if *entry & (LEVEL | MASKED | REMOTE_IRR) != LEVEL || self.lines >> pin & 1 == 0 {
            return None;
        }
        *entry |= REMOTE_IRR;
        Some(message(*entry))
    }

    /// A local APIC has finished with a level triggered `vector`. Call [`Self::service`] for every pin afterwards.
    pub fn end_of_interrupt(&mut self, vector: u8) {
        for entry in &mut self.entries {
            if *entry & LEVEL != 0 && *entry as u8 == vector {
                *entry &= !REMOTE_IRR;
            }
        }
    }

    /// The guest reads 32 bits at `offset` from the base.
    #[must_use]
    pub fn read(&self, offset: u64) -> u32 {
        match offset {
            0x00 => u32::from(self.select),
            0x10 => self.read_register(),
            _ => 0,
        }
    }

    /// The guest writes 32 bits at `offset` from the base. Returns the message this sends, if any.
    pub fn write(&mut self, offset: u64, value: u32) -> Option<InterruptMessage> {
        match offset {
            0x00 => self.select = value as u8,
            0x10 => return self.write_register(value),
            _ => {}
        }
        None
    }

    fn read_register(&self) -> u32 {
        match self.select {
            0x00 | 0x02 => self.id,
            0x01 => VERSION,
            select => {
                let entry =
                    self.entries.get(usize::from(select.wrapping_sub(0x10) / 2)).copied().unwrap_or(0);
                if select & 1 == 0 { entry as u32 } else { (entry >> 32) as u32 }
            }
        }
    }

    fn write_register(&mut self, value: u32) -> Option<InterruptMessage> {
        if self.select == 0 {
            self.id = value & 0x0f00_0000;
        }
        let pin = self.select.checked_sub(0x10)? / 2;
        let entry = self.entries.get_mut(usize::from(pin))?;
        let merged = if self.select & 1 == 0 {
            *entry & !0xffff_ffff | u64::from(value)
        } else {
            *entry & 0xffff_ffff | u64::from(value) << 32
        };
        *entry = merged & IMPLEMENTED & !READ_ONLY | *entry & READ_ONLY;
        // An edge triggered input has nothing in service; kernels use this to end a level interrupt.
        if *entry & LEVEL == 0 {
            *entry &= !REMOTE_IRR;
        }
        self.service(pin)
    }
}

fn message(entry: u64) -> InterruptMessage {
    InterruptMessage {
        vector: entry as u8,
        mode: DeliveryMode::from_bits((entry >> 8) as u8),
        level: entry & LEVEL != 0,
        logical: entry & 1 << 11 != 0,
        destination: (entry >> 56) as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(apic: &mut IoApic, pin: u8, low: u32) -> Option<InterruptMessage> {
        apic.write(0, u32::from(0x11 + pin * 2));
        apic.write(0x10, 0x0100_0000);
        apic.write(0, u32::from(0x10 + pin * 2));
        apic.write(0x10, low)
    }

    #[test]
    fn edges_send_one_message_each_and_masked_ones_are_lost() {
        let mut apic = IoApic::default();
        assert_eq!(apic.set_line(4, true), None);
        assert_eq!(program(&mut apic, 4, 0x31), None);
        assert_eq!(apic.set_line(4, true), None, "no edge");
        apic.set_line(4, false);
        let sent = apic.set_line(4, true).unwrap();
        assert_eq!((sent.vector, sent.destination, sent.level), (0x31, 1, false));
    }

    #[test]
    fn a_level_is_sent_again_after_its_end_while_the_line_is_up() {
        let mut apic = IoApic::default();
        program(&mut apic, 9, 0x8039);
        assert_eq!(apic.set_line(9, true).unwrap().vector, 0x39);
        assert_eq!(apic.service(9), None, "in service");
        assert_eq!(apic.read(0x10), 0xc039);
        apic.end_of_interrupt(0x38);
        assert_eq!(apic.service(9), None, "another vector");
        apic.end_of_interrupt(0x39);
        assert!(apic.service(9).is_some());
        apic.set_line(9, false);
        apic.end_of_interrupt(0x39);
        assert_eq!(apic.service(9), None);
    }

    #[test]
    fn unmasking_an_asserted_level_sends_it() {
        let mut apic = IoApic::default();
        apic.set_line(16, true);
        assert!(program(&mut apic, 16, 0x0001_8040).is_none());
        assert!(program(&mut apic, 16, 0x8040).is_some());
    }

    #[test]
    fn switching_to_edge_and_back_ends_a_level_interrupt() {
        let mut apic = IoApic::default();
        program(&mut apic, 16, 0x8040);
        assert!(apic.set_line(16, true).is_some());
        assert!(program(&mut apic, 16, 0x0001_0040).is_none());
        assert!(program(&mut apic, 16, 0x8040).is_some());
    }

    #[test]
    fn registers_keep_only_bits_that_exist() {
        let mut apic = IoApic::default();
        program(&mut apic, 0, 0xffff_ffff);
        assert_eq!(apic.read(0x10), 0x0001_afff);
        apic.write(0, 1);
        assert_eq!(apic.read(0x10), 0x0017_0011);
        apic.write(0, 0xff);
        apic.write(0x10, 0xffff_ffff);
        assert_eq!(apic.read(0x10), 0);
    }
}
