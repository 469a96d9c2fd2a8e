//! Virtio over PCI, without the legacy interface (4.1).

use super::queue::Area;
use super::{Kind, Transport};
use crate::bus::Width;
use crate::chips::lapic::InterruptMessage;
use crate::dma::Masters;
use crate::input::{Backlog, Input};
use crate::output::Output;
use crate::pci::config_space::{BarKind, ConfigSpace, Identity};
use crate::pci::function::PciFunction;
use crate::pci::msix::{self, Msix};
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

const VENDOR: u16 = 0x1af4;
/// The device number is this and the device type.
const FIRST_DEVICE: u16 = 0x1040;
const SUBSYSTEM_VENDOR: u8 = 0x2c;
const SUBSYSTEM: u8 = 0x2e;

/// The one base address register; what is behind it follows.
const BAR: u8 = 4;
const BAR_SIZE: u64 = 0x8000;
const COMMON: u64 = 0x0000;
const ISR: u64 = 0x1000;
const DEVICE: u64 = 0x2000;
const NOTIFY: u64 = 0x3000;
const MSIX: u64 = 0x4000;
/// Bytes of each but the last.
const PART: u64 = 0x1000;
/// Bytes from one queue's doorbell to the next.
const NOTIFY_MULTIPLIER: u32 = 4;

/// Where the capabilities are in configuration space.
const CAP_COMMON: u8 = 0x40;
const CAP_ISR: u8 = 0x50;
const CAP_DEVICE: u8 = 0x60;
const CAP_NOTIFY: u8 = 0x70;
const CAP_ACCESS: u8 = 0x84;
const CAP_MSIX: u8 = 0x98;
const CAP_VENDOR: u8 = 0x09;
/// In the access capability: which register, where, how many bytes, and what is there.
const ACCESS_BAR: u8 = CAP_ACCESS + 4;
const ACCESS_OFFSET: u8 = CAP_ACCESS + 8;
const ACCESS_LENGTH: u8 = CAP_ACCESS + 12;
const ACCESS_DATA: u8 = CAP_ACCESS + 16;

const ISR_QUEUE: u8 = 1;
const ISR_CONFIG: u8 = 2;
const NO_VECTOR: u16 = 0xffff;

/// The fields of the common configuration (4.1.4.3): offset and bytes.
const FIELDS: [(u64, u64); 18] = [
    (0x00, 4),
    (0x04, 4),
    (0x08, 4),
    (0x0c, 4),
    (0x10, 2),
    (0x12, 2),
    (0x14, 1),
    (0x15, 1),
    (0x16, 2),
    (0x18, 2),
    (0x1a, 2),
    (0x1c, 2),
    (0x1e, 2),
    (0x20, 8),
    (0x28, 8),
    (0x30, 8),
    (0x38, 2),
    (0x3a, 2),
];

/// A virtio device on the PCI bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtioPci {
    config: ConfigSpace,
    msix: Msix,
    transport: Transport,
    isr: u8,
    config_vector: u16,
    queue_vectors: Vec<u16>,
}

impl VirtioPci {
    /// A device after reset.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let device = kind.get();
        let mut config = ConfigSpace::new(Identity {
            vendor: VENDOR,
            device: FIRST_DEVICE + device.id(),
            revision: 1,
            class: device.class(),
            multifunction: false,
            interrupt_pin: 1,
        });
        config.set_u16(SUBSYSTEM_VENDOR, VENDOR);
        config.set_u16(SUBSYSTEM, 0x40 + device.id());
        config.add_bar(BAR, BarKind::Memory64, BAR_SIZE);
        let queues = device.queue_sizes().len() as u16;
        let msix = Msix::new(&mut config, CAP_MSIX, (queues + 1).min(msix::MAX_VECTORS), BAR, MSIX as u32);
        let mut add = |at: u8, kind: u8, place: u64, more: &[u8]| {
            let mut body = vec![16 + more.len() as u8, kind, BAR, 0, 0, 0];
            body.extend((place as u32).to_le_bytes());
            body.extend((if kind == 5 { 0 } else { PART as u32 }).to_le_bytes());
            body.extend(more);
            config.add_capability(at, CAP_VENDOR, &body);
        };
        add(CAP_ACCESS, 5, 0, &[0; 4]);
        add(CAP_NOTIFY, 2, NOTIFY, &NOTIFY_MULTIPLIER.to_le_bytes());
        add(CAP_DEVICE, 4, DEVICE, &[]);
        add(CAP_ISR, 3, ISR, &[]);
        add(CAP_COMMON, 1, COMMON, &[]);
        config.allow(ACCESS_BAR, &[0xff]);
        config.allow(ACCESS_OFFSET, &[0xff; 12]);
        Self {
            config,
            msix,
            transport: Transport::new(kind),
            isr: 0,
            config_vector: NO_VECTOR,
            queue_vectors: vec![NO_VECTOR; usize::from(queues)],
        }
    }

    /// What it has in common with other transports.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// A field of the common configuration.
    fn read_field(&self, field: u64) -> u64 {
        let t = &self.transport;
        let queue = t.queue();
        let area = |area| queue.map_or(0, |queue| queue.area(area));
        match field {
            0x00 => u64::from(t.select_device_features),
            0x04 => u64::from(t.device_features()),
            0x08 => u64::from(t.select_driver_features),
            0x0c => u64::from(t.driver_features()),
            0x10 => u64::from(self.config_vector),
            0x12 => u64::from(t.queue_count()),
            0x14 => u64::from(t.status()),
            0x15 => u64::from(t.generation()),
            0x16 => u64::from(t.select_queue),
            0x18 => queue.map_or(0, |queue| u64::from(queue.size())),
            0x1a => u64::from(self.queue_vector().copied().unwrap_or(NO_VECTOR)),
            0x1c => queue.map_or(0, |queue| u64::from(queue.ready())),
            0x1e => queue.map_or(0, |_| u64::from(t.select_queue)),
            0x20 => area(Area::Descriptors),
            0x28 => area(Area::Available),
            0x30 => area(Area::Used),
            // Data to ring with, and reset of one queue, are features that are not offered.
            _ => 0,
        }
    }

    fn write_field(&mut self, now: VirtualTime, field: u64, value: u64) {
        let t = &mut self.transport;
        match field {
            0x00 => t.select_device_features = value as u32,
            0x08 => t.select_driver_features = value as u32,
            0x0c => t.write_driver_features(value as u32),
            0x10 => self.config_vector = self.vector(value),
            0x14 => {
                t.write_status(now, value as u8);
                if value as u8 == 0 {
                    self.forget();
                }
            }
            0x16 => t.select_queue = value as u16,
            0x18 => self.with_queue(|queue| queue.set_size(value as u16)),
            0x1a => {
                let vector = self.vector(value);
                let selected = usize::from(self.transport.select_queue);
                if let Some(of_queue) = self.queue_vectors.get_mut(selected) {
                    *of_queue = vector;
                }
            }
            // Zero is not for writing: a queue is disabled by a reset.
            0x1c if value == 1 => self.with_queue(|queue| queue.enable()),
            0x20 => self.with_queue(|queue| queue.set_area(Area::Descriptors, value)),
            0x28 => self.with_queue(|queue| queue.set_area(Area::Available, value)),
            0x30 => self.with_queue(|queue| queue.set_area(Area::Used, value)),
            _ => {}
        }
    }

    fn with_queue(&mut self, change: impl FnOnce(&mut super::Queue)) {
        if let Some(queue) = self.transport.queue_mut() {
            change(queue);
        }
    }

    fn queue_vector(&self) -> Option<&u16> {
        self.queue_vectors.get(usize::from(self.transport.select_queue))
    }

    /// A vector the driver asks for, if there is one.
    fn vector(&self, value: u64) -> u16 {
        let vector = value as u16;
        if vector < self.msix.vectors() { vector } else { NO_VECTOR }
    }

    /// What a reset of the device takes with it here.
    fn forget(&mut self) {
        self.isr = 0;
        self.config_vector = NO_VECTOR;
        self.queue_vectors.fill(NO_VECTOR);
    }

    fn read_common(&self, offset: u64, len: u64) -> u64 {
        overlapping(offset, len).fold(0, |value, (at, size)| {
            let field = self.read_field(at);
            // The part of the field that lies in the access.
            let bytes = (at.max(offset)..(at + size).min(offset + len))
                .map(|byte| (field >> ((byte - at) * 8) & 0xff) << ((byte - offset) * 8));
            bytes.fold(value, |value, byte| value | byte)
        })
    }

    fn write_common(&mut self, now: VirtualTime, offset: u64, len: u64, value: u64) {
        for (at, size) in overlapping(offset, len) {
            let mut bytes = self.read_field(at).to_le_bytes();
            for byte in at.max(offset)..(at + size).min(offset + len) {
                bytes[(byte - at) as usize] = (value >> ((byte - offset) * 8)) as u8;
            }
            self.write_field(now, at, u64::from_le_bytes(bytes));
        }
    }

    fn read_bar(&mut self, offset: u64, width: Width) -> u64 {
        let (part, offset) = (offset & !(PART - 1), offset & (PART - 1));
        match part {
            COMMON => self.read_common(offset, width.bytes()),
            ISR if offset == 0 => u64::from(std::mem::take(&mut self.isr)),
            DEVICE => self.transport.read_config(offset, width.bytes()),
            MSIX => self.msix.read(offset, width),
            _ => 0,
        }
    }

    fn write_bar(&mut self, now: VirtualTime, offset: u64, width: Width, value: u64) {
        let (part, offset) = (offset & !(PART - 1), offset & (PART - 1));
        match part {
            COMMON => self.write_common(now, offset, width.bytes(), value),
            DEVICE => self.transport.write_config(offset, width.bytes(), value),
            NOTIFY => self.transport.ring(now, (offset / u64::from(NOTIFY_MULTIPLIER)) as u16),
            MSIX => self.msix.write(offset, width, value),
            _ => {}
        }
        self.interrupt_driver();
    }

    /// Passes on what the transport wants the driver interrupted for (4.1.5.3, 4.1.5.4).
    fn interrupt_driver(&mut self) {
        let interrupts = self.transport.take_interrupts();
        if !self.msix.enabled() {
            if interrupts.queues != 0 {
                self.isr |= ISR_QUEUE;
            }
            if interrupts.config {
                self.isr |= ISR_CONFIG;
            }
            return;
        }
        if interrupts.config {
            self.msix.raise(self.config_vector);
        }
        for (n, vector) in self.queue_vectors.iter().enumerate() {
            if interrupts.queues >> (n & 63) & 1 != 0 {
                self.msix.raise(*vector);
            }
        }
    }

    /// The window that the access capability opens (4.1.4.9): offset and width, if they are legal.
    fn window(&self) -> Option<(u64, Width)> {
        let offset = u64::from(self.config.read(ACCESS_OFFSET, Width::B4));
        let width = Width::from_bytes(u64::from(self.config.read(ACCESS_LENGTH, Width::B4)))?;
        let legal = self.config.byte(ACCESS_BAR) == BAR
            && width <= Width::B4
            && offset.is_multiple_of(width.bytes())
            && offset < BAR_SIZE;
        legal.then_some((offset, width))
    }
}

/// The fields of the common configuration that an access touches.
fn overlapping(offset: u64, len: u64) -> impl Iterator<Item = (u64, u64)> {
    FIELDS.into_iter().filter(move |(at, size)| *at < offset + len && offset < at + size)
}

/// Whether an access to configuration space touches the data of the access capability.
fn is_access_data(offset: u8, width: Width) -> bool {
    let end = u64::from(offset) + width.bytes();
    u64::from(offset) < u64::from(ACCESS_DATA) + 4 && end > u64::from(ACCESS_DATA)
}

impl PciFunction for VirtioPci {
    fn config(&self) -> &ConfigSpace {
        &self.config
    }

    fn config_mut(&mut self) -> &mut ConfigSpace {
        &mut self.config
    }

    fn read_config(&mut self, _now: VirtualTime, offset: u8, width: Width) -> u32 {
        if is_access_data(offset, width)
            && let Some((at, len)) = self.window()
        {
            let value = self.read_bar(at, len) as u32;
            for (n, byte) in (0..).zip(value.to_le_bytes()) {
                self.config.set_byte(ACCESS_DATA + n, byte);
            }
        }
        self.config.read(offset, width)
    }

    fn write_config(&mut self, now: VirtualTime, offset: u8, width: Width, value: u32) {
        for (n, byte) in (0..).zip(value.to_le_bytes().into_iter().take(width.bytes() as usize)) {
            self.config.write(offset.wrapping_add(n), byte);
        }
        self.msix.configured(&self.config);
        if is_access_data(offset, width)
            && let Some((at, len)) = self.window()
        {
            let value = u64::from(self.config.read(ACCESS_DATA, len));
            self.write_bar(now, at, len, value);
        }
    }

    fn interrupt(&self) -> bool {
        self.isr != 0 && !self.msix.enabled()
    }

    fn read(&mut self, _now: VirtualTime, _bar: u8, offset: u64, width: Width) -> u64 {
        self.read_bar(offset, width)
    }

    fn write(&mut self, now: VirtualTime, _bar: u8, offset: u64, width: Width, value: u64) {
        self.write_bar(now, offset, width, value);
    }

    fn service_at(&self) -> Option<VirtualTime> {
        self.transport.service_at()
    }

    fn serve(&mut self, now: VirtualTime, masters: &mut Masters<'_>, outputs: &mut Vec<Output>) {
        self.transport.serve(now, masters, outputs);
        self.interrupt_driver();
    }

    fn receive(&mut self, now: VirtualTime, input: &Input) -> bool {
        self.transport.receive(now, input)
    }

    fn backlog(&self, of: Backlog) -> usize {
        self.transport.device().backlog(of)
    }

    fn take_message(&mut self) -> Option<InterruptMessage> {
        self.msix.take_message()
    }
}
