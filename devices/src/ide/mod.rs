//! The PIIX3's IDE function: two channels of two drives at their traditional ports, with a bus master for each channel
//! (Intel datasheet 290550; Programming Interface for Bus Master IDE Controller 1.0).

mod bus_master;
mod channel;
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
use channel::Channel;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

/// Device 1, function 1.
pub const DEVFN: u8 = 0x09;
/// The channels' interrupts.
pub const IRQS: [u8; 2] = [14, 15];
/// First ports of the channels' command blocks.
const COMMAND_PORTS: [u16; 2] = [0x1f0, 0x170];
/// Ports of the channels' control registers.
const CONTROL_PORTS: [u16; 2] = [0x3f6, 0x376];
/// Base address register of the bus masters.
const BUS_MASTER_BAR: u8 = 4;
/// Bus master base: ports of a channel.
const BUS_MASTER_PORTS: u64 = 8;

/// The drives: primary master, primary slave, secondary master, secondary slave.
pub type Drives = [Option<AtaDrive>; 4];

/// The function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PiixIde {
    config: ConfigSpace,
    channels: [Channel; 2],
}

impl PiixIde {
    /// With these drives.
    #[must_use]
    pub fn new(drives: &Drives) -> Self {
        let mut config = ConfigSpace::new(Identity {
            vendor: 0x8086,
            device: 0x7010,
            revision: 0,
            // Bus master, both channels at their traditional ports.
            class: 0x01_0180,
            multifunction: true,
            interrupt_pin: 0,
        });
        config.add_bar(BUS_MASTER_BAR, BarKind::Io, 2 * BUS_MASTER_PORTS);
        // IDETIM: both channels decode their ports.
        config.allow(0x40, &[0xff, 0xf3, 0xff, 0xf3, 0xff]);
        config.set_u16(0x40, 0x8000);
        config.set_u16(0x42, 0x8000);
        let [a, b, c, d] = *drives;
        Self { config, channels: [Channel::new([a, b]), Channel::new([c, d])] }
    }

    /// Whether channel `n` asserts its interrupt.
    #[must_use]
    pub fn irq(&self, n: usize) -> bool {
        self.channels.get(n).is_some_and(Channel::irq)
    }

    /// The guest reads one of the traditional ports; none if `port` is no such port.
    pub fn read_port(&mut self, now: VirtualTime, port: u16, width: Width) -> Option<u32> {
        let (channel, place) = self.channel(port)?;
        Some(match place {
            Place::Command(0) => {
                let value = channel.read_data(now, width);
                value & width.ones() as u32
            }
            // Wider accesses see the register alone.
            Place::Command(register) => u32::from(channel.read(register)),
            Place::Control => u32::from(channel.alternate_status()),
        })
    }

    /// The guest writes one of the traditional ports. False if `port` is no such port.
    pub fn write_port(&mut self, now: VirtualTime, port: u16, width: Width, value: u32) -> bool {
        let Some((channel, place)) = self.channel(port) else { return false };
        match place {
            Place::Command(0) => channel.write_data(now, width, value),
            Place::Command(register) => channel.write(now, register, value as u8),
            Place::Control => channel.write_control(value as u8),
        }
        true
    }

    fn channel(&mut self, port: u16) -> Option<(&mut Channel, Place)> {
        for (n, channel) in self.channels.iter_mut().enumerate() {
            let register = port.wrapping_sub(COMMAND_PORTS[n]);
            if register < 8 {
                return Some((channel, Place::Command(register as u8)));
            }
            if port == CONTROL_PORTS[n] {
                return Some((channel, Place::Control));
            }
        }
        None
    }
}

enum Place {
    Command(u8),
    Control,
}

impl PciFunction for PiixIde {
    fn config(&self) -> &ConfigSpace {
        &self.config
    }

    fn config_mut(&mut self) -> &mut ConfigSpace {
        &mut self.config
    }

    /// The channels have lines of their own.
    fn interrupt(&self) -> bool {
        false
    }

    fn read(&mut self, _now: VirtualTime, _bar: u8, offset: u64, width: Width) -> u64 {
        let byte = |n: u64| {
            let channel = &self.channels[usize::from(n >= BUS_MASTER_PORTS)];
            u64::from(channel.read_bus_master((n % BUS_MASTER_PORTS) as u8))
        };
        let last = 2 * BUS_MASTER_PORTS;
        (0..width.bytes()).fold(0, |value, n| value | byte((offset + n) % last) << (8 * n))
    }

    fn write(&mut self, now: VirtualTime, _bar: u8, offset: u64, width: Width, value: u64) {
        for (n, byte) in
            (offset..2 * BUS_MASTER_PORTS).zip(value.to_le_bytes().into_iter().take(width.bytes() as usize))
        {
            let channel = &mut self.channels[usize::from(n >= BUS_MASTER_PORTS)];
            channel.write_bus_master(now, (n % BUS_MASTER_PORTS) as u8, byte);
        }
    }

    fn service_at(&self) -> Option<VirtualTime> {
        self.channels.iter().filter_map(Channel::service_at).min()
    }

    fn serve(&mut self, now: VirtualTime, masters: &mut Masters<'_>, _outputs: &mut Vec<Output>) {
        for channel in &mut self.channels {
            if channel.service_at().is_some_and(|at| at <= now) {
                channel.serve(now, masters);
            }
        }
    }
}
