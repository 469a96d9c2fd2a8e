//! 82371SB PIIX3 ISA bridge (Intel datasheet 290550): routes the four PCI interrupt links to ISA interrupts.

use crate::pci::config_space::{ConfigSpace, Identity};
use serde::{Deserialize, Serialize};

/// First of the four PIRQ route control registers.
const PIRQRCA: u8 = 0x60;
const NOT_ROUTED: u8 = 0x80;
/// Where the links go on a machine without firmware to route them.
pub const DEFAULT_ROUTES: [u8; 4] = [10, 10, 11, 11];

/// The ISA bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piix3 {
    pub(crate) config: ConfigSpace,
}

impl Piix3 {
    /// The bridge after reset; without firmware the links are routed already.
    #[must_use]
    pub fn new(firmware: bool) -> Self {
        let mut config = ConfigSpace::new(Identity {
            vendor: 0x8086,
            device: 0x7000,
            revision: 0,
            class: 0x06_0100,
            multifunction: true,
            interrupt_pin: 0,
        });
        config.set_byte(0x04, 0x07);
        config.allow(0x4c, &[0xff; 4]);
        config.allow(PIRQRCA, &[0x8f; 4]);
        config.allow(0x69, &[0xff; 0x17]);
        for (n, irq) in (0..).zip(DEFAULT_ROUTES) {
            config.set_byte(PIRQRCA + n, if firmware { NOT_ROUTED } else { irq });
        }
        Self { config }
    }

    /// The ISA interrupts, as a bit set, that are asserted by `links`, the set of asserted PCI interrupt links.
    #[must_use]
    pub fn route(&self, links: u8) -> u16 {
        (0..4)
            .filter(|n| links >> n & 1 != 0)
            .map(|n| self.config.byte(PIRQRCA + n))
            .filter(|route| route & NOT_ROUTED == 0)
            // The datasheet reserves the interrupts that belong to the board itself.
            .filter(|route| !matches!(route, 0 | 1 | 2 | 8 | 13))
            .fold(0, |set, route| set | 1 << (route & 15))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_reach_the_interrupt_they_are_routed_to() {
        let mut bridge = Piix3::new(true);
        assert_eq!(bridge.route(0xf), 0);
        bridge.config.write(PIRQRCA + 1, 5);
        bridge.config.write(PIRQRCA + 2, 8);
        assert_eq!(bridge.route(0xf), 1 << 5);
        assert_eq!(Piix3::new(false).route(0b0110), 1 << 10 | 1 << 11);
    }
}
