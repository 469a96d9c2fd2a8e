//! What a `pc` board is built from, and where things are in its address spaces.

use crate::ahci::Ahci;
use crate::ata::AtaDrive;
use crate::e1000::E1000;
use crate::ide::{self, Drives, PiixIde};
use crate::ne2000::Ne2000;
use crate::pci::Function;
use crate::virtio::block::Block;
use crate::virtio::console::Console;
use crate::virtio::input::{InputDevice, InputKind};
use crate::virtio::net::Net;
use crate::virtio::rng::Rng;
use crate::virtio::{Kind, VirtioMmio, VirtioPci};
use serde::{Deserialize, Serialize};

/// How a `pc` board is put together. Part of a recording's manifest: fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcConfig {
    /// Bytes of RAM; a multiple of 1 MiB is expected, at least 1 MiB.
    pub memory_bytes: u64,
    /// Number of processors.
    pub cpus: u8,
    /// Whether a firmware image runs: then PAM decides what 0xC0000-0xFFFFF shows, and the firmware sets up the chip set.
    pub firmware: bool,
    /// Devices beside the board's own, in the order of the command line.
    #[serde(default)]
    pub devices: Vec<DeviceConfig>,
    /// The display adapter.
    #[serde(default)]
    pub display: DisplayConfig,
}

/// How the display adapter is built. A VGA is always there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisplayConfig {
    /// It is on the PCI bus, with VBE modes and a linear frame buffer.
    pub pci: bool,
    /// Bytes of its video BIOS; 0 for none.
    pub rom_bytes: u32,
    /// The mode it is in at power-on, with a linear frame buffer; none for text.
    #[serde(default)]
    pub mode: Option<VideoMode>,
}

/// A mode with packed pixels in a linear frame buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoMode {
    /// Its number in the Linux boot protocol.
    pub number: u16,
    /// Pixels of a line.
    pub width: u16,
    /// Lines.
    pub height: u16,
    /// Bits of a pixel: 8, 15, 16, 24 or 32.
    pub bits: u16,
}

impl VideoMode {
    /// Bytes of a line.
    #[must_use]
    pub fn pitch(&self) -> u16 {
        self.width.saturating_mul(self.bits.div_ceil(8))
    }
}

impl DisplayConfig {
    /// An adapter on the PCI bus, without a video BIOS.
    #[must_use]
    pub fn pci() -> Self {
        Self { pci: true, ..Self::default() }
    }

    /// Bytes of the window onto the video BIOS, if there is one: a power of two.
    #[must_use]
    pub(crate) fn rom_window(&self) -> Option<u32> {
        let bytes = self.rom_bytes.max(0x1000).checked_next_power_of_two();
        bytes.filter(|_| self.pci && self.rom_bytes > 0)
    }
}

/// A device beside the board's own. Variants and fields are only ever added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceConfig {
    /// A virtio device on the PCI bus.
    Virtio(VirtioConfig),
    /// The PIIX3's IDE controller with these drives. There is at most one.
    Ide(Drives),
    /// An Intel 82540EM network card.
    E1000(NicConfig),
    /// An AHCI host bus adapter with these drives.
    Ahci(Vec<AtaDrive>),
    /// An NE2000 with a Realtek RTL8029AS.
    Ne2000(NicConfig),
    /// A virtio device with its registers in memory, announced by ACPI.
    VirtioMmio(VirtioConfig),
}

/// A virtio device. Variants and fields are only ever added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VirtioConfig {
    /// Block device.
    Block(DiskConfig),
    /// Entropy source; all of its bytes follow from the seed.
    Rng {
        /// 32 bytes.
        seed: [u8; 32],
    },
    /// Network card.
    Net(NicConfig),
    /// Console device with these ports, the first of which is the console of simple drivers.
    Console(Vec<PortConfig>),
    /// Keyboard or tablet.
    Input(InputKind),
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicConfig {
    /// Its number among the machine's network cards.
    pub nic: u8,
    /// Its address.
    pub mac: [u8; 6],
    /// The longest packet that its network carries, in bytes without Ethernet's header, if the driver is to be told. Only a
    /// virtio card can.
    #[serde(default)]
    pub mtu: Option<u16>,
}

/// A port of a console device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortConfig {
    /// Its number among the ports of all console devices.
    pub number: u8,
    /// Its name, by which programs in the guest find it.
    pub name: String,
    /// Whether it is a console, not a plain stream.
    pub console: bool,
}

/// A disk as a controller shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskConfig {
    /// Its number among the machine's disks.
    pub disk: u8,
    /// Bytes on it; what is beyond the last whole sector cannot be reached.
    pub bytes: u64,
    /// It cannot be written.
    pub read_only: bool,
    /// Serial number, at most 20 characters.
    pub serial: String,
}

impl VirtioConfig {
    /// The device at power-on.
    fn kind(&self) -> Kind {
        match self {
            VirtioConfig::Block(disk) => Kind::Block(Block::new(disk)),
            VirtioConfig::Rng { seed } => Kind::Rng(Rng::new(*seed)),
            VirtioConfig::Net(nic) => Kind::Net(Net::new(nic)),
            VirtioConfig::Console(ports) => Kind::Console(Console::new(ports)),
            VirtioConfig::Input(kind) => Kind::Input(InputDevice::new(*kind)),
        }
    }
}

impl DeviceConfig {
    /// The device as one with its registers in memory, if it is one.
    fn in_memory(&self) -> Option<VirtioMmio> {
        match self {
            DeviceConfig::VirtioMmio(device) => Some(VirtioMmio::new(device.kind())),
            DeviceConfig::Virtio(_)
            | DeviceConfig::Ide(_)
            | DeviceConfig::E1000(_)
            | DeviceConfig::Ahci(_)
            | DeviceConfig::Ne2000(_) => None,
        }
    }

    /// The device as a function on the PCI bus, if it is one.
    fn function(&self) -> Option<Function> {
        match self {
            DeviceConfig::VirtioMmio(_) => None,
            DeviceConfig::Virtio(device) => Some(Function::Virtio(Box::new(VirtioPci::new(device.kind())))),
            DeviceConfig::Ide(drives) => Some(Function::Ide(Box::new(PiixIde::new(drives)))),
            DeviceConfig::E1000(nic) => Some(Function::E1000(Box::new(E1000::new(nic)))),
            DeviceConfig::Ahci(drives) => Some(Function::Ahci(Box::new(Ahci::new(drives)))),
            DeviceConfig::Ne2000(nic) => Some(Function::Ne2000(Box::new(Ne2000::new(nic)))),
        }
    }
}

/// The first PCI slot of [`PcConfig::devices`]; slot 2 is the display adapter's.
pub const FIRST_DEVICE_SLOT: u8 = 3;

/// RAM below this address; what does not fit continues at 4 GiB.
pub const LOW_RAM_LIMIT: u64 = 0xc000_0000;
/// Where the linear frame buffer is as bus masters and debuggers reach it: beyond what the processor can address. The guest finds
/// it where [`VideoWindows`] says.
pub const VIDEO_MEMORY_BASE: u64 = 1 << 40;
/// Where RAM continues above the hole for devices.
pub const HIGH_RAM_START: u64 = 0x1_0000_0000;
/// The window onto video memory.
pub const VGA_WINDOW: std::ops::Range<u64> = 0xa_0000..0xc_0000;
/// Where the guest finds the linear frame buffer, unless it moves it or firmware does.
pub const FRAME_BUFFER_BASE: u32 = 0xfd00_0000;
/// Registers of the I/O APIC.
pub const IOAPIC_BASE: u64 = 0xfec0_0000;
/// Registers of the first virtio device that has them in memory; the next ones follow.
pub const VIRTIO_MMIO_BASE: u64 = 0xfec1_0000;
/// The I/O APIC inputs of virtio devices in memory: four, from this one on, in turn.
pub const VIRTIO_MMIO_FIRST_PIN: u8 = 20;
/// Registers of the HPET.
pub const HPET_BASE: u64 = 0xfed0_0000;
/// Registers of the local APIC, unless the guest moves them.
pub const LAPIC_BASE: u64 = 0xfee0_0000;
/// The ACPI power management block's ports, unless firmware moves them.
pub const PM_BASE: u16 = 0x600;
/// The interrupt line of ACPI events.
pub const SCI_IRQ: u8 = 9;
/// The reset control register's port.
pub const RESET_PORT: u16 = 0xcf9;

impl PcConfig {
    /// A board with one processor and no devices beside its own.
    #[must_use]
    pub fn new(memory_bytes: u64, firmware: bool) -> Self {
        Self { memory_bytes, cpus: 1, firmware, devices: Vec::new(), display: DisplayConfig::default() }
    }

    /// The PCI functions of the devices, each with the slot and function number it is at.
    #[must_use]
    pub(crate) fn functions(&self) -> Vec<(u8, Function)> {
        self.places().into_iter().filter_map(|(devfn, device)| Some((devfn, device.function()?))).collect()
    }

    /// The devices on the PCI bus, each with its slot and function number.
    #[must_use]
    pub(crate) fn places(&self) -> Vec<(u8, &DeviceConfig)> {
        let mut slots = FIRST_DEVICE_SLOT..32;
        let mut place = |device: &DeviceConfig| match device {
            DeviceConfig::Ide(_) => Some(ide::DEVFN),
            DeviceConfig::Virtio(_)
            | DeviceConfig::E1000(_)
            | DeviceConfig::Ahci(_)
            | DeviceConfig::Ne2000(_) => slots.next().map(|slot| slot << 3),
            DeviceConfig::VirtioMmio(_) => None,
        };
        self.devices.iter().filter_map(|device| Some((place(device)?, device))).collect()
    }

    /// The devices that have their registers in memory, in the order of [`VIRTIO_MMIO_BASE`].
    #[must_use]
    pub(crate) fn in_memory(&self) -> Vec<VirtioMmio> {
        self.devices.iter().filter_map(DeviceConfig::in_memory).collect()
    }

    /// Bytes of RAM below the hole for devices.
    #[must_use]
    pub fn low_ram(&self) -> u64 {
        self.memory_bytes.min(LOW_RAM_LIMIT)
    }

    /// Bytes of RAM from 4 GiB on.
    #[must_use]
    pub fn high_ram(&self) -> u64 {
        self.memory_bytes.saturating_sub(LOW_RAM_LIMIT)
    }
}

/// What a stretch of the physical address space is used for, as firmware tells an operating system (ACPI 6.5, 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// Free RAM.
    Ram,
    /// Not to be used.
    Reserved,
}

impl MemoryKind {
    /// The type number in an E820 map.
    #[must_use]
    pub fn e820(self) -> u32 {
        match self {
            MemoryKind::Ram => 1,
            MemoryKind::Reserved => 2,
        }
    }
}

/// One stretch of the physical address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRegion {
    /// First address.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
    /// What it is used for.
    pub kind: MemoryKind,
}

/// The memory map told to a kernel that is started without firmware, in ascending order.
///
/// The last KiB of conventional memory is the EBDA, and 0xE0000-0xFFFFF is where the ACPI tables are.
#[must_use]
pub fn memory_map(config: &PcConfig) -> Vec<MemoryRegion> {
    let region = |start, end: u64, kind| MemoryRegion { start, len: end - start, kind };
    let mut map = vec![
        region(0, 0x9_fc00, MemoryKind::Ram),
        region(0x9_fc00, 0xa_0000, MemoryKind::Reserved),
        region(0xe_0000, 0x10_0000, MemoryKind::Reserved),
    ];
    if config.low_ram() > 0x10_0000 {
        map.push(region(0x10_0000, config.low_ram(), MemoryKind::Ram));
    }
    if config.high_ram() > 0 {
        map.push(region(HIGH_RAM_START, HIGH_RAM_START + config.high_ram(), MemoryKind::Ram));
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_beyond_the_hole_continues_at_4_gib() {
        let config = PcConfig::new(5 << 30, false);
        let map = memory_map(&config);
        let ram: u64 = map.iter().filter(|r| r.kind == MemoryKind::Ram).map(|r| r.len).sum();
        assert_eq!(map.last(), Some(&MemoryRegion { start: 4 << 30, len: 2 << 30, kind: MemoryKind::Ram }));
        assert_eq!(ram, (5 << 30) - 0x6_0400);
        assert!(map.windows(2).all(|pair| pair[0].start + pair[0].len <= pair[1].start));
    }
}
