//! 82371AB PIIX4 power management function (Intel datasheet 290562). Its ports are at a fixed base.

use crate::pc::PM_BASE;
use crate::pci::config_space::{ConfigSpace, Identity};
use serde::{Deserialize, Serialize};

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
        config.set_u16(0x40, PM_BASE | 1);
        config.set_byte(super::config_space::INTERRUPT_LINE, crate::pc::SCI_IRQ);
        // DEVACTB: the APMC enable bit is fixed at one, so that firmware takes system management mode as set up already.
        config.allow(0x58, &[0xff, 0xff, 0xff, 0xfd]);
        config.set_byte(0x5b, 0x02);
        config.set_byte(0x80, 0x01);
        config.allow(0x90, &[0xc0, 0xff]);
        config.set_byte(0x90, 0x01);
        config.allow(0xd2, &[0x0f]);
        Self { config }
    }
}
