//! The devices, each on a board of its own.

use crate::chips::{self, Chip};
use crate::memory::DISK;
use crate::virtio::{self, Kind, Transport};
use crate::world::World;
use crate::{nics, storage};
use rrvmm_devices::PcConfig;
use rrvmm_devices::ata::{AtaDrive, Media};
use rrvmm_devices::pc::{DeviceConfig, DiskConfig, DisplayConfig, NicConfig, PortConfig, VirtioConfig};
use rrvmm_devices::virtio::input::InputKind;

/// The first slot for devices, function 0.
const SLOT: u8 = 3 << 3;
/// The display adapter's slot.
const DISPLAY: u8 = 2 << 3;
/// The IDE function.
const IDE: u8 = 9;

/// A device and its drivers.
pub struct Family {
    pub name: &'static str,
    pub devfn: u8,
    firmware: bool,
    what: What,
}

enum What {
    Chip(Chip),
    Virtio(virtio::Device, fn() -> VirtioConfig),
    Ide,
    Ahci,
    E1000,
    Ne2000,
    Vga,
    Pci,
}

const fn chip(name: &'static str, firmware: bool, chip: Chip) -> Family {
    Family { name, devfn: 0, firmware, what: What::Chip(chip) }
}

const fn on_pci(name: &'static str, devfn: u8, what: What) -> Family {
    Family { name, devfn, firmware: false, what }
}

const fn virtio(
    name: &'static str,
    transport: Transport,
    kind: Kind,
    queues: u64,
    config: fn() -> VirtioConfig,
) -> Family {
    on_pci(name, SLOT, What::Virtio(virtio::Device { transport, kind, queues }, config))
}

use Transport::{Mmio, Pci};

pub static FAMILIES: &[Family] = &[
    virtio("virtio-blk", Pci, Kind::Block, 1, block),
    virtio("virtio-blk-mmio", Mmio, Kind::Block, 1, block),
    virtio("virtio-net", Pci, Kind::Net, 2, net),
    virtio("virtio-net-mmio", Mmio, Kind::Net, 2, net),
    virtio("virtio-console", Pci, Kind::Console, 6, console),
    virtio("virtio-console-mmio", Mmio, Kind::Console, 6, console),
    virtio("virtio-rng", Pci, Kind::Rng, 1, rng),
    virtio("virtio-rng-mmio", Mmio, Kind::Rng, 1, rng),
    virtio("virtio-keyboard", Pci, Kind::Input, 2, || VirtioConfig::Input(InputKind::Keyboard)),
    virtio("virtio-tablet", Pci, Kind::Input, 2, || VirtioConfig::Input(InputKind::Tablet)),
    virtio("virtio-tablet-mmio", Mmio, Kind::Input, 2, || VirtioConfig::Input(InputKind::Tablet)),
    on_pci("ide", IDE, What::Ide),
    on_pci("ahci", SLOT, What::Ahci),
    on_pci("e1000", SLOT, What::E1000),
    on_pci("ne2000", SLOT, What::Ne2000),
    on_pci("vga", DISPLAY, What::Vga),
    on_pci("pci", SLOT, What::Pci),
    chip("ps2", false, chips::PS2),
    chip("hpet", false, chips::HPET),
    chip("pit", false, chips::PIT),
    chip("rtc", false, chips::RTC),
    chip("pic", true, chips::PIC),
    chip("ioapic", false, chips::IO_APIC),
    chip("lapic", false, chips::LOCAL_APIC),
    chip("uart", false, chips::UART),
    chip("acpi", true, chips::ACPI),
    chip("fw_cfg", true, chips::FW_CFG),
];

fn block() -> VirtioConfig {
    VirtioConfig::Block(DiskConfig { disk: 0, bytes: DISK, read_only: false, serial: "fuzz".to_owned() })
}

fn nic() -> NicConfig {
    NicConfig { nic: 0, mac: nics::MAC, mtu: Some(1000) }
}

fn net() -> VirtioConfig {
    VirtioConfig::Net(nic())
}

fn console() -> VirtioConfig {
    let port = |number| PortConfig { number, name: "port".to_owned(), console: number == 0 };
    VirtioConfig::Console(vec![port(0), port(1)])
}

fn rng() -> VirtioConfig {
    VirtioConfig::Rng { seed: [7; 32] }
}

impl Family {
    pub fn config(&self) -> PcConfig {
        let drive = |disk, media, serial| AtaDrive { disk, media, sectors: DISK / 512, serial };
        let devices = match &self.what {
            What::Chip(_) | What::Vga => Vec::new(),
            What::Virtio(device, config) => match device.transport {
                Transport::Pci => vec![DeviceConfig::Virtio(config())],
                Transport::Mmio => vec![DeviceConfig::VirtioMmio(config())],
            },
            What::Ide => {
                let drives = [drive(0, Media::Disk, false), drive(1, Media::Disc, false)].map(Some);
                let [disk, disc] = drives;
                vec![DeviceConfig::Ide([disk, None, disc, None])]
            }
            What::Ahci => {
                vec![DeviceConfig::Ahci(vec![drive(0, Media::Disk, true), drive(1, Media::Disc, true)])]
            }
            What::E1000 => vec![DeviceConfig::E1000(nic())],
            What::Ne2000 => vec![DeviceConfig::Ne2000(nic())],
            What::Pci => vec![
                DeviceConfig::Virtio(rng()),
                DeviceConfig::E1000(nic()),
                DeviceConfig::Ne2000(nic()),
                DeviceConfig::VirtioMmio(rng()),
            ],
        };
        let display = DisplayConfig { rom_bytes: 0x9000, ..DisplayConfig::pci() };
        PcConfig { devices, display, ..PcConfig::new(1 << 20, self.firmware) }
    }

    /// A driver sets the device up.
    pub fn set_up(&self, world: &mut World) {
        match &self.what {
            What::Chip(chip) => chip.set_up(world),
            What::Virtio(device, _) => device.set_up(world),
            What::Ide => storage::set_up_ide(world),
            What::Ahci => storage::set_up_ahci(world),
            What::E1000 => nics::set_up_e1000(world),
            What::Ne2000 => nics::set_up_ne2000(world),
            What::Vga => chips::set_up_vga(world),
            What::Pci => {}
        }
    }

    /// One thing that a driver does, or that arrives for the device.
    pub fn step(&self, world: &mut World) {
        match &self.what {
            What::Chip(chip) => {
                if world.random.one_in(8) {
                    chips::input(world);
                } else {
                    chip.step(world);
                }
            }
            What::Virtio(device, _) => match device.kind {
                Kind::Net if world.random.one_in(6) => nics::arrive(world),
                Kind::Console | Kind::Input if world.random.one_in(6) => chips::input(world),
                Kind::Block | Kind::Net | Kind::Console | Kind::Rng | Kind::Input => device.step(world),
            },
            What::Ide => storage::step_ide(world),
            What::Ahci => storage::step_ahci(world),
            What::E1000 => nics::step_e1000(world),
            What::Ne2000 => nics::step_ne2000(world),
            What::Vga => chips::step_vga(world),
            What::Pci => chips::step_pci(world),
        }
    }
}
