//! Instructions that move EFLAGS or its system bits: PUSHF, POPF, CLI, STI, STAC, CLAC.

use super::{segment::protected, stack::Stack};
use crate::{
    Bus,
    ir::Size,
    x86::{
        Cpu, Exception,
        state::{Shadow, bits::*},
    },
};

/// Flags POPF and IRET write at any privilege, operand size 16.
const ALWAYS16: u64 = crate::flags::ARITH | TF | DF | NT;
/// The same for operand size 32 and 64; RF is each instruction's own matter.
const ALWAYS32: u64 = ALWAYS16 | AC | ID;

fn iopl(cpu: &Cpu) -> u8 {
    (cpu.sys.eflags >> 12 & 3) as u8
}

fn v86(cpu: &Cpu) -> bool {
    cpu.sys.eflags & VM != 0
}

/// Which flags a pop of `size` may change at the current privilege: shared by POPF and IRET.
pub(super) fn writable(cpu: &Cpu, size: Size) -> u64 {
    let mut mask = if size == Size::W { ALWAYS16 } else { ALWAYS32 };
    let cpl = cpu.cpl();
    if cpl <= iopl(cpu) {
        mask |= IF;
    }
    if cpl == 0 {
        mask |= IOPL;
    }
    mask
}

/// Replaces the flags in `mask`.
pub(super) fn replace(cpu: &mut Cpu, value: u64, mask: u64) {
    cpu.set_rflags(cpu.rflags() & !mask | value & mask);
}

/// The flags word PUSHF pushes for an operand of `size`.
fn image(cpu: &Cpu, size: Size) -> Result<u64, Exception> {
    let flags = cpu.rflags() & !(VM | RF);
    if !v86(cpu) || iopl(cpu) == 3 {
        return Ok(flags);
    }
    if cpu.sys.cr4 & CR4_VME == 0 || size != Size::W {
        return Err(Exception::GP0);
    }
    let virtual_if = if flags & VIF != 0 { IF } else { 0 };
    Ok(flags & !IF | IOPL | virtual_if)
}

/// PUSHF, PUSHFD, PUSHFQ: `a` is the operand's bytes.
///
/// # Errors
/// #GP(0) in virtual-8086 mode with IOPL below 3, #SS(0), #PF.
pub fn pushf(cpu: &mut Cpu, bus: &mut dyn Bus, a: u64, _: u64) -> Result<u64, Exception> {
    let size = super::operand(a);
    let flags = image(cpu, size)?;
    let mut stack = Stack::current(cpu, 0);
    stack.push(cpu, bus, size, flags)?;
    stack.commit(cpu);
    Ok(0)
}

/// POPF, POPFD, POPFQ: `a` is the operand's bytes.
///
/// # Errors
/// #GP(0) in virtual-8086 mode with IOPL below 3, #SS(0), #PF.
pub fn popf(cpu: &mut Cpu, bus: &mut dyn Bus, a: u64, _: u64) -> Result<u64, Exception> {
    let size = super::operand(a);
    if v86(cpu) && iopl(cpu) < 3 && (cpu.sys.cr4 & CR4_VME == 0 || size != Size::W) {
        return Err(Exception::GP0);
    }
    let mut stack = Stack::current(cpu, 0);
    let value = stack.pop(cpu, bus, size)?;
    if v86(cpu) && iopl(cpu) < 3 {
        pop_virtual(cpu, value)?;
    } else {
        let mut mask = writable(cpu, size);
        if v86(cpu) {
            mask &= !IOPL;
        }
        replace(cpu, value & !RF, mask | RF);
    }
    stack.commit(cpu);
    Ok(0)
}

/// A 16-bit flags pop in virtual-8086 mode with VME and IOPL below 3: IF stands for VIF.
pub(super) fn pop_virtual(cpu: &mut Cpu, value: u64) -> Result<(), Exception> {
    if value & TF != 0 || value & IF != 0 && cpu.sys.eflags & VIP != 0 {
        return Err(Exception::GP0);
    }
    let virtual_if = if value & IF != 0 { VIF } else { 0 };
    replace(cpu, value & ALWAYS16 | virtual_if, ALWAYS16 | VIF | RF);
    Ok(())
}

/// What CLI and STI act on here.
enum Interrupts {
    Real,
    Virtual,
}

fn interrupts(cpu: &Cpu) -> Result<Interrupts, Exception> {
    let (iopl, cpl) = (iopl(cpu), cpu.cpl());
    let virtualized = if v86(cpu) { CR4_VME } else { CR4_PVI };
    if iopl >= cpl {
        Ok(Interrupts::Real)
    } else if cpl == 3 && cpu.sys.cr4 & virtualized != 0 {
        Ok(Interrupts::Virtual)
    } else {
        Err(Exception::GP0)
    }
}

/// CLI.
///
/// # Errors
/// #GP(0) by IOPL.
pub fn cli(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    cpu.sys.eflags &= match interrupts(cpu)? {
        Interrupts::Real => !IF,
        Interrupts::Virtual => !VIF,
    };
    Ok(0)
}

/// STI; interrupts stay off for one more instruction.
///
/// # Errors
/// #GP(0) by IOPL, or with VIP set where VIF is used.
pub fn sti(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    match interrupts(cpu)? {
        Interrupts::Real => {
            if cpu.sys.eflags & IF == 0 {
                cpu.sys.eflags |= IF;
                cpu.sys.shadow = Shadow::Sti;
            }
        }
        Interrupts::Virtual => {
            if cpu.sys.eflags & VIP != 0 {
                return Err(Exception::GP0);
            }
            cpu.sys.eflags |= VIF;
        }
    }
    Ok(0)
}

/// STAC.
///
/// # Errors
/// #UD outside CPL 0.
pub fn stac(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    set_ac(cpu, true)
}

/// CLAC.
///
/// # Errors
/// #UD outside CPL 0.
pub fn clac(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    set_ac(cpu, false)
}

fn set_ac(cpu: &mut Cpu, on: bool) -> Result<u64, Exception> {
    if !protected(cpu) && v86(cpu) || cpu.cpl() != 0 {
        return Err(Exception::InvalidOpcode);
    }
    if on {
        cpu.sys.eflags |= AC;
    } else {
        cpu.sys.eflags &= !AC;
    }
    cpu.update_view();
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::{
        state::{Segment, gpr, seg},
        system::testing::{TestBus, cpu, put},
    };

    #[test]
    fn popf_keeps_what_the_privilege_may_not_change() {
        let mut c = cpu();
        c.sys.cr0 |= CR0_PE;
        c.set_segment(seg::SS, Segment { selector: 3, base: 0, limit: u32::MAX, attr: 0xc0f3 });
        put(&mut c, 0x1000, 4, IF | IOPL | NT | ID | VM | RF | 1);
        c.set_reg(gpr::RSP, 0x1000);
        popf(&mut c, &mut TestBus::default(), 4, 0).unwrap();
        assert_eq!(c.rflags(), NT | ID | 3);
        assert_eq!(c.reg(gpr::RSP), 0x1004);
        assert!(cli(&mut c, &mut TestBus::default(), 0, 0).is_err());
    }

    #[test]
    fn virtual_8086_extensions_use_vif() {
        let mut c = cpu();
        c.sys.cr0 |= CR0_PE;
        c.sys.eflags |= VM;
        c.set_reg(gpr::RSP, 0x100);
        assert_eq!(pushf(&mut c, &mut TestBus::default(), 2, 0), Err(Exception::GP0));
        c.sys.cr4 |= CR4_VME;
        sti(&mut c, &mut TestBus::default(), 0, 0).unwrap();
        assert_eq!(c.sys.eflags & (IF | VIF), VIF);
        pushf(&mut c, &mut TestBus::default(), 2, 0).unwrap();
        assert_eq!(c.core.phys.read(0xfe, 2), Some(IF | IOPL | 2));
        c.sys.eflags |= VIP;
        assert_eq!(sti(&mut c, &mut TestBus::default(), 0, 0), Err(Exception::GP0));
    }
}
