//! PCI bus 0, reached by configuration mechanism 1 (PCI Local Bus Specification 3.0, 3.2.2.3.2).

use crate::bus::Width;
use crate::chips::lapic::InterruptMessage;
use crate::dma::{Master, Masters};
use crate::ide::PiixIde;
use crate::input::{Backlog, Input};
use crate::output::Output;
use crate::pc::PcConfig;
use crate::pci::config_space::{BarKind, ConfigSpace, INTERRUPT_LINE, INTERRUPT_PIN, Space};
use crate::pci::display::DisplayFunction;
use crate::pci::function::{Function, PciFunction};
use crate::pci::i440fx::I440fx;
use crate::pci::piix3::{DEFAULT_ROUTES, Piix3};
use crate::pci::piix4_pm::Piix4Pm;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

/// Device 0 function 0.
const HOST_BRIDGE: u8 = 0x00;
/// Device 1 function 0.
const ISA_BRIDGE: u8 = 0x08;
/// Device 2 function 0.
pub(crate) const DISPLAY: u8 = 0x10;
/// Device 1 function 3.
const POWER_MANAGEMENT: u8 = 0x0b;
/// Where devices are put on a machine without firmware to do it, from this address on.
const FIRST_MEMORY: u64 = 0xe000_0000;
/// As [`FIRST_MEMORY`], for ports.
const FIRST_PORT: u64 = 0xc000;

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
    display: Option<DisplayFunction>,
    slots: Vec<Slot>,
}

impl PciBus {
    /// The bus after reset, with the devices that `config` names.
    #[must_use]
    pub fn new(config: &PcConfig) -> Self {
        let firmware = config.firmware;
        let mut bus = Self {
            address: 0,
            host_bridge: I440fx::new(firmware),
            isa_bridge: Piix3::new(firmware),
            power_management: Piix4Pm::default(),
            display: config.display.pci.then(|| DisplayFunction::new(&config.display)),
            slots: Vec::new(),
        };
        for (devfn, function) in config.functions() {
            bus.plug(devfn, function);
        }
        if !firmware {
            bus.assign();
        }
        bus
    }

    /// Puts a function in a free slot.
    pub fn plug(&mut self, devfn: u8, function: Function) {
        self.slots.push(Slot { devfn, function });
    }

    /// Gives every function its addresses and interrupt line, as firmware does.
    pub(crate) fn assign(&mut self) {
        let (mut memory, mut port) = (FIRST_MEMORY, FIRST_PORT);
        if let Some(display) = &mut self.display {
            display.assign();
        }
        for slot in &mut self.slots {
            let config = slot.function.get_mut().config_mut();
            let bars: Vec<_> = config.bars().collect();
            for (index, kind, size) in bars {
                let next = match kind {
                    BarKind::Io => &mut port,
                    BarKind::Memory32 | BarKind::Memory64 => &mut memory,
                };
                let base = next.next_multiple_of(size);
                *next = base + size;
                config.place_bar(index, base);
            }
            if let pin @ 1..=4 = config.byte(INTERRUPT_PIN) {
                let link = link(slot.devfn >> 3, pin);
                config.set_byte(INTERRUPT_LINE, DEFAULT_ROUTES[usize::from(link)]);
            }
        }
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

    /// The display adapter, if it is on the bus.
    #[must_use]
    pub fn display(&self) -> Option<&DisplayFunction> {
        self.display.as_ref()
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

    /// Reads `width` of the configuration data register; `lane` is the port less 0xCFC. Ones if nothing is there.
    pub fn read_data(&mut self, now: VirtualTime, lane: u8, width: Width) -> u32 {
        let offset = self.address as u8 | lane & 3;
        match self.selected() {
            Some(Selected::ChipSet(config)) => config.read(offset, width),
            Some(Selected::Function(function)) => function.read_config(now, offset, width),
            None => width.ones() as u32,
        }
    }

    /// Writes `width` of the configuration data register.
    pub fn write_data(&mut self, now: VirtualTime, lane: u8, width: Width, value: u32) {
        let offset = self.address as u8 | lane & 3;
        match self.selected() {
            Some(Selected::ChipSet(config)) => {
                for (n, byte) in (0..).zip(value.to_le_bytes().into_iter().take(width.bytes() as usize)) {
                    config.write(offset + n, byte);
                }
            }
            Some(Selected::Function(function)) => function.write_config(now, offset, width, value),
            None => {}
        }
    }

    /// The asserted interrupt links (PIRQA# to PIRQD#), as a bit set.
    #[must_use]
    pub fn links(&self) -> u8 {
        let asserted = self
            .slots
            .iter()
            .filter(|slot| slot.function.get().interrupt() && slot.function.get().config().intx_enabled());
        asserted.fold(0, |links, slot| match slot.function.get().config().byte(INTERRUPT_PIN) {
            pin @ 1..=4 => links | 1 << link(slot.devfn >> 3, pin),
            _ => links,
        })
    }

    /// The function that decodes `address`, its base address register, and the offset behind it.
    pub fn decode(&mut self, space: Space, address: u64) -> Option<(&mut dyn PciFunction, u8, u64)> {
        self.slots.iter_mut().find_map(|slot| {
            let (bar, offset) = slot.function.get().config().decode(space, address)?;
            Some((slot.function.get_mut(), bar, offset))
        })
    }

    /// The IDE controller, if there is one.
    #[must_use]
    pub fn ide(&self) -> Option<&PiixIde> {
        self.slots
            .iter()
            .find_map(|slot| if let Function::Ide(ide) = &slot.function { Some(&**ide) } else { None })
    }

    /// The IDE controller, to access.
    pub fn ide_mut(&mut self) -> Option<&mut PiixIde> {
        self.slots.iter_mut().find_map(|slot| {
            if let Function::Ide(ide) = &mut slot.function { Some(&mut **ide) } else { None }
        })
    }

    /// When the next function wants [`PciBus::serve`].
    #[must_use]
    pub fn service_at(&self) -> Option<VirtualTime> {
        self.slots.iter().filter_map(|slot| slot.function.get().service_at()).min()
    }

    /// Lets every function do the work that is due.
    pub fn serve(&mut self, now: VirtualTime, masters: &mut Masters<'_>, outputs: &mut Vec<Output>) {
        for slot in &mut self.slots {
            let function = slot.function.get_mut();
            if function.service_at().is_some_and(|at| at <= now) {
                masters.memory.begin(Master(u16::from(slot.devfn)));
                function.serve(now, masters, outputs);
            }
        }
    }

    /// Something arrives from outside. Whether it is for one of the functions.
    pub fn receive(&mut self, now: VirtualTime, input: &Input) -> bool {
        self.slots.iter_mut().any(|slot| slot.function.get_mut().receive(now, input))
    }

    /// Bytes that have arrived for the guest, which has yet to take them.
    #[must_use]
    pub fn backlog(&self, of: Backlog) -> usize {
        self.slots.iter().map(|slot| slot.function.get().backlog(of)).sum()
    }

    /// The next message that a function has sent to a local APIC, once.
    pub fn take_message(&mut self) -> Option<InterruptMessage> {
        self.slots.iter_mut().find_map(|slot| slot.function.get_mut().take_message())
    }

    fn selected(&mut self) -> Option<Selected<'_>> {
        let enabled = self.address >> 31 != 0;
        let bus = self.address >> 16 & 0xff;
        let devfn = (self.address >> 8) as u8;
        if !enabled || bus != 0 {
            return None;
        }
        match devfn {
            HOST_BRIDGE => Some(Selected::ChipSet(&mut self.host_bridge.config)),
            ISA_BRIDGE => Some(Selected::ChipSet(&mut self.isa_bridge.config)),
            POWER_MANAGEMENT => Some(Selected::ChipSet(&mut self.power_management.config)),
            DISPLAY => self.display.as_mut().map(|display| Selected::ChipSet(&mut display.config)),
            _ => {
                let slot = self.slots.iter_mut().find(|slot| slot.devfn == devfn)?;
                Some(Selected::Function(slot.function.get_mut()))
            }
        }
    }
}

/// What a configuration address names.
enum Selected<'a> {
    ChipSet(&'a mut ConfigSpace),
    Function(&'a mut dyn PciFunction),
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

    fn bus() -> PciBus {
        PciBus::new(&PcConfig::new(64 << 20, true))
    }

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

    impl PciFunction for Probe {
        fn config(&self) -> &ConfigSpace {
            &self.config
        }

        fn config_mut(&mut self) -> &mut ConfigSpace {
            &mut self.config
        }

        fn interrupt(&self) -> bool {
            self.interrupt
        }

        fn read(&mut self, _now: VirtualTime, bar: u8, offset: u64, width: Width) -> u64 {
            self.registers[usize::from(bar & 1)].wrapping_add(offset) & width.ones()
        }

        fn write(&mut self, _now: VirtualTime, bar: u8, _offset: u64, _width: Width, value: u64) {
            self.registers[usize::from(bar & 1)] = value;
            self.interrupt = value & 1 != 0;
        }
    }

    fn read32(bus: &mut PciBus, address: u32) -> u32 {
        bus.write_address(address);
        let bytes = [0, 1, 2, 3].map(|lane| bus.read_data(VirtualTime::ZERO, lane, Width::B1) as u8);
        let whole = bus.read_data(VirtualTime::ZERO, 0, Width::B4);
        assert_eq!(whole, u32::from_le_bytes(bytes));
        whole
    }

    #[test]
    fn the_chip_set_answers_and_empty_slots_do_not() {
        let mut bus = bus();
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
        let mut bus = bus();
        bus.plug(3 << 3, probe());
        assert_eq!(bus.links(), 0);
        bus.slots[0].function.get_mut().write(VirtualTime::ZERO, 0, 0, Width::B4, 1);
        assert_eq!(bus.links(), 0b0100);
        bus.slots[0].function.get_mut().config_mut().write(5, 4);
        assert_eq!(bus.links(), 0, "interrupt disable");
    }

    #[test]
    fn without_firmware_functions_have_addresses_and_an_interrupt_line() {
        let mut bus = bus();
        bus.plug(3 << 3, probe());
        bus.plug(4 << 3, probe());
        bus.assign();
        assert_eq!(read32(&mut bus, 0x8000_1810), 0xe000_0000);
        assert_eq!(read32(&mut bus, 0x8000_2010), 0xe000_1000);
        assert_eq!(read32(&mut bus, 0x8000_2014), 0xc011);
        assert_eq!(read32(&mut bus, 0x8000_203c), 0x10b);
        assert!(bus.decode(Space::Memory, 0xe000_1004).is_some());
    }
}
