//! What bus masters are called.

use crate::dma::Master;
use crate::pc::{DeviceConfig, PcConfig, VirtioConfig};
use crate::pci::bus::DISPLAY;
use crate::virtio::input::InputKind;

impl PcConfig {
    /// The name of a bus master of this board, for people: what it is, and where.
    #[must_use]
    pub fn master_name(&self, master: Master) -> String {
        let number = master.0;
        if let Ok(devfn) = u8::try_from(number) {
            let name = match self.places().into_iter().find(|(at, _)| *at == devfn) {
                Some((_, device)) => device_name(device),
                None if devfn == DISPLAY => "the display adapter".to_owned(),
                None => "a device".to_owned(),
            };
            return format!("{name} (PCI 00:{:02x}.{})", devfn >> 3, devfn & 7);
        }
        let mut in_memory =
            self.devices.iter().filter(|device| matches!(device, DeviceConfig::VirtioMmio(_)));
        let name = in_memory.nth(usize::from(number & 0xff)).map_or("a device".to_owned(), device_name);
        format!("{name} (registers in memory, number {})", number & 0xff)
    }
}

fn device_name(device: &DeviceConfig) -> String {
    match device {
        DeviceConfig::Virtio(device) | DeviceConfig::VirtioMmio(device) => virtio_name(device),
        DeviceConfig::Ide(_) => "the IDE controller".to_owned(),
        DeviceConfig::E1000(nic) => format!("e1000 net{}", nic.nic),
        DeviceConfig::Ahci(_) => "the AHCI controller".to_owned(),
        DeviceConfig::Ne2000(nic) => format!("NE2000 net{}", nic.nic),
    }
}

fn virtio_name(device: &VirtioConfig) -> String {
    match device {
        VirtioConfig::Block(disk) => format!("virtio-blk disk{}", disk.disk),
        VirtioConfig::Rng { .. } => "virtio-rng".to_owned(),
        VirtioConfig::Net(nic) => format!("virtio-net net{}", nic.nic),
        VirtioConfig::Console(_) => "virtio-console".to_owned(),
        VirtioConfig::Input(InputKind::Keyboard) => "virtio-keyboard".to_owned(),
        VirtioConfig::Input(InputKind::Tablet) => "virtio-tablet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pc::NicConfig;

    #[test]
    fn names_say_what_and_where() {
        let nic = NicConfig { nic: 1, mac: [2; 6], mtu: None };
        let rng = || VirtioConfig::Rng { seed: [0; 32] };
        let devices = vec![
            DeviceConfig::VirtioMmio(rng()),
            DeviceConfig::Virtio(rng()),
            DeviceConfig::Ide(Default::default()),
            DeviceConfig::VirtioMmio(VirtioConfig::Net(nic.clone())),
            DeviceConfig::E1000(nic),
        ];
        let config = PcConfig { devices, ..PcConfig::new(1 << 20, false) };
        let name = |number| config.master_name(Master(number));
        assert_eq!(name(3 << 3), "virtio-rng (PCI 00:03.0)");
        assert_eq!(name(9), "the IDE controller (PCI 00:01.1)");
        assert_eq!(name(4 << 3), "e1000 net1 (PCI 00:04.0)");
        assert_eq!(name(2 << 3), "the display adapter (PCI 00:02.0)");
        assert_eq!(name(0x101), "virtio-net net1 (registers in memory, number 1)");
        assert_eq!(name(31 << 3), "a device (PCI 00:1f.0)");
    }
}
