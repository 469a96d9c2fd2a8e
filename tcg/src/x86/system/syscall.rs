//! Fast system calls: SYSCALL, SYSRET, SYSENTER, SYSEXIT (SDM volume 2; volume 3, 5.8.7 and 5.8.8).

use super::{canonical, operand, require_cpl0};
use crate::{
    Bus,
    ir::{Reg, Size},
    x86::{
        Cpu, Exception,
        state::{Segment, bits::*, gpr, seg},
    },
};

/// Number of R11.
const R11: usize = 11;

/// Attributes of flat code and stack segments: what all four instructions load instead of descriptors.
pub(crate) fn flat(dpl: u16, long: bool) -> (u16, u16) {
    let size = if long { Segment::L } else { Segment::DB };
    let code = 0x9b | dpl << 5 | Segment::G | size;
    let stack = 0x93 | dpl << 5 | Segment::G | Segment::DB;
    (code, stack)
}

fn load_flat(cpu: &mut Cpu, cs: u16, ss: u16, dpl: u16, long: bool) {
    let (code, stack) = flat(dpl, long);
    cpu.sys.segs[seg::CS] = Segment { selector: cs, base: 0, limit: u32::MAX, attr: code };
    cpu.sys.segs[seg::SS] = Segment { selector: ss, base: 0, limit: u32::MAX, attr: stack };
    cpu.core.regs[Reg::SEG.0 as usize + seg::CS] = 0;
    cpu.core.regs[Reg::SEG.0 as usize + seg::SS] = 0;
    cpu.update_view();
}

/// After an instruction that loads TF anew, the trap depends on the new TF only.
fn step_by_new_flags(cpu: &mut Cpu, stepping: bool) {
    if stepping && cpu.sys.eflags & TF == 0 {
        cpu.sys.pending_debug |= super::debug::NO_STEP;
    }
}

/// SYSCALL; `cpu.core.pc` is the return address.
///
/// # Errors
/// #UD outside 64-bit code or with EFER.SCE clear.
pub fn syscall(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    if !cpu.sys.code64() || cpu.sys.efer & EFER_SCE == 0 {
        return Err(Exception::InvalidOpcode);
    }
    let stepping = cpu.sys.eflags & TF != 0;
    let flags = cpu.rflags() & !RF;
    cpu.set_reg(gpr::RCX, cpu.core.pc);
    cpu.set_reg(R11, flags);
    cpu.core.pc = cpu.sys.msrs.lstar;
    cpu.set_rflags(flags & !cpu.sys.msrs.fmask);
    let cs = (cpu.sys.msrs.star >> 32) as u16 & !3;
    load_flat(cpu, cs, cs.wrapping_add(8), 0, true);
    step_by_new_flags(cpu, stepping);
    Ok(0)
}

/// SYSRET: `a` is the operand's bytes (8 returns to 64-bit code).
///
/// # Errors
/// #UD outside 64-bit code or with EFER.SCE clear, #GP(0) outside CPL 0 or for a non-canonical RCX.
pub fn sysret(cpu: &mut Cpu, _: &mut dyn Bus, a: u64, _: u64) -> Result<u64, Exception> {
    if !cpu.sys.code64() || cpu.sys.efer & EFER_SCE == 0 {
        return Err(Exception::InvalidOpcode);
    }
    require_cpl0(cpu)?;
    let long = operand(a) == Size::Q;
    let rip = cpu.reg(gpr::RCX);
    if long && !canonical(rip) {
        return Err(Exception::GP0);
    }
    cpu.set_rflags(cpu.reg(R11) & !(RF | VM));
    cpu.core.pc = if long { rip } else { rip & 0xffff_ffff };
    let base = (cpu.sys.msrs.star >> 48) as u16;
    let cs = if long { base.wrapping_add(16) } else { base };
    load_flat(cpu, cs | 3, base.wrapping_add(8) | 3, 3, long);
    Ok(0)
}

/// SYSENTER.
///
/// # Errors
/// #GP(0) in real mode or with a null IA32_SYSENTER_CS.
pub fn sysenter(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    let cs = cpu.sys.msrs.sysenter_cs as u16 & !3;
    if cpu.sys.cr0 & CR0_PE == 0 || cs == 0 {
        return Err(Exception::GP0);
    }
    let long = cpu.sys.efer & EFER_LMA != 0;
    let mask = if long { u64::MAX } else { 0xffff_ffff };
    cpu.sys.eflags &= !(VM | IF | RF);
    cpu.set_reg(gpr::RSP, cpu.sys.msrs.sysenter_esp & mask);
    cpu.core.pc = cpu.sys.msrs.sysenter_eip & mask;
    load_flat(cpu, cs, cs.wrapping_add(8), 0, long);
    Ok(0)
}

/// SYSEXIT: `a` is the operand's bytes (8 returns to 64-bit code).
///
/// # Errors
/// #GP(0) outside CPL 0, in real mode, with a null IA32_SYSENTER_CS or a non-canonical target.
pub fn sysexit(cpu: &mut Cpu, _: &mut dyn Bus, a: u64, _: u64) -> Result<u64, Exception> {
    let base = cpu.sys.msrs.sysenter_cs as u16 & !3;
    if cpu.sys.cr0 & CR0_PE == 0 || cpu.cpl() != 0 || base == 0 {
        return Err(Exception::GP0);
    }
    let long = operand(a) == Size::Q;
    let (rip, rsp) = (cpu.reg(gpr::RDX), cpu.reg(gpr::RCX));
    if long && !(canonical(rip) && canonical(rsp)) {
        return Err(Exception::GP0);
    }
    let mask = if long { u64::MAX } else { 0xffff_ffff };
    cpu.core.pc = rip & mask;
    cpu.set_reg(gpr::RSP, rsp & mask);
    let (cs, ss) = if long { (32, 40) } else { (16, 24) };
    load_flat(cpu, base.wrapping_add(cs) | 3, base.wrapping_add(ss) | 3, 3, long);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::system::testing::{TestBus, cpu};

    #[test]
    fn syscall_and_back() {
        let mut c = cpu();
        let bus = &mut TestBus::default();
        assert_eq!(syscall(&mut c, bus, 0, 0), Err(Exception::InvalidOpcode));
        c.sys.cr0 |= CR0_PE | CR0_PG;
        c.sys.efer = EFER_LMA | EFER_LME | EFER_SCE;
        load_flat(&mut c, 0x33, 0x2b, 3, true);
        c.sys.msrs.star = 0x0023_0010 << 32;
        c.sys.msrs.lstar = 0xffff_ffff_8100_0000;
        c.sys.msrs.fmask = IF | TF;
        c.set_rflags(IF | 0x41);
        c.core.pc = 0x401002;
        syscall(&mut c, bus, 0, 0).unwrap();
        assert_eq!((c.cpl(), c.core.pc, c.reg(gpr::RCX)), (0, 0xffff_ffff_8100_0000, 0x401002));
        assert_eq!((c.rflags(), c.reg(R11)), (0x43, IF | 0x43));
        assert_eq!((c.sys.segs[seg::CS].selector, c.sys.segs[seg::SS].selector), (0x10, 0x18));
        sysret(&mut c, bus, 8, 0).unwrap();
        assert_eq!((c.cpl(), c.core.pc, c.rflags()), (3, 0x401002, IF | 0x43));
        assert_eq!((c.sys.segs[seg::CS].selector, c.sys.segs[seg::SS].selector), (0x33, 0x2b));
        assert_eq!(sysret(&mut c, bus, 8, 0), Err(Exception::GP0));
    }

    #[test]
    fn sysenter_and_sysexit() {
        let mut c = cpu();
        let bus = &mut TestBus::default();
        c.sys.msrs.sysenter_cs = 0x60;
        assert_eq!(sysenter(&mut c, bus, 0, 0), Err(Exception::GP0));
        c.sys.cr0 |= CR0_PE;
        load_flat(&mut c, 0x1b, 0x23, 3, false);
        c.sys.eflags |= IF;
        c.sys.msrs.sysenter_esp = 0xc000_1000;
        c.sys.msrs.sysenter_eip = 0xc010_0000;
        assert_eq!(sysexit(&mut c, bus, 4, 0), Err(Exception::GP0));
        sysenter(&mut c, bus, 0, 0).unwrap();
        assert_eq!((c.cpl(), c.core.pc, c.reg(gpr::RSP), c.rflags()), (0, 0xc010_0000, 0xc000_1000, 2));
        assert_eq!((c.sys.segs[seg::CS].selector, c.sys.segs[seg::SS].selector), (0x60, 0x68));
        c.set_reg(gpr::RCX, 0xbfff_0000);
        c.set_reg(gpr::RDX, 0xffff_e000);
        sysexit(&mut c, bus, 4, 0).unwrap();
        assert_eq!((c.cpl(), c.core.pc, c.reg(gpr::RSP)), (3, 0xffff_e000, 0xbfff_0000));
        assert_eq!((c.sys.segs[seg::CS].selector, c.sys.segs[seg::SS].selector), (0x73, 0x7b));
    }
}
