//! Message signalled interrupts (PCI Local Bus Specification 3.0, 6.8.2: MSI-X): a capability, and a table and pending bits
//! behind a base address register.

use crate::bus::Width;
use crate::chips::lapic::{DeliveryMode, InterruptMessage};
use crate::pci::config_space::ConfigSpace;
use serde::{Deserialize, Serialize};

/// Capability number.
const CAP_MSIX: u8 = 0x11;
/// Offset of the message control register's upper byte in the capability.
const CONTROL: u8 = 3;
const ENABLE: u8 = 0x80;
const FUNCTION_MASK: u8 = 0x40;
/// Bytes of a table entry: address, upper address, data, vector control.
const ENTRY: u64 = 16;
const ENTRY_MASKED: u32 = 1;
/// Where messages for local APICs go (Intel SDM volume 3, 11.11.1).
const APIC_MESSAGES: std::ops::RangeInclusive<u64> = 0xfee0_0000..=0xfeef_ffff;

/// Where in the window the pending bits are, behind the table.
pub const PBA_OFFSET: u64 = 0x800;
/// Most vectors that the table has room for before [`PBA_OFFSET`].
pub const MAX_VECTORS: u16 = (PBA_OFFSET / ENTRY) as u16;
/// Bytes of the window that table and pending bits take.
pub const WINDOW: u64 = 0x1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    address: u64,
    data: u32,
    control: u32,
}

/// The interrupt table of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Msix {
    capability: u8,
    control: u8,
    table: Vec<Entry>,
    pending: Vec<bool>,
    /// Sent, and not yet fetched by the bus.
    sent: Vec<(u64, u32)>,
}

impl Msix {
    /// Adds the capability at `capability` in the configuration space, with `vectors` vectors (at most [`MAX_VECTORS`]) in
    /// base address register `bar` from `offset` on.
    #[must_use]
    pub fn new(config: &mut ConfigSpace, capability: u8, vectors: u16, bar: u8, offset: u32) -> Self {
        let vectors = vectors.clamp(1, MAX_VECTORS);
        let mut body = [0; 10];
        body[..2].copy_from_slice(&(vectors - 1).to_le_bytes());
        body[2..6].copy_from_slice(&(offset | u32::from(bar)).to_le_bytes());
        body[6..].copy_from_slice(&((offset + PBA_OFFSET as u32) | u32::from(bar)).to_le_bytes());
        config.add_capability(capability, CAP_MSIX, &body);
        config.allow(capability + CONTROL, &[ENABLE | FUNCTION_MASK]);
        let entry = Entry { address: 0, data: 0, control: ENTRY_MASKED };
        Self {
            capability,
            control: 0,
            table: vec![entry; usize::from(vectors)],
            pending: vec![false; usize::from(vectors)],
            sent: Vec::new(),
        }
    }

    /// Number of vectors.
    #[must_use]
    pub fn vectors(&self) -> u16 {
        self.table.len() as u16
    }

    /// Whether interrupts go by messages; the function's pin is silent then.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.control & ENABLE != 0
    }

    /// The configuration space was written: the control register may have changed.
    pub fn configured(&mut self, config: &ConfigSpace) {
        self.control = config.byte(self.capability.wrapping_add(CONTROL));
        self.send_pending();
    }

    /// An interrupt on `vector`. Without that vector, or while messages are not enabled, nothing happens.
    pub fn raise(&mut self, vector: u16) {
        if let Some(pending) = self.pending.get_mut(usize::from(vector))
            && self.control & ENABLE != 0
        {
            *pending = true;
            self.send_pending();
        }
    }

    /// The next message to deliver, if it is one for local APICs; others are lost.
    pub fn take_message(&mut self) -> Option<InterruptMessage> {
        while !self.sent.is_empty() {
            let (address, data) = self.sent.remove(0);
            if APIC_MESSAGES.contains(&address) {
                return Some(message(address as u32, data));
            }
        }
        None
    }

    /// The guest reads `width` at `offset` from the table's beginning.
    #[must_use]
    pub fn read(&self, offset: u64, width: Width) -> u64 {
        let dword = |offset: u64| u64::from(self.dword(offset));
        match width {
            Width::B8 => dword(offset) | dword(offset + 4) << 32,
            Width::B1 | Width::B2 | Width::B4 => dword(offset & !3) >> (offset % 4 * 8) & width.ones(),
        }
    }

    /// The guest writes `width` at `offset` from the table's beginning: whole double words only, as the specification has it.
    pub fn write(&mut self, offset: u64, width: Width, value: u64) {
        match width {
            Width::B1 | Width::B2 => return,
            Width::B4 => self.write_dword(offset, value as u32),
            Width::B8 => {
                self.write_dword(offset, value as u32);
                self.write_dword(offset + 4, (value >> 32) as u32);
            }
        }
        self.send_pending();
    }

    fn dword(&self, offset: u64) -> u32 {
        if offset >= PBA_OFFSET {
            let first = ((offset - PBA_OFFSET) * 8) as usize;
            let bits = self.pending.iter().skip(first).take(32).enumerate();
            return bits.fold(0, |bits, (n, pending)| bits | u32::from(*pending) << n);
        }
        let Some(entry) = self.table.get((offset / ENTRY) as usize) else { return 0 };
        match offset % ENTRY / 4 {
            0 => entry.address as u32,
            1 => (entry.address >> 32) as u32,
            2 => entry.data,
            _ => entry.control,
        }
    }

    fn write_dword(&mut self, offset: u64, value: u32) {
        if !offset.is_multiple_of(4) || offset >= PBA_OFFSET {
            return;
        }
        let Some(entry) = self.table.get_mut((offset / ENTRY) as usize) else { return };
        match offset % ENTRY / 4 {
            0 => entry.address = entry.address & !0xffff_ffff | u64::from(value & !3),
            1 => entry.address = entry.address & 0xffff_ffff | u64::from(value) << 32,
            2 => entry.data = value,
            _ => entry.control = value & ENTRY_MASKED,
        }
    }

    fn send_pending(&mut self) {
        if self.control & (ENABLE | FUNCTION_MASK) != ENABLE {
            return;
        }
        for (entry, pending) in self.table.iter().zip(&mut self.pending) {
            if *pending && entry.control & ENTRY_MASKED == 0 {
                *pending = false;
                self.sent.push((entry.address, entry.data));
            }
        }
    }
}

/// What a write to the local APICs' addresses says (Intel SDM volume 3, 11.11.1 and 11.11.2).
fn message(address: u32, data: u32) -> InterruptMessage {
    InterruptMessage {
        vector: data as u8,
        mode: DeliveryMode::from_bits((data >> 8) as u8),
        level: data & 1 << 15 != 0,
        logical: address & 1 << 2 != 0,
        destination: (address >> 12) as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::config_space::Identity;

    fn table() -> (ConfigSpace, Msix) {
        let identity =
            Identity { vendor: 1, device: 2, revision: 0, class: 0, multifunction: false, interrupt_pin: 1 };
        let mut config = ConfigSpace::new(identity);
        let mut msix = Msix::new(&mut config, 0x40, 3, 4, 0x1000);
        msix.write(16, Width::B8, 0xfee0_3000);
        msix.write(24, Width::B4, 0x4055);
        (config, msix)
    }

    fn control(config: &mut ConfigSpace, msix: &mut Msix, value: u8) {
        config.write(0x43, value);
        msix.configured(config);
    }

    #[test]
    fn the_capability_says_where_the_table_is() {
        let (config, _) = table();
        let bytes: Vec<u8> = (0x40..0x4c).map(|at| config.byte(at)).collect();
        assert_eq!(bytes, [0x11, 0, 2, 0, 4, 0x10, 0, 0, 4, 0x18, 0, 0]);
        assert_eq!((config.byte(0x34), config.byte(6) & 0x10), (0x40, 0x10));
    }

    #[test]
    fn a_masked_vector_is_pending_until_it_is_unmasked() {
        let (mut config, mut msix) = table();
        msix.raise(1);
        assert_eq!(msix.read(PBA_OFFSET, Width::B4), 0, "not enabled");
        control(&mut config, &mut msix, ENABLE);
        msix.raise(1);
        msix.raise(9);
        assert_eq!((msix.read(PBA_OFFSET, Width::B8), msix.take_message()), (2, None));
        msix.write(28, Width::B4, 0);
        let sent = msix.take_message().unwrap();
        assert_eq!((sent.vector, sent.destination, sent.mode), (0x55, 3, DeliveryMode::Fixed));
        assert_eq!((msix.read(PBA_OFFSET, Width::B8), msix.take_message()), (0, None));
    }

    #[test]
    fn the_function_mask_holds_all_back() {
        let (mut config, mut msix) = table();
        msix.write(28, Width::B4, 0);
        control(&mut config, &mut msix, ENABLE | FUNCTION_MASK);
        msix.raise(1);
        assert_eq!(msix.take_message(), None);
        control(&mut config, &mut msix, ENABLE);
        assert!(msix.take_message().is_some());
    }

    #[test]
    fn messages_to_elsewhere_are_lost() {
        let (mut config, mut msix) = table();
        control(&mut config, &mut msix, ENABLE);
        msix.write(16, Width::B8, 0x1000);
        msix.write(28, Width::B4, 0);
        msix.raise(1);
        assert_eq!(msix.take_message(), None);
    }
}
