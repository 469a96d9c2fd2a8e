//! The state a CPU is in when it executes the first instruction of a boot source.

use serde::{Deserialize, Serialize};

/// Which of the CPU's modes the first instruction runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryMode {
    /// Real mode, exactly as power-on reset leaves the CPU.
    Reset,
    /// Protected mode with flat 32-bit segments, paging off.
    Protected32,
    /// 64-bit mode with an identity mapping of the first 4 GiB.
    Long64,
}

impl EntryMode {
    /// CR0: PE and ET; PG, WP and NE as well in 64-bit mode. (Intel SDM volume 3, section 2.5; reset value: table 10-1.)
    #[must_use]
    pub const fn cr0(self) -> u64 {
        match self {
            EntryMode::Reset => 0x6000_0010,
            EntryMode::Protected32 => 0x11,
            EntryMode::Long64 => 0x8001_0031,
        }
    }

    /// CR4: PAE in 64-bit mode.
    #[must_use]
    pub const fn cr4(self) -> u64 {
        match self {
            EntryMode::Reset | EntryMode::Protected32 => 0,
            EntryMode::Long64 => 1 << 5,
        }
    }

    /// IA32_EFER: LME and LMA in 64-bit mode.
    #[must_use]
    pub const fn efer(self) -> u64 {
        match self {
            EntryMode::Reset | EntryMode::Protected32 => 0,
            EntryMode::Long64 => 1 << 8 | 1 << 10,
        }
    }

    /// IA32_MTRR_DEF_TYPE: enabled with write-back by default, as firmware would have left it; 0 at reset.
    #[must_use]
    pub const fn mtrr_def_type(self) -> u64 {
        match self {
            EntryMode::Reset => 0,
            EntryMode::Protected32 | EntryMode::Long64 => 1 << 11 | 6,
        }
    }
}

/// A segment register with its hidden part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Visible selector.
    pub selector: u16,
    /// Base address.
    pub base: u64,
    /// Last valid offset, granularity already applied.
    pub limit: u32,
    /// Bits 40 to 55 of the descriptor: type, S, DPL, P in bits 0 to 7; AVL, L, D/B, G in bits 12 to 15.
    pub access: u16,
}

impl Segment {
    pub(super) const CODE_32: u16 = 0xC09B;
    pub(super) const CODE_64: u16 = 0xA09B;
    pub(super) const DATA_32: u16 = 0xC093;
    pub(super) const TSS_32: u16 = 0x008B;

    pub(super) const fn flat(selector: u16, access: u16) -> Self {
        Self { selector, base: 0, limit: 0xFFFF_FFFF, access }
    }

    /// The 8-byte descriptor of this segment in a descriptor table (Intel SDM volume 3, figure 3-8).
    #[must_use]
    pub const fn descriptor(&self) -> u64 {
        let limit = if self.access & 0x8000 != 0 { self.limit >> 12 } else { self.limit } as u64;
        (limit & 0xFFFF)
            | (self.base & 0xFF_FFFF) << 16
            | (self.access as u64 & 0xF0FF) << 40
            | (limit >> 16 & 0xF) << 48
            | (self.base >> 24 & 0xFF) << 56
    }
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorTable {
    /// Physical (and linear) address.
    pub base: u64,
    /// Last valid offset.
    pub limit: u16,
}

/// Initial CPU registers. Everything not named here is as power-on reset leaves it; RFLAGS is 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryState {
    /// Mode, which also gives CR0, CR4, EFER and the default memory type.
    pub mode: EntryMode,
    /// Instruction pointer, relative to the base of `code`.
    pub rip: u64,
    /// RAX.
    pub rax: u64,
    /// RBX.
    pub rbx: u64,
    /// RSI.
    pub rsi: u64,
    /// RSP.
    pub rsp: u64,
    /// CS.
    pub code: Segment,
    /// DS, ES, FS, GS and SS.
    pub data: Segment,
    /// TR, unless the boot protocol says nothing about it.
    pub task: Option<Segment>,
    /// GDTR.
    pub gdt: DescriptorTable,
    /// IDTR.
    pub idt: DescriptorTable,
    /// Physical address of the top page table; 0 while paging is off.
    pub cr3: u64,
}

impl EntryState {
    /// Power-on reset: 16 bytes below 4 GiB. (Intel SDM volume 3, table 10-1.)
    #[must_use]
    pub const fn reset() -> Self {
        Self {
            mode: EntryMode::Reset,
            rip: 0xFFF0,
            rax: 0,
            rbx: 0,
            rsi: 0,
            rsp: 0,
            code: Segment { selector: 0xF000, base: 0xFFFF_0000, limit: 0xFFFF, access: 0x9B },
            data: Segment { selector: 0, base: 0, limit: 0xFFFF, access: 0x93 },
            task: None,
            gdt: DescriptorTable { base: 0, limit: 0xFFFF },
            idt: DescriptorTable { base: 0, limit: 0xFFFF },
            cr3: 0,
        }
    }

    /// Flat 32-bit protected mode at `eip`, with the selectors 0x10 and 0x18 of `gdt`.
    pub(super) const fn protected(eip: u32, gdt: DescriptorTable) -> Self {
        Self {
            mode: EntryMode::Protected32,
            rip: eip as u64,
            code: Segment::flat(0x10, Segment::CODE_32),
            data: Segment::flat(0x18, Segment::DATA_32),
            gdt,
            idt: DescriptorTable { base: 0, limit: 0 },
            ..Self::reset()
        }
    }

    /// 64-bit mode at `rip` with the page tables at `cr3`, with the selectors 0x10 and 0x18 of `gdt`.
    pub(super) const fn long(rip: u64, cr3: u64, gdt: DescriptorTable) -> Self {
        Self {
            mode: EntryMode::Long64,
            rip,
            code: Segment::flat(0x10, Segment::CODE_64),
            cr3,
            ..Self::protected(0, gdt)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_the_manuals() {
        assert_eq!(Segment::flat(0x10, Segment::CODE_32).descriptor(), 0x00CF_9B00_0000_FFFF);
        assert_eq!(Segment::flat(0x10, Segment::CODE_64).descriptor(), 0x00AF_9B00_0000_FFFF);
        assert_eq!(Segment::flat(0x18, Segment::DATA_32).descriptor(), 0x00CF_9300_0000_FFFF);
        let task = Segment { selector: 0x20, base: 0x1234_5678, limit: 0x67, access: Segment::TSS_32 };
        assert_eq!(task.descriptor(), 0x1200_8B34_5678_0067);
    }
}
