//! The whole architectural state as plain data: what a checkpoint holds and what accelerators exchange.

use serde::{Deserialize, Serialize};

/// Segment register numbers, in the encoding's order.
pub mod seg {
    /// ES
    pub const ES: usize = 0;
    /// CS
    pub const CS: usize = 1;
    /// SS
    pub const SS: usize = 2;
    /// DS
    pub const DS: usize = 3;
    /// FS
    pub const FS: usize = 4;
    /// GS
    pub const GS: usize = 5;
}

/// General register numbers, in the encoding's order.
#[allow(missing_docs)]
pub mod gpr {
    pub const RAX: usize = 0;
    pub const RCX: usize = 1;
    pub const RDX: usize = 2;
    pub const RBX: usize = 3;
    pub const RSP: usize = 4;
    pub const RBP: usize = 5;
    pub const RSI: usize = 6;
    pub const RDI: usize = 7;
}

/// Control register and EFER bits (SDM volume 3, section 2.5).
#[allow(missing_docs)]
pub mod bits {
    /// The flags besides the arithmetic ones that exist.
    pub const WRITABLE: u64 = TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID;
    pub const CR0_PE: u64 = 1;
    pub const CR0_MP: u64 = 1 << 1;
    pub const CR0_EM: u64 = 1 << 2;
    pub const CR0_TS: u64 = 1 << 3;
    pub const CR0_ET: u64 = 1 << 4;
    pub const CR0_NE: u64 = 1 << 5;
    pub const CR0_WP: u64 = 1 << 16;
    pub const CR0_AM: u64 = 1 << 18;
    pub const CR0_NW: u64 = 1 << 29;
    pub const CR0_CD: u64 = 1 << 30;
    pub const CR0_PG: u64 = 1 << 31;
    pub const CR4_VME: u64 = 1;
    pub const CR4_PVI: u64 = 1 << 1;
    pub const CR4_TSD: u64 = 1 << 2;
    pub const CR4_DE: u64 = 1 << 3;
    pub const CR4_PSE: u64 = 1 << 4;
    pub const CR4_PAE: u64 = 1 << 5;
    pub const CR4_MCE: u64 = 1 << 6;
    pub const CR4_PGE: u64 = 1 << 7;
    pub const CR4_PCE: u64 = 1 << 8;
    pub const CR4_OSFXSR: u64 = 1 << 9;
    pub const CR4_OSXMMEXCPT: u64 = 1 << 10;
    pub const CR4_OSXSAVE: u64 = 1 << 18;
    pub const CR4_SMEP: u64 = 1 << 20;
    pub const CR4_SMAP: u64 = 1 << 21;
    pub const EFER_SCE: u64 = 1;
    pub const EFER_LME: u64 = 1 << 8;
    pub const EFER_LMA: u64 = 1 << 10;
    pub const EFER_NXE: u64 = 1 << 11;
    pub const TF: u64 = 1 << 8;
    pub const IF: u64 = 1 << 9;
    pub const DF: u64 = 1 << 10;
    pub const IOPL: u64 = 3 << 12;
    pub const NT: u64 = 1 << 14;
    pub const RF: u64 = 1 << 16;
    pub const VM: u64 = 1 << 17;
    pub const AC: u64 = 1 << 18;
    pub const VIF: u64 = 1 << 19;
    pub const VIP: u64 = 1 << 20;
    pub const ID: u64 = 1 << 21;
}

/// A segment register with its hidden part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Visible selector.
    pub selector: u16,
    /// Linear base.
    pub base: u64,
    /// Last valid offset, granularity applied.
    pub limit: u32,
    /// Bits 0-7: type, S, DPL, P; bits 12-15: AVL, L, D/B, G (bits 40-55 of the descriptor, limit bits cleared).
    pub attr: u16,
}

#[allow(missing_docs)]
impl Segment {
    pub const ACCESSED: u16 = 1;
    /// Writable (data) or readable (code).
    pub const RW: u16 = 2;
    /// Expand-down (data) or conforming (code).
    pub const DC: u16 = 4;
    pub const CODE: u16 = 8;
    pub const S: u16 = 0x10;
    pub const P: u16 = 0x80;
    pub const L: u16 = 0x2000;
    pub const DB: u16 = 0x4000;
    pub const G: u16 = 0x8000;

    #[must_use]
    pub const fn dpl(&self) -> u8 {
        (self.attr >> 5 & 3) as u8
    }
    #[must_use]
    pub const fn present(&self) -> bool {
        self.attr & Self::P != 0
    }
    #[must_use]
    pub const fn big(&self) -> bool {
        self.attr & Self::DB != 0
    }
    /// Type field, four bits.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        (self.attr & 15) as u8
    }
    /// The segment that loading `selector` makes in real mode.
    #[must_use]
    pub const fn real(selector: u16) -> Segment {
        Segment { selector, base: (selector as u64) << 4, limit: 0xffff, attr: 0x93 }
    }
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRegister {
    /// Linear base.
    pub base: u64,
    /// Last valid offset.
    pub limit: u16,
}

/// Why interrupts are held off for one instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shadow {
    /// They are not.
    #[default]
    None,
    /// After STI that set IF.
    Sti,
    /// After MOV SS or POP SS: debug traps are held off too.
    MovSs,
}

/// Model-specific registers that are plain storage for the CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Msrs {
    pub star: u64,
    pub lstar: u64,
    pub cstar: u64,
    pub fmask: u64,
    pub kernel_gs_base: u64,
    pub sysenter_cs: u64,
    pub sysenter_esp: u64,
    pub sysenter_eip: u64,
    pub pat: u64,
    pub misc_enable: u64,
    pub mtrr_def_type: u64,
    pub mtrr_fixed: [u64; 11],
    pub mtrr_var: [u64; 16],
    pub mcg_status: u64,
    pub mcg_ctl: u64,
    pub mc_banks: [u64; 16],
    pub tsc_adjust: u64,
    pub bios_sign_id: u64,
    pub feature_control: u64,
    pub debugctl: u64,
}

/// Everything about the CPU that is not in the register file, the FPU or the SSE unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct System {
    /// ES, CS, SS, DS, FS, GS. Change through [`super::Cpu::set_segment`].
    pub segs: [Segment; 6],
    pub ldtr: Segment,
    pub tr: Segment,
    pub gdtr: TableRegister,
    pub idtr: TableRegister,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub efer: u64,
    pub xcr0: u64,
    pub dr: [u64; 4],
    pub dr6: u64,
    pub dr7: u64,
    /// EFLAGS without the six arithmetic flags (bit 1 set).
    pub eflags: u64,
    pub msrs: Msrs,
    /// PAE page-directory-pointer entries, loaded by MOV CR3.
    pub pdpte: [u64; 4],
    pub shadow: Shadow,
    pub halted: bool,
    pub nmi_blocked: bool,
    /// Shut down by a triple fault.
    pub shutdown: bool,
    /// Debug-trap conditions (DR6 bits) met by the current instruction, delivered at its end.
    pub pending_debug: u64,
}

/// The whole CPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct State {
    /// Instructions completed since power-on.
    pub count: u64,
    pub regs: [u64; 16],
    pub rip: u64,
    /// All of RFLAGS.
    pub rflags: u64,
    pub system: System,
    pub xmm: [u128; 16],
    pub mxcsr: u32,
    pub x87: super::x87::X87,
}

impl System {
    /// State after RESET (SDM volume 3, table 9-1).
    #[must_use]
    pub fn reset() -> System {
        let mut segs = [Segment::real(0); 6];
        segs[seg::CS] = Segment { selector: 0xf000, base: 0xffff_0000, limit: 0xffff, attr: 0x9b };
        let table = TableRegister { base: 0, limit: 0xffff };
        System {
            segs,
            ldtr: Segment { selector: 0, base: 0, limit: 0xffff, attr: 0x82 },
            tr: Segment { selector: 0, base: 0, limit: 0xffff, attr: 0x8b },
            gdtr: table,
            idtr: table,
            cr0: bits::CR0_ET | bits::CR0_NW | bits::CR0_CD,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            efer: 0,
            xcr0: 1,
            dr: [0; 4],
            dr6: 0xffff_0ff0,
            dr7: 0x400,
            eflags: 2,
            msrs: Msrs { pat: 0x0007_0406_0007_0406, misc_enable: 1, ..Msrs::default() },
            pdpte: [0; 4],
            shadow: Shadow::None,
            halted: false,
            nmi_blocked: false,
            shutdown: false,
            pending_debug: 0,
        }
    }
}
