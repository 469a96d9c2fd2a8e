//! What every transport does alike: status, features, queues, doorbells (2 and 3).

use super::queue::RingFeatures;
use super::{Device, Fault, Io, Kind, Queue};
use crate::dma::Masters;
use crate::input::Input;
use crate::output::Output;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};
use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_NEEDS_RESET, VIRTIO_F_VERSION_1,
};
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};

const FEATURES_OK: u8 = VIRTIO_CONFIG_S_FEATURES_OK as u8;
const DRIVER_OK: u8 = VIRTIO_CONFIG_S_DRIVER_OK as u8;
const NEEDS_RESET: u8 = VIRTIO_CONFIG_S_NEEDS_RESET as u8;
/// Features that every device here has.
const COMMON: u64 = 1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_EVENT_IDX | 1 << VIRTIO_RING_F_INDIRECT_DESC;

/// What the driver is to be interrupted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interrupts {
    /// Bit by queue: requests were given back.
    pub queues: u64,
    /// The configuration or the status changed.
    pub config: bool,
}

/// A device behind any transport.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transport {
    kind: Kind,
    status: u8,
    /// Which 32 bits of features the driver reads and writes.
    pub(super) select_device_features: u32,
    pub(super) select_driver_features: u32,
    driver_features: u64,
    /// Which queue the driver sets up.
    pub(super) select_queue: u16,
    queues: Vec<Queue>,
    generation: u8,
    /// Since when work waits.
    waiting: Option<VirtualTime>,
    interrupts: Interrupts,
    /// Why the device needs a reset: for people.
    broken: Option<String>,
}

impl Transport {
    /// A device after reset.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let queues = kind.get().queue_sizes().into_iter().map(Queue::new).collect();
        Self {
            kind,
            status: 0,
            select_device_features: 0,
            select_driver_features: 0,
            driver_features: 0,
            select_queue: 0,
            queues,
            generation: 0,
            waiting: None,
            interrupts: Interrupts::default(),
            broken: None,
        }
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &dyn Device {
        self.kind.get()
    }

    /// Number of queues.
    #[must_use]
    pub fn queue_count(&self) -> u16 {
        self.queues.len() as u16
    }

    /// The queue that the driver sets up, if there is one.
    #[must_use]
    pub fn queue(&self) -> Option<&Queue> {
        self.queues.get(usize::from(self.select_queue))
    }

    /// As [`Transport::queue`], to change.
    pub fn queue_mut(&mut self) -> Option<&mut Queue> {
        self.queues.get_mut(usize::from(self.select_queue))
    }

    /// The device status register.
    #[must_use]
    pub fn status(&self) -> u8 {
        self.status
    }

    /// The driver writes the device status register. Bits are only ever set, but for zero, which resets.
    pub fn write_status(&mut self, now: VirtualTime, value: u8) {
        if value == 0 {
            self.reset();
            return;
        }
        let mut new = value & !NEEDS_RESET & !self.status;
        if new & FEATURES_OK != 0 && !self.accepts_features() {
            new &= !FEATURES_OK;
        }
        // Without features there is nothing to drive.
        if (self.status | new) & FEATURES_OK == 0 {
            new &= !DRIVER_OK;
        }
        self.status |= new;
        if new & DRIVER_OK != 0 {
            // What was made available before is looked at now.
            self.waiting = Some(now);
        }
    }

    /// What the device offers.
    #[must_use]
    pub fn offered(&self) -> u64 {
        COMMON | self.device().features()
    }

    /// The half of the offered features that the driver selected.
    #[must_use]
    pub fn device_features(&self) -> u32 {
        half(self.offered(), self.select_device_features)
    }

    /// The half of its features that the driver selected.
    #[must_use]
    pub fn driver_features(&self) -> u32 {
        half(self.driver_features, self.select_driver_features)
    }

    /// The driver says which features it takes.
    pub fn write_driver_features(&mut self, value: u32) {
        if self.status & FEATURES_OK != 0 {
            return;
        }
        let shift = match self.select_driver_features {
            0 => 0,
            1 => 32,
            _ => return,
        };
        self.driver_features = self.driver_features & !(0xffff_ffff << shift) | u64::from(value) << shift;
    }

    /// Changes with every change of the configuration.
    #[must_use]
    pub fn generation(&self) -> u8 {
        self.generation
    }

    /// A byte of the device's configuration; zero beyond its end.
    #[must_use]
    pub fn read_config(&self, offset: u64, len: u64) -> u64 {
        let config = self.device().config();
        let byte = |at: u64| usize::try_from(at).ok().and_then(|at| config.get(at)).copied().unwrap_or(0);
        (0..len).fold(0, |value, n| value | u64::from(byte(offset.saturating_add(n))) << (8 * n))
    }

    /// The driver writes `len` bytes of the device's configuration.
    pub fn write_config(&mut self, offset: u64, len: u64, value: u64) {
        let Ok(offset) = usize::try_from(offset) else { return };
        for (n, byte) in value.to_le_bytes().into_iter().take(len as usize).enumerate() {
            self.kind.get_mut().write_config(offset.saturating_add(n), byte);
        }
    }

    /// The driver rings for a queue.
    pub fn ring(&mut self, now: VirtualTime, queue: u16) {
        if self.is_running() && self.queues.get(usize::from(queue)).is_some_and(Queue::ready) {
            self.wait(now);
        }
    }

    /// When it wants to be served.
    #[must_use]
    pub fn service_at(&self) -> Option<VirtualTime> {
        if !self.is_running() {
            return None;
        }
        [self.waiting, self.device().due()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn serve(&mut self, now: VirtualTime, masters: &mut Masters<'_>, outputs: &mut Vec<Output>) {
        if !self.is_running() {
            return;
        }
        self.waiting = None;
        let has = |feature: u32| self.driver_features >> feature & 1 != 0;
        let ring = RingFeatures {
            indirect: has(VIRTIO_RING_F_INDIRECT_DESC),
            event_index: has(VIRTIO_RING_F_EVENT_IDX),
        };
        let mut io = Io {
            now,
            features: self.driver_features,
            queues: &mut self.queues,
            memory: &mut *masters.memory,
            disks: &mut *masters.disks,
            outputs,
            config_changed: false,
            ring,
        };
        let served = self.kind.get_mut().serve(&mut io);
        let changed = io.config_changed;
        if changed {
            self.generation = self.generation.wrapping_add(1);
            self.interrupts.config = true;
        }
        let told = self.tell(masters, ring);
        if let Err(fault) = served.and(told) {
            self.fail(&fault);
        }
    }

    /// Something arrives from outside. Whether the device takes it.
    pub fn receive(&mut self, now: VirtualTime, input: &Input) -> bool {
        let driven = self.is_running();
        let taken = self.kind.get_mut().receive(input, driven);
        if taken {
            self.wait(now);
        }
        taken
    }

    /// What the driver is to be interrupted for since this was last called.
    pub fn take_interrupts(&mut self) -> Interrupts {
        std::mem::take(&mut self.interrupts)
    }

    /// Whether a driver drives it, and has not broken it.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.status & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK
    }

    /// Why the device needs a reset.
    #[must_use]
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    fn wait(&mut self, now: VirtualTime) {
        self.waiting = Some(self.waiting.map_or(now, |since| since.min(now)));
    }

    fn accepts_features(&self) -> bool {
        self.driver_features & !self.offered() == 0 && self.driver_features >> VIRTIO_F_VERSION_1 & 1 != 0
    }

    fn tell(&mut self, masters: &mut Masters<'_>, ring: RingFeatures) -> Result<(), Fault> {
        for (n, queue) in self.queues.iter_mut().enumerate() {
            if queue.interrupts(masters.memory, ring)? {
                self.interrupts.queues |= 1 << (n & 63);
            }
        }
        Ok(())
    }

    fn fail(&mut self, fault: &Fault) {
        self.status |= NEEDS_RESET;
        self.interrupts.config = true;
        self.broken = Some(fault.to_string());
    }

    fn reset(&mut self) {
        self.kind.get_mut().reset();
        self.queues.iter_mut().for_each(Queue::reset);
        self.status = 0;
        (self.select_device_features, self.select_driver_features, self.select_queue) = (0, 0, 0);
        self.driver_features = 0;
        self.waiting = None;
        self.interrupts = Interrupts::default();
        self.broken = None;
    }
}

fn half(features: u64, select: u32) -> u32 {
    match select {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}
