//! The differentiated system description table: the PCI root, its interrupt routing, and the ISA devices.

use crate::acpi::{OEM_ID, OEM_REVISION, OEM_TABLE_ID};
use crate::chips::pm::SLEEP_TYPE_S5;
use crate::pc::interrupts::virtio_pin;
use crate::pc::{LOW_RAM_LIMIT, PcConfig, SCI_IRQ, VIRTIO_MMIO_BASE};
use crate::pci::bus::link;
use crate::pci::piix3::DEFAULT_ROUTES;
use crate::virtio::mmio;
use acpi_tables::Aml;
use acpi_tables::aml::{
    AddressSpace, AddressSpaceCacheable, Arg, Device, EISAName, Else, IO, If, Interrupt, Memory32Fixed,
    Method, Name, Package, PackageBuilder, Path, ResourceTemplate, Return, Scope, Store,
};
use acpi_tables::sdt::Sdt;

/// The I/O APIC inputs that PCI links are wired to, from this one on.
const FIRST_LINK_GSI: u32 = 16;
/// End of the memory that PCI devices can be given: the I/O APIC follows.
const PCI_MEMORY_LAST: u32 = 0xfebf_ffff;

/// The table.
pub(super) fn dsdt(config: &PcConfig) -> Vec<u8> {
    let mut dsdt = Sdt::new(*b"DSDT", 36, 2, OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    let mut aml = Vec::new();
    interrupt_model(&mut aml);
    soft_off(&mut aml);
    pci_root(&mut aml);
    virtio_devices(&mut aml, config.in_memory().len());
    dsdt.append_slice(&aml);
    dsdt.as_slice().to_vec()
}

/// `\_PIC` remembers whether the operating system uses the I/O APIC.
fn interrupt_model(aml: &mut Vec<u8>) {
    Name::new("PICF".into(), &0u8).to_aml_bytes(aml);
    let flag = Path::new("PICF");
    Method::new("_PIC".into(), 1, false, vec![&Store::new(&flag, &Arg(0))]).to_aml_bytes(aml);
}

fn soft_off(aml: &mut Vec<u8>) {
    let kind = SLEEP_TYPE_S5 as u8;
    Name::new("_S5_".into(), &Package::new(vec![&kind, &0u8, &0u8, &0u8])).to_aml_bytes(aml);
}

fn pci_root(aml: &mut Vec<u8>) {
    let uncached = || AddressSpaceCacheable::NotCacheable;
    let buses = AddressSpace::new_bus_number(0u16, 0xff);
    let configuration = IO::new(0xcf8, 0xcf8, 1, 8);
    let ports_below = AddressSpace::new_io(0x0000u16, 0x0cf7, None);
    let ports_above = AddressSpace::new_io(0x0d00u16, 0xffff, None);
    let video = AddressSpace::new_memory(uncached(), true, 0xa_0000u32, 0xb_ffff, None);
    let memory = AddressSpace::new_memory(uncached(), true, LOW_RAM_LIMIT as u32, PCI_MEMORY_LAST, None);
    let resources =
        ResourceTemplate::new(vec![&buses, &configuration, &ports_below, &ports_above, &video, &memory]);

    let (with_apic, with_pic) = (routing(apic_interrupt), routing(pic_interrupt));
    let flag = Path::new("PICF");
    let (return_apic, return_pic) = (Return::new(&with_apic), Return::new(&with_pic));
    let choose = If::new(&flag, vec![&return_apic]);
    let otherwise = Else::new(vec![&return_pic]);
    let routes = Method::new("_PRT".into(), 0, false, vec![&choose, &otherwise]);

    let names = [
        Name::new("_HID".into(), &EISAName::new("PNP0A03")),
        Name::new("_UID".into(), &0u8),
        Name::new("_CRS".into(), &resources),
    ];
    let isa = Raw(isa_bridge());
    let mut children: Vec<&dyn Aml> = names.iter().map(|name| name as &dyn Aml).collect();
    children.extend([&routes as &dyn Aml, &isa]);
    let root = Device::new("PCI0".into(), children);
    Scope::new("_SB_".into(), vec![&root]).to_aml_bytes(aml);
}

/// Interrupts of all devices' pins: address, pin, source, number (6.2.13).
fn routing(interrupt: fn(u8) -> u32) -> PackageBuilder {
    let mut routes = PackageBuilder::new();
    for device in 1..32u8 {
        for pin in 0..4u8 {
            let address = u32::from(device) << 16 | 0xffff;
            let number = interrupt(link(device, pin + 1));
            routes.add_element(&Package::new(vec![&address, &pin, &0u8, &number]));
        }
    }
    routes
}

fn apic_interrupt(link: u8) -> u32 {
    FIRST_LINK_GSI + u32::from(link)
}

fn pic_interrupt(link: u8) -> u32 {
    u32::from(DEFAULT_ROUTES[usize::from(link & 3)])
}

/// Virtio devices with their registers in memory, each with an interrupt of the I/O APIC.
fn virtio_devices(aml: &mut Vec<u8>, count: usize) {
    let mut devices = Vec::new();
    for n in 0..count {
        let base = VIRTIO_MMIO_BASE + n as u64 * mmio::WINDOW;
        let registers = Memory32Fixed::new(true, base as u32, mmio::WINDOW as u32);
        let interrupt = Interrupt::new(true, false, false, true, u32::from(virtio_pin(n)));
        let mut device = Vec::new();
        Device::new(
            format!("VR{n:02X}").as_str().into(),
            vec![
                &Name::new("_HID".into(), &"LNRO0005"),
                &Name::new("_UID".into(), &(n as u8)),
                &Name::new("_CRS".into(), &ResourceTemplate::new(vec![&registers, &interrupt])),
            ],
        )
        .to_aml_bytes(&mut device);
        devices.push(Raw(device));
    }
    if !devices.is_empty() {
        let devices = devices.iter().map(|device| device as &dyn Aml).collect();
        Scope::new("_SB_".into(), devices).to_aml_bytes(aml);
    }
}

/// The ISA bridge, device 1 function 0, with what is behind it.
fn isa_bridge() -> Vec<u8> {
    let mut aml = Vec::new();
    let children = [
        isa_device("COM1", "PNP0501", 1, &[(0x3f8, 8)], 4),
        isa_device("COM2", "PNP0501", 2, &[(0x2f8, 8)], 3),
        isa_device("RTC_", "PNP0B00", 0, &[(0x70, 2)], 8),
        isa_device("KBD_", "PNP0303", 0, &[(0x60, 1), (0x64, 1)], 1),
        isa_device("MOU_", "PNP0F13", 0, &[], 12),
    ]
    .map(Raw);
    let address = 0x0001_0000u32;
    let address = Name::new("_ADR".into(), &address);
    let [com1, com2, rtc, keyboard, mouse] = &children;
    Device::new("ISA_".into(), vec![&address, com1, com2, rtc, keyboard, mouse]).to_aml_bytes(&mut aml);
    aml
}

fn isa_device(name: &str, id: &str, unit: u8, ports: &[(u16, u8)], irq: u8) -> Vec<u8> {
    debug_assert_ne!(irq, SCI_IRQ);
    let ports: Vec<IO> = ports.iter().map(|(base, count)| IO::new(*base, *base, 1, *count)).collect();
    let interrupt = Interrupt::new(true, true, false, false, u32::from(irq));
    let mut resources: Vec<&dyn Aml> = ports.iter().map(|port| port as &dyn Aml).collect();
    resources.push(&interrupt);
    let mut aml = Vec::new();
    Device::new(
        name.into(),
        vec![
            &Name::new("_HID".into(), &EISAName::new(id)),
            &Name::new("_UID".into(), &unit),
            &Name::new("_CRS".into(), &ResourceTemplate::new(resources)),
        ],
    )
    .to_aml_bytes(&mut aml);
    aml
}

/// AML that is built already.
struct Raw(Vec<u8>);

impl Aml for Raw {
    fn to_aml_bytes(&self, sink: &mut dyn acpi_tables::AmlSink) {
        sink.vec(&self.0);
    }
}
