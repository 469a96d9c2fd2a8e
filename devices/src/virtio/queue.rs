//! A split virtqueue, the device's side (2.7).

use super::Fault;
use super::chain::{self, Chain, DESCRIPTOR};
use crate::dma::Memory;
use serde::{Deserialize, Serialize};
use virtio_bindings::virtio_ring::VRING_AVAIL_F_NO_INTERRUPT;

/// Offset of the index in the available and in the used ring; flags are before it.
const INDEX: u64 = 2;
/// Offset of the first element in either ring.
const ELEMENTS: u64 = 4;
const AVAILABLE_ELEMENT: u64 = 2;
const USED_ELEMENT: u64 = 8;

/// What was agreed on that changes how rings are read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingFeatures {
    /// VIRTIO_F_INDIRECT_DESC.
    pub indirect: bool,
    /// VIRTIO_F_EVENT_IDX.
    pub event_index: bool,
}

/// One queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    max_size: u16,
    /// Number of descriptors; a power of two, at most [`Queue::max_size`].
    size: u16,
    /// The driver has set it up.
    ready: bool,
    /// Addresses of the descriptors, the available ring and the used ring.
    areas: [u64; 3],
    next_available: u16,
    next_used: u16,
    /// The used index up to which the driver has been told.
    told: u16,
    /// The index at which the driver rings, as it was last written to the used ring.
    ring_at: u16,
}

/// Number of an area in [`Queue::area`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// Descriptor table.
    Descriptors,
    /// Available ring.
    Available,
    /// Used ring.
    Used,
}

impl Queue {
    /// A queue that no driver has set up.
    #[must_use]
    pub fn new(max_size: u16) -> Self {
        Self {
            max_size,
            size: max_size,
            ready: false,
            areas: [0; 3],
            next_available: 0,
            next_used: 0,
            told: 0,
            ring_at: 0,
        }
    }

    /// Forgets what a driver has set up.
    pub fn reset(&mut self) {
        *self = Self::new(self.max_size);
    }

    /// Most descriptors.
    #[must_use]
    pub fn max_size(&self) -> u16 {
        self.max_size
    }

    /// Number of descriptors.
    #[must_use]
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Takes a number of descriptors, if it is a legal one and the queue is not in use.
    pub fn set_size(&mut self, size: u16) {
        if !self.ready && size.is_power_of_two() && size <= self.max_size {
            self.size = size;
        }
    }

    /// Whether the driver has set it up.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.ready
    }

    /// The driver has set it up.
    pub fn enable(&mut self) {
        self.ready = true;
    }

    /// Address of an area.
    #[must_use]
    pub fn area(&self, area: Area) -> u64 {
        self.areas[area as usize]
    }

    /// Says where an area is, unless the queue is in use.
    pub fn set_area(&mut self, area: Area, addr: u64) {
        if !self.ready {
            self.areas[area as usize] = addr;
        }
    }

    /// Takes the next request that the driver has made available; its chain begins at the descriptor this gives. Without
    /// one, the driver will ring for the next.
    ///
    /// # Errors
    /// The ring is broken.
    pub fn pop(&mut self, memory: &mut dyn Memory, features: RingFeatures) -> Result<Option<u16>, Fault> {
        if !self.ready {
            return Ok(None);
        }
        let available = self.area(Area::Available);
        let new = read_u16(memory, available.wrapping_add(INDEX))?.wrapping_sub(self.next_available);
        if new > self.size {
            return Err(Fault::TooManyAvailable(new));
        }
        if new == 0 {
            self.ask_to_ring(memory, features)?;
            return Ok(None);
        }
        let slot = u64::from(self.next_available & self.size.wrapping_sub(1));
        let head = read_u16(memory, available.wrapping_add(ELEMENTS + slot * AVAILABLE_ELEMENT))?;
        self.next_available = self.next_available.wrapping_add(1);
        Ok(Some(head))
    }

    /// Takes back the last `count` [`Queue::pop`]s.
    pub fn unpop(&mut self, count: u16) {
        self.next_available = self.next_available.wrapping_sub(count);
    }

    /// The memory of the request whose chain begins at descriptor `head`.
    ///
    /// # Errors
    /// The chain is not one.
    pub fn chain(&self, memory: &mut dyn Memory, features: RingFeatures, head: u16) -> Result<Chain, Fault> {
        Chain::read(memory, self.area(Area::Descriptors), self.size, head, features.indirect)
    }

    /// Gives back the request that began at descriptor `head`, with `written` bytes of its memory written.
    ///
    /// # Errors
    /// The ring is not in RAM.
    pub fn push(&mut self, memory: &mut dyn Memory, head: u16, written: u32) -> Result<(), Fault> {
        let used = self.area(Area::Used);
        let slot = u64::from(self.next_used & self.size.wrapping_sub(1));
        let element = u64::from(head) | u64::from(written) << 32;
        chain::write(memory, used.wrapping_add(ELEMENTS + slot * USED_ELEMENT), &element.to_le_bytes())?;
        self.next_used = self.next_used.wrapping_add(1);
        chain::write(memory, used.wrapping_add(INDEX), &self.next_used.to_le_bytes())
    }

    /// Whether the driver is to be interrupted for what was given back since this was last asked (2.7.7).
    ///
    /// # Errors
    /// The ring is not in RAM.
    pub fn interrupts(&mut self, memory: &mut dyn Memory, features: RingFeatures) -> Result<bool, Fault> {
        let (old, new) = (self.told, self.next_used);
        if old == new {
            return Ok(false);
        }
        self.told = new;
        let available = self.area(Area::Available);
        if features.event_index {
            let size = u64::from(self.size);
            let event = read_u16(memory, available.wrapping_add(ELEMENTS + size * AVAILABLE_ELEMENT))?;
            // Whether the index went past the one that the driver waits for.
            return Ok(new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old));
        }
        let flags = read_u16(memory, available)?;
        Ok(flags & VRING_AVAIL_F_NO_INTERRUPT as u16 == 0)
    }

    /// With event indices, the driver rings only when its index passes the one it finds here; else it always does.
    fn ask_to_ring(&mut self, memory: &mut dyn Memory, features: RingFeatures) -> Result<(), Fault> {
        if features.event_index && self.ring_at != self.next_available {
            let at = self.area(Area::Used).wrapping_add(ELEMENTS + u64::from(self.size) * USED_ELEMENT);
            chain::write(memory, at, &self.next_available.to_le_bytes())?;
            self.ring_at = self.next_available;
        }
        Ok(())
    }

    /// Bytes of an area.
    #[must_use]
    pub fn area_len(&self, area: Area) -> u64 {
        let size = u64::from(self.size);
        match area {
            Area::Descriptors => size * DESCRIPTOR,
            Area::Available => ELEMENTS + size * AVAILABLE_ELEMENT + 2,
            Area::Used => ELEMENTS + size * USED_ELEMENT + 2,
        }
    }
}

fn read_u16(memory: &mut dyn Memory, addr: u64) -> Result<u16, Fault> {
    let mut bytes = [0; 2];
    chain::read(memory, addr, &mut bytes)?;
    Ok(u16::from_le_bytes(bytes))
}
