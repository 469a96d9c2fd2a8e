//! Segment and system descriptors (SDM volume 3, 3.4.5, 3.5, 5.8.3).

use super::stack::{load_system, store_system};
use crate::{
    Bus,
    ir::Size,
    x86::{
        Cpu, Exception,
        state::{Segment, bits},
    },
};

/// System-segment and gate types (SDM volume 3, table 3-2). In IA-32e mode the 32-bit names mean the 64-bit forms.
#[allow(missing_docs)]
pub mod kind {
    pub const TSS16: u8 = 1;
    pub const LDT: u8 = 2;
    pub const TSS16_BUSY: u8 = 3;
    pub const CALL16: u8 = 4;
    pub const TASK: u8 = 5;
    pub const INT16: u8 = 6;
    pub const TRAP16: u8 = 7;
    pub const TSS32: u8 = 9;
    pub const TSS32_BUSY: u8 = 11;
    pub const CALL32: u8 = 12;
    pub const INT32: u8 = 14;
    pub const TRAP32: u8 = 15;
}

/// Eight bytes of a descriptor table and where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The bytes.
    pub raw: u64,
    /// Linear address.
    pub addr: u64,
}

impl Descriptor {
    /// The attributes in [`Segment::attr`]'s layout.
    #[must_use]
    pub const fn attr(self) -> u16 {
        (self.raw >> 40) as u16 & 0xf0ff
    }
    /// Four-bit type.
    #[must_use]
    pub const fn kind(self) -> u8 {
        (self.raw >> 40) as u8 & 15
    }
    /// A code or data segment, not a system descriptor.
    #[must_use]
    pub const fn is_segment(self) -> bool {
        self.attr() & Segment::S != 0
    }
    /// A code segment.
    #[must_use]
    pub const fn is_code(self) -> bool {
        self.attr() & (Segment::S | Segment::CODE) == Segment::S | Segment::CODE
    }
    /// A data segment that can be written.
    #[must_use]
    pub const fn is_writable_data(self) -> bool {
        self.attr() & (Segment::S | Segment::CODE | Segment::RW) == Segment::S | Segment::RW
    }
    /// A data segment or a code segment that can be read.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.is_segment() && self.attr() & (Segment::CODE | Segment::RW) != Segment::CODE
    }
    /// A conforming code segment.
    #[must_use]
    pub const fn is_conforming(self) -> bool {
        self.is_code() && self.attr() & Segment::DC != 0
    }
    /// Privilege level.
    #[must_use]
    pub const fn dpl(self) -> u8 {
        (self.raw >> 45) as u8 & 3
    }
    /// P bit.
    #[must_use]
    pub const fn present(self) -> bool {
        self.attr() & Segment::P != 0
    }
    /// L bit.
    #[must_use]
    pub const fn long(self) -> bool {
        self.attr() & Segment::L != 0
    }
    /// Last valid offset.
    #[must_use]
    pub const fn limit(self) -> u32 {
        let limit = (self.raw & 0xffff | self.raw >> 32 & 0xf_0000) as u32;
        if self.attr() & Segment::G != 0 { limit << 12 | 0xfff } else { limit }
    }
    /// Low 32 bits of the base.
    #[must_use]
    pub const fn base(self) -> u64 {
        self.raw >> 16 & 0xff_ffff | self.raw >> 32 & 0xff00_0000
    }
    /// A gate's target selector.
    #[must_use]
    pub const fn gate_selector(self) -> u16 {
        (self.raw >> 16) as u16
    }
    /// A gate's target offset, low 32 bits.
    #[must_use]
    pub const fn gate_offset(self) -> u64 {
        self.raw & 0xffff | self.raw >> 32 & 0xffff_0000
    }
    /// The segment register content that loading this as `selector` makes.
    #[must_use]
    pub const fn segment(self, selector: u16) -> Segment {
        Segment { selector, base: self.base(), limit: self.limit(), attr: self.attr() }
    }
}

/// Whether `selector` is one of the four null selectors.
#[must_use]
pub const fn is_null(selector: u16) -> bool {
    selector & !3 == 0
}

/// Whether IA-32e mode is active: system descriptors are 16 bytes long.
#[must_use]
pub fn long_mode(cpu: &Cpu) -> bool {
    cpu.sys.efer & bits::EFER_LMA != 0
}

fn address(cpu: &Cpu, selector: u16, len: u32) -> Option<u64> {
    let offset = u32::from(selector & !7);
    let (base, limit) = if selector & 4 == 0 {
        (cpu.sys.gdtr.base, u32::from(cpu.sys.gdtr.limit))
    } else if cpu.sys.ldtr.present() {
        (cpu.sys.ldtr.base, cpu.sys.ldtr.limit)
    } else {
        return None;
    };
    (offset + (len - 1) <= limit).then(|| base.wrapping_add(u64::from(offset)))
}

/// Reads the descriptor of `selector`; `None` outside its table.
///
/// # Errors
/// #PF.
#[inline]
pub fn fetch(cpu: &mut Cpu, bus: &mut dyn Bus, selector: u16) -> Result<Option<Descriptor>, Exception> {
    let Some(addr) = address(cpu, selector, 8) else { return Ok(None) };
    let raw = load_system(cpu, bus, addr, Size::Q)?;
    Ok(Some(Descriptor { raw, addr }))
}

/// Reads the upper half of a 16-byte system descriptor of IA-32e mode; `None` outside the table.
///
/// # Errors
/// #PF.
pub fn fetch_high(cpu: &mut Cpu, bus: &mut dyn Bus, selector: u16) -> Result<Option<u64>, Exception> {
    let Some(addr) = address(cpu, selector, 16) else { return Ok(None) };
    load_system(cpu, bus, addr.wrapping_add(8), Size::Q).map(Some)
}

/// Sets the accessed bit in the table.
///
/// # Errors
/// #PF.
#[inline]
pub fn set_accessed(cpu: &mut Cpu, bus: &mut dyn Bus, d: &mut Descriptor) -> Result<(), Exception> {
    if d.attr() & Segment::ACCESSED == 0 {
        d.raw |= 1 << 40;
        store_system(cpu, bus, d.addr.wrapping_add(5), Size::B, d.raw >> 40)?;
    }
    Ok(())
}

/// Sets or clears the busy bit of a TSS descriptor in the table.
///
/// # Errors
/// #PF.
pub fn set_busy(cpu: &mut Cpu, bus: &mut dyn Bus, d: Descriptor, busy: bool) -> Result<(), Exception> {
    let byte = d.raw >> 40 & 0xfd | if busy { 2 } else { 0 };
    store_system(cpu, bus, d.addr.wrapping_add(5), Size::B, byte)
}
