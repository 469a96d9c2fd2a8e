//! An AHCI host bus adapter as in the ICH9: up to six ports with a Serial ATA drive each (Serial ATA AHCI 1.3.1).
//!
//! Commands are done in the order of their slots. The FIS that a drive sends after a reset is shown in the port's registers
//! and not written to memory.

mod fis;
mod port;
#[cfg(test)]
mod tests;

use crate::ata::AtaDrive;
use crate::bus::Width;
use crate::dma::Masters;
use crate::output::Output;
use crate::pci::{
    PciFunction,
    config_space::{BarKind, ConfigSpace, Identity},
};
use port::Port;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

/// Number of ports.
pub const PORTS: usize = 6;
/// Base address register of the registers.
const ABAR: u8 = 5;
const WINDOW: u64 = 0x1000;
const FIRST_PORT: u64 = 0x100;
const PORT_BYTES: u64 = 0x80;
/// Capabilities: 64-bit addresses, NCQ, 3 Gbit/s, no legacy interface, 32 slots, six ports.
const CAP: u32 = 1 << 31 | 1 << 30 | 2 << 20 | 1 << 18 | 31 << 8 | (PORTS as u32 - 1);
/// Version 1.3.
const VERSION: u32 = 0x0001_0300;
/// Global control: reset.
const HR: u32 = 1;
/// Global control: interrupts.
const IE: u32 = 1 << 1;
/// Global control: AHCI mode, which is the only one.
const AE: u32 = 1 << 31;

/// The function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahci {
    config: ConfigSpace,
    control: u32,
    /// Ports that have asked for an interrupt.
    pending: u32,
    ports: [Port; PORTS],
}

impl Ahci {
    /// With these drives, from port 0 on; what is beyond the last port is left out.
    #[must_use]
    pub fn new(drives: &[AtaDrive]) -> Self {
        let mut config = ConfigSpace::new(Identity {
            vendor: 0x8086,
            device: 0x2922,
            revision: 2,
            class: 0x01_0601,
            multifunction: false,
            interrupt_pin: 1,
        });
        config.add_bar(ABAR, BarKind::Memory32, WINDOW);
        let ports = std::array::from_fn(|n| Port::new(drives.get(n).copied()));
        Self { config, control: AE, pending: 0, ports }
    }

    /// Notes which ports ask for an interrupt.
    fn settle(&mut self) {
        for (n, port) in self.ports.iter().enumerate() {
            if port.asks() {
                self.pending |= 1 << n;
            }
        }
    }

    fn read_register(&self, offset: u64) -> u32 {
        match offset {
            0x00 => CAP,
            0x04 => self.control,
            0x08 => self.pending,
            0x0c => (1 << PORTS) - 1,
            0x10 => VERSION,
            _ => self.port(offset).map_or(0, |(n, register)| self.ports[n].read(register)),
        }
    }

    fn write_register(&mut self, now: VirtualTime, offset: u64, value: u32) {
        match offset {
            0x04 if value & HR != 0 => {
                self.control = AE;
                self.pending = 0;
                self.ports.iter_mut().for_each(Port::reset);
            }
            0x04 => self.control = AE | value & IE,
            0x08 => self.pending &= !value,
            _ => {
                if let Some((n, register)) = self.port(offset) {
                    self.ports[n].write(now, register, value);
                }
            }
        }
        self.settle();
    }

    /// The port that has the register at `offset`, and the register in it.
    fn port(&self, offset: u64) -> Option<(usize, u64)> {
        let offset = offset.checked_sub(FIRST_PORT)?;
        let n = (offset / PORT_BYTES) as usize;
        (n < PORTS).then_some((n, offset % PORT_BYTES))
    }
}

impl PciFunction for Ahci {
    fn config(&self) -> &ConfigSpace {
        &self.config
    }

    fn config_mut(&mut self) -> &mut ConfigSpace {
        &mut self.config
    }

    fn interrupt(&self) -> bool {
        self.control & IE != 0 && self.pending != 0
    }

    fn read(&mut self, _now: VirtualTime, _bar: u8, offset: u64, width: Width) -> u64 {
        let at = offset & !3;
        let both = u64::from(self.read_register(at)) | u64::from(self.read_register(at + 4)) << 32;
        both >> (8 * (offset & 3)) & width.ones()
    }

    /// Registers take whole double words.
    fn write(&mut self, now: VirtualTime, _bar: u8, offset: u64, width: Width, value: u64) {
        if offset & 3 != 0 || width < Width::B4 {
            return;
        }
        self.write_register(now, offset, value as u32);
        if width == Width::B8 {
            self.write_register(now, offset + 4, (value >> 32) as u32);
        }
    }

    fn service_at(&self) -> Option<VirtualTime> {
        self.ports.iter().filter_map(Port::service_at).min()
    }

    fn serve(&mut self, now: VirtualTime, masters: &mut Masters<'_>, _outputs: &mut Vec<Output>) {
        for port in &mut self.ports {
            if port.service_at().is_some_and(|at| at <= now) {
                port.serve(masters);
            }
        }
        self.settle();
    }
}
