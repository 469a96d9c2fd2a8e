//! The firmware configuration device that SeaBIOS asks about the machine (QEMU's "fw_cfg", docs/specs/fw_cfg.rst):
//! a selector port and a data port, no DMA.

use crate::acpi;
use crate::pc::{HIGH_RAM_START, PcConfig};
use serde::{Deserialize, Serialize};

/// The selector's port; the data port follows.
pub const SELECTOR_PORT: u16 = 0x510;
const FILE_DIRECTORY: u16 = 0x19;
const FIRST_FILE: u16 = 0x20;

/// What can be asked. It follows from the configuration, so it is no part of the state.
#[derive(Clone, Debug)]
pub struct FwCfgItems {
    items: Vec<(u16, Vec<u8>)>,
}

/// Which item is being read, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwCfg {
    selector: u16,
    offset: u32,
}

impl FwCfgItems {
    /// The items for the board built from `config`.
    #[must_use]
    pub fn new(config: &PcConfig) -> Self {
        let mut files = vec![("etc/e820", e820(config))];
        if config.firmware {
            files.extend(acpi::files(config));
        }
        let mut directory = (files.len() as u32).to_be_bytes().to_vec();
        let mut items = vec![
            (0x00, b"QEMU".to_vec()),
            // The interface's version: no DMA.
            (0x01, 1u32.to_le_bytes().to_vec()),
            (0x02, vec![0; 16]),
            (0x03, config.memory_bytes.to_le_bytes().to_vec()),
            // Whether there is no graphic display.
            (0x04, u16::from(!config.display.pci).to_le_bytes().to_vec()),
            (0x05, u16::from(config.cpus).to_le_bytes().to_vec()),
            // No boot menu.
            (0x0e, 0u16.to_le_bytes().to_vec()),
            (0x0f, u16::from(config.cpus).to_le_bytes().to_vec()),
            // Interrupt 0 is wired to input 2 of the I/O APIC.
            (0x8002, vec![1]),
        ];
        for (selector, (name, content)) in (FIRST_FILE..).zip(files) {
            directory.extend((content.len() as u32).to_be_bytes());
            directory.extend(selector.to_be_bytes());
            directory.extend([0, 0]);
            let mut field = [0; 56];
            field[..name.len()].copy_from_slice(name.as_bytes());
            directory.extend(field);
            items.push((selector, content));
        }
        items.push((FILE_DIRECTORY, directory));
        Self { items }
    }

    fn item(&self, selector: u16) -> &[u8] {
        self.items.iter().find(|(key, _)| *key == selector).map_or(&[], |(_, content)| content)
    }
}

impl FwCfg {
    /// The guest writes the selector (16 bits, little endian).
    pub fn select(&mut self, selector: u16) {
        *self = Self { selector, offset: 0 };
    }

    /// The guest reads the data port: the item's next byte, zero beyond its end.
    pub fn read(&mut self, items: &FwCfgItems) -> u8 {
        let byte = items.item(self.selector).get(self.offset as usize).copied().unwrap_or(0);
        self.offset = self.offset.saturating_add(1);
        byte
    }
}

/// Where RAM is: start, length, type.
fn e820(config: &PcConfig) -> Vec<u8> {
    let regions = [(0, config.low_ram()), (HIGH_RAM_START, config.high_ram())];
    let mut bytes = Vec::new();
    for (start, len) in regions.into_iter().filter(|(_, len)| *len > 0) {
        bytes.extend(u64::to_le_bytes(start));
        bytes.extend(len.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(device: &mut FwCfg, items: &FwCfgItems, selector: u16, count: usize) -> Vec<u8> {
        device.select(selector);
        (0..count).map(|_| device.read(items)).collect()
    }

    #[test]
    fn the_directory_names_the_memory_map() {
        let items = FwCfgItems::new(&PcConfig::new(4 << 30, true));
        let mut device = FwCfg::default();
        assert_eq!(read(&mut device, &items, 0, 5), b"QEMU\0");
        let directory = read(&mut device, &items, FILE_DIRECTORY, 68);
        assert_eq!(&directory[..12], [0, 0, 0, 4, 0, 0, 0, 40, 0, 0x20, 0, 0]);
        assert_eq!(&directory[12..21], b"etc/e820\0");
        let map = read(&mut device, &items, FIRST_FILE, 40);
        assert_eq!(u64::from_le_bytes(map[8..16].try_into().unwrap()), 3 << 30);
        assert_eq!(u64::from_le_bytes(map[20..28].try_into().unwrap()), 4 << 30);
        assert_eq!(u64::from_le_bytes(map[28..36].try_into().unwrap()), 1 << 30);
    }
}
