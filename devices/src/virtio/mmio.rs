//! Virtio over memory mapped registers, without the legacy interface (4.2).

use super::queue::Area;
use super::{Kind, Transport};
use crate::bus::Width;
use crate::dma::Masters;
use crate::input::Input;
use crate::output::Output;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};
use virtio_bindings::virtio_mmio::{
    VIRTIO_MMIO_CONFIG_GENERATION, VIRTIO_MMIO_DEVICE_FEATURES, VIRTIO_MMIO_DEVICE_FEATURES_SEL,
    VIRTIO_MMIO_DEVICE_ID, VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_MMIO_DRIVER_FEATURES_SEL,
    VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INTERRUPT_STATUS,
    VIRTIO_MMIO_MAGIC_VALUE, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
    VIRTIO_MMIO_QUEUE_DESC_HIGH, VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_NOTIFY, VIRTIO_MMIO_QUEUE_NUM,
    VIRTIO_MMIO_QUEUE_NUM_MAX, VIRTIO_MMIO_QUEUE_READY, VIRTIO_MMIO_QUEUE_SEL, VIRTIO_MMIO_QUEUE_USED_HIGH,
    VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_MMIO_SHM_BASE_HIGH, VIRTIO_MMIO_SHM_BASE_LOW,
    VIRTIO_MMIO_SHM_LEN_HIGH, VIRTIO_MMIO_SHM_LEN_LOW, VIRTIO_MMIO_STATUS, VIRTIO_MMIO_VENDOR_ID,
    VIRTIO_MMIO_VERSION,
};

/// Bytes of a device's registers, and from one device's to the next.
pub const WINDOW: u64 = 0x1000;
/// Where a device's configuration begins.
const CONFIG: u64 = 0x100;
const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VERSION: u32 = 2;
const VENDOR: u32 = u32::from_le_bytes(*b"RRVM");

/// A virtio device in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtioMmio {
    transport: Transport,
    interrupt_status: u32,
}

impl VirtioMmio {
    /// A device after reset.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self { transport: Transport::new(kind), interrupt_status: 0 }
    }

    /// What it has in common with other transports.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Whether it asserts its interrupt.
    #[must_use]
    pub fn interrupt(&self) -> bool {
        self.interrupt_status != 0
    }

    /// The guest reads `width` at `offset`. Registers are 32 bits wide and read as such only (4.2.2.1).
    #[must_use]
    pub fn read(&self, offset: u64, width: Width) -> u64 {
        if offset >= CONFIG {
            return self.transport.read_config(offset - CONFIG, width.bytes());
        }
        if width != Width::B4 || !offset.is_multiple_of(4) {
            return 0;
        }
        u64::from(self.register(offset as u32))
    }

    fn register(&self, offset: u32) -> u32 {
        let t = &self.transport;
        match offset {
            VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            VIRTIO_MMIO_VERSION => VERSION,
            VIRTIO_MMIO_DEVICE_ID => u32::from(t.device().id()),
            VIRTIO_MMIO_VENDOR_ID => VENDOR,
            VIRTIO_MMIO_DEVICE_FEATURES => t.device_features(),
            VIRTIO_MMIO_QUEUE_NUM_MAX => t.queue().map_or(0, |queue| u32::from(queue.max_size())),
            VIRTIO_MMIO_QUEUE_READY => t.queue().map_or(0, |queue| u32::from(queue.ready())),
            VIRTIO_MMIO_INTERRUPT_STATUS => self.interrupt_status,
            VIRTIO_MMIO_STATUS => u32::from(t.status()),
            // There is no shared memory.
            VIRTIO_MMIO_SHM_LEN_LOW
            | VIRTIO_MMIO_SHM_LEN_HIGH
            | VIRTIO_MMIO_SHM_BASE_LOW
            | VIRTIO_MMIO_SHM_BASE_HIGH => u32::MAX,
            VIRTIO_MMIO_CONFIG_GENERATION => u32::from(t.generation()),
            _ => 0,
        }
    }

    /// The guest writes `width` at `offset`.
    pub fn write(&mut self, now: VirtualTime, offset: u64, width: Width, value: u64) {
        if offset >= CONFIG {
            self.transport.write_config(offset - CONFIG, width.bytes(), value);
        } else if width == Width::B4 && offset.is_multiple_of(4) {
            self.write_register(now, offset as u32, value as u32);
        }
        self.interrupt_driver();
    }

    fn write_register(&mut self, now: VirtualTime, offset: u32, value: u32) {
        let t = &mut self.transport;
        match offset {
            VIRTIO_MMIO_DEVICE_FEATURES_SEL => t.select_device_features = value,
            VIRTIO_MMIO_DRIVER_FEATURES_SEL => t.select_driver_features = value,
            VIRTIO_MMIO_DRIVER_FEATURES => t.write_driver_features(value),
            // A number that no queue has, rather than another one's.
            VIRTIO_MMIO_QUEUE_SEL => t.select_queue = u16::try_from(value).unwrap_or(u16::MAX),
            VIRTIO_MMIO_QUEUE_NUM => {
                if let (Some(queue), Ok(size)) = (t.queue_mut(), u16::try_from(value)) {
                    queue.set_size(size);
                }
            }
            VIRTIO_MMIO_QUEUE_READY => {
                if let Some(queue) = t.queue_mut() {
                    if value & 1 != 0 { queue.enable() } else { queue.reset() }
                }
            }
            VIRTIO_MMIO_QUEUE_NOTIFY => {
                if let Ok(queue) = u16::try_from(value) {
                    t.ring(now, queue);
                }
            }
            VIRTIO_MMIO_INTERRUPT_ACK => self.interrupt_status &= !value,
            VIRTIO_MMIO_STATUS => {
                t.write_status(now, value as u8);
                if value as u8 == 0 {
                    self.interrupt_status = 0;
                }
            }
            VIRTIO_MMIO_QUEUE_DESC_LOW => self.set_area(Area::Descriptors, false, value),
            VIRTIO_MMIO_QUEUE_DESC_HIGH => self.set_area(Area::Descriptors, true, value),
            VIRTIO_MMIO_QUEUE_AVAIL_LOW => self.set_area(Area::Available, false, value),
            VIRTIO_MMIO_QUEUE_AVAIL_HIGH => self.set_area(Area::Available, true, value),
            VIRTIO_MMIO_QUEUE_USED_LOW => self.set_area(Area::Used, false, value),
            VIRTIO_MMIO_QUEUE_USED_HIGH => self.set_area(Area::Used, true, value),
            _ => {}
        }
    }

    fn set_area(&mut self, area: Area, high: bool, value: u32) {
        if let Some(queue) = self.transport.queue_mut() {
            let shift = if high { 32 } else { 0 };
            let addr = queue.area(area) & !(0xffff_ffff << shift) | u64::from(value) << shift;
            queue.set_area(area, addr);
        }
    }

    /// When it wants to be served.
    #[must_use]
    pub fn service_at(&self) -> Option<VirtualTime> {
        self.transport.service_at()
    }

    /// Does what is due.
    pub fn serve(&mut self, now: VirtualTime, masters: &mut Masters<'_>, outputs: &mut Vec<Output>) {
        self.transport.serve(now, masters, outputs);
        self.interrupt_driver();
    }

    /// Something arrives from outside. Whether it is for this device.
    pub fn receive(&mut self, now: VirtualTime, input: &Input) -> bool {
        self.transport.receive(now, input)
    }

    fn interrupt_driver(&mut self) {
        let interrupts = self.transport.take_interrupts();
        if interrupts.queues != 0 {
            self.interrupt_status |= VIRTIO_MMIO_INT_VRING;
        }
        if interrupts.config {
            self.interrupt_status |= VIRTIO_MMIO_INT_CONFIG;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dma::tests::{Ram, RamDisks};
    use crate::virtio::rng::Rng;

    const T: VirtualTime = VirtualTime::ZERO;

    fn write(device: &mut VirtioMmio, register: u32, value: u32) {
        device.write(T, u64::from(register), Width::B4, u64::from(value));
    }

    fn read(device: &VirtioMmio, register: u32) -> u32 {
        device.read(u64::from(register), Width::B4) as u32
    }

    #[test]
    fn a_driver_finds_sets_up_and_uses_it() {
        let mut device = VirtioMmio::new(Kind::Rng(Rng::new([1; 32])));
        assert_eq!([0, 4, 8].map(|at| read(&device, at)), [0x7472_6976, 2, 4]);
        assert_eq!(device.read(0, Width::B2), 0);
        write(&mut device, VIRTIO_MMIO_STATUS, 3);
        write(&mut device, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
        write(&mut device, VIRTIO_MMIO_DRIVER_FEATURES, 1);
        write(&mut device, VIRTIO_MMIO_STATUS, 0xb);
        assert_eq!(read(&device, VIRTIO_MMIO_STATUS), 0xb);
        assert_eq!(read(&device, VIRTIO_MMIO_QUEUE_NUM_MAX), 64);
        write(&mut device, VIRTIO_MMIO_QUEUE_NUM, 8);
        write(&mut device, VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0x400);
        write(&mut device, VIRTIO_MMIO_QUEUE_USED_LOW, 0x800);
        write(&mut device, VIRTIO_MMIO_QUEUE_READY, 1);
        write(&mut device, VIRTIO_MMIO_STATUS, 0xf);
        let mut ram = Ram(vec![0; 0x2000]);
        ram.0[..16].copy_from_slice(&[0, 0x10, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 2, 0, 0, 0]);
        ram.0[0x402] = 1;
        write(&mut device, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
        assert_eq!(device.service_at(), Some(T));
        let mut masters = Masters { memory: &mut ram, disks: &mut RamDisks::default() };
        device.serve(T, &mut masters, &mut Vec::new());
        assert_eq!(ram.0[0x802..0x80c], [1, 0, 0, 0, 0, 0, 32, 0, 0, 0]);
        assert_ne!(ram.0[0x1000..0x1020], [0; 32]);
        assert!(device.interrupt());
        assert_eq!(read(&device, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
        write(&mut device, VIRTIO_MMIO_INTERRUPT_ACK, 1);
        assert!(!device.interrupt());
        write(&mut device, VIRTIO_MMIO_STATUS, 0);
        assert_eq!((read(&device, VIRTIO_MMIO_STATUS), read(&device, VIRTIO_MMIO_QUEUE_READY)), (0, 0));
    }
}
