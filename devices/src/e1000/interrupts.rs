//! Interrupt causes, their mask, and the pin (13.4.17 to 13.4.21). There is no throttling: every cause is seen at once.

use super::registers::InterruptRegister;
use serde::{Deserialize, Serialize};

/// A transmit descriptor that asked for it is done.
pub(super) const TRANSMIT_DONE: u32 = 1;
/// No transmit descriptor is left.
pub(super) const TRANSMIT_EMPTY: u32 = 1 << 1;
/// Receive descriptors run short.
pub(super) const RECEIVE_LOW: u32 = 1 << 4;
/// A frame came for which there was no descriptor.
pub(super) const RECEIVER_OVERRUN: u32 = 1 << 6;
/// A frame was received.
pub(super) const RECEIVED: u32 = 1 << 7;
/// An access to the PHY is done.
pub(super) const MDI_DONE: u32 = 1 << 9;

/// Causes that exist.
const ALL: u32 = 0x0001_ffff;
/// In ICR: the interrupt is asserted.
const ASSERTED: u32 = 1 << 31;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Interrupts {
    cause: u32,
    mask: u32,
    throttling: u32,
}

impl Interrupts {
    /// Whether the pin is asserted.
    pub fn line(&self) -> bool {
        self.cause & self.mask != 0
    }

    pub fn raise(&mut self, causes: u32) {
        self.cause |= causes & ALL;
    }

    /// Reading the causes clears them.
    pub fn read(&mut self, register: InterruptRegister) -> u32 {
        match register {
            InterruptRegister::Cause => {
                let asserted = if self.line() { ASSERTED } else { 0 };
                std::mem::take(&mut self.cause) | asserted
            }
            InterruptRegister::Throttling => self.throttling,
            InterruptRegister::CauseSet => self.cause,
            InterruptRegister::MaskSet => self.mask,
            InterruptRegister::MaskClear => 0,
        }
    }

    pub fn write(&mut self, register: InterruptRegister, value: u32) {
        match register {
            InterruptRegister::Cause => self.cause &= !value,
            InterruptRegister::Throttling => self.throttling = value & 0xffff,
            InterruptRegister::CauseSet => self.raise(value),
            InterruptRegister::MaskSet => self.mask |= value & ALL,
            InterruptRegister::MaskClear => self.mask &= !value,
        }
    }
}
