//! IRET in every mode (SDM volume 2, IRET).

use super::{
    descriptor::long_mode,
    eflags::{self, replace, writable},
    far::{check_offset, is_code64, outer_pointer, real_target, return_code, return_stack},
    interrupt::{Outcome, enter_v86, raise},
    segment::{drop_inner_segments, load_real},
    stack::Stack,
    task::{self, Reason},
};
use crate::{
    Bus,
    ir::Size,
    x86::{
        Cpu, Exception,
        state::{bits::*, seg},
    },
};

/// IRET, IRETD, IRETQ: `a` is the operand's bytes. Ends the blocking of NMIs even when it faults, as the hardware does.
///
/// # Errors
/// #GP, #NP, #SS, #TS, #PF.
pub fn iret(cpu: &mut Cpu, bus: &mut dyn Bus, a: u64, _: u64) -> Result<u64, Exception> {
    cpu.sys.nmi_blocked = false;
    let size = super::operand(a);
    let protected = cpu.sys.cr0 & CR0_PE != 0;
    if protected && cpu.sys.eflags & VM != 0 {
        return from_v86(cpu, bus, size);
    }
    if protected && cpu.sys.eflags & NT != 0 {
        return task_return(cpu, bus);
    }
    let mut stack = Stack::current(cpu, 0);
    let offset = stack.pop(cpu, bus, size)?;
    let selector = stack.pop(cpu, bus, size)? as u16;
    let flags = stack.pop(cpu, bus, size)?;
    if !protected {
        let offset = real_target(cpu, offset)?;
        let mask = flags_mask(cpu, size);
        return Ok(finish_real(cpu, stack, selector, offset, flags, mask));
    }
    if flags & VM != 0 && cpu.cpl() == 0 && size == Size::D && !long_mode(cpu) {
        return to_v86(cpu, bus, stack, selector, offset, flags);
    }
    let cs = return_code(cpu, bus, selector)?;
    let (old_cpl, cpl) = (cpu.cpl(), (selector & 3) as u8);
    let outer = cpl > old_cpl;
    let mut ss = None;
    let sp = if outer || cpu.sys.code64() {
        let sp = stack.pop(cpu, bus, size)?;
        let ss_selector = stack.pop(cpu, bus, size)? as u16;
        let segment = return_stack(cpu, bus, ss_selector, &cs)?;
        ss = Some(segment);
        outer_pointer(cpu, &segment, &cs, sp)
    } else {
        stack.sp
    };
    check_offset(cpu, &cs, offset)?;
    let mask = flags_mask(cpu, size);
    cpu.set_reg(crate::x86::state::gpr::RSP, sp);
    replace(cpu, flags, mask);
    if let Some(ss) = ss {
        cpu.set_segment(seg::SS, ss);
    }
    cpu.set_segment(seg::CS, cs);
    if outer {
        drop_inner_segments(cpu, cpl);
    }
    debug_assert!(is_code64(cpu, &cs) || offset >> 32 == 0);
    cpu.core.pc = offset;
    Ok(0)
}

/// The flags IRET writes. RF counts only while breakpoints are armed: otherwise nothing would clear it again after the next
/// instruction, and nothing depends on it.
fn flags_mask(cpu: &Cpu, size: Size) -> u64 {
    let mut mask = writable(cpu, size);
    if size != Size::W {
        if cpu.sys.dr7 & 0xff != 0 {
            mask |= RF;
        }
        if cpu.cpl() == 0 && cpu.sys.cr0 & CR0_PE != 0 {
            mask |= VIF | VIP;
        }
    }
    mask
}

fn finish_real(cpu: &mut Cpu, stack: Stack, selector: u16, offset: u64, flags: u64, mask: u64) -> u64 {
    stack.commit(cpu);
    replace(cpu, flags, mask);
    load_real(cpu, seg::CS, selector);
    cpu.core.pc = offset;
    0
}

fn from_v86(cpu: &mut Cpu, bus: &mut dyn Bus, size: Size) -> Result<u64, Exception> {
    let iopl3 = cpu.sys.eflags & IOPL == IOPL;
    if !iopl3 && (cpu.sys.cr4 & CR4_VME == 0 || size != Size::W) {
        return Err(Exception::GP0);
    }
    let mut stack = Stack::current(cpu, 0);
    let offset = stack.pop(cpu, bus, size)?;
    let selector = stack.pop(cpu, bus, size)? as u16;
    let flags = stack.pop(cpu, bus, size)?;
    let offset = real_target(cpu, offset)?;
    if iopl3 {
        let mask = flags_mask(cpu, size) & !IOPL;
        return Ok(finish_real(cpu, stack, selector, offset, flags, mask));
    }
    eflags::pop_virtual(cpu, flags)?;
    Ok(finish_real(cpu, stack, selector, offset, 0, 0))
}

fn to_v86(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    mut stack: Stack,
    cs: u16,
    offset: u64,
    flags: u64,
) -> Result<u64, Exception> {
    let sp = stack.pop(cpu, bus, Size::D)?;
    // Popped in the order SS, ES, DS, FS, GS.
    let mut popped = [0u16; 5];
    for selector in &mut popped {
        *selector = stack.pop(cpu, bus, Size::D)? as u16;
    }
    if offset > 0xffff {
        return Err(Exception::GP0);
    }
    let [ss, es, ds, fs, gs] = popped;
    let keep_rf = if cpu.sys.dr7 & 0xff != 0 { RF } else { 0 };
    cpu.set_rflags(flags & (keep_rf | !RF));
    enter_v86(cpu, [es, cs, ss, ds, fs, gs]);
    cpu.set_reg(crate::x86::state::gpr::RSP, sp);
    cpu.core.pc = offset;
    Ok(0)
}

/// IRET with NT set: back to the task in the link field.
fn task_return(cpu: &mut Cpu, bus: &mut dyn Bus) -> Result<u64, Exception> {
    if long_mode(cpu) {
        return Err(Exception::GP0);
    }
    let link = super::stack::load_system(cpu, bus, cpu.sys.tr.base, Size::W)?;
    if let Outcome::Late(e) = task::switch(cpu, bus, link as u16, Reason::Iret)? {
        raise(cpu, bus, e);
    }
    Ok(0)
}
