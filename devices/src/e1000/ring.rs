//! A ring of descriptors in memory: the driver moves the tail, the chip the head (3.2.6, 3.4).

use super::registers::RingRegister;
use serde::{Deserialize, Serialize};

/// Bytes of a descriptor.
pub(super) const DESCRIPTOR: u64 = 16;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ring {
    base: u64,
    length: u32,
    head: u32,
    tail: u32,
}

impl Ring {
    pub fn read(&self, register: RingRegister) -> u32 {
        match register {
            RingRegister::BaseLow => self.base as u32,
            RingRegister::BaseHigh => (self.base >> 32) as u32,
            RingRegister::Length => self.length,
            RingRegister::Head => self.head,
            RingRegister::Tail => self.tail,
        }
    }

    pub fn write(&mut self, register: RingRegister, value: u32) {
        match register {
            RingRegister::BaseLow => self.base = self.base >> 32 << 32 | u64::from(value & !15),
            RingRegister::BaseHigh => self.base = self.base & 0xffff_ffff | u64::from(value) << 32,
            RingRegister::Length => self.length = value & 0x000f_ff80,
            RingRegister::Head => self.head = value & 0xffff,
            RingRegister::Tail => self.tail = value & 0xffff,
        }
    }

    /// Descriptors in the ring.
    pub fn count(&self) -> u32 {
        self.length / DESCRIPTOR as u32
    }

    /// Descriptors that the driver has given and that are not used yet.
    pub fn given(&self) -> u32 {
        match self.count() {
            0 => 0,
            count => (self.tail % count + count - self.head % count) % count,
        }
    }

    /// Address of the descriptor at the head, which is done with. The ring has one.
    pub fn take(&mut self) -> u64 {
        let head = self.head % self.count();
        self.head = (head + 1) % self.count();
        self.base.wrapping_add(u64::from(head) * DESCRIPTOR)
    }
}
