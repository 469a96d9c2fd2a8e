//! The 256 bytes of a function's configuration space (PCI Local Bus Specification 3.0, chapter 6).

use crate::bus::Width;
use crate::bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Offset of the command register.
pub const COMMAND: u8 = 0x04;
/// Offset of the first base address register.
pub const BAR0: u8 = 0x10;
/// Offset of the pointer to the first capability.
const CAPABILITIES: u8 = 0x34;
/// There are capabilities; in the status register.
const STATUS_CAPABILITIES: u8 = 0x10;
/// Offset of the status register.
const STATUS: u8 = 0x06;
/// Offset of the interrupt line register.
pub const INTERRUPT_LINE: u8 = 0x3c;
/// Offset of the interrupt pin register.
pub const INTERRUPT_PIN: u8 = 0x3d;

/// The function answers I/O accesses.
const COMMAND_IO: u8 = 0x01;
/// The function answers memory accesses.
pub(crate) const COMMAND_MEMORY: u8 = 0x02;
/// Interrupt disable, in the command register's upper byte.
const COMMAND_INTX_DISABLE: u8 = 0x04;

/// The address space of a base address register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Space {
    /// Ports.
    Io,
    /// Memory.
    Memory,
}

/// What a base address register decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BarKind {
    /// Ports.
    Io,
    /// Memory below 4 GiB.
    Memory32,
    /// Memory anywhere; takes two registers.
    Memory64,
}

/// Who a function is.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Vendor.
    pub vendor: u16,
    /// Device.
    pub device: u16,
    /// Revision.
    pub revision: u8,
    /// Class, subclass and programming interface: 0xCCSSPP.
    pub class: u32,
    /// The device has more functions than this one.
    pub multifunction: bool,
    /// INTA# is 1; 0 for no interrupt.
    pub interrupt_pin: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bar {
    index: u8,
    kind: BarKind,
    size: u64,
}

/// The registers: their values and which bits the guest can write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSpace {
    bytes: Bytes<256>,
    writable: Bytes<256>,
    bars: Vec<Bar>,
}

impl ConfigSpace {
    /// A type 0 header for `identity`, with the registers every function has.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        let mut space = Self { bytes: Bytes::default(), writable: Bytes::default(), bars: Vec::new() };
        space.set_u16(0x00, identity.vendor);
        space.set_u16(0x02, identity.device);
        let [interface, subclass, class, _] = identity.class.to_le_bytes();
        space.bytes[0x08..0x0c].copy_from_slice(&[identity.revision, interface, subclass, class]);
        space.bytes[0x0e] = if identity.multifunction { 0x80 } else { 0 };
        space.bytes[usize::from(INTERRUPT_PIN)] = identity.interrupt_pin;
        space.writable[usize::from(COMMAND)..][..2].copy_from_slice(&[0x47, 0x05]);
        space.allow(0x0c, &[0xff, 0xff]);
        space.allow(INTERRUPT_LINE, &[0xff]);
        space
    }

    /// Lets the guest write the bits in `masks`, from `offset` on.
    pub fn allow(&mut self, offset: u8, masks: &[u8]) {
        self.writable[usize::from(offset)..][..masks.len()].copy_from_slice(masks);
    }

    /// Adds base address register `index` (0 to 5) of `size` bytes, a power of two: at least 4 for ports, 16 for memory.
    pub fn add_bar(&mut self, index: u8, kind: BarKind, size: u64) {
        let offset = BAR0 + index * 4;
        let (low_bits, mask) = match kind {
            BarKind::Io => (0x1, !(size - 1) & 0xffff_fffc),
            BarKind::Memory32 => (0x0, !(size - 1) & 0xffff_fff0),
            BarKind::Memory64 => (0x4, !(size - 1) & !0xf),
        };
        self.bytes[usize::from(offset)] = low_bits;
        let masks = mask.to_le_bytes();
        self.allow(offset, if kind == BarKind::Memory64 { &masks } else { &masks[..4] });
        self.bars.push(Bar { index, kind, size });
    }

    /// Adds a capability (6.7) at `offset`: its number, the pointer to the next, and then `body`.
    pub fn add_capability(&mut self, offset: u8, id: u8, body: &[u8]) {
        let next = self.byte(CAPABILITIES);
        let at = usize::from(offset);
        self.bytes[at..at + 2].copy_from_slice(&[id, next]);
        self.bytes[at + 2..][..body.len()].copy_from_slice(body);
        self.set_byte(CAPABILITIES, offset);
        self.set_byte(STATUS, self.byte(STATUS) | STATUS_CAPABILITIES);
    }

    /// The base address registers: index, kind and size.
    pub fn bars(&self) -> impl Iterator<Item = (u8, BarKind, u64)> + '_ {
        self.bars.iter().map(|bar| (bar.index, bar.kind, bar.size))
    }

    /// Puts a base address register at `base`, a multiple of its size, and lets the function answer there.
    pub fn place_bar(&mut self, index: u8, base: u64) {
        let Some(bar) = self.bars.iter().find(|bar| bar.index == index) else { return };
        let (len, enable) = match bar.kind {
            BarKind::Io => (4, COMMAND_IO),
            BarKind::Memory32 => (4, COMMAND_MEMORY),
            BarKind::Memory64 => (8, COMMAND_MEMORY),
        };
        for (n, byte) in (0..).zip(base.to_le_bytes().into_iter().take(len)) {
            self.write(BAR0 + index * 4 + n, byte);
        }
        self.set_byte(COMMAND, self.byte(COMMAND) | enable);
    }

    /// Where the memory behind base address register `index` is, while it answers.
    #[must_use]
    pub fn base(&self, index: u8) -> Option<u64> {
        let bar = self.bars.iter().find(|bar| bar.index == index)?;
        let answers = self.byte(COMMAND) & COMMAND_MEMORY != 0;
        match self.bar_base(bar)? {
            (Space::Memory, base) => Some(base).filter(|base| answers && *base != 0),
            (Space::Io, _) => None,
        }
    }

    /// `width` from `offset` on, at most to the end of the double word.
    #[must_use]
    pub fn read(&self, offset: u8, width: Width) -> u32 {
        let bytes = (0..width.bytes().min(4) as u8).map_while(|n| offset.checked_add(n));
        (0..).zip(bytes).fold(0, |value, (n, at)| value | u32::from(self.byte(at)) << (8 * n))
    }

    /// One byte.
    #[must_use]
    pub fn byte(&self, offset: u8) -> u8 {
        self.bytes[usize::from(offset)]
    }

    /// Sets a byte from the device's side.
    pub fn set_byte(&mut self, offset: u8, value: u8) {
        self.bytes[usize::from(offset)] = value;
    }

    /// Sets two bytes from the device's side.
    pub fn set_u16(&mut self, offset: u8, value: u16) {
        self.bytes[usize::from(offset)..][..2].copy_from_slice(&value.to_le_bytes());
    }

    /// The guest writes a byte.
    pub fn write(&mut self, offset: u8, value: u8) {
        let n = usize::from(offset);
        self.bytes[n] = self.bytes[n] & !self.writable[n] | value & self.writable[n];
    }

    /// Whether the function may assert its interrupt pin.
    #[must_use]
    pub fn intx_enabled(&self) -> bool {
        self.byte(COMMAND + 1) & COMMAND_INTX_DISABLE == 0
    }

    /// The base address register that decodes `address`, and the offset in it.
    #[must_use]
    pub fn decode(&self, space: Space, address: u64) -> Option<(u8, u64)> {
        let enabled = match space {
            Space::Io => COMMAND_IO,
            Space::Memory => COMMAND_MEMORY,
        };
        if self.byte(COMMAND) & enabled == 0 {
            return None;
        }
        self.bars.iter().find_map(|bar| {
            let (of, base) = self.bar_base(bar)?;
            let offset = address.wrapping_sub(base);
            (of == space && base != 0 && offset < bar.size).then_some((bar.index, offset))
        })
    }

    fn bar_base(&self, bar: &Bar) -> Option<(Space, u64)> {
        let at = usize::from(BAR0) + usize::from(bar.index) * 4;
        let dword =
            |at: usize| Some(u64::from(u32::from_le_bytes(self.bytes.get(at..at + 4)?.try_into().ok()?)));
        let low = dword(at)?;
        Some(match bar.kind {
            BarKind::Io => (Space::Io, low & !3),
            BarKind::Memory32 => (Space::Memory, low & !15),
            BarKind::Memory64 => (Space::Memory, low & !15 | dword(at + 4)? << 32),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> ConfigSpace {
        let class = 0x01_8000;
        let mut space = ConfigSpace::new(Identity {
            vendor: 0x1af4,
            device: 0x1042,
            revision: 1,
            class,
            multifunction: false,
            interrupt_pin: 1,
        });
        space.add_bar(0, BarKind::Io, 32);
        space.add_bar(2, BarKind::Memory64, 0x4000);
        space
    }

    fn write32(space: &mut ConfigSpace, offset: u8, value: u32) {
        for (n, byte) in (0..).zip(value.to_le_bytes()) {
            space.write(offset + n, byte);
        }
    }

    fn read32(space: &ConfigSpace, offset: u8) -> u32 {
        u32::from_le_bytes([0, 1, 2, 3].map(|n| space.byte(offset + n)))
    }

    #[test]
    fn bars_tell_their_size() {
        let mut space = space();
        for offset in [0x10, 0x14, 0x18, 0x1c] {
            write32(&mut space, offset, 0xffff_ffff);
        }
        let sizes = [0x10, 0x14, 0x18, 0x1c].map(|offset| read32(&space, offset));
        assert_eq!(sizes, [0xffff_ffe1, 0, 0xffff_c004, 0xffff_ffff]);
    }

    #[test]
    fn bars_decode_only_when_the_command_register_says_so() {
        let mut space = space();
        write32(&mut space, 0x10, 0xc000);
        write32(&mut space, 0x18, 0xfe00_0000);
        write32(&mut space, 0x1c, 0x1);
        assert_eq!(space.decode(Space::Io, 0xc004), None);
        space.write(COMMAND, 0x03);
        assert_eq!(space.decode(Space::Io, 0xc01f), Some((0, 0x1f)));
        assert_eq!(space.decode(Space::Io, 0xc020), None);
        assert_eq!(space.decode(Space::Memory, 0x1_fe00_0010), Some((2, 0x10)));
        assert_eq!(space.decode(Space::Memory, 0xfe00_0010), None);
    }

    #[test]
    fn identity_is_read_only() {
        let mut space = space();
        write32(&mut space, 0, 0);
        write32(&mut space, 8, 0);
        assert_eq!((read32(&space, 0), read32(&space, 8)), (0x1042_1af4, 0x0180_0001));
    }
}
