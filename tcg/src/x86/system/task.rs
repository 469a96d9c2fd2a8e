//! Hardware task switches (SDM volume 3, chapter 7).

use super::{
    control,
    descriptor::{self, Descriptor, fetch, is_null, kind, set_accessed},
    interrupt::{Event, Outcome, Source, enter_v86},
    paging::{self, Access},
    segment::{ldt_segment, null_segment},
    stack::{Stack, load_system, store_system},
};
use crate::{
    Bus,
    ir::Size,
    x86::{
        Cpu, Exception,
        cpu::view,
        state::{Segment, bits, seg},
    },
};

/// Why a task switch happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Far JMP.
    Jmp,
    /// Far CALL.
    Call,
    /// IRET with NT set.
    Iret,
    /// A task gate in the IDT.
    Event {
        /// Address the old task goes on at.
        next: u64,
        /// Its EFLAGS.
        flags: u64,
        /// Error code to push on the new task's stack.
        error: Option<u16>,
        /// EXT bit of error codes.
        ext: u16,
    },
}

impl Reason {
    fn ext(self) -> u16 {
        match self {
            Reason::Jmp | Reason::Call | Reason::Iret => 0,
            Reason::Event { ext, .. } => ext,
        }
    }
    /// Whether the new task links back to the old one.
    fn nests(self) -> bool {
        matches!(self, Reason::Call | Reason::Event { .. })
    }
}

/// Where the fields of a TSS are (SDM volume 3, figures 7-2 and 7-10).
struct Layout {
    size: Size,
    min_limit: u32,
    ip: u64,
    flags: u64,
    gprs: u64,
    /// ES; the others follow in encoding order.
    segs: u64,
    seg_count: usize,
    seg_step: u64,
    ldt: u64,
}

const TSS32: Layout = Layout {
    size: Size::D,
    min_limit: 0x67,
    ip: 0x20,
    flags: 0x24,
    gprs: 0x28,
    segs: 0x48,
    seg_count: 6,
    seg_step: 4,
    ldt: 0x60,
};
const TSS16: Layout = Layout {
    size: Size::W,
    min_limit: 0x2b,
    ip: 0x0e,
    flags: 0x10,
    gprs: 0x12,
    segs: 0x22,
    seg_count: 4,
    seg_step: 2,
    ldt: 0x2a,
};
/// CR3 and the word with the debug-trap bit; 32-bit TSS only.
const TSS32_CR3: u64 = 0x1c;
const TSS32_TRAP: u64 = 0x64;

fn layout(kind: u8) -> &'static Layout {
    if kind & 8 != 0 { &TSS32 } else { &TSS16 }
}

/// What a TSS holds of its task.
struct Image {
    cr3: Option<u64>,
    ip: u64,
    flags: u64,
    gprs: [u64; 8],
    segs: [u16; 6],
    ldt: u16,
    trap: bool,
}

/// Delivers `event` through the task gate that names `selector`.
///
/// # Errors
/// As [`switch`].
pub(super) fn interrupt(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    selector: u16,
    event: &Event,
    flags: u64,
) -> Result<Outcome, Exception> {
    let ext = u16::from(event.source == Source::External);
    let reason = Reason::Event { next: event.next, flags, error: event.error, ext };
    switch(cpu, bus, selector, reason)
}

/// Switches to the task whose TSS `selector` names. For JMP, CALL and IRET `cpu.core.pc` is where the old task goes on.
///
/// # Errors
/// #GP, #NP, #TS, #PF found before anything changed; later ones are in [`Outcome::Late`].
pub fn switch(cpu: &mut Cpu, bus: &mut dyn Bus, selector: u16, reason: Reason) -> Result<Outcome, Exception> {
    let d = tss_descriptor(cpu, bus, selector, reason)?;
    let new = layout(d.kind());
    let image = read_image(cpu, bus, d.base(), new)?;
    let cr3 = image.cr3.filter(|_| cpu.sys.cr0 & bits::CR0_PG != 0);
    if let (Some(cr3), true) = (cr3, cpu.sys.cr4 & bits::CR4_PAE != 0) {
        paging::load_pdptes(cpu, cr3).map_err(|_| Exception::InvalidTss(selector & !3 | reason.ext()))?;
    }
    save_old(cpu, bus, selector, d, reason)?;

    let old_selector = cpu.sys.tr.selector;
    if reason.nests() {
        store_system(cpu, bus, d.base(), Size::W, u64::from(old_selector))?;
    }
    if reason != Reason::Iret {
        descriptor::set_busy(cpu, bus, d, true)?;
    }
    cpu.sys.tr = d.segment(selector);
    cpu.sys.tr.attr |= 2;
    cpu.sys.cr0 |= bits::CR0_TS;
    cpu.sys.dr7 &= !0x155;
    let late = enter(cpu, bus, &image, cr3, reason);
    Ok(match late {
        Err(e) => Outcome::Late(e),
        Ok(()) if image.trap => Outcome::Late(Exception::Debug { dr6: super::debug::DR6_BT }),
        Ok(()) => Outcome::Done,
    })
}

fn tss_descriptor(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    selector: u16,
    reason: Reason,
) -> Result<Descriptor, Exception> {
    let code = selector & !3 | reason.ext();
    let back = reason == Reason::Iret;
    let bad = if back { Exception::InvalidTss(code) } else { Exception::GeneralProtection(code) };
    if is_null(selector) || selector & 4 != 0 {
        return Err(bad);
    }
    let d = fetch(cpu, bus, selector)?.ok_or(bad)?;
    let fitting = match d.kind() {
        kind::TSS16 | kind::TSS32 => !back,
        kind::TSS16_BUSY | kind::TSS32_BUSY => back,
        _ => false,
    };
    if d.is_segment() || !fitting {
        return Err(bad);
    }
    if !d.present() {
        return Err(Exception::SegmentNotPresent(code));
    }
    if d.limit() < layout(d.kind()).min_limit {
        return Err(Exception::InvalidTss(code));
    }
    Ok(d)
}

fn read_image(cpu: &mut Cpu, bus: &mut dyn Bus, base: u64, l: &Layout) -> Result<Image, Exception> {
    let at = |offset: u64| base.wrapping_add(offset) & 0xffff_ffff;
    let wide = l.size == Size::D;
    let mut image = Image {
        cr3: None,
        ip: load_system(cpu, bus, at(l.ip), l.size)?,
        flags: load_system(cpu, bus, at(l.flags), l.size)?,
        gprs: [0; 8],
        segs: [0; 6],
        ldt: load_system(cpu, bus, at(l.ldt), Size::W)? as u16,
        trap: false,
    };
    for (n, r) in image.gprs.iter_mut().enumerate() {
        *r = load_system(cpu, bus, at(l.gprs + n as u64 * u64::from(l.size.bytes())), l.size)?;
    }
    for (n, s) in image.segs.iter_mut().take(l.seg_count).enumerate() {
        *s = load_system(cpu, bus, at(l.segs + n as u64 * l.seg_step), Size::W)? as u16;
    }
    if wide {
        image.cr3 = Some(load_system(cpu, bus, at(TSS32_CR3), Size::D)?);
        image.trap = load_system(cpu, bus, at(TSS32_TRAP), Size::W)? & 1 != 0;
    }
    Ok(image)
}

/// Checks that everything the switch will write can be written, then saves the old task and frees its TSS if it ends.
fn save_old(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    selector: u16,
    new: Descriptor,
    reason: Reason,
) -> Result<(), Exception> {
    let tr = cpu.sys.tr;
    let l = layout(tr.kind());
    let at = |offset: u64| tr.base.wrapping_add(offset) & 0xffff_ffff;
    if tr.limit < l.min_limit {
        return Err(Exception::InvalidTss(tr.selector & !3 | reason.ext()));
    }
    // The last byte written is the one before the LDT selector.
    let mut writes = vec![at(l.ip), at(l.ldt - 1), new.addr.wrapping_add(5)];
    if reason.nests() {
        writes.extend([new.base(), new.base().wrapping_add(1) & 0xffff_ffff]);
    }
    let ends = matches!(reason, Reason::Jmp | Reason::Iret);
    let old = if ends { fetch(cpu, bus, tr.selector)? } else { None };
    writes.extend(old.map(|d| d.addr.wrapping_add(5)));
    for addr in writes {
        cpu.translate(view::SUPERVISOR, addr, Access::Write)?;
    }

    let (ip, flags) = match reason {
        Reason::Jmp | Reason::Call => (cpu.core.pc, cpu.rflags()),
        Reason::Iret => (cpu.core.pc, cpu.rflags() & !bits::NT),
        Reason::Event { next, flags, .. } => (next, flags),
    };
    store_system(cpu, bus, at(l.ip), l.size, ip)?;
    store_system(cpu, bus, at(l.flags), l.size, flags)?;
    for n in 0..8 {
        let offset = l.gprs + n as u64 * u64::from(l.size.bytes());
        store_system(cpu, bus, at(offset), l.size, cpu.reg(n))?;
    }
    for n in 0..l.seg_count {
        let value = u64::from(cpu.sys.segs[n].selector);
        store_system(cpu, bus, at(l.segs + n as u64 * l.seg_step), Size::W, value)?;
    }
    // A task that jumps to itself is refused earlier, as busy; IRET to itself leaves it busy.
    if let Some(d) = old.filter(|_| tr.selector & !7 != selector & !7) {
        descriptor::set_busy(cpu, bus, d, false)?;
    }
    Ok(())
}

/// Loads the new task's registers; faults from here on belong to it.
fn enter(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    image: &Image,
    cr3: Option<u64>,
    reason: Reason,
) -> Result<(), Exception> {
    let ext = reason.ext();
    let nested = if reason.nests() { bits::NT } else { 0 };
    cpu.set_rflags(image.flags | nested);
    for (n, &value) in image.gprs.iter().enumerate() {
        cpu.set_reg(n, value);
    }
    cpu.core.pc = image.ip;
    let v86 = cpu.sys.eflags & bits::VM != 0;
    let cpl = if v86 { 3 } else { (image.segs[seg::CS] & 3) as u8 };
    for (n, &selector) in image.segs.iter().enumerate() {
        cpu.set_segment(n, null_segment(selector, cpl));
    }
    cpu.sys.ldtr = null_segment(image.ldt, 0);
    if let Some(cr3) = cr3 {
        control::write_cr3(cpu, cr3)?;
    }
    cpu.core.flush_local();
    cpu.sys.ldtr = ldt_segment(cpu, bus, image.ldt, Exception::InvalidTss).map_err(|e| match e {
        Exception::InvalidTss(c) | Exception::SegmentNotPresent(c) => Exception::InvalidTss(c | ext),
        other => other,
    })?;
    if v86 {
        enter_v86(cpu, image.segs);
    } else {
        let cs = code(cpu, bus, image.segs[seg::CS], ext)?;
        cpu.set_segment(seg::CS, cs);
        let ss = stack_segment(cpu, bus, image.segs[seg::SS], cpl, ext)?;
        cpu.set_segment(seg::SS, ss);
        for n in [seg::ES, seg::DS, seg::FS, seg::GS] {
            let s = data(cpu, bus, image.segs[n], cpl, ext)?;
            cpu.set_segment(n, s);
        }
    }
    if let Reason::Event { error: Some(error), .. } = reason {
        let size = layout(cpu.sys.tr.kind()).size;
        let mut stack = Stack::current(cpu, ext);
        stack.push(cpu, bus, size, u64::from(error))?;
        stack.commit(cpu);
    }
    if image.ip > u64::from(cpu.sys.segs[seg::CS].limit) {
        return Err(Exception::GeneralProtection(ext));
    }
    Ok(())
}

fn code(cpu: &mut Cpu, bus: &mut dyn Bus, selector: u16, ext: u16) -> Result<Segment, Exception> {
    let error = selector & !3 | ext;
    let bad = Exception::InvalidTss(error);
    if is_null(selector) {
        return Err(bad);
    }
    let mut d = fetch(cpu, bus, selector)?.filter(|d| d.is_code()).ok_or(bad)?;
    let rpl = (selector & 3) as u8;
    if if d.is_conforming() { d.dpl() > rpl } else { d.dpl() != rpl } {
        return Err(bad);
    }
    if !d.present() {
        return Err(Exception::SegmentNotPresent(error));
    }
    set_accessed(cpu, bus, &mut d)?;
    Ok(d.segment(selector))
}

fn stack_segment(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    selector: u16,
    cpl: u8,
    ext: u16,
) -> Result<Segment, Exception> {
    let error = selector & !3 | ext;
    let bad = Exception::InvalidTss(error);
    if is_null(selector) || (selector & 3) as u8 != cpl {
        return Err(bad);
    }
    let fits = |d: &Descriptor| d.is_writable_data() && d.dpl() == cpl;
    let mut d = fetch(cpu, bus, selector)?.filter(fits).ok_or(bad)?;
    if !d.present() {
        return Err(Exception::StackFault(error));
    }
    set_accessed(cpu, bus, &mut d)?;
    Ok(d.segment(selector))
}

fn data(cpu: &mut Cpu, bus: &mut dyn Bus, selector: u16, cpl: u8, ext: u16) -> Result<Segment, Exception> {
    if is_null(selector) {
        return Ok(null_segment(selector, 0));
    }
    let error = selector & !3 | ext;
    let rpl = (selector & 3) as u8;
    let fits = |d: &Descriptor| d.is_readable() && (d.is_conforming() || rpl.max(cpl) <= d.dpl());
    let mut d = fetch(cpu, bus, selector)?.filter(fits).ok_or(Exception::InvalidTss(error))?;
    if !d.present() {
        return Err(Exception::SegmentNotPresent(error));
    }
    set_accessed(cpu, bus, &mut d)?;
    Ok(d.segment(selector))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::{
        state::gpr,
        system::{
            far,
            interrupt::raise,
            iret::iret,
            testing::{GDT, IDT, TSS, TSS2, TestBus, descriptor, gate, get, protected, put, sel},
        },
    };

    /// Gives the second TSS a ring 0 task at 0x5000.
    fn second(c: &mut Cpu) {
        for (n, s) in [sel::DATA0, sel::CODE0, sel::DATA0, sel::DATA0, 0, 0].into_iter().enumerate() {
            put(c, TSS2 + 0x48 + 4 * n as u64, 4, u64::from(s));
        }
        put(c, TSS2 + 0x20, 4, 0x5000);
        put(c, TSS2 + 0x24, 4, bits::IF | 2);
        put(c, TSS2 + 0x28, 4, 0xaaaa);
        put(c, TSS2 + 0x38, 4, 0x6000);
    }

    fn busy(c: &Cpu, selector: u16) -> bool {
        get(c, GDT + u64::from(selector) + 5, 1) & 2 != 0
    }

    #[test]
    fn call_and_iret() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        second(&mut c);
        c.set_reg(gpr::RAX, 0x1234);
        let before = c.save();
        far::call(&mut c, bus, u64::from(sel::TSS2) | 4 << 16, 0).unwrap();
        assert_eq!((c.core.pc, c.reg(gpr::RAX), c.reg(gpr::RSP)), (0x5000, 0xaaaa, 0x6000));
        assert_eq!(c.rflags(), bits::IF | bits::NT | 2);
        assert_eq!((c.sys.tr.selector, get(&c, TSS2, 2)), (sel::TSS2, u64::from(sel::TSS)));
        assert!(busy(&c, sel::TSS) && busy(&c, sel::TSS2) && c.sys.cr0 & bits::CR0_TS != 0);
        iret(&mut c, bus, 4, 0).unwrap();
        assert!(busy(&c, sel::TSS) && !busy(&c, sel::TSS2));
        let mut after = c.save();
        after.system.cr0 &= !bits::CR0_TS;
        assert_eq!(after, before);
        assert_eq!(get(&c, TSS2 + 0x24, 4) & bits::NT, 0);
    }

    #[test]
    fn jump_frees_the_old_task() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        second(&mut c);
        let busy_task = far::jmp(&mut c, bus, u64::from(sel::TSS), 0);
        assert_eq!(busy_task, Err(Exception::GeneralProtection(sel::TSS)));
        far::jmp(&mut c, bus, u64::from(sel::TSS2), 0).unwrap();
        assert!(!busy(&c, sel::TSS) && busy(&c, sel::TSS2));
        assert_eq!((c.rflags() & bits::NT, get(&c, TSS + 0x20, 4)), (0, 0x4000));
    }

    #[test]
    fn a_task_gate_takes_a_fault_with_its_error_code() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        second(&mut c);
        put(&mut c, IDT + 8 * 8, 8, gate(sel::TSS2, 0, 0x85, 0));
        raise(&mut c, bus, Exception::DoubleFault);
        assert_eq!((c.core.pc, c.reg(gpr::RSP), get(&c, 0x5ffc, 4)), (0x5000, 0x5ffc, 0));
        assert_eq!(get(&c, TSS + 0x20, 4), 0x4000);
    }

    #[test]
    fn a_bad_new_task_faults_in_its_own_context() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        second(&mut c);
        put(&mut c, TSS2 + 0x54, 4, u64::from(sel::CODE3 + 0x800));
        let switched = switch(&mut c, bus, sel::TSS2, Reason::Jmp);
        let error = (sel::CODE3 + 0x800) & !3;
        assert_eq!(switched, Ok(Outcome::Late(Exception::InvalidTss(error))));
        assert_eq!(c.core.pc, 0x5000);
        // A TSS that is too short is found before.
        put(&mut c, GDT + u64::from(sel::TSS), 8, 0x0000_8900_0600_0066);
        let before = c.save();
        let short = switch(&mut c, bus, sel::TSS, Reason::Jmp);
        assert_eq!(short, Err(Exception::InvalidTss(sel::TSS)));
        assert_eq!(c.save(), before);
    }

    #[test]
    fn a_16_bit_task_with_an_ldt() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        let ldt = 0x780;
        put(&mut c, GDT + u64::from(sel::FREE), 8, descriptor(ldt, 0xf, 0x82));
        put(&mut c, ldt + 8, 8, descriptor(0x100, 0xffff, 0x93));
        put(&mut c, GDT + u64::from(sel::TSS2), 8, descriptor(TSS2, 0x2b, 0x81));
        let words = [0x5000, 2, 1, 2, 3, 4, 0x6000, 6, 7, 8, 0xc, sel::CODE0, sel::DATA0, 0, sel::FREE];
        for (n, w) in words.into_iter().enumerate() {
            put(&mut c, TSS2 + 0x0e + 2 * n as u64, 2, u64::from(w));
        }
        far::call(&mut c, bus, u64::from(sel::TSS2) | 4 << 16, 0).unwrap();
        assert_eq!((c.core.pc, c.reg(gpr::RSP), c.reg(gpr::RCX)), (0x5000, 0x6000, 2));
        assert_eq!((c.sys.segs[seg::ES].base, c.sys.ldtr.base), (0x100, ldt));
        iret(&mut c, bus, 4, 0).unwrap();
        assert_eq!((c.core.pc, c.sys.ldtr.present()), (0x4000, false));
        // Selectors beyond the table, or with no table, name nothing.
        let refused = crate::x86::system::segment::load_sreg(&mut c, bus, seg::ES as u64, 0xc);
        assert_eq!(refused, Err(Exception::GeneralProtection(0xc)));
    }
}
