//! What machine code and the functions it calls share during one run, and where the fields of the CPU are.

use super::Inner;
use crate::{
    Bus,
    core::Core,
    ir::Crossing,
    itlb::Itlb,
    lazy::Lazy,
    softfloat::F80,
    x86::{
        Cpu,
        engine::Known,
        state::{Msrs, Segment, System},
        x87::X87,
    },
};
use std::mem::{offset_of, size_of};

/// One run. Its address is at the bottom of the machine code's stack frame.
#[repr(C)]
pub(super) struct Frame {
    /// The CPU.
    pub cpu: *mut Cpu,
    /// Count at which the run must have stopped.
    pub limit: u64,
    /// First TLB entry of the first view.
    pub tlb: u64,
    /// Context of the run's blocks.
    pub context: u64,
    /// The run loop's last contexts.
    pub contexts: *const Known,
    /// See [`crate::block::Linked::moves`].
    pub moves: bool,
    /// The host's own MXCSR.
    pub mxcsr: u32,
    /// The devices.
    pub bus: *mut dyn Bus,
}

/// Register-file displacement from the base register, which points at register 16 so that 32 fit in a byte.
pub(super) const BIAS: i32 = 16 * 8;

const fn core(field: usize) -> i32 {
    field as i32 - offset_of!(Core, regs) as i32 - BIAS
}

/// Bytes from the start of the CPU to what the base register points at.
pub(super) const TO_BASE: usize = offset_of!(Cpu, core) + offset_of!(Core, regs) + BIAS as usize;
pub(super) const PC: i32 = core(offset_of!(Core, pc));
pub(super) const COUNT: i32 = core(offset_of!(Core, count));
pub(super) const VIEW: i32 = core(offset_of!(Core, view));
pub(super) const RECENT: i32 = core(offset_of!(Core, recent));
pub(super) const CROSSINGS: i32 = core(offset_of!(Core, crossings));
pub(super) const MOVED: i32 = core(offset_of!(Core, moved));
pub(super) const MMU: i32 = core(offset_of!(Core, mmu));
pub(super) const TOKENS: i32 = core(offset_of!(Core, itlb) + Itlb::TOKENS);
pub(super) const LAZY_A: i32 = core(offset_of!(Core, lazy) + offset_of!(Lazy, a));
pub(super) const LAZY_B: i32 = core(offset_of!(Core, lazy) + offset_of!(Lazy, b));
pub(super) const LAZY_WORD: i32 = core(offset_of!(Core, lazy) + offset_of!(Lazy, word));
pub(super) const LAZY_CF: i32 = core(offset_of!(Core, lazy) + offset_of!(Lazy, cf));
pub(super) const LAZY_OF: i32 = core(offset_of!(Core, lazy) + offset_of!(Lazy, of));
pub(super) const LAZY_ZF: i32 = core(offset_of!(Core, lazy) + offset_of!(Lazy, zf));
pub(super) const LAZY_CARRY: i32 = core(offset_of!(Core, lazy) + offset_of!(Lazy, carry));
pub(super) const FLAG_Z: i32 = core(offset_of!(Core, flags) + offset_of!(crate::flags::Flags, z));
pub(super) const FLAG_S: i32 = core(offset_of!(Core, flags) + offset_of!(crate::flags::Flags, s));
pub(super) const FLAG_A: i32 = core(offset_of!(Core, flags) + offset_of!(crate::flags::Flags, a));
pub(super) const FLAG_C: i32 = core(offset_of!(Core, flags) + offset_of!(crate::flags::Flags, c));

const fn cpu(field: usize) -> i32 {
    field as i32 - TO_BASE as i32
}

/// XMM0; the others follow.
pub(super) const XMM: i32 = cpu(offset_of!(Cpu, xmm));
pub(super) const MXCSR: i32 = cpu(offset_of!(Cpu, mxcsr));
const fn x87(field: usize) -> i32 {
    cpu(offset_of!(Cpu, x87) + field)
}

/// The x87's R0; the others follow, 16 bytes each.
pub(super) const X87_ST: i32 = x87(offset_of!(X87, st));
pub(super) const X87_TAG: i32 = x87(offset_of!(X87, tag));
pub(super) const X87_SW: i32 = x87(offset_of!(X87, sw));
pub(super) const X87_CW: i32 = x87(offset_of!(X87, cw));
pub(super) const X87_FOP: i32 = x87(offset_of!(X87, fop));
pub(super) const X87_FCS: i32 = x87(offset_of!(X87, fcs));
pub(super) const X87_FDS: i32 = x87(offset_of!(X87, fds));
pub(super) const X87_FIP: i32 = x87(offset_of!(X87, fip));
pub(super) const X87_FDP: i32 = x87(offset_of!(X87, fdp));
const _: () = assert!(size_of::<F80>() == 16 && offset_of!(F80, sig) == 0 && offset_of!(F80, se) == 8);

const fn segment(n: usize, field: usize) -> i32 {
    let segments = offset_of!(Cpu, sys) + offset_of!(System, segs);
    cpu(segments + n * size_of::<Segment>() + field)
}

/// Selector of segment register `n`.
pub(super) const fn selector(n: usize) -> i32 {
    segment(n, offset_of!(Segment, selector))
}

/// Base of segment register `n`; the register file has it, too.
pub(super) const fn base(n: usize) -> i32 {
    segment(n, offset_of!(Segment, base))
}

/// Limit of segment register `n`.
pub(super) const fn limit(n: usize) -> i32 {
    segment(n, offset_of!(Segment, limit))
}

/// Attributes of segment register `n`.
pub(super) const fn attributes(n: usize) -> i32 {
    segment(n, offset_of!(Segment, attr))
}

const fn system(field: usize) -> i32 {
    cpu(offset_of!(Cpu, sys) + field)
}

/// EFLAGS without the arithmetic flags.
pub(super) const EFLAGS: i32 = system(offset_of!(System, eflags));
pub(super) const EFER: i32 = system(offset_of!(System, efer));

const fn msr(field: usize) -> i32 {
    system(offset_of!(System, msrs) + field)
}

pub(super) const STAR: i32 = msr(offset_of!(Msrs, star));
pub(super) const LSTAR: i32 = msr(offset_of!(Msrs, lstar));
pub(super) const FMASK: i32 = msr(offset_of!(Msrs, fmask));
pub(super) const KERNEL_GS: i32 = msr(offset_of!(Msrs, kernel_gs_base));

/// Whether the guest's MXCSR is in the host's.
pub(super) const SIMD: i32 = cpu(offset_of!(Cpu, mxcsr_in_host));

/// What a call site tells the function it calls, in one word.
#[derive(Clone, Copy)]
pub(super) struct Site {
    /// Id of the block.
    pub id: u32,
    /// Instruction in the block.
    pub insn: u8,
    /// Instructions in the block.
    pub insns: u8,
    /// Destination register.
    pub dst: u8,
    /// log2 of the width.
    pub size: u8,
    /// 0: zero-extend; 1: sign-extend to 32 bits; 2: sign-extend to 64 bits.
    pub extend: u8,
    /// Ops of the block after this one, as the interpreter counts.
    pub rest: u16,
}

impl Site {
    /// The destination that says what a call which leaves the block does.
    pub fn crossing(c: Crossing) -> u8 {
        c as u8 + 1
    }

    /// Index of the crossing that it is, if it is one.
    pub fn crosses(self) -> Option<usize> {
        usize::from(self.dst).checked_sub(1)
    }

    pub fn pack(self) -> u64 {
        u64::from(self.id)
            | u64::from(self.insn) << 24
            | u64::from(self.insns) << 32
            | u64::from(self.dst) << 40
            | u64::from(self.size) << 46
            | u64::from(self.extend) << 48
            | u64::from(self.rest) << 50
    }

    pub fn unpack(v: u64) -> Self {
        Self {
            id: v as u32 & 0xff_ffff,
            insn: (v >> 24) as u8,
            insns: (v >> 32) as u8,
            dst: (v >> 40) as u8 & 63,
            size: (v >> 46) as u8 & 3,
            extend: (v >> 48) as u8 & 3,
            rest: (v >> 50) as u16,
        }
    }
}

/// What a called function answers: a value, and zero or how the run ends.
#[repr(C)]
pub(super) struct Answer {
    pub value: u64,
    pub exit: u64,
}

/// Signature of the functions that machine code calls: frame, two operands, site, instructions left, one more.
pub(super) type Shim = extern "sysv64" fn(*mut Frame, u64, u64, u64, u64, *const Inner) -> Answer;
