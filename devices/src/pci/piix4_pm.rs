//! 82371AB PIIX4 power management function (Intel datasheet 290562): says where the power management ports are.

use crate::pc::PM_BASE;
use crate::pci::config_space::{ConfigSpace, Identity};
use serde::{Deserialize, Serialize};

/// Power management base address register.
const PMBA: u8 = 0x40;
/// Miscellaneous power management register: bit 0 lets the base address decode.
const PMREGMISC: u8 = 0x80;
/// Ports behind the base address.
const PM_PORTS: u16 = 64;

/// The power management function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piix4Pm {
    pub(crate) config: ConfigSpace,
}

impl Default for Piix4Pm {
    fn default() -> Self {
        let mut config = ConfigSpace::new(Identity {
            vendor: 0x8086,
            device: 0x7113,
            revision: 3,
            class: 0x06_8000,
            multifunction: true,
            interrupt_pin: 1,
        });
        // After reset the ports are where the ACPI tables say. Firmware moves them and describes them itself.
        config.set_u16(PMBA, PM_BASE | 1);
        config.allow(PMBA, &[0xc0, 0xff]);
        config.set_byte(super::config_space::INTERRUPT_LINE, crate::pc::SCI_IRQ);
        // DEVACTB: the APMC enable bit is fixed at one, so that firmware takes system management mode as set up already.
        config.allow(0x58, &[0xff, 0xff, 0xff, 0xfd]);
        config.set_byte(0x5b, 0x02);
        config.set_byte(PMREGMISC, 0x01);
        config.allow(PMREGMISC, &[0x01]);
        config.allow(0x90, &[0xc0, 0xff]);
        config.set_byte(0x90, 0x01);
        config.allow(0xd2, &[0x0f]);
        Self { config }
    }
}

impl Piix4Pm {
    /// The offset of `port` in the power management ports, if it is one of them.
    #[must_use]
    pub fn decode(&self, port: u16) -> Option<u16> {
        let base = u16::from_le_bytes([self.config.byte(PMBA), self.config.byte(PMBA + 1)]) & 0xffc0;
        let enabled = self.config.byte(PMREGMISC) & 1 != 0 && base != 0;
        let offset = port.wrapping_sub(base);
        (enabled && offset < PM_PORTS).then_some(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_follow_their_base_address() {
        let mut function = Piix4Pm::default();
        assert_eq!(
            (function.decode(0x5ff), function.decode(0x608), function.decode(0x640)),
            (None, Some(8), None)
        );
        function.config.write(PMBA, 0x01);
        function.config.write(PMBA + 1, 0xb0);
        assert_eq!((function.decode(0x608), function.decode(0xb008)), (None, Some(8)));
        function.config.write(PMREGMISC, 0);
        assert_eq!(function.decode(0xb008), None);
    }
}
