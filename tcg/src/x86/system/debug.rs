//! Debug registers, breakpoints, single step (SDM volume 3, chapter 17).

use super::require_cpl0;
use crate::{
    Bus, Width,
    x86::{
        Cpu, Exception,
        state::{Shadow, bits},
    },
};

/// DR6: general detect.
pub const DR6_BD: u64 = 1 << 13;
/// DR6: single step.
pub const DR6_BS: u64 = 1 << 14;
/// DR6: task switch.
pub const DR6_BT: u64 = 1 << 15;
/// In `sys.pending_debug`: this instruction is not followed by a single-step trap although TF was set before it.
pub(super) const NO_STEP: u64 = 1 << 63;

const DR6_FIXED: u64 = 0xffff_0ff0;
const DR6_WRITABLE: u64 = 0xe00f;
const DR7_GD: u64 = 1 << 13;
const DR7_FIXED: u64 = 0x400;
/// Bits 12, 14 and 15 read as zero; there is no RTM.
const DR7_WRITABLE: u64 = 0xffff_23ff;
/// The Ln and Gn bits.
const DR7_ENABLES: u64 = 0xff;

/// A breakpoint condition's R/W field.
const ON_EXECUTE: u64 = 0;
const ON_PORT: u64 = 2;

/// DR4 and DR5 are names of DR6 and DR7 unless CR4.DE forbids them.
fn number(cpu: &Cpu, n: u64) -> Result<u64, Exception> {
    let aliases = cpu.sys.cr4 & bits::CR4_DE == 0;
    match n {
        0..=3 | 6 | 7 => Ok(n),
        4 | 5 if aliases => Ok(n + 2),
        _ => Err(Exception::InvalidOpcode),
    }
}

fn check_access(cpu: &Cpu) -> Result<(), Exception> {
    require_cpl0(cpu)?;
    if cpu.sys.dr7 & DR7_GD != 0 { Err(Exception::Debug { dr6: DR6_BD }) } else { Ok(()) }
}

/// MOV to debug register `n`. Outside 64-bit code only the low 32 bits of `value` count.
///
/// # Errors
/// #UD for DR4 and DR5 with CR4.DE, #GP(0) by privilege or for upper halves of DR6 and DR7, #DB by DR7.GD.
pub fn mov_to_dr(cpu: &mut Cpu, _: &mut dyn Bus, n: u64, value: u64) -> Result<u64, Exception> {
    let n = number(cpu, n)?;
    check_access(cpu)?;
    let value = value & super::register_mask(cpu);
    if n >= 6 && value >> 32 != 0 {
        return Err(Exception::GP0);
    }
    match n {
        6 => cpu.sys.dr6 = DR6_FIXED | value & DR6_WRITABLE,
        7 => cpu.sys.dr7 = DR7_FIXED | value & DR7_WRITABLE,
        _ => cpu.sys.dr[n as usize] = value,
    }
    // Pages with data breakpoints must lose their fast paths, others may have them back.
    cpu.core.tlb.flush_all();
    Ok(0)
}

/// MOV from debug register `n`.
///
/// # Errors
/// #UD for DR4 and DR5 with CR4.DE, #GP(0) by privilege, #DB by DR7.GD.
pub fn mov_from_dr(cpu: &mut Cpu, _: &mut dyn Bus, n: u64, _: u64) -> Result<u64, Exception> {
    let n = number(cpu, n)?;
    check_access(cpu)?;
    Ok(match n {
        6 => cpu.sys.dr6,
        7 => cpu.sys.dr7,
        _ => cpu.sys.dr[n as usize],
    })
}

/// Writes DR6 and DR7 for a #DB about to be delivered.
pub(super) fn report(cpu: &mut Cpu, dr6: u64) {
    cpu.sys.dr6 = cpu.sys.dr6 & !0xf | dr6 & DR6_WRITABLE;
    cpu.sys.dr7 &= !DR7_GD;
}

/// Breakpoints enabled for condition `kind`.
fn enabled(cpu: &Cpu, kind: u64) -> impl Iterator<Item = usize> {
    let dr7 = cpu.sys.dr7;
    (0..4).filter(move |n| dr7 >> (2 * n) & 3 != 0 && dr7 >> (16 + 4 * n) & 3 == kind)
}

/// Before an instruction at `linear_pc` in STEP mode: the DR6 bits of its breakpoints, to be raised as a fault. RF suppresses
/// them once; it is used up here, which is when an instruction starts.
pub fn instruction_breakpoint(cpu: &mut Cpu, linear_pc: u64) -> Option<u64> {
    if cpu.sys.eflags & bits::RF != 0 {
        cpu.sys.eflags &= !bits::RF;
        return None;
    }
    // After MOV SS no breakpoint is recognised either.
    if cpu.sys.dr7 & DR7_ENABLES == 0 || cpu.sys.shadow == Shadow::MovSs {
        return None;
    }
    let hits =
        enabled(cpu, ON_EXECUTE).filter(|&n| cpu.sys.dr[n] == linear_pc).fold(0, |hits, n| hits | 1 << n);
    (hits != 0).then_some(hits)
}

/// Notes the I/O breakpoints that an access hits; they trap at the end of the instruction.
#[inline]
pub fn note_port_access(cpu: &mut Cpu, port: u16, width: Width) {
    if cpu.sys.dr7 & DR7_ENABLES == 0 || cpu.sys.cr4 & bits::CR4_DE == 0 {
        return;
    }
    let (first, last) = (u64::from(port), u64::from(port) + width.bytes() as u64 - 1);
    let hits = enabled(cpu, ON_PORT)
        .filter(|&n| {
            let len = [1, 2, 8, 4][(cpu.sys.dr7 >> (18 + 4 * n) & 3) as usize];
            let start = cpu.sys.dr[n] & !(len - 1);
            start <= last && first < start + len
        })
        .fold(0, |hits, n| hits | 1 << n);
    cpu.sys.pending_debug |= hits;
}

/// After an instruction in STEP mode has completed: the trap to deliver, if any. `tf_was_set` is TF before the instruction.
///
/// The shadow must still be the one this instruction made: after MOV SS and POP SS data breakpoints wait for the next
/// instruction, and a single step is lost.
pub fn end_of_instruction(cpu: &mut Cpu, tf_was_set: bool) -> Option<Exception> {
    let no_step = cpu.sys.pending_debug & NO_STEP != 0;
    cpu.sys.pending_debug &= !NO_STEP;
    if cpu.sys.shadow == Shadow::MovSs {
        return None;
    }
    let mut dr6 = std::mem::take(&mut cpu.sys.pending_debug);
    if tf_was_set && !no_step {
        dr6 |= DR6_BS;
    }
    (dr6 != 0).then_some(Exception::Debug { dr6 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::system::testing::{TestBus, cpu};

    #[test]
    fn registers_keep_their_fixed_bits() {
        let mut c = cpu();
        let bus = &mut TestBus::default();
        mov_to_dr(&mut c, bus, 6, 0).unwrap();
        mov_to_dr(&mut c, bus, 5, 0xffff_ffff & !DR7_GD).unwrap();
        assert_eq!(c.sys.dr6, 0xffff_0ff0);
        assert_eq!(mov_from_dr(&mut c, bus, 7, 0), Ok(0xffff_07ff));
        c.sys.cr4 |= bits::CR4_DE;
        assert_eq!(mov_from_dr(&mut c, bus, 5, 0), Err(Exception::InvalidOpcode));
        c.sys.dr7 |= DR7_GD;
        assert_eq!(mov_from_dr(&mut c, bus, 7, 0), Err(Exception::Debug { dr6: DR6_BD }));
    }

    #[test]
    fn resume_flag_lets_one_instruction_pass() {
        let mut c = cpu();
        c.sys.dr[1] = 0x1234;
        c.sys.dr7 = DR7_FIXED | 4;
        c.sys.eflags |= bits::RF;
        assert_eq!(instruction_breakpoint(&mut c, 0x1234), None);
        assert_eq!(instruction_breakpoint(&mut c, 0x1234), Some(2));
    }

    #[test]
    fn stack_segment_loads_swallow_a_single_step() {
        let mut c = cpu();
        c.sys.shadow = Shadow::MovSs;
        c.sys.pending_debug = 1;
        assert_eq!(end_of_instruction(&mut c, true), None);
        c.sys.shadow = Shadow::None;
        assert_eq!(end_of_instruction(&mut c, true), Some(Exception::Debug { dr6: DR6_BS | 1 }));
        assert_eq!(end_of_instruction(&mut c, false), None);
    }
}
