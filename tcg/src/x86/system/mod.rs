//! System instructions and event delivery: paging, segmentation, interrupts, tasks, MSRs, CPUID, debug.
//!
//! Unless said otherwise a function here is an [`crate::ir::Helper`]: `fn(&mut Cpu, &mut dyn Bus, a, b) -> Result<u64,
//! Exception>`, and a fault leaves everything as it was (accessed and dirty bits excepted). "leaves" marks those for
//! [`crate::ir::Op::CallLeave`]: they change pc, the mode, or what interrupts may do; `cpu.core.pc` is then already the next
//! instruction's offset in CS. `bytes` is always an operand size: 2, 4 or 8.
//!
//! | helper | a | b | result | leaves |
//! |---|---|---|---|---|
//! | [`control::mov_to_cr`] | number | value | | yes |
//! | [`control::mov_from_cr`] | number | | value | |
//! | [`control::clts`], [`control::lmsw`] | (lmsw: value) | | | yes |
//! | [`control::smsw`] | | | CR0 | |
//! | [`control::invlpg`] | linear address | | | yes |
//! | [`control::wbinvd`] (INVD too) | | | | |
//! | [`control::xgetbv`], [`control::rdtsc`], [`control::rdpmc`] | | | (registers) | |
//! | [`control::xsetbv`], [`control::hlt`] | | | | yes |
//! | [`control::undefined`] | | | #UD, counted | |
//! | [`eflags::pushf`] | bytes | | | |
//! | [`eflags::popf`], [`eflags::cli`], [`eflags::sti`], [`eflags::stac`], [`eflags::clac`] | (popf: bytes) | | | yes |
//! | [`tables::lgdt`], [`tables::lidt`], [`tables::sgdt`], [`tables::sidt`] | linear address | bytes | | |
//! | [`segment::mov_to_sreg`], [`segment::load_sreg`] (LxS) | segment number | selector | | yes |
//! | [`segment::pop_sreg`] | segment number | bytes | | yes |
//! | [`segment::swapgs`] | | | | |
//! | [`segment::lar`], [`segment::lsl`] | selector, bytes << 16 | old destination | new destination, 64 bits; ZF | |
//! | [`segment::verr`], [`segment::verw`] | selector | | ZF | |
//! | [`segment::arpl`] | destination | source | new destination; ZF | |
//! | [`segment::lldt`], [`segment::ltr`] | selector | | | |
//! | [`segment::sldt`], [`segment::str`] | | | selector | |
//! | [`far::jmp`], [`far::call`] | selector, bytes << 16 | offset | | yes |
//! | [`far::ret`] | bytes | bytes to release | | yes |
//! | [`iret::iret`] | bytes | | | yes |
//! | [`interrupt::int_n`] | vector | | | yes |
//! | [`interrupt::int1`] | | | | yes |
//! | [`syscall::syscall`], [`syscall::sysenter`] | | | | yes |
//! | [`syscall::sysret`], [`syscall::sysexit`] | bytes | | | yes |
//! | [`msr::rdmsr`] | | | (registers) | |
//! | [`msr::wrmsr`] | | | | yes |
//! | [`cpuid::cpuid`] | | | (registers) | |
//! | [`debug::mov_to_dr`] | number | value | | yes |
//! | [`debug::mov_from_dr`] | number | | value | |
//! | [`port::port_in`] | port, bytes << 16 | | value, zero-extended | yes |
//! | [`port::port_out`] | port, bytes << 16 | value | | yes |
//!
//! INT3 and INTO are [`crate::x86::Exception::Breakpoint`] and [`crate::x86::Exception::Overflow`], raised by the translator's code.
//!
//! For the run loop:
//! - [`interrupt::raise`]`(cpu, bus, exception)`, [`interrupt::interrupt`]`(cpu, bus, vector)`, [`interrupt::nmi`]`(cpu, bus)`
//!   deliver and never fail; afterwards look at `sys.shutdown`.
//! - `sys.shadow` is set by the instruction that starts it; the loop clears it when the next instruction has completed
//!   (delivery clears it too).
//! - [`debug::instruction_breakpoint`] before, [`debug::end_of_instruction`] after every instruction in STEP mode.
//! - [`port::io_allowed`] for INS and OUTS.

pub mod control;
pub mod cpuid;
pub mod debug;
pub mod descriptor;
pub mod eflags;
pub mod far;
#[cfg(test)]
mod fuzz;
pub mod interrupt;
pub mod iret;
pub mod msr;
mod mtrr;
pub mod paging;
pub mod port;
pub mod segment;
mod stack;
pub mod syscall;
pub mod tables;
pub mod task;
#[cfg(test)]
pub(crate) mod testing;

use crate::{
    ir::Size,
    x86::{Cpu, Exception, state::gpr},
};

/// Physical address width that CPUID announces.
pub const PHYSICAL_BITS: u32 = 40;

/// Whether bits 63 to 47 of `addr` are equal.
#[inline]
#[must_use]
pub const fn canonical(addr: u64) -> bool {
    (addr as i64) << 16 >> 16 == addr as i64
}

fn require_cpl0(cpu: &Cpu) -> Result<(), Exception> {
    if cpu.cpl() == 0 { Ok(()) } else { Err(Exception::GP0) }
}

/// The part of a general register that MOV to CR and DR sees.
fn register_mask(cpu: &Cpu) -> u64 {
    if cpu.sys.code64() { u64::MAX } else { 0xffff_ffff }
}

/// The operand size of `bytes`: 2, 4 or 8.
const fn operand(bytes: u64) -> Size {
    match bytes {
        2 => Size::W,
        8 => Size::Q,
        _ => Size::D,
    }
}

fn ecx(cpu: &Cpu) -> u32 {
    cpu.reg(gpr::RCX) as u32
}

fn edx_eax(cpu: &Cpu) -> u64 {
    cpu.reg(gpr::RDX) << 32 | cpu.reg(gpr::RAX) & 0xffff_ffff
}

fn set_edx_eax(cpu: &mut Cpu, value: u64) {
    cpu.set_reg(gpr::RAX, value & 0xffff_ffff);
    cpu.set_reg(gpr::RDX, value >> 32);
}
