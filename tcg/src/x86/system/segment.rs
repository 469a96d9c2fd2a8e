//! Loading data segment registers, and the instructions that inspect descriptors.

use super::{
    descriptor::{self, Descriptor, fetch, is_null, kind, long_mode, set_accessed},
    stack::Stack,
};
use crate::{
    Bus,
    ir::{Reg, Size},
    x86::{
        Cpu, Exception,
        state::{Segment, Shadow, bits, seg},
    },
};

/// Whether selectors mean descriptors: protected mode, not virtual-8086.
#[must_use]
pub fn protected(cpu: &Cpu) -> bool {
    cpu.sys.cr0 & bits::CR0_PE != 0 && cpu.sys.eflags & bits::VM == 0
}

/// The segment a selector makes in virtual-8086 mode.
#[must_use]
pub const fn v86_segment(selector: u16) -> Segment {
    Segment { selector, base: (selector as u64) << 4, limit: 0xffff, attr: 0xf3 }
}

/// Loads segment register `n` the real-mode way: limit and attributes stay (real mode) or are fixed (virtual-8086 mode).
pub(super) fn load_real(cpu: &mut Cpu, n: usize, selector: u16) {
    let s = if cpu.sys.eflags & bits::VM != 0 {
        v86_segment(selector)
    } else {
        Segment { selector, base: u64::from(selector) << 4, ..cpu.sys.segs[n] }
    };
    cpu.set_segment(n, s);
}

/// Null in a data segment register; with `dpl` for SS, whose DPL is the CPL.
pub(super) const fn null_segment(selector: u16, dpl: u8) -> Segment {
    Segment { selector, base: 0, limit: 0, attr: (dpl as u16) << 5 }
}

/// Checks a load of `selector` into segment register `n` (not CS) and returns what it will hold (SDM volume 2, MOV).
fn check(cpu: &mut Cpu, bus: &mut dyn Bus, n: usize, selector: u16) -> Result<Segment, Exception> {
    let cpl = cpu.cpl();
    let rpl = (selector & 3) as u8;
    if is_null(selector) {
        if n != seg::SS {
            return Ok(null_segment(selector, 0));
        }
        let allowed = cpu.sys.code64() && cpl != 3 && rpl == cpl;
        return if allowed { Ok(null_segment(selector, cpl)) } else { Err(Exception::GP0) };
    }
    let code = selector & !3;
    let bad = Err(Exception::GeneralProtection(code));
    let Some(mut d) = fetch(cpu, bus, selector)? else { return bad };
    if n == seg::SS {
        if rpl != cpl || d.dpl() != cpl || !d.is_writable_data() {
            return bad;
        }
        if !d.present() {
            return Err(Exception::StackFault(code));
        }
    } else {
        if !d.is_readable() || !d.is_conforming() && rpl.max(cpl) > d.dpl() {
            return bad;
        }
        if !d.present() {
            return Err(Exception::SegmentNotPresent(code));
        }
    }
    set_accessed(cpu, bus, &mut d)?;
    Ok(d.segment(selector))
}

/// Loads segment register `n` with the low 16 bits of `selector` (LDS, LES, LFS, LGS, LSS).
///
/// # Errors
/// #UD for CS; #GP, #NP, #SS, #PF by the descriptor.
pub fn load_sreg(cpu: &mut Cpu, bus: &mut dyn Bus, n: u64, selector: u64) -> Result<u64, Exception> {
    let (n, selector) = (n as usize, selector as u16);
    if n == seg::CS || n > seg::GS {
        return Err(Exception::InvalidOpcode);
    }
    if protected(cpu) {
        let s = check(cpu, bus, n, selector)?;
        cpu.set_segment(n, s);
    } else {
        load_real(cpu, n, selector);
    }
    Ok(0)
}

/// MOV to segment register `n`: as [`load_sreg`], and loading SS holds interrupts off for one instruction.
///
/// # Errors
/// As [`load_sreg`].
pub fn mov_to_sreg(cpu: &mut Cpu, bus: &mut dyn Bus, n: u64, selector: u64) -> Result<u64, Exception> {
    load_sreg(cpu, bus, n, selector)?;
    if n as usize == seg::SS {
        cpu.sys.shadow = Shadow::MovSs;
    }
    Ok(0)
}

/// POP to segment register `n` with an operand of `bytes`.
///
/// # Errors
/// As [`load_sreg`], #SS(0).
pub fn pop_sreg(cpu: &mut Cpu, bus: &mut dyn Bus, n: u64, bytes: u64) -> Result<u64, Exception> {
    let mut stack = Stack::current(cpu, 0);
    // Only the selector's two bytes are read, whatever the pointer moves by.
    let selector = stack.peek(cpu, bus, 0, Size::W)?;
    stack.skip(bytes);
    mov_to_sreg(cpu, bus, n, selector)?;
    stack.commit(cpu);
    Ok(0)
}

/// After a return to an outer level: data segments the new level may not use become null (SDM volume 2, RET).
pub(super) fn drop_inner_segments(cpu: &mut Cpu, cpl: u8) {
    for n in [seg::ES, seg::DS, seg::FS, seg::GS] {
        let s = cpu.sys.segs[n];
        let conforming = s.attr & (Segment::CODE | Segment::DC) == Segment::CODE | Segment::DC;
        if s.present() && !conforming && s.dpl() < cpl {
            cpu.set_segment(n, Segment { selector: 0, attr: 0, ..s });
        }
    }
}

/// SWAPGS.
///
/// # Errors
/// #UD outside 64-bit code, #GP(0) outside CPL 0.
pub fn swapgs(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    if !cpu.sys.code64() {
        return Err(Exception::InvalidOpcode);
    }
    super::require_cpl0(cpu)?;
    std::mem::swap(&mut cpu.sys.segs[seg::GS].base, &mut cpu.sys.msrs.kernel_gs_base);
    cpu.core.regs[Reg::SEG.0 as usize + seg::GS] = cpu.sys.segs[seg::GS].base;
    Ok(0)
}

fn set_zf(cpu: &mut Cpu, zf: bool) {
    cpu.core.flags_mut().z = u64::from(!zf);
}

fn require_protected(cpu: &Cpu) -> Result<(), Exception> {
    if protected(cpu) { Ok(()) } else { Err(Exception::InvalidOpcode) }
}

/// The descriptor of `selector` if LAR, LSL, VERR and VERW may see it from here.
fn visible(cpu: &mut Cpu, bus: &mut dyn Bus, selector: u16) -> Result<Option<Descriptor>, Exception> {
    if is_null(selector) {
        return Ok(None);
    }
    let Some(d) = fetch(cpu, bus, selector)? else { return Ok(None) };
    let rpl = (selector & 3) as u8;
    Ok((d.is_conforming() || rpl.max(cpu.cpl()) <= d.dpl()).then_some(d))
}

fn merge(old: u64, new: u64, bytes: u64) -> u64 {
    match bytes {
        2 => old & !0xffff | new & 0xffff,
        _ => new & 0xffff_ffff,
    }
}

/// LAR: `a` is selector | operand bytes << 16, `old` the destination register; returns its new value (all 64 bits), sets ZF.
///
/// # Errors
/// #UD outside protected mode, #PF.
pub fn lar(cpu: &mut Cpu, bus: &mut dyn Bus, a: u64, old: u64) -> Result<u64, Exception> {
    require_protected(cpu)?;
    let long = long_mode(cpu);
    let d = visible(cpu, bus, a as u16)?.filter(|d| {
        d.is_segment()
            || match d.kind() {
                kind::LDT | kind::TSS32 | kind::TSS32_BUSY | kind::CALL32 => true,
                kind::TSS16 | kind::TSS16_BUSY | kind::CALL16 | kind::TASK => !long,
                _ => false,
            }
    });
    set_zf(cpu, d.is_some());
    Ok(d.map_or(old, |d| merge(old, d.raw >> 32 & 0x00ff_ff00, a >> 16)))
}

/// LSL: arguments and result as [`lar`].
///
/// # Errors
/// #UD outside protected mode, #PF.
pub fn lsl(cpu: &mut Cpu, bus: &mut dyn Bus, a: u64, old: u64) -> Result<u64, Exception> {
    require_protected(cpu)?;
    let long = long_mode(cpu);
    let d = visible(cpu, bus, a as u16)?.filter(|d| {
        d.is_segment()
            || match d.kind() {
                kind::LDT | kind::TSS32 | kind::TSS32_BUSY => true,
                kind::TSS16 | kind::TSS16_BUSY => !long,
                _ => false,
            }
    });
    set_zf(cpu, d.is_some());
    Ok(d.map_or(old, |d| merge(old, u64::from(d.limit()), a >> 16)))
}

/// VERR: `a` is the selector; sets ZF.
///
/// # Errors
/// #UD outside protected mode, #PF.
pub fn verr(cpu: &mut Cpu, bus: &mut dyn Bus, a: u64, _: u64) -> Result<u64, Exception> {
    require_protected(cpu)?;
    let readable = visible(cpu, bus, a as u16)?.is_some_and(Descriptor::is_readable);
    set_zf(cpu, readable);
    Ok(0)
}

/// VERW: `a` is the selector; sets ZF.
///
/// # Errors
/// #UD outside protected mode, #PF.
pub fn verw(cpu: &mut Cpu, bus: &mut dyn Bus, a: u64, _: u64) -> Result<u64, Exception> {
    require_protected(cpu)?;
    let writable = visible(cpu, bus, a as u16)?.is_some_and(Descriptor::is_writable_data);
    set_zf(cpu, writable);
    Ok(0)
}

/// ARPL: `dst` and `src` are 16-bit selectors; returns the new destination, sets ZF.
///
/// # Errors
/// #UD outside protected mode.
pub fn arpl(cpu: &mut Cpu, _: &mut dyn Bus, dst: u64, src: u64) -> Result<u64, Exception> {
    require_protected(cpu)?;
    let raise = dst & 3 < src & 3;
    set_zf(cpu, raise);
    Ok(if raise { dst & !3 | src & 3 } else { dst })
}

/// LLDT: `a` is the selector.
///
/// # Errors
/// #UD outside protected mode, #GP, #NP, #PF.
pub fn lldt(cpu: &mut Cpu, bus: &mut dyn Bus, a: u64, _: u64) -> Result<u64, Exception> {
    require_protected(cpu)?;
    super::require_cpl0(cpu)?;
    cpu.sys.ldtr = ldt_segment(cpu, bus, a as u16, Exception::GeneralProtection)?;
    Ok(0)
}

/// The content of LDTR for `selector`; `bad` makes the exception for a selector that names no LDT.
pub(super) fn ldt_segment(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    selector: u16,
    bad: fn(u16) -> Exception,
) -> Result<Segment, Exception> {
    if is_null(selector) {
        return Ok(null_segment(selector, 0));
    }
    let code = selector & !3;
    let d = if selector & 4 != 0 { None } else { fetch(cpu, bus, selector)? };
    let d = d.filter(|d| !d.is_segment() && d.kind() == kind::LDT).ok_or(bad(code))?;
    if !d.present() {
        return Err(Exception::SegmentNotPresent(code));
    }
    system_segment(cpu, bus, selector, d, bad)
}

/// A system descriptor's segment, with the upper half of the base in IA-32e mode.
fn system_segment(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    selector: u16,
    d: Descriptor,
    bad: fn(u16) -> Exception,
) -> Result<Segment, Exception> {
    let mut s = d.segment(selector);
    if long_mode(cpu) {
        let high = descriptor::fetch_high(cpu, bus, selector)?.ok_or(bad(selector & !3))?;
        s.base |= high << 32;
        if !super::canonical(s.base) || high >> 40 & 0x1f != 0 {
            return Err(bad(selector & !3));
        }
    }
    Ok(s)
}

/// LTR: `a` is the selector.
///
/// # Errors
/// #UD outside protected mode, #GP, #NP, #PF.
pub fn ltr(cpu: &mut Cpu, bus: &mut dyn Bus, a: u64, _: u64) -> Result<u64, Exception> {
    require_protected(cpu)?;
    super::require_cpl0(cpu)?;
    let selector = a as u16;
    if is_null(selector) {
        return Err(Exception::GP0);
    }
    let code = selector & !3;
    let bad = Exception::GeneralProtection(code);
    let d = if selector & 4 != 0 { None } else { fetch(cpu, bus, selector)? };
    let long = long_mode(cpu);
    let available =
        |d: &Descriptor| !d.is_segment() && (d.kind() == kind::TSS32 || d.kind() == kind::TSS16 && !long);
    let d = d.filter(available).ok_or(bad)?;
    if !d.present() {
        return Err(Exception::SegmentNotPresent(code));
    }
    let mut tr = system_segment(cpu, bus, selector, d, Exception::GeneralProtection)?;
    descriptor::set_busy(cpu, bus, d, true)?;
    tr.attr |= 2;
    cpu.sys.tr = tr;
    Ok(0)
}

/// SLDT: returns the selector.
///
/// # Errors
/// #UD outside protected mode.
pub fn sldt(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    require_protected(cpu)?;
    Ok(u64::from(cpu.sys.ldtr.selector))
}

/// STR: returns the selector.
///
/// # Errors
/// #UD outside protected mode.
pub fn str(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    require_protected(cpu)?;
    Ok(u64::from(cpu.sys.tr.selector))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::system::testing::{
        GDT, TestBus, cpu, descriptor, get, long, protected, put, sel, to_user,
    };

    #[test]
    fn loads_set_the_accessed_bit_and_check_privilege() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        let free = GDT + u64::from(sel::FREE);
        put(&mut c, free, 8, descriptor(0x1234, 0x10, 0x8092));
        mov_to_sreg(&mut c, bus, seg::ES as u64, u64::from(sel::FREE)).unwrap();
        let expected = Segment { selector: sel::FREE, base: 0x1234, limit: 0x10fff, attr: 0x8093 };
        assert_eq!((c.sys.segs[seg::ES], get(&c, free + 5, 1)), (expected, 0x93));
        assert_eq!(c.core.regs[Reg::SEG.0 as usize + seg::ES], 0x1234);
        let null_ss = mov_to_sreg(&mut c, bus, seg::SS as u64, 0);
        assert_eq!(null_ss, Err(Exception::GP0));
        to_user(&mut c, sel::CODE3);
        let refused = mov_to_sreg(&mut c, bus, seg::DS as u64, u64::from(sel::FREE));
        assert_eq!(refused, Err(Exception::GeneralProtection(sel::FREE)));
        put(&mut c, free, 8, descriptor(0, 0, 0x0073));
        let absent = mov_to_sreg(&mut c, bus, seg::SS as u64, u64::from(sel::FREE | 3));
        assert_eq!(absent, Err(Exception::StackFault(sel::FREE)));
    }

    #[test]
    fn popping_ss_is_atomic_and_casts_a_shadow() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        put(&mut c, 0x8000, 4, 0x1003);
        let before = c.save();
        assert!(pop_sreg(&mut c, bus, seg::SS as u64, 4).is_err());
        assert_eq!(c.save(), before);
        put(&mut c, 0x8000, 4, u64::from(sel::DATA0));
        pop_sreg(&mut c, bus, seg::SS as u64, 4).unwrap();
        assert_eq!((c.sys.shadow, c.reg(crate::x86::state::gpr::RSP)), (Shadow::MovSs, 0x8004));
    }

    #[test]
    fn real_mode_keeps_limits() {
        let mut c = cpu();
        c.sys.segs[seg::DS].limit = u32::MAX;
        mov_to_sreg(&mut c, &mut TestBus::default(), seg::DS as u64, 0x123).unwrap();
        let ds = c.sys.segs[seg::DS];
        assert_eq!((ds.base, ds.limit), (0x1230, u32::MAX));
    }

    #[test]
    fn swapgs_and_null_selectors_in_long_mode() {
        let mut c = long();
        let bus = &mut TestBus::default();
        c.sys.msrs.kernel_gs_base = 0xffff_8000_0000_1000;
        swapgs(&mut c, bus, 0, 0).unwrap();
        assert_eq!(c.core.regs[Reg::SEG.0 as usize + seg::GS], 0xffff_8000_0000_1000);
        assert_eq!(c.sys.msrs.kernel_gs_base, 0);
        mov_to_sreg(&mut c, bus, seg::SS as u64, 0).unwrap();
        assert_eq!(c.cpl(), 0);
        to_user(&mut c, sel::USER64);
        assert_eq!(swapgs(&mut c, bus, 0, 0), Err(Exception::GP0));
        assert_eq!(mov_to_sreg(&mut c, bus, seg::SS as u64, 3), Err(Exception::GP0));
    }

    #[test]
    fn inspection() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        let data = u64::from(sel::DATA0);
        assert_eq!(lar(&mut c, bus, data | 4 << 16, 7), Ok(0x00cf_9300));
        assert_eq!(lar(&mut c, bus, data | 2 << 16, 0xabcd_0007), Ok(0xabcd_9300));
        assert!(c.core.flags().zf());
        assert_eq!(lsl(&mut c, bus, data | 4 << 16, 7), Ok(0xffff_ffff));
        assert_eq!(lsl(&mut c, bus, 0x1000 | 4 << 16, 7), Ok(7));
        assert!(!c.core.flags().zf());
        verw(&mut c, bus, u64::from(sel::CODE0), 0).unwrap();
        assert!(!c.core.flags().zf());
        verr(&mut c, bus, u64::from(sel::CODE0), 0).unwrap();
        assert!(c.core.flags().zf());
        assert_eq!(arpl(&mut c, bus, 0x10, 0x3), Ok(0x13));
        assert_eq!(ltr(&mut c, bus, u64::from(sel::TSS), 0), Err(Exception::GeneralProtection(sel::TSS)));
        ltr(&mut c, bus, u64::from(sel::TSS2), 0).unwrap();
        assert_eq!((c.sys.tr.kind(), get(&c, GDT + u64::from(sel::TSS2) + 5, 1)), (11, 0x8b));
        c.sys.eflags |= bits::VM;
        assert_eq!(str(&mut c, bus, 0, 0), Err(Exception::InvalidOpcode));
    }
}
