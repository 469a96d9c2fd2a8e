//! String instructions: one helper each, the whole REP inside, in bulk where plain memory lies under both ends.
//!
//! A fault in the middle leaves the registers at the element that faulted; the instruction then starts again from there.
//! With TF set or breakpoints armed each iteration traps, so such a run does one at a time (SDM volume 3, 17.3.1.4).

use super::lower::{Lower, Lowered, segment};
use crate::{
    Bus, Width,
    guest::Guest,
    ir::{Op, Reg, Size, Val},
    mem,
    x86::{
        Cpu, Exception,
        mode::Mode,
        state::{bits, gpr, seg},
        system::{self, paging::Access},
    },
};
use iced_x86::{Instruction, Mnemonic, Register};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Movs,
    Cmps,
    Stos,
    Lods,
    Scas,
    Ins,
    Outs,
}

const KINDS: [Kind; 7] = [Kind::Movs, Kind::Cmps, Kind::Stos, Kind::Lods, Kind::Scas, Kind::Ins, Kind::Outs];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rep {
    None,
    /// REP, or REPE for the comparing ones.
    WhileEqual,
    WhileNotEqual,
}

/// A string instruction, as packed into a helper's argument.
#[derive(Clone, Copy)]
struct Str {
    kind: Kind,
    size: Size,
    /// Address width in bytes.
    width: u8,
    rep: Rep,
    source: usize,
}

impl Str {
    fn pack(self) -> u64 {
        let kind = KINDS.iter().position(|&k| k == self.kind).unwrap_or(0) as u64;
        kind | (self.size as u64) << 8
            | u64::from(self.width) << 16
            | (self.rep as u64) << 24
            | (self.source as u64) << 32
    }

    fn unpack(v: u64) -> Str {
        Str {
            kind: KINDS[(v & 0xff) as usize % KINDS.len()],
            size: [Size::B, Size::W, Size::D, Size::Q][(v >> 8 & 3) as usize],
            width: (v >> 16) as u8,
            rep: [Rep::None, Rep::WhileEqual, Rep::WhileNotEqual][(v >> 24 & 0xff) as usize % 3],
            source: (v >> 32) as usize,
        }
    }

    fn mask(self) -> u64 {
        u64::MAX >> (64 - 8 * u32::from(self.width))
    }
}

/// Lowers a string instruction; `None` when it is of another family.
pub(super) fn lower(l: &mut Lower, i: &Instruction) -> Lowered {
    use Mnemonic as M;
    let (kind, size) = match i.mnemonic() {
        M::Movsb => (Kind::Movs, Size::B),
        M::Movsw => (Kind::Movs, Size::W),
        M::Movsd if i.is_string_instruction() => (Kind::Movs, Size::D),
        M::Movsq => (Kind::Movs, Size::Q),
        M::Cmpsb => (Kind::Cmps, Size::B),
        M::Cmpsw => (Kind::Cmps, Size::W),
        M::Cmpsd if i.is_string_instruction() => (Kind::Cmps, Size::D),
        M::Cmpsq => (Kind::Cmps, Size::Q),
        M::Stosb => (Kind::Stos, Size::B),
        M::Stosw => (Kind::Stos, Size::W),
        M::Stosd => (Kind::Stos, Size::D),
        M::Stosq => (Kind::Stos, Size::Q),
        M::Lodsb => (Kind::Lods, Size::B),
        M::Lodsw => (Kind::Lods, Size::W),
        M::Lodsd => (Kind::Lods, Size::D),
        M::Lodsq => (Kind::Lods, Size::Q),
        M::Scasb => (Kind::Scas, Size::B),
        M::Scasw => (Kind::Scas, Size::W),
        M::Scasd => (Kind::Scas, Size::D),
        M::Scasq => (Kind::Scas, Size::Q),
        M::Insb => (Kind::Ins, Size::B),
        M::Insw => (Kind::Ins, Size::W),
        M::Insd => (Kind::Ins, Size::D),
        M::Outsb => (Kind::Outs, Size::B),
        M::Outsw => (Kind::Outs, Size::W),
        M::Outsd => (Kind::Outs, Size::D),
        _ => return None,
    };
    let rep = if i.has_repne_prefix() {
        Rep::WhileNotEqual
    } else if i.has_rep_prefix() {
        Rep::WhileEqual
    } else {
        Rep::None
    };
    let prefix = i.segment_prefix();
    let source = if prefix == Register::None { seg::DS } else { segment(prefix) };
    let s = Str { kind, size, width: address_width(i), rep, source };
    if l.mode.has(Mode::STEP) {
        let pc = l.pc;
        l.leave(step, Val::Imm(s.pack()), Val::Imm(pc));
    } else if matches!(kind, Kind::Ins | Kind::Outs) {
        l.leave(whole, Val::Imm(s.pack()), Val::Imm(0));
    } else {
        let (a, b) = (Val::Imm(s.pack()), Val::Imm(0));
        let flags = matches!(kind, Kind::Cmps | Kind::Scas);
        l.op(Op::Call { helper: whole, dst: Reg::SINK, a, b, flags });
    }
    Some(())
}

/// Address width in bytes, from the implicit memory operand.
fn address_width(i: &Instruction) -> u8 {
    use iced_x86::OpKind as K;
    let wide = |k: K| match k {
        K::MemorySegSI | K::MemorySegDI | K::MemoryESDI => Some(2),
        K::MemorySegESI | K::MemorySegEDI | K::MemoryESEDI => Some(4),
        K::MemorySegRSI | K::MemorySegRDI | K::MemoryESRDI => Some(8),
        _ => None,
    };
    wide(i.op0_kind()).or_else(|| wide(i.op1_kind())).unwrap_or(8)
}

/// Runs a string instruction to its end.
fn whole(cpu: &mut Cpu, bus: &mut dyn Bus, packed: u64, _: u64) -> Result<u64, Exception> {
    let s = Str::unpack(packed);
    if s.rep == Rep::None {
        iteration(cpu, bus, s)?;
        return Ok(0);
    }
    // A fault restores the flags from before the whole instruction (SDM volume 2, REP).
    let flags = cpu.core.flags();
    while count(cpu, s) != 0 {
        if bulk(cpu, bus, s) {
            continue;
        }
        let equal = iteration(cpu, bus, s).inspect_err(|_| cpu.core.set_flags(flags))?;
        set_count(cpu, s, count(cpu, s) - 1);
        if ends(s, equal) {
            break;
        }
    }
    Ok(0)
}

/// Runs one iteration; `pc` is the instruction's own address, where the guest goes on when more are left.
fn step(cpu: &mut Cpu, bus: &mut dyn Bus, packed: u64, pc: u64) -> Result<u64, Exception> {
    let s = Str::unpack(packed);
    if s.rep == Rep::None {
        iteration(cpu, bus, s)?;
        return Ok(0);
    }
    if count(cpu, s) == 0 {
        return Ok(0);
    }
    let equal = iteration(cpu, bus, s)?;
    set_count(cpu, s, count(cpu, s) - 1);
    if count(cpu, s) != 0 && !ends(s, equal) {
        cpu.core.pc = pc;
        cpu.core.unfinished = true;
    }
    Ok(0)
}

fn ends(s: Str, equal: bool) -> bool {
    match (s.kind, s.rep) {
        (Kind::Cmps | Kind::Scas, Rep::WhileEqual) => !equal,
        (Kind::Cmps | Kind::Scas, Rep::WhileNotEqual) => equal,
        _ => false,
    }
}

fn count(cpu: &Cpu, s: Str) -> u64 {
    cpu.reg(gpr::RCX) & s.mask()
}

/// Writes an address-sized register: 32 bits clear the upper half, 16 merge.
fn set_sized(cpu: &mut Cpu, s: Str, r: usize, v: u64) {
    let old = cpu.reg(r);
    let v = match s.width {
        2 => old & !0xffff | v & 0xffff,
        4 => v & 0xffff_ffff,
        _ => v,
    };
    cpu.set_reg(r, v);
}

fn set_count(cpu: &mut Cpu, s: Str, v: u64) {
    set_sized(cpu, s, gpr::RCX, v);
}

fn advance(cpu: &mut Cpu, s: Str, r: usize, elements: u64) {
    let delta = elements * u64::from(s.size.bytes());
    let v = cpu.reg(r);
    let down = cpu.sys.eflags & bits::DF != 0;
    set_sized(cpu, s, r, if down { v.wrapping_sub(delta) } else { v.wrapping_add(delta) });
}

fn address(cpu: &Cpu, s: Str, n: usize, r: usize, len: u64, write: bool) -> Result<u64, Exception> {
    cpu.linear(n, cpu.reg(r) & s.mask(), len, write)
}

/// One element. Returns whether a comparison found equality.
fn iteration(cpu: &mut Cpu, bus: &mut dyn Bus, s: Str) -> Result<bool, Exception> {
    let len = u64::from(s.size.bytes());
    let mut equal = false;
    match s.kind {
        Kind::Movs => {
            let from = address(cpu, s, s.source, gpr::RSI, len, false)?;
            let to = address(cpu, s, seg::ES, gpr::RDI, len, true)?;
            let v = cpu.load_linear(bus, from, s.size)?;
            cpu.store_linear(bus, to, s.size, v)?;
        }
        Kind::Stos => {
            let to = address(cpu, s, seg::ES, gpr::RDI, len, true)?;
            cpu.store_linear(bus, to, s.size, cpu.reg(gpr::RAX))?;
        }
        Kind::Lods => {
            let from = address(cpu, s, s.source, gpr::RSI, len, false)?;
            let v = cpu.load_linear(bus, from, s.size)?;
            let old = cpu.reg(gpr::RAX);
            let keep = if s.size == Size::D { 0 } else { !s.size.mask() };
            cpu.set_reg(gpr::RAX, old & keep | v);
        }
        Kind::Cmps => {
            let from = address(cpu, s, s.source, gpr::RSI, len, false)?;
            let to = address(cpu, s, seg::ES, gpr::RDI, len, false)?;
            let a = cpu.load_linear(bus, from, s.size)?;
            let b = cpu.load_linear(bus, to, s.size)?;
            cpu.core.set_flags(crate::interp::compare_flags(s.size, a, b));
            equal = a == b;
        }
        Kind::Scas => {
            let to = address(cpu, s, seg::ES, gpr::RDI, len, false)?;
            let b = cpu.load_linear(bus, to, s.size)?;
            let a = cpu.reg(gpr::RAX) & s.size.mask();
            cpu.core.set_flags(crate::interp::compare_flags(s.size, a, b));
            equal = a == b;
        }
        Kind::Ins => {
            let (port, width) = port(cpu, bus, s)?;
            let to = address(cpu, s, seg::ES, gpr::RDI, len, true)?;
            cpu.probe_write(to, len)?;
            let at = cpu.core.now();
            let v = bus.port_read(at, port, width);
            cpu.store_linear(bus, to, s.size, u64::from(v))?;
            cpu.core.leave |= bus.attention();
        }
        Kind::Outs => {
            let (port, width) = port(cpu, bus, s)?;
            let from = address(cpu, s, s.source, gpr::RSI, len, false)?;
            let v = cpu.load_linear(bus, from, s.size)?;
            let at = cpu.core.now();
            bus.port_write(at, port, width, v as u32);
            cpu.core.leave |= bus.attention();
        }
    }
    if matches!(s.kind, Kind::Movs | Kind::Lods | Kind::Cmps | Kind::Outs) {
        advance(cpu, s, gpr::RSI, 1);
    }
    if matches!(s.kind, Kind::Movs | Kind::Stos | Kind::Cmps | Kind::Scas | Kind::Ins) {
        advance(cpu, s, gpr::RDI, 1);
    }
    Ok(equal)
}

fn port(cpu: &mut Cpu, bus: &mut dyn Bus, s: Str) -> Result<(u16, Width), Exception> {
    let port = cpu.reg(gpr::RDX) as u16;
    let width = Width::of(s.size.bytes() as usize).unwrap_or(Width::B1);
    system::port::io_allowed(cpu, bus, port, width)?;
    system::debug::note_port_access(cpu, port, width);
    Ok((port, width))
}

/// Moves or stores as many elements as lie in one page at either end. Whether it did anything; what faults or may trap is
/// left to [`iteration`].
fn bulk(cpu: &mut Cpu, bus: &mut dyn Bus, s: Str) -> bool {
    let moves = s.kind == Kind::Movs;
    if !moves && s.kind != Kind::Stos || cpu.sys.eflags & bits::DF != 0 {
        return false;
    }
    let shift = s.size as u32;
    let to_offset = cpu.reg(gpr::RDI) & s.mask();
    let from_offset = cpu.reg(gpr::RSI) & s.mask();
    // Neither offset may wrap in its address width.
    let room = |offset: u64| (s.mask() - offset) >> shift;
    let mut n = count(cpu, s).min(room(to_offset));
    let Some(to) = start(cpu, seg::ES, to_offset, true) else { return false };
    n = n.min(mem::left_in_page(to) >> shift);
    let mut from = None;
    if moves {
        let Some(start) = start(cpu, s.source, from_offset, false) else { return false };
        from = Some(start);
        n = n.min(room(from_offset)).min(mem::left_in_page(start) >> shift);
    }
    // The TLB knows canonical addresses only.
    let limited = !cpu.sys.code64();
    if n < 1
        || limited && cpu.linear(seg::ES, to_offset, n << shift, true).is_err()
        || limited && moves && cpu.linear(s.source, from_offset, n << shift, false).is_err()
        || !fast(cpu, s, to, from, n) && !slow(cpu, bus, s, to, from, n)
    {
        return false;
    }
    if moves {
        advance(cpu, s, gpr::RSI, n);
    }
    advance(cpu, s, gpr::RDI, n);
    set_count(cpu, s, count(cpu, s) - n);
    true
}

/// Moves (or stores, without `from`) `n` elements inside one page at either end, when the TLB knows both as plain memory.
#[inline]
fn fast(cpu: &mut Cpu, s: Str, to: u64, from: Option<u64>, n: u64) -> bool {
    match from {
        Some(from) => mem::copy(cpu.core_mut(), to, from, (n << s.size as u32) as usize),
        None => {
            let v = cpu.reg(gpr::RAX);
            mem::fill(cpu.core_mut(), to, s.size, v, n as usize)
        }
    }
}

/// As [`fast`], with page walks where the TLB does not know, and for devices, code, and ends that overlap.
#[cold]
fn slow(cpu: &mut Cpu, bus: &mut dyn Bus, s: Str, to: u64, from: Option<u64>, n: u64) -> bool {
    if cpu.watches_accesses() {
        return false;
    }
    let view = cpu.core.mmu;
    let source = match from.map(|from| cpu.translate(view, from, Access::Read)) {
        None => None,
        Some(Ok(phys)) => Some(phys),
        Some(Err(_)) => return false,
    };
    let Ok(target) = cpu.translate(view, to, Access::Write) else { return false };
    if fast(cpu, s, to, from, n) {
        return true;
    }
    for at in (0..n).map(|i| i << s.size as u32) {
        let v = match (source, from) {
            (Some(source), Some(from)) => {
                cpu.observe(from + at, source + at, s.size.bytes().into(), false);
                cpu.load_phys(bus, source + at, s.size)
            }
            _ => cpu.reg(gpr::RAX) & s.size.mask(),
        };
        cpu.observe(to + at, target + at, s.size.bytes().into(), true);
        cpu.store_phys(bus, target + at, s.size, v);
    }
    true
}

/// Linear address of the byte at `offset` of segment `n`; in 64-bit mode it may not be canonical.
#[inline]
fn start(cpu: &Cpu, n: usize, offset: u64, write: bool) -> Option<u64> {
    if cpu.sys.code64() {
        let base = if n >= seg::FS { cpu.sys.segs[n].base } else { 0 };
        return Some(base.wrapping_add(offset));
    }
    cpu.linear(n, offset, 1, write).ok()
}
