//! Intel 82540EM gigabit Ethernet controller (Intel, "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's
//! Manual", 317453): what drivers of the 8254x family use. The chapter numbers here are of that manual.

mod checksum;
mod eeprom;
mod interrupts;
mod phy;
mod receive;
mod registers;
mod ring;
mod statistics;
mod transmit;

#[cfg(test)]
mod tests;

use crate::bus::Width;
use crate::dma::Masters;
use crate::ethernet::Arrivals;
use crate::input::{Backlog, Input};
use crate::output::Output;
use crate::pc::NicConfig;
use crate::pci::config_space::{BarKind, ConfigSpace, Identity};
use crate::pci::function::PciFunction;
use eeprom::Eeprom;
use interrupts::Interrupts;
use phy::Phy;
use receive::Receive;
use registers::Register;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};
use statistics::Statistics;
use transmit::Transmit;

const VENDOR: u16 = 0x8086;
const DEVICE: u16 = 0x100e;

/// The registers in memory.
const MEMORY_BAR: u8 = 0;
const MEMORY_SIZE: u64 = 0x2_0000;
/// A window on the registers in ports: their offset, then the register there (13.1).
const PORT_BAR: u8 = 1;
const PORT_SIZE: u64 = 64;

/// Longest frame that the receiver takes, without its CRC (13.4.22, long packets).
const LONGEST_FRAME: usize = 16384 - 4;

/// CTRL: software reset, of the PHY too.
const CTRL_RESET: u32 = 1 << 26;
const CTRL_PHY_RESET: u32 = 1 << 31;

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct E1000 {
    config: ConfigSpace,
    nic: NicConfig,
    eeprom: Eeprom,
    chip: Chip,
    /// The register that the port window shows.
    window: u32,
    /// Since when there is work for [`PciFunction::serve`].
    work: Option<VirtualTime>,
}

/// What a software reset puts back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Chip {
    control: u32,
    extended_control: u32,
    led_control: u32,
    wake_up_control: u32,
    phy: Phy,
    interrupts: Interrupts,
    receive: Receive,
    transmit: Transmit,
    statistics: Statistics,
    /// Frames for which there was no descriptor yet.
    waiting: Arrivals,
}

impl Chip {
    fn new(mac: [u8; 6]) -> Self {
        Self {
            control: registers::CTRL_AFTER_RESET,
            extended_control: 0,
            led_control: 0x0706_8302,
            wake_up_control: 0,
            phy: Phy::default(),
            interrupts: Interrupts::default(),
            receive: Receive::new(mac),
            transmit: Transmit::default(),
            statistics: Statistics::default(),
            waiting: Arrivals::default(),
        }
    }
}

impl E1000 {
    /// A controller after reset.
    #[must_use]
    pub fn new(nic: &NicConfig) -> Self {
        let class = 0x02_0000;
        let identity = Identity {
            vendor: VENDOR,
            device: DEVICE,
            revision: 2,
            class,
            multifunction: false,
            interrupt_pin: 1,
        };
        let mut config = ConfigSpace::new(identity);
        config.set_u16(0x2c, VENDOR);
        config.set_u16(0x2e, 0x001e);
        config.add_bar(MEMORY_BAR, BarKind::Memory32, MEMORY_SIZE);
        config.add_bar(PORT_BAR, BarKind::Io, PORT_SIZE);
        Self {
            config,
            nic: nic.clone(),
            eeprom: Eeprom::new(nic.mac),
            chip: Chip::new(nic.mac),
            window: 0,
            work: None,
        }
    }

    /// What the guest reads at `offset` of the registers, a multiple of four.
    fn read_register(&mut self, offset: u32) -> u32 {
        let chip = &mut self.chip;
        let Some(register) = Register::at(offset) else { return 0 };
        match register {
            Register::Control => chip.control,
            Register::Status => registers::STATUS,
            Register::EepromControl => self.eeprom.read_control(),
            Register::EepromRead => self.eeprom.read_word(),
            Register::ExtendedControl => chip.extended_control,
            Register::Mdi => chip.phy.read_interface(),
            Register::LedControl => chip.led_control,
            Register::WakeUpControl => chip.wake_up_control,
            Register::Interrupt(which) => chip.interrupts.read(which),
            Register::Receive(which) => chip.receive.read(which),
            Register::Transmit(which) => chip.transmit.read(which),
            Register::Statistic(n) => chip.statistics.take(n),
        }
    }

    /// The guest writes a register. `now` is when.
    fn write_register(&mut self, now: VirtualTime, offset: u32, value: u32) {
        let chip = &mut self.chip;
        let Some(register) = Register::at(offset) else { return };
        match register {
            Register::Control if value & CTRL_RESET != 0 => {
                *chip = Chip::new(self.nic.mac);
                self.work = None;
            }
            Register::Control => {
                if value & CTRL_PHY_RESET != 0 {
                    chip.phy = Phy::default();
                }
                chip.control = value & !CTRL_PHY_RESET;
            }
            Register::Status | Register::Statistic(_) => {}
            Register::EepromControl => self.eeprom.write_control(value),
            Register::EepromRead => self.eeprom.ask(value),
            Register::ExtendedControl => chip.extended_control = value,
            Register::Mdi => {
                if chip.phy.write_interface(value) {
                    chip.interrupts.raise(interrupts::MDI_DONE);
                }
            }
            Register::LedControl => chip.led_control = value,
            Register::WakeUpControl => chip.wake_up_control = value,
            Register::Interrupt(which) => chip.interrupts.write(which, value),
            Register::Receive(which) => {
                chip.receive.write(which, value);
                if !chip.waiting.is_empty() && chip.receive.is_ready() {
                    self.work = Some(now);
                }
            }
            Register::Transmit(which) => {
                chip.transmit.write(which, value);
                if chip.transmit.has_work() {
                    self.work = Some(now);
                }
            }
        }
    }

    /// Passes frames that wait to descriptors, in order, as far as there are any.
    fn receive_waiting(&mut self, masters: &mut Masters<'_>) {
        let Chip { receive, interrupts, statistics, waiting, .. } = &mut self.chip;
        while let Some(frame) = waiting.first() {
            match receive.take(frame, masters.memory) {
                receive::Taken::Stored { causes } => {
                    statistics.received(frame);
                    interrupts.raise(causes);
                }
                receive::Taken::Filtered => {}
                receive::Taken::NoRoom => {
                    interrupts.raise(interrupts::RECEIVER_OVERRUN);
                    break;
                }
            }
            waiting.drop_first();
        }
    }
}

impl PciFunction for E1000 {
    fn config(&self) -> &ConfigSpace {
        &self.config
    }

    fn config_mut(&mut self) -> &mut ConfigSpace {
        &mut self.config
    }

    fn interrupt(&self) -> bool {
        self.chip.interrupts.line()
    }

    fn read(&mut self, _now: VirtualTime, bar: u8, offset: u64, width: Width) -> u64 {
        let (register, lane) = match (bar, offset) {
            (MEMORY_BAR, _) => (offset as u32 & !3, offset & 3),
            (PORT_BAR, 0..4) => return u64::from(self.window) >> (offset * 8) & width.ones(),
            (PORT_BAR, 4..8) => (self.window, offset & 3),
            _ => return 0,
        };
        u64::from(self.read_register(register)) >> (lane * 8) & width.ones()
    }

    /// Registers take whole double words (13.2); an access of eight bytes is two of them.
    fn write(&mut self, now: VirtualTime, bar: u8, offset: u64, width: Width, value: u64) {
        match (bar, offset) {
            _ if width < Width::B4 || !offset.is_multiple_of(4) => {}
            (MEMORY_BAR, _) => {
                self.write_register(now, offset as u32, value as u32);
                if width == Width::B8 {
                    self.write_register(now, offset as u32 + 4, (value >> 32) as u32);
                }
            }
            (PORT_BAR, 0) => self.window = value as u32 & (MEMORY_SIZE as u32 - 4),
            (PORT_BAR, 4) => self.write_register(now, self.window, value as u32),
            _ => {}
        }
    }

    fn service_at(&self) -> Option<VirtualTime> {
        self.work
    }

    fn serve(&mut self, now: VirtualTime, masters: &mut Masters<'_>, outputs: &mut Vec<Output>) {
        let Chip { transmit, interrupts, statistics, .. } = &mut self.chip;
        let more = transmit.run(masters.memory, |frame| {
            statistics.sent(&frame);
            outputs.push(Output::Frame { nic: self.nic.nic, bytes: frame });
        });
        interrupts.raise(transmit.take_causes());
        self.receive_waiting(masters);
        // A ring that is longer than one call may do goes on a little later.
        self.work = more.then(|| now.after(transmit::BURST_NS));
    }

    /// Nobody hears a frame that arrives before the receiver is switched on.
    fn receive(&mut self, now: VirtualTime, input: &Input) -> bool {
        let Input::Frame { nic, bytes } = input else { return false };
        if *nic != self.nic.nic {
            return false;
        }
        let chip = &mut self.chip;
        let fits = chip.receive.is_enabled() && bytes.len() <= LONGEST_FRAME;
        if fits && chip.waiting.push(bytes) {
            self.work = self.work.or(Some(now));
        } else {
            chip.statistics.missed();
        }
        true
    }

    fn backlog(&self, of: Backlog) -> usize {
        match of {
            Backlog::Nic(nic) if nic == self.nic.nic => self.chip.waiting.bytes(),
            Backlog::Nic(_) | Backlog::Console(_) => 0,
        }
    }
}
