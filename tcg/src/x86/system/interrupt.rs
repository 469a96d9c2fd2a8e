//! Event delivery: exceptions, software and external interrupts, NMI; double and triple faults (SDM volume 3, chapter 6).

use super::{
    descriptor::{Descriptor, fetch, is_null, kind, set_accessed},
    segment::{null_segment, v86_segment},
    stack::{Stack, load_system},
    task,
};
use crate::{
    Bus,
    ir::Size,
    x86::{
        Cpu, Exception,
        state::{Segment, Shadow, bits, gpr, seg},
    },
};

/// Where an event comes from: decides privilege checks and the EXT bit of error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// INT n: gate privilege is checked, virtual-8086 rules apply.
    IntN,
    /// INT3 and INTO: gate privilege is checked.
    Trap,
    /// Everything the program did not ask for.
    External,
}

/// An event to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Vector.
    pub vector: u8,
    /// Error code to push.
    pub error: Option<u16>,
    /// Its source.
    pub source: Source,
    /// Return address to push.
    pub next: u64,
    /// Whether the pushed flags image has RF set (faults).
    pub rf: bool,
}

/// How a delivery that did not fault at once ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Delivered.
    Done,
    /// A task switch took place and then faulted in the new task's context.
    Late(Exception),
}

impl Event {
    fn ext(self) -> u16 {
        u16::from(self.source == Source::External)
    }

    fn of(cpu: &Cpu, e: Exception) -> Event {
        let (source, next) = match e {
            Exception::Breakpoint { next } | Exception::Overflow { next } => (Source::Trap, next),
            _ => (Source::External, cpu.core.pc),
        };
        let rf = match e {
            Exception::Breakpoint { .. } | Exception::Overflow { .. } | Exception::DoubleFault => false,
            // Instruction breakpoints and traps push RF as it is; only general detect is an ordinary fault.
            Exception::Debug { dr6 } => dr6 & super::debug::DR6_BD != 0,
            _ => true,
        };
        Event { vector: e.vector(), error: e.error_code(), source, next, rf }
    }
}

#[derive(PartialEq, Eq)]
enum Class {
    Benign,
    Contributory,
    PageFault,
    DoubleFault,
}

/// SDM volume 3, table 6-4.
fn class(e: Exception) -> Class {
    match e {
        Exception::DoubleFault => Class::DoubleFault,
        Exception::PageFault { .. } => Class::PageFault,
        Exception::DivideError
        | Exception::InvalidTss(_)
        | Exception::SegmentNotPresent(_)
        | Exception::StackFault(_)
        | Exception::GeneralProtection(_)
        | Exception::NonCanonical { .. } => Class::Contributory,
        Exception::Debug { .. }
        | Exception::Breakpoint { .. }
        | Exception::Overflow { .. }
        | Exception::BoundRange
        | Exception::InvalidOpcode
        | Exception::DeviceNotAvailable
        | Exception::FloatingPoint
        | Exception::AlignmentCheck
        | Exception::SimdFloatingPoint => Class::Benign,
    }
}

/// What `second`, raised while `first` was being delivered, turns into; `None` is shutdown (SDM volume 3, table 6-5).
fn combine(first: Exception, second: Exception) -> Option<Exception> {
    let second_class = class(second);
    let double = match class(first) {
        Class::Benign => false,
        Class::Contributory => second_class == Class::Contributory,
        Class::PageFault => second_class != Class::Benign,
        Class::DoubleFault => return None,
    };
    Some(if double { Exception::DoubleFault } else { second })
}

/// Delivers a synchronous exception. `cpu.core.pc` is the address to push (the faulting instruction, or after it for a
/// debug trap). Never fails: faults on the way become double faults, and in the end shutdown.
pub fn raise(cpu: &mut Cpu, bus: &mut dyn Bus, exception: Exception) {
    // Traps of an instruction that did not complete are lost.
    cpu.sys.pending_debug = 0;
    let mut e = exception;
    loop {
        match e {
            Exception::PageFault { addr, .. } => cpu.sys.cr2 = addr,
            Exception::Debug { dr6 } => super::debug::report(cpu, dr6),
            _ => {}
        }
        let event = Event::of(cpu, e);
        let second = match deliver(cpu, bus, &event) {
            Ok(Outcome::Done) => return,
            Ok(Outcome::Late(second)) | Err(second) => second,
        };
        match combine(e, second) {
            Some(next) => e = next,
            None => {
                cpu.sys.shutdown = true;
                return;
            }
        }
    }
}

/// Delivers external interrupt `vector`; ends HLT.
pub fn interrupt(cpu: &mut Cpu, bus: &mut dyn Bus, vector: u8) {
    cpu.sys.halted = false;
    asynchronous(cpu, bus, vector);
}

/// Delivers an NMI; ends HLT. Further NMIs are blocked until IRET.
pub fn nmi(cpu: &mut Cpu, bus: &mut dyn Bus) {
    cpu.sys.halted = false;
    cpu.sys.nmi_blocked = true;
    asynchronous(cpu, bus, 2);
}

fn asynchronous(cpu: &mut Cpu, bus: &mut dyn Bus, vector: u8) {
    let event = Event { vector, error: None, source: Source::External, next: cpu.core.pc, rf: false };
    match deliver(cpu, bus, &event) {
        Ok(Outcome::Done) => {}
        Ok(Outcome::Late(e)) | Err(e) => raise(cpu, bus, e),
    }
}

/// INT n: `a` is the vector; `cpu.core.pc` is the next instruction.
///
/// # Errors
/// #GP and whatever delivery raises.
pub fn int_n(cpu: &mut Cpu, bus: &mut dyn Bus, a: u64, _: u64) -> Result<u64, Exception> {
    let event = Event { vector: a as u8, error: None, source: Source::IntN, next: cpu.core.pc, rf: false };
    software(cpu, bus, &event)
}

/// INT1 (ICEBP): #DB without DR6 bits and without a privilege check; `cpu.core.pc` is the next instruction.
///
/// # Errors
/// Whatever delivery raises.
pub fn int1(cpu: &mut Cpu, bus: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    let event = Event { vector: 1, error: None, source: Source::External, next: cpu.core.pc, rf: false };
    software(cpu, bus, &event)
}

fn software(cpu: &mut Cpu, bus: &mut dyn Bus, event: &Event) -> Result<u64, Exception> {
    let stepping = cpu.sys.eflags & bits::TF != 0;
    if let Outcome::Late(e) = deliver(cpu, bus, event)? {
        raise(cpu, bus, e);
    }
    if stepping {
        cpu.sys.pending_debug |= super::debug::NO_STEP;
    }
    Ok(0)
}

/// Delivers `event` through the IVT or IDT.
///
/// # Errors
/// What the delivery itself raises; the CPU is then unchanged.
pub fn deliver(cpu: &mut Cpu, bus: &mut dyn Bus, event: &Event) -> Result<Outcome, Exception> {
    if cpu.sys.efer & bits::EFER_LMA != 0 {
        deliver_long(cpu, bus, event)?;
    } else if cpu.sys.cr0 & bits::CR0_PE == 0 {
        deliver_real(cpu, bus, event)?;
    } else {
        if cpu.sys.eflags & bits::VM != 0 && event.source == Source::IntN && v86_int(cpu, bus, event)? {
            return Ok(Outcome::Done);
        }
        return deliver_protected(cpu, bus, event);
    }
    Ok(Outcome::Done)
}

fn flags_image(cpu: &Cpu, event: &Event) -> u64 {
    let flags = cpu.rflags();
    if event.rf { flags | bits::RF } else { flags }
}

fn after_delivery(cpu: &mut Cpu, clear: u64) {
    cpu.sys.eflags &= !clear;
    cpu.sys.shadow = Shadow::None;
}

fn deliver_real(cpu: &mut Cpu, bus: &mut dyn Bus, event: &Event) -> Result<(), Exception> {
    let offset = u64::from(event.vector) * 4;
    if offset + 3 > u64::from(cpu.sys.idtr.limit) {
        return Err(Exception::GeneralProtection(offset as u16 * 2 + 2 + event.ext()));
    }
    let target = load_system(cpu, bus, cpu.sys.idtr.base.wrapping_add(offset), Size::D)?;
    let flags = flags_image(cpu, event);
    real_frame(cpu, bus, event.next, flags, target)?;
    after_delivery(cpu, bits::IF | bits::TF | bits::AC | bits::RF);
    cpu.update_view();
    Ok(())
}

/// Pushes the 16-bit frame and goes to the real-mode vector `target`.
fn real_frame(cpu: &mut Cpu, bus: &mut dyn Bus, next: u64, flags: u64, target: u64) -> Result<(), Exception> {
    let mut stack = Stack::current(cpu, 0);
    stack.push(cpu, bus, Size::W, flags)?;
    stack.push(cpu, bus, Size::W, u64::from(cpu.sys.segs[seg::CS].selector))?;
    stack.push(cpu, bus, Size::W, next)?;
    stack.commit(cpu);
    super::segment::load_real(cpu, seg::CS, (target >> 16) as u16);
    cpu.core.pc = target & 0xffff;
    Ok(())
}

/// INT n in virtual-8086 mode: `true` when the program's own vector took it (SDM volume 3, 20.3.3 and table 20-2).
fn v86_int(cpu: &mut Cpu, bus: &mut dyn Bus, event: &Event) -> Result<bool, Exception> {
    let iopl3 = cpu.sys.eflags & bits::IOPL == bits::IOPL;
    let vme = cpu.sys.cr4 & bits::CR4_VME != 0;
    if !vme || redirected_to_monitor(cpu, bus, event.vector)? {
        return if iopl3 { Ok(false) } else { Err(Exception::GP0) };
    }
    let target = load_system(cpu, bus, u64::from(event.vector) * 4, Size::D)?;
    let mut flags = cpu.rflags();
    if !iopl3 {
        flags = flags & !bits::IF | bits::IOPL;
        if cpu.sys.eflags & bits::VIF != 0 {
            flags |= bits::IF;
        }
    }
    real_frame(cpu, bus, event.next, flags, target)?;
    after_delivery(cpu, bits::TF | if iopl3 { bits::IF } else { bits::VIF });
    Ok(true)
}

/// The interrupt redirection bitmap: 32 bytes below the I/O permission bitmap.
fn redirected_to_monitor(cpu: &mut Cpu, bus: &mut dyn Bus, vector: u8) -> Result<bool, Exception> {
    let tr = cpu.sys.tr;
    if tr.limit < 103 {
        return Err(Exception::GP0);
    }
    let map = load_system(cpu, bus, tr.base.wrapping_add(102), Size::W)?;
    let at = map.wrapping_sub(32).wrapping_add(u64::from(vector / 8));
    if map < 32 || at > u64::from(tr.limit) {
        return Err(Exception::GP0);
    }
    let byte = load_system(cpu, bus, tr.base.wrapping_add(at), Size::B)?;
    Ok(byte >> (vector % 8) & 1 != 0)
}

/// A gate's handler: its code segment as CS will hold it, and the privilege it runs at.
struct Handler {
    segment: Segment,
    cpl: u8,
}

fn handler(cpu: &mut Cpu, bus: &mut dyn Bus, selector: u16, ext: u16) -> Result<Handler, Exception> {
    if is_null(selector) {
        return Err(Exception::GeneralProtection(ext));
    }
    let code = selector & !3 | ext;
    let bad = Err(Exception::GeneralProtection(code));
    let Some(mut d) = fetch(cpu, bus, selector)? else { return bad };
    let current = cpu.cpl();
    if !d.is_code() || d.dpl() > current {
        return bad;
    }
    let long = cpu.sys.efer & bits::EFER_LMA != 0;
    if long && (!d.long() || d.attr() & Segment::DB != 0) {
        return bad;
    }
    if !d.present() {
        return Err(Exception::SegmentNotPresent(code));
    }
    let cpl = if d.is_conforming() { current } else { d.dpl() };
    if cpu.sys.eflags & bits::VM != 0 && cpl != 0 {
        return bad;
    }
    set_accessed(cpu, bus, &mut d)?;
    Ok(Handler { segment: d.segment(selector & !3 | u16::from(cpl)), cpl })
}

fn deliver_long(cpu: &mut Cpu, bus: &mut dyn Bus, event: &Event) -> Result<(), Exception> {
    let ext = event.ext();
    let code = u16::from(event.vector) * 8 + 2 + ext;
    let offset = u64::from(event.vector) * 16;
    if offset + 15 > u64::from(cpu.sys.idtr.limit) {
        return Err(Exception::GeneralProtection(code));
    }
    let addr = cpu.sys.idtr.base.wrapping_add(offset);
    let gate = Descriptor { raw: load_system(cpu, bus, addr, Size::Q)?, addr };
    let high = load_system(cpu, bus, addr.wrapping_add(8), Size::Q)?;
    check_gate(cpu, event, gate, &[kind::INT32, kind::TRAP32])?;
    let h = handler(cpu, bus, gate.gate_selector(), ext)?;

    let ist = gate.raw >> 32 & 7;
    let inner = h.cpl < cpu.cpl();
    let rsp = if ist != 0 {
        long_stack_pointer(cpu, bus, 36 + 8 * (ist - 1), ext)?
    } else if inner {
        long_stack_pointer(cpu, bus, 4 + 8 * u64::from(h.cpl), ext)?
    } else {
        cpu.reg(gpr::RSP)
    };
    let mut stack = Stack::long(cpu, rsp & !15, h.cpl, ext);
    let frame = [
        u64::from(cpu.sys.segs[seg::SS].selector),
        cpu.reg(gpr::RSP),
        flags_image(cpu, event),
        u64::from(cpu.sys.segs[seg::CS].selector),
        event.next,
    ];
    for value in frame {
        stack.push(cpu, bus, Size::Q, value)?;
    }
    if let Some(error) = event.error {
        stack.push(cpu, bus, Size::Q, u64::from(error))?;
    }
    let mut clear = bits::TF | bits::NT | bits::RF | bits::VM;
    if gate.kind() == kind::INT32 {
        clear |= bits::IF;
    }
    stack.commit(cpu);
    after_delivery(cpu, clear);
    if inner {
        cpu.set_segment(seg::SS, null_segment(u16::from(h.cpl), h.cpl));
    }
    cpu.set_segment(seg::CS, h.segment);
    cpu.core.pc = gate.gate_offset() | high << 32;
    Ok(())
}

/// Type, privilege and presence of the IDT entry for `event`.
fn check_gate(cpu: &Cpu, event: &Event, gate: Descriptor, kinds: &[u8]) -> Result<(), Exception> {
    let code = u16::from(event.vector) * 8 + 2 + event.ext();
    let asked_for = event.source != Source::External;
    if gate.is_segment() || !kinds.contains(&gate.kind()) || asked_for && gate.dpl() < cpu.cpl() {
        return Err(Exception::GeneralProtection(code));
    }
    if !gate.present() {
        return Err(Exception::SegmentNotPresent(code));
    }
    Ok(())
}

/// A stack pointer out of the 64-bit TSS.
pub(super) fn long_stack_pointer(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    offset: u64,
    ext: u16,
) -> Result<u64, Exception> {
    let tr = cpu.sys.tr;
    if offset + 7 > u64::from(tr.limit) {
        return Err(Exception::InvalidTss(tr.selector & !3 | ext));
    }
    let rsp = load_system(cpu, bus, tr.base.wrapping_add(offset), Size::Q)?;
    if super::canonical(rsp) { Ok(rsp) } else { Err(Exception::StackFault(ext)) }
}

/// The stack of inner level `cpl` out of a 16- or 32-bit TSS (SDM volume 3, 5.8.5).
pub(super) fn inner_stack(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    cpl: u8,
    ext: u16,
) -> Result<(Segment, u64), Exception> {
    let tr = cpu.sys.tr;
    let wide = tr.kind() & 8 != 0;
    let (offset, size, len) =
        if wide { (4 + 8 * u64::from(cpl), Size::D, 6) } else { (2 + 4 * u64::from(cpl), Size::W, 4) };
    if offset + len - 1 > u64::from(tr.limit) {
        return Err(Exception::InvalidTss(tr.selector & !3 | ext));
    }
    let at = tr.base.wrapping_add(offset) & 0xffff_ffff;
    let sp = load_system(cpu, bus, at, size)?;
    let selector = load_system(cpu, bus, at + u64::from(size.bytes()), Size::W)? as u16;
    if is_null(selector) {
        return Err(Exception::InvalidTss(ext));
    }
    let code = selector & !3 | ext;
    let bad = Err(Exception::InvalidTss(code));
    let Some(mut d) = fetch(cpu, bus, selector)? else { return bad };
    if (selector & 3) as u8 != cpl || d.dpl() != cpl || !d.is_writable_data() {
        return bad;
    }
    if !d.present() {
        return Err(Exception::StackFault(code));
    }
    set_accessed(cpu, bus, &mut d)?;
    Ok((d.segment(selector), sp))
}

fn deliver_protected(cpu: &mut Cpu, bus: &mut dyn Bus, event: &Event) -> Result<Outcome, Exception> {
    let ext = event.ext();
    let offset = u64::from(event.vector) * 8;
    if offset + 7 > u64::from(cpu.sys.idtr.limit) {
        return Err(Exception::GeneralProtection(offset as u16 + 2 + ext));
    }
    let addr = cpu.sys.idtr.base.wrapping_add(offset) & 0xffff_ffff;
    let gate = Descriptor { raw: load_system(cpu, bus, addr, Size::Q)?, addr };
    let kinds = [kind::TASK, kind::INT16, kind::TRAP16, kind::INT32, kind::TRAP32];
    check_gate(cpu, event, gate, &kinds)?;
    if gate.kind() == kind::TASK {
        let flags = flags_image(cpu, event);
        return task::interrupt(cpu, bus, gate.gate_selector(), event, flags);
    }
    let h = handler(cpu, bus, gate.gate_selector(), ext)?;
    let wide = gate.kind() & 8 != 0;
    let size = if wide { Size::D } else { Size::W };
    let target = gate.gate_offset() & size.mask();
    let v86 = cpu.sys.eflags & bits::VM != 0;
    let segs = cpu.sys.segs;
    let push_selector = |n: usize| u64::from(segs[n].selector);

    let mut new_ss = None;
    let mut stack = if h.cpl < cpu.cpl() {
        let (segment, sp) = inner_stack(cpu, bus, h.cpl, ext)?;
        new_ss = Some(segment);
        let mut stack = Stack::legacy(cpu, segment, sp, h.cpl, segment.selector & !3 | ext);
        if v86 {
            for n in [seg::GS, seg::FS, seg::DS, seg::ES] {
                stack.push(cpu, bus, size, push_selector(n))?;
            }
        }
        stack.push(cpu, bus, size, push_selector(seg::SS))?;
        stack.push(cpu, bus, size, cpu.reg(gpr::RSP))?;
        stack
    } else {
        Stack::current(cpu, ext)
    };
    stack.push(cpu, bus, size, flags_image(cpu, event))?;
    stack.push(cpu, bus, size, push_selector(seg::CS))?;
    stack.push(cpu, bus, size, event.next)?;
    if let Some(error) = event.error {
        stack.push(cpu, bus, size, u64::from(error))?;
    }
    if target > u64::from(h.segment.limit) {
        return Err(Exception::GeneralProtection(ext));
    }

    let mut clear = bits::TF | bits::NT | bits::RF | bits::VM;
    if matches!(gate.kind(), kind::INT16 | kind::INT32) {
        clear |= bits::IF;
    }
    stack.commit(cpu);
    after_delivery(cpu, clear);
    if v86 {
        for n in [seg::GS, seg::FS, seg::DS, seg::ES] {
            cpu.set_segment(n, null_segment(0, 0));
        }
    }
    if let Some(ss) = new_ss {
        cpu.set_segment(seg::SS, ss);
    }
    cpu.set_segment(seg::CS, h.segment);
    cpu.core.pc = target;
    Ok(Outcome::Done)
}

/// Loads the six segment registers for a return to virtual-8086 mode; VM is set already.
pub(super) fn enter_v86(cpu: &mut Cpu, selectors: [u16; 6]) {
    for (n, selector) in selectors.into_iter().enumerate() {
        cpu.set_segment(n, v86_segment(selector));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::system::{
        iret::iret,
        testing::{IDT, STACK0, TSS, TestBus, cpu, gate, get, long, protected, put, sel, to_user},
    };

    fn idt(c: &mut Cpu, vector: u64, attr: u64) {
        let code = if c.sys.code64() { sel::CODE64 } else { sel::CODE0 };
        let step = if c.sys.efer & bits::EFER_LMA != 0 { 16 } else { 8 };
        put(c, IDT + vector * step, 8, gate(code, 0x1_2340 + vector, attr, 0));
    }

    #[test]
    fn long_mode_page_fault_from_user_and_back() {
        let mut c = long();
        let bus = &mut TestBus::default();
        idt(&mut c, 14, 0x8e);
        to_user(&mut c, sel::USER64);
        c.set_rflags(bits::IF | bits::TF | 0x41);
        c.sys.shadow = Shadow::Sti;
        c.core.pc = 0x4000;
        let before = c.save();
        raise(&mut c, bus, Exception::PageFault { addr: 0xdead, code: 6 });
        assert_eq!((c.sys.cr2, c.core.pc, c.cpl()), (0xdead, 0x1_234e, 0));
        assert_eq!((c.reg(gpr::RSP), c.sys.segs[seg::SS].selector), (STACK0 - 48, 0));
        let frame: Vec<u64> = (0..6).map(|n| get(&c, STACK0 - 48 + 8 * n, 8)).collect();
        let flags = bits::IF | bits::TF | bits::RF | 0x43;
        assert_eq!(frame, [6, 0x4000, u64::from(sel::USER64), flags, 0x7000, u64::from(sel::DATA3)]);
        assert_eq!((c.rflags() & (bits::IF | bits::TF), c.sys.shadow), (0, Shadow::None));
        c.set_reg(gpr::RSP, c.reg(gpr::RSP) + 8);
        iret(&mut c, bus, 8, 0).unwrap();
        let mut after = c.save();
        after.system.cr2 = 0;
        after.system.shadow = Shadow::Sti;
        assert_eq!(after, before);
    }

    #[test]
    fn interrupt_stack_table_and_same_level() {
        let mut c = long();
        let bus = &mut TestBus::default();
        put(&mut c, IDT + 0x20 * 16, 8, gate(sel::CODE64, 0x100, 0x8f, 2));
        put(&mut c, IDT + 0x20 * 16 + 8, 8, 0xffff_8000);
        put(&mut c, TSS + 36 + 8, 8, 0xa008);
        c.sys.halted = true;
        c.set_rflags(bits::IF);
        interrupt(&mut c, bus, 0x20);
        assert_eq!((c.core.pc, c.reg(gpr::RSP)), (0xffff_8000_0000_0100, 0xa000 - 40));
        assert!(!c.sys.halted && c.rflags() & bits::IF != 0);
        assert_eq!(c.sys.segs[seg::SS].selector, sel::DATA0);
        iret(&mut c, bus, 8, 0).unwrap();
        assert_eq!((c.core.pc, c.reg(gpr::RSP), c.cpl()), (0x4000, 0x8000, 0));
    }

    #[test]
    fn software_interrupts_need_the_gates_privilege() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        idt(&mut c, 0x80, 0xef);
        idt(&mut c, 0x81, 0x8e);
        to_user(&mut c, sel::CODE3);
        let before = c.save();
        let refused = Exception::GeneralProtection(0x81 * 8 + 2);
        assert_eq!(int_n(&mut c, bus, 0x81, 0), Err(refused));
        assert_eq!(c.save(), before);
        int_n(&mut c, bus, 0x80, 0).unwrap();
        assert_eq!((c.core.pc, c.cpl(), c.reg(gpr::RSP)), (0x1_23c0, 0, STACK0 - 20));
        assert_eq!(get(&c, STACK0 - 4, 4), u64::from(sel::DATA3));
        assert_eq!(get(&c, STACK0 - 8, 4), 0x7000);
        iret(&mut c, bus, 4, 0).unwrap();
        assert_eq!(c.save(), before);
        // An external interrupt does not ask.
        interrupt(&mut c, bus, 0x81);
        assert_eq!((c.core.pc, c.cpl()), (0x1_23c1, 0));
    }

    #[test]
    fn double_and_triple_fault() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        idt(&mut c, 8, 0x8e);
        raise(&mut c, bus, Exception::GP0);
        assert_eq!((c.core.pc, get(&c, 0x8000 - 16, 4), c.sys.shutdown), (0x1_2348, 0, false));
        put(&mut c, IDT + 8 * 8, 8, 0);
        raise(&mut c, bus, Exception::PageFault { addr: 1, code: 0 });
        assert!(c.sys.shutdown);
        // A benign exception that cannot be delivered is replaced by what stopped it, with EXT set.
        let mut c = protected();
        idt(&mut c, 11, 0x8e);
        idt(&mut c, 6, 0x0e);
        raise(&mut c, bus, Exception::InvalidOpcode);
        assert_eq!((c.core.pc, get(&c, 0x8000 - 16, 4)), (0x1_234b, 6 * 8 + 3));
    }

    #[test]
    fn combinations_follow_the_manual() {
        let pf = Exception::PageFault { addr: 0, code: 0 };
        let (gp, de, ud) = (Exception::GP0, Exception::DivideError, Exception::InvalidOpcode);
        let double = Some(Exception::DoubleFault);
        assert_eq!(combine(gp, de), double);
        assert_eq!(combine(gp, pf), Some(pf));
        assert_eq!(combine(pf, gp), double);
        assert_eq!(combine(pf, pf), double);
        assert_eq!(combine(ud, gp), Some(gp));
        assert_eq!(combine(Exception::DoubleFault, pf), None);
    }

    #[test]
    fn real_mode_vectors() {
        let mut c = cpu();
        let bus = &mut TestBus::default();
        put(&mut c, 0x10 * 4, 4, 0x2000_0123);
        c.set_segment(seg::SS, Segment::real(0x100));
        c.set_reg(gpr::RSP, 0xdead_0002);
        c.set_rflags(bits::IF | 1);
        let before = c.save();
        int_n(&mut c, bus, 0x10, 0).unwrap();
        assert_eq!((c.core.pc, c.sys.segs[seg::CS].base), (0x123, 0x2_0000));
        assert_eq!((c.reg(gpr::RSP), c.rflags()), (0xdead_fffc, 3));
        assert_eq!([0x1000, 0x10ffe, 0x10ffc].map(|a| get(&c, a, 2)), [bits::IF | 3, 0xf000, 0xfff0]);
        iret(&mut c, bus, 2, 0).unwrap();
        let mut after = c.save();
        after.system.segs[seg::CS].base = before.system.segs[seg::CS].base;
        assert_eq!(after, before);
    }

    #[test]
    fn virtual_8086_mode_goes_to_the_monitor_and_back() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        idt(&mut c, 13, 0x8e);
        c.sys.eflags |= bits::VM | bits::IF;
        enter_v86(&mut c, [1, 0x400, 0x300, 4, 5, 6]);
        c.set_reg(gpr::RSP, 0x10);
        c.core.pc = 0x20;
        let before = c.save();
        assert_eq!(int_n(&mut c, bus, 0x21, 0), Err(Exception::GP0));
        raise(&mut c, bus, Exception::GP0);
        assert_eq!((c.cpl(), c.sys.eflags & bits::VM, c.core.pc), (0, 0, 0x1_234d));
        let frame: Vec<u64> = (0..10).map(|n| get(&c, STACK0 - 40 + 4 * n, 4)).collect();
        let flags = bits::VM | bits::IF | bits::RF | 2;
        assert_eq!(frame, [0, 0x20, 0x400, flags, 0x10, 0x300, 1, 4, 5, 6]);
        assert!(!c.sys.segs[seg::DS].present());
        c.set_reg(gpr::RSP, c.reg(gpr::RSP) + 4);
        iret(&mut c, bus, 4, 0).unwrap();
        assert_eq!(c.save(), before);
    }

    #[test]
    fn nmi_blocks_until_iret() {
        let mut c = long();
        let bus = &mut TestBus::default();
        idt(&mut c, 2, 0x8e);
        nmi(&mut c, bus);
        assert!(c.sys.nmi_blocked && c.core.pc == 0x1_2342);
        iret(&mut c, bus, 8, 0).unwrap();
        assert!(!c.sys.nmi_blocked);
    }

    #[test]
    fn a_debug_trap_reports_in_dr6_and_pushes_no_rf() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        idt(&mut c, 1, 0x8e);
        c.sys.dr6 |= 1;
        c.set_rflags(bits::TF);
        raise(&mut c, bus, Exception::Debug { dr6: super::super::debug::DR6_BS });
        assert_eq!((c.sys.dr6, c.core.pc), (0xffff_4ff0, 0x1_2341));
        assert_eq!((get(&c, 0x8000 - 4, 4), c.rflags()), (bits::TF | 2, 2));
    }

    #[test]
    fn a_16_bit_gate_and_a_16_bit_stack() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        put(&mut c, IDT + 0x30 * 8, 8, gate(sel::CODE0, 0x12345, 0x86, 0));
        let ss = Segment { selector: sel::DATA0, base: 0x1000, limit: 0xffff, attr: 0x93 };
        c.set_segment(seg::SS, ss);
        c.set_reg(gpr::RSP, 0x1_0002);
        int_n(&mut c, bus, 0x30, 0).unwrap();
        assert_eq!((c.core.pc, c.reg(gpr::RSP)), (0x2345, 0x1_fffc));
        assert_eq!([0x1000, 0x10ffe, 0x10ffc].map(|a| get(&c, a, 2)), [2, u64::from(sel::CODE0), 0x4000]);
        // A frame that does not fit leaves everything as it was.
        c.sys.segs[seg::SS].limit = 0x100;
        let before = c.save();
        assert_eq!(int_n(&mut c, bus, 0x30, 0), Err(Exception::SS0));
        assert_eq!(c.save(), before);
    }

    #[test]
    fn virtual_8086_extensions_redirect_to_the_programs_vector() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        c.sys.cr4 |= bits::CR4_VME;
        c.sys.tr.limit = 0x8f;
        put(&mut c, TSS + 102, 2, 0x88);
        put(&mut c, TSS + 0x68 + 4, 1, 2);
        put(&mut c, 0x20 * 4, 4, 0x0050_0060);
        c.sys.eflags |= bits::VM | bits::IF | bits::VIF;
        enter_v86(&mut c, [1, 0x400, 0x300, 4, 5, 6]);
        c.set_reg(gpr::RSP, 0x10);
        assert_eq!(int_n(&mut c, bus, 0x21, 0), Err(Exception::GP0));
        int_n(&mut c, bus, 0x20, 0).unwrap();
        assert_eq!((c.core.pc, c.sys.segs[seg::CS].selector), (0x60, 0x50));
        assert_eq!(get(&c, 0x300e, 2), bits::IF | bits::IOPL | 2);
        assert_eq!(c.sys.eflags & (bits::IF | bits::VIF | bits::VM), bits::IF | bits::VM);
        iret(&mut c, bus, 2, 0).unwrap();
        assert_eq!((c.core.pc, c.sys.eflags & bits::VIF), (0x4000, bits::VIF));
    }
}
