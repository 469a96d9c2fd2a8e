//! PCI bus 0, reached by configuration mechanism 1 (PCI Local Bus Specification 3.0, 3.2.2.3.2).

use crate::bus::Width;
use crate::pci::config_space::{ConfigSpace, INTERRUPT_PIN, Space};
use crate::pci::i440fx::I440fx;
use crate::pci::piix3::Piix3;
use crate::pci::piix4_pm::Piix4Pm;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

/// Device 0 function 0.
const HOST_BRIDGE: u8 = 0x00;
/// Device 1 function 0.
const ISA_BRIDGE: u8 = 0x08;
/// Device 1 function 3.
const POWER_MANAGEMENT: u8 = 0x0b;

/// A function on the bus beside the chip set's own. A new kind of device is a new variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Function {
    /// Stands for a device in tests: two registers behind a memory and a port window, and an interrupt.
    #[cfg(test)]
    Probe(Box<tests::Probe>),
}

impl Function {
    /// Its configuration space.
    #[must_use]
    pub fn config(&self) -> &ConfigSpace {
        match *self {
            #[cfg(test)]
            Function::Probe(ref probe) => &probe.config,
        }
    }

    /// Its configuration space, for the guest to write.
    pub fn config_mut(&mut self) -> &mut ConfigSpace {
        match *self {
            #[cfg(test)]
            Function::Probe(ref mut probe) => &mut probe.config,
        }
    }

    /// Whether it asserts its interrupt pin.
    #[must_use]
    pub fn interrupt(&self) -> bool {
        match *self {
            #[cfg(test)]
            Function::Probe(ref probe) => probe.interrupt,
        }
    }

    /// The guest reads `width` at `offset` behind base address register `bar`.
    pub fn read(&mut self, now: VirtualTime, bar: u8, offset: u64, width: Width) -> u64 {
        let _ = (now, bar, offset, width);
        match *self {
            #[cfg(test)]
            Function::Probe(ref probe) => {
                probe.registers[usize::from(bar & 1)].wrapping_add(offset) & width.ones()
            }
        }
    }

    /// The guest writes `width` at `offset` behind base address register `bar`.
    pub fn write(&mut self, now: VirtualTime, bar: u8, offset: u64, width: Width, value: u64) {
        let _ = (now, bar, offset, width, value);
        match *self {
            #[cfg(test)]
            Function::Probe(ref mut probe) => {
                probe.registers[usize::from(bar & 1)] = value;
                probe.interrupt = value & 1 != 0;
            }
        }
    }
}

/// Device and function number (device in bits 7 to 3), and the function there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    devfn: u8,
    function: Function,
}

/// The bus with its chip set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciBus {
    address: u32,
    host_bridge: I440fx,
    isa_bridge: Piix3,
    power_management: Piix4Pm,
    slots: Vec<Slot>,
}

impl PciBus {
    /// The bus after reset.
    #[must_use]
    pub fn new(firmware: bool) -> Self {
        Self {
            address: 0,
            host_bridge: I440fx::new(firmware),
            isa_bridge: Piix3::new(firmware),
            power_management: Piix4Pm::default(),
            slots: Vec::new(),
        }
    }

    /// Puts a function in a free slot.
    pub fn plug(&mut self, devfn: u8, function: Function) {
        self.slots.push(Slot { devfn, function });
    }

    /// The host bridge.
    #[must_use]
    pub fn host_bridge(&self) -> &I440fx {
        &self.host_bridge
    }

    /// The ISA bridge.
    #[must_use]
    pub fn isa_bridge(&self) -> &Piix3 {
        &self.isa_bridge
    }

    /// The power management function.
    #[must_use]
    pub fn power_management(&self) -> &Piix4Pm {
        &self.power_management
    }

    /// Reads the configuration address register (port 0xCF8).
    #[must_use]
    pub fn read_address(&self) -> u32 {
        self.address
    }

    /// Writes the configuration address register.
    pub fn write_address(&mut self, value: u32) {
        self.address = value & 0x80ff_fffc;
    }

    /// Reads a byte of the configuration data register; `lane` is its port less 0xCFC. Ones if nothing is there.
    #[must_use]
    pub fn read_data(&self, lane: u8) -> u8 {
        self.selected().map_or(0xff, |config| config.byte(self.address as u8 | lane & 3))
    }

    /// Writes a byte of the configuration data register.
    pub fn write_data(&mut self, lane: u8, value: u8) {
        let offset = self.address as u8 | lane & 3;
        if let Some(config) = self.selected_mut() {
            config.write(offset, value);
        }
    }

    /// The asserted interrupt links (PIRQA# to PIRQD#), as a bit set.
    #[must_use]
    pub fn links(&self) -> u8 {
        let asserted = self
            .slots
            .iter()
            .filter(|slot| slot.function.interrupt() && slot.function.config().intx_enabled());
        asserted.fold(0, |links, slot| match slot.function.config().byte(INTERRUPT_PIN) {
            pin @ 1..=4 => links | 1 << link(slot.devfn >> 3, pin),
            _ => links,
        })
    }

    /// The function that decodes `address`, its base address register, and the offset behind it.
    pub fn decode(&mut self, space: Space, address: u64) -> Option<(&mut Function, u8, u64)> {
        self.slots.iter_mut().find_map(|slot| {
            let (bar, offset) = slot.function.config().decode(space, address)?;
            Some((&mut slot.function, bar, offset))
        })
    }

    fn selected_devfn(&self) -> Option<u8> {
        let enabled = self.address >> 31 != 0;
        let bus = self.address >> 16 & 0xff;
        (enabled && bus == 0).then_some((self.address >> 8) as u8)
    }

    fn selected(&self) -> Option<&ConfigSpace> {
        let devfn = self.selected_devfn()?;
        match devfn {
            HOST_BRIDGE => Some(&self.host_bridge.config),
            ISA_BRIDGE => Some(&self.isa_bridge.config),
            POWER_MANAGEMENT => Some(&self.power_management.config),
            _ => self.slots.iter().find(|slot| slot.devfn == devfn).map(|slot| slot.function.config()),
        }
    }

    fn selected_mut(&mut self) -> Option<&mut ConfigSpace> {
        let devfn = self.selected_devfn()?;
        match devfn {
            HOST_BRIDGE => Some(&mut self.host_bridge.config),
            ISA_BRIDGE => Some(&mut self.isa_bridge.config),
            POWER_MANAGEMENT => Some(&mut self.power_management.config),
            _ => {
                self.slots.iter_mut().find(|slot| slot.devfn == devfn).map(|slot| slot.function.config_mut())
            }
        }
    }
}

/// The link that pin 1 to 4 (INTA# to INTD#) of a device is wired to. The ACPI tables say the same.
#[must_use]
pub const fn link(device: u8, pin: u8) -> u8 {
    (device.wrapping_sub(1).wrapping_add(pin).wrapping_sub(1)) & 3
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::pci::config_space::{BarKind, Identity};

    /// A device with two registers and an interrupt that follows the lowest bit written last.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Probe {
        pub(crate) config: ConfigSpace,
        pub(crate) registers: [u64; 2],
        pub(crate) interrupt: bool,
    }

    pub(crate) fn probe() -> Function {
        let mut config = ConfigSpace::new(Identity {
            vendor: 0x1234,
            device: 0x5678,
            revision: 0,
            class: 0xff_0000,
            multifunction: false,
            interrupt_pin: 1,
        });
        config.add_bar(0, BarKind::Memory32, 0x1000);
        config.add_bar(1, BarKind::Io, 16);
        Function::Probe(Box::new(Probe { config, registers: [0; 2], interrupt: false }))
    }

    fn read32(bus: &mut PciBus, address: u32) -> u32 {
        bus.write_address(address);
        u32::from_le_bytes([0, 1, 2, 3].map(|lane| bus.read_data(lane)))
    }

    #[test]
    fn the_chip_set_answers_and_empty_slots_do_not() {
        let mut bus = PciBus::new(true);
        assert_eq!(read32(&mut bus, 0x8000_0000), 0x1237_8086);
        assert_eq!(read32(&mut bus, 0x8000_0800), 0x7000_8086);
        assert_eq!(read32(&mut bus, 0x8000_0b00), 0x7113_8086);
        assert_eq!(read32(&mut bus, 0x8000_0b40), 0x601);
        assert_eq!(read32(&mut bus, 0x8000_1000), 0xffff_ffff);
        assert_eq!(read32(&mut bus, 0x0000_0000), 0xffff_ffff);
        assert_eq!(read32(&mut bus, 0x8001_0000), 0xffff_ffff);
    }

    #[test]
    fn interrupt_pins_rotate_over_the_links() {
        assert_eq!([1, 2, 3, 4].map(|device| link(device, 1)), [0, 1, 2, 3]);
        assert_eq!([1, 2, 3, 4].map(|pin| link(5, pin)), [0, 1, 2, 3]);
        let mut bus = PciBus::new(true);
        bus.plug(3 << 3, probe());
        assert_eq!(bus.links(), 0);
        bus.slots[0].function.write(VirtualTime::ZERO, 0, 0, Width::B4, 1);
        assert_eq!(bus.links(), 0b0100);
        bus.slots[0].function.config_mut().write(5, 4);
        assert_eq!(bus.links(), 0, "interrupt disable");
    }
}
