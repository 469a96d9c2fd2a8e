//! Far JMP, CALL and RET in every mode (SDM volume 2, CALL, JMP, RET; volume 3, 5.8).

use super::{
    descriptor::{Descriptor, fetch, fetch_high, is_null, kind, long_mode, set_accessed},
    interrupt::{Outcome, inner_stack, long_stack_pointer, raise},
    segment::{drop_inner_segments, load_real, null_segment, protected, v86_segment},
    stack::Stack,
    task::{self, Reason},
};
use crate::{
    Bus,
    ir::Size,
    x86::{
        Cpu, Exception,
        state::{Segment, bits, gpr, seg},
    },
};

/// Far JMP: `a` is selector | operand bytes << 16, `offset` the target.
///
/// # Errors
/// #GP, #NP, #TS, #SS, #PF by the descriptors involved.
pub fn jmp(cpu: &mut Cpu, bus: &mut dyn Bus, a: u64, offset: u64) -> Result<u64, Exception> {
    let selector = a as u16;
    if !protected(cpu) {
        let offset = real_target(cpu, offset)?;
        load_real(cpu, seg::CS, selector);
        cpu.core.pc = offset;
        return Ok(0);
    }
    let d = target(cpu, bus, selector)?;
    if d.is_segment() {
        let cs = direct(cpu, bus, selector, d)?;
        check_offset(cpu, &cs, offset)?;
        cpu.set_segment(seg::CS, cs);
        cpu.core.pc = offset;
        return Ok(0);
    }
    match system_target(cpu, selector, d)? {
        System::Task(selector) => task_switch(cpu, bus, selector, Reason::Jmp),
        System::Gate(size) => {
            let g = gate(cpu, bus, selector, d, size)?;
            if g.cpl != cpu.cpl() {
                return Err(Exception::GeneralProtection(g.cs.selector & !3));
            }
            check_offset(cpu, &g.cs, g.offset)?;
            cpu.set_segment(seg::CS, g.cs);
            cpu.core.pc = g.offset;
            Ok(0)
        }
    }
}

/// Far CALL: arguments as [`jmp`]; `cpu.core.pc` is the return address.
///
/// # Errors
/// As [`jmp`].
pub fn call(cpu: &mut Cpu, bus: &mut dyn Bus, a: u64, offset: u64) -> Result<u64, Exception> {
    let selector = a as u16;
    let size = super::operand(a >> 16);
    if !protected(cpu) {
        let offset = real_target(cpu, offset)?;
        let stack = push_return(cpu, bus, Stack::current(cpu, 0), size)?;
        stack.commit(cpu);
        load_real(cpu, seg::CS, selector);
        cpu.core.pc = offset;
        return Ok(0);
    }
    let d = target(cpu, bus, selector)?;
    if d.is_segment() {
        let cs = direct(cpu, bus, selector, d)?;
        let stack = push_return(cpu, bus, Stack::current(cpu, 0), size)?;
        check_offset(cpu, &cs, offset)?;
        stack.commit(cpu);
        cpu.set_segment(seg::CS, cs);
        cpu.core.pc = offset;
        return Ok(0);
    }
    match system_target(cpu, selector, d)? {
        System::Task(selector) => task_switch(cpu, bus, selector, Reason::Call),
        System::Gate(size) => call_gate(cpu, bus, selector, d, size),
    }
}

/// Switches tasks for JMP or CALL; a fault in the new task is delivered there.
fn task_switch(cpu: &mut Cpu, bus: &mut dyn Bus, selector: u16, reason: Reason) -> Result<u64, Exception> {
    if let Outcome::Late(e) = task::switch(cpu, bus, selector, reason)? {
        raise(cpu, bus, e);
    }
    Ok(0)
}

/// The offset of a real-mode or virtual-8086 transfer, checked against CS's limit.
pub(super) fn real_target(cpu: &Cpu, offset: u64) -> Result<u64, Exception> {
    let limit =
        if cpu.sys.eflags & bits::VM != 0 { v86_segment(0).limit } else { cpu.sys.segs[seg::CS].limit };
    if offset > u64::from(limit) { Err(Exception::GP0) } else { Ok(offset) }
}

fn push_return(cpu: &mut Cpu, bus: &mut dyn Bus, mut stack: Stack, size: Size) -> Result<Stack, Exception> {
    stack.push(cpu, bus, size, u64::from(cpu.sys.segs[seg::CS].selector))?;
    stack.push(cpu, bus, size, cpu.core.pc)?;
    Ok(stack)
}

fn target(cpu: &mut Cpu, bus: &mut dyn Bus, selector: u16) -> Result<Descriptor, Exception> {
    if is_null(selector) {
        return Err(Exception::GP0);
    }
    fetch(cpu, bus, selector)?.ok_or(Exception::GeneralProtection(selector & !3))
}

/// Whether `d` has both L and D set, which IA-32e mode forbids.
fn confused_size(cpu: &Cpu, d: Descriptor) -> bool {
    long_mode(cpu) && d.long() && d.attr() & Segment::DB != 0
}

/// Checks a direct transfer to code segment `d` and returns the new CS.
fn direct(cpu: &mut Cpu, bus: &mut dyn Bus, selector: u16, mut d: Descriptor) -> Result<Segment, Exception> {
    let code = selector & !3;
    let cpl = cpu.cpl();
    let rpl = (selector & 3) as u8;
    let privilege = if d.is_conforming() { d.dpl() <= cpl } else { rpl <= cpl && d.dpl() == cpl };
    if !d.is_code() || !privilege || confused_size(cpu, d) {
        return Err(Exception::GeneralProtection(code));
    }
    if !d.present() {
        return Err(Exception::SegmentNotPresent(code));
    }
    set_accessed(cpu, bus, &mut d)?;
    Ok(d.segment(code | u16::from(cpl)))
}

/// Whether `cs` holds 64-bit code.
pub(super) fn is_code64(cpu: &Cpu, cs: &Segment) -> bool {
    long_mode(cpu) && cs.attr & Segment::L != 0
}

/// Checks the target offset against `cs`.
pub(super) fn check_offset(cpu: &Cpu, cs: &Segment, offset: u64) -> Result<(), Exception> {
    let fine = if is_code64(cpu, cs) { super::canonical(offset) } else { offset <= u64::from(cs.limit) };
    if fine { Ok(()) } else { Err(Exception::GP0) }
}

enum System {
    /// Task switch to this TSS selector.
    Task(u16),
    /// Call gate; operands of this size.
    Gate(Size),
}

fn system_target(cpu: &Cpu, selector: u16, d: Descriptor) -> Result<System, Exception> {
    let code = selector & !3;
    let long = long_mode(cpu);
    let found = match d.kind() {
        kind::CALL16 if !long => System::Gate(Size::W),
        kind::CALL32 => System::Gate(if long { Size::Q } else { Size::D }),
        kind::TASK if !long => System::Task(d.gate_selector()),
        kind::TSS16 | kind::TSS32 if !long => System::Task(selector),
        _ => return Err(Exception::GeneralProtection(code)),
    };
    if d.dpl() < cpu.cpl().max((selector & 3) as u8) {
        return Err(Exception::GeneralProtection(code));
    }
    if !d.present() {
        return Err(Exception::SegmentNotPresent(code));
    }
    Ok(found)
}

/// Where a call gate leads.
struct Gate {
    cs: Segment,
    cpl: u8,
    offset: u64,
    parameters: u64,
}

fn gate(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    gate_selector: u16,
    g: Descriptor,
    size: Size,
) -> Result<Gate, Exception> {
    let mut offset = g.gate_offset() & size.mask();
    if size == Size::Q {
        let bad = Exception::GeneralProtection(gate_selector & !3);
        let high = fetch_high(cpu, bus, gate_selector)?.ok_or(bad)?;
        if high >> 40 & 0x1f != 0 {
            return Err(bad);
        }
        offset |= high << 32;
    }
    let selector = g.gate_selector();
    let mut d = target(cpu, bus, selector)?;
    let code = selector & !3;
    let cpl = cpu.cpl();
    let long_code = d.long() && d.attr() & Segment::DB == 0;
    if !d.is_code() || d.dpl() > cpl || size == Size::Q && !long_code {
        return Err(Exception::GeneralProtection(code));
    }
    if !d.present() {
        return Err(Exception::SegmentNotPresent(code));
    }
    let cpl = if d.is_conforming() { cpl } else { d.dpl() };
    set_accessed(cpu, bus, &mut d)?;
    let parameters = if size == Size::Q { 0 } else { g.raw >> 32 & 0x1f };
    Ok(Gate { cs: d.segment(code | u16::from(cpl)), cpl, offset, parameters })
}

fn call_gate(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    selector: u16,
    d: Descriptor,
    size: Size,
) -> Result<u64, Exception> {
    let g = gate(cpu, bus, selector, d, size)?;
    let mut new_ss = None;
    let mut stack = Stack::current(cpu, 0);
    if g.cpl < cpu.cpl() {
        let caller = stack;
        let ss = if size == Size::Q {
            let sp = long_stack_pointer(cpu, bus, 4 + 8 * u64::from(g.cpl), 0)?;
            stack = Stack::long(cpu, sp, g.cpl, 0);
            null_segment(u16::from(g.cpl), g.cpl)
        } else {
            let (ss, sp) = inner_stack(cpu, bus, g.cpl, 0)?;
            stack = Stack::legacy(cpu, ss, sp, g.cpl, ss.selector & !3);
            ss
        };
        new_ss = Some(ss);
        stack.push(cpu, bus, size, u64::from(cpu.sys.segs[seg::SS].selector))?;
        stack.push(cpu, bus, size, cpu.reg(gpr::RSP))?;
        for n in (0..g.parameters).rev() {
            let value = caller.peek(cpu, bus, n * u64::from(size.bytes()), size)?;
            stack.push(cpu, bus, size, value)?;
        }
    }
    let stack = push_return(cpu, bus, stack, size)?;
    check_offset(cpu, &g.cs, g.offset)?;
    stack.commit(cpu);
    if let Some(ss) = new_ss {
        cpu.set_segment(seg::SS, ss);
    }
    cpu.set_segment(seg::CS, g.cs);
    cpu.core.pc = g.offset;
    Ok(0)
}

/// Far RET: `a` is the operand's bytes, `release` the bytes of parameters to drop.
///
/// # Errors
/// #GP, #NP, #SS, #PF.
pub fn ret(cpu: &mut Cpu, bus: &mut dyn Bus, a: u64, release: u64) -> Result<u64, Exception> {
    let size = super::operand(a);
    let mut stack = Stack::current(cpu, 0);
    let offset = stack.pop(cpu, bus, size)?;
    let selector = stack.pop(cpu, bus, size)? as u16;
    stack.skip(release);
    if !protected(cpu) {
        let offset = real_target(cpu, offset)?;
        stack.commit(cpu);
        load_real(cpu, seg::CS, selector);
        cpu.core.pc = offset;
        return Ok(0);
    }
    let cs = return_code(cpu, bus, selector)?;
    let cpl = (selector & 3) as u8;
    if cpl == cpu.cpl() {
        check_offset(cpu, &cs, offset)?;
        stack.commit(cpu);
        cpu.set_segment(seg::CS, cs);
        cpu.core.pc = offset;
        return Ok(0);
    }
    let sp = stack.pop(cpu, bus, size)?;
    let ss_selector = stack.pop(cpu, bus, size)? as u16;
    let ss = return_stack(cpu, bus, ss_selector, &cs)?;
    check_offset(cpu, &cs, offset)?;
    let mut outer = Stack::legacy(cpu, ss, outer_pointer(cpu, &ss, &cs, sp), cpl, 0);
    if is_code64(cpu, &cs) {
        outer = Stack::long(cpu, sp, cpl, 0);
    }
    outer.skip(release);
    outer.commit(cpu);
    cpu.set_segment(seg::SS, ss);
    cpu.set_segment(seg::CS, cs);
    drop_inner_segments(cpu, cpl);
    cpu.core.pc = offset;
    Ok(0)
}

/// Checks the code segment a RET or IRET goes back to and returns the new CS; its RPL is the new CPL.
pub(super) fn return_code(cpu: &mut Cpu, bus: &mut dyn Bus, selector: u16) -> Result<Segment, Exception> {
    let mut d = target(cpu, bus, selector)?;
    let code = selector & !3;
    let rpl = (selector & 3) as u8;
    let privilege = if d.is_conforming() { d.dpl() <= rpl } else { d.dpl() == rpl };
    if !d.is_code() || rpl < cpu.cpl() || !privilege || confused_size(cpu, d) {
        return Err(Exception::GeneralProtection(code));
    }
    if !d.present() {
        return Err(Exception::SegmentNotPresent(code));
    }
    set_accessed(cpu, bus, &mut d)?;
    Ok(d.segment(selector))
}

/// Checks the stack segment a RET or IRET goes back to, for code segment `cs`.
pub(super) fn return_stack(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    selector: u16,
    cs: &Segment,
) -> Result<Segment, Exception> {
    let cpl = (cs.selector & 3) as u8;
    if is_null(selector) {
        let allowed = is_code64(cpu, cs) && cpl != 3;
        return if allowed { Ok(null_segment(selector, cpl)) } else { Err(Exception::GP0) };
    }
    let code = selector & !3;
    let bad = Err(Exception::GeneralProtection(code));
    let Some(mut d) = fetch(cpu, bus, selector)? else { return bad };
    if (selector & 3) as u8 != cpl || d.dpl() != cpl || !d.is_writable_data() {
        return bad;
    }
    if !d.present() {
        return Err(Exception::StackFault(code));
    }
    set_accessed(cpu, bus, &mut d)?;
    Ok(d.segment(selector))
}

/// RSP after a return to another stack: a 16-bit stack segment leaves the upper bits as they were.
pub(super) fn outer_pointer(cpu: &Cpu, ss: &Segment, cs: &Segment, sp: u64) -> u64 {
    if is_code64(cpu, cs) {
        sp
    } else if ss.big() {
        sp & 0xffff_ffff
    } else {
        cpu.reg(gpr::RSP) & 0xffff_0000 | sp & 0xffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::system::testing::{
        GDT, STACK0, TestBus, cpu, descriptor, gate, get, long, protected, put, sel, to_user,
    };

    #[test]
    fn a_call_gate_switches_stacks_and_copies_parameters() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        put(&mut c, GDT + u64::from(sel::FREE), 8, gate(sel::CODE0, 0x12345, 0xec, 2));
        to_user(&mut c, sel::CODE3);
        put(&mut c, 0x7000, 4, 0x1111);
        put(&mut c, 0x7004, 4, 0x2222);
        let before = c.save();
        call(&mut c, bus, u64::from(sel::FREE) | 4 << 16, 0xdead).unwrap();
        assert_eq!((c.cpl(), c.core.pc, c.reg(gpr::RSP)), (0, 0x12345, STACK0 - 24));
        let frame: Vec<u64> = (0..6).map(|n| get(&c, STACK0 - 24 + 4 * n, 4)).collect();
        let (cs, ss) = (u64::from(sel::CODE3), u64::from(sel::DATA3));
        assert_eq!(frame, [0x4000, cs, 0x1111, 0x2222, 0x7000, ss]);
        c.set_segment(seg::FS, c.sys.segs[seg::SS]);
        ret(&mut c, bus, 4, 8).unwrap();
        assert_eq!((c.cpl(), c.core.pc, c.reg(gpr::RSP)), (3, 0x4000, 0x7008));
        // Ring 0 data segments do not survive a return to ring 3; user ones do.
        assert_eq!(c.sys.segs[seg::FS].selector, 0);
        assert_eq!(c.sys.segs[seg::DS], before.system.segs[seg::DS]);
    }

    #[test]
    fn long_mode_reaches_compatibility_code_and_returns() {
        let mut c = long();
        let bus = &mut TestBus::default();
        call(&mut c, bus, u64::from(sel::CODE0) | 8 << 16, 0x5000).unwrap();
        assert!(!c.sys.code64() && c.core.pc == 0x5000);
        assert_eq!((get(&c, 0x7ff0, 8), get(&c, 0x7ff8, 8)), (0x4000, u64::from(sel::CODE64)));
        jmp(&mut c, bus, u64::from(sel::CODE64) | 4 << 16, 0x6000).unwrap();
        assert!(c.sys.code64());
        ret(&mut c, bus, 8, 0).unwrap();
        assert_eq!((c.core.pc, c.reg(gpr::RSP)), (0x4000, 0x8000));
        let refused = jmp(&mut c, bus, u64::from(sel::CODE64) | 8 << 16, 1 << 47);
        assert_eq!(refused, Err(Exception::GP0));
    }

    #[test]
    fn a_long_call_gate() {
        let mut c = long();
        let bus = &mut TestBus::default();
        put(&mut c, GDT + u64::from(sel::FREE), 8, gate(sel::CODE64, 0x12345, 0xec, 0));
        put(&mut c, GDT + u64::from(sel::FREE) + 8, 8, 0xffff_8000);
        to_user(&mut c, sel::USER64);
        call(&mut c, bus, u64::from(sel::FREE) | 4 << 16, 0).unwrap();
        assert_eq!((c.cpl(), c.core.pc), (0, 0xffff_8000_0001_2345));
        assert_eq!((c.reg(gpr::RSP), c.sys.segs[seg::SS].selector), (STACK0 - 32, 0));
        ret(&mut c, bus, 8, 0).unwrap();
        assert_eq!((c.cpl(), c.core.pc, c.reg(gpr::RSP)), (3, 0x4000, 0x7000));
    }

    #[test]
    fn privilege_and_presence_are_checked() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        put(&mut c, GDT + u64::from(sel::FREE), 8, descriptor(0, 0xfff, 0x401b));
        to_user(&mut c, sel::CODE3);
        let before = c.save();
        let mut go = |selector: u16| jmp(&mut c, bus, u64::from(selector) | 4 << 16, 0x100);
        assert_eq!(go(sel::CODE0), Err(Exception::GeneralProtection(sel::CODE0)));
        assert_eq!(go(sel::DATA3), Err(Exception::GeneralProtection(sel::DATA3 & !3)));
        assert_eq!(go(3), Err(Exception::GP0));
        assert_eq!(go(0x1000), Err(Exception::GeneralProtection(0x1000)));
        assert_eq!(c.save(), before);
        // Same level, not present; conforming, offset beyond the limit.
        put(&mut c, GDT + u64::from(sel::FREE), 8, descriptor(0, 0xfff, 0x407b));
        let a = u64::from(sel::FREE) | 4 << 16;
        assert_eq!(jmp(&mut c, bus, a, 0), Err(Exception::SegmentNotPresent(sel::FREE)));
        put(&mut c, GDT + u64::from(sel::FREE), 8, descriptor(0, 0xfff, 0x409f));
        assert_eq!(jmp(&mut c, bus, a, 0x1000), Err(Exception::GP0));
        jmp(&mut c, bus, a, 0xfff).unwrap();
        assert_eq!((c.cpl(), c.sys.segs[seg::CS].selector), (3, sel::FREE | 3));
    }

    #[test]
    fn real_mode_keeps_the_hidden_limit() {
        let mut c = cpu();
        let bus = &mut TestBus::default();
        c.set_reg(gpr::RSP, 0x8000);
        c.core.pc = 0xfff5;
        call(&mut c, bus, 0x1234 | 2 << 16, 0x10).unwrap();
        assert_eq!((c.core.pc, c.sys.segs[seg::CS].base), (0x10, 0x1_2340));
        assert_eq!(get(&c, 0x7ffc, 4), 0xf000_fff5);
        ret(&mut c, bus, 2, 2).unwrap();
        assert_eq!((c.core.pc, c.reg(gpr::RSP)), (0xfff5, 0x8002));
        assert_eq!(jmp(&mut c, bus, 4 << 16, 0x1_0000), Err(Exception::GP0));
    }
}
