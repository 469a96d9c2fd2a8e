//! Addresses, loads, stores. The slow halves are functions of their own so that the fast halves save no registers.

use super::{Thread, faulted, get, next, next_unless_leaving, put, sext};
use crate::{
    Bus,
    block::Exit,
    core::Core,
    guest::Guest,
    ir::Size,
    phys::{read_host, write_host},
    tlb::PAGE_MASK,
};

/// Address is base + disp in 64 bits.
pub(super) const BASE: u8 = 0;
/// Address is base + index + disp in 64 bits.
pub(super) const INDEXED: u8 = 1;
/// Address is seg + base + index + disp in 64 bits.
pub(super) const SEGMENT: u8 = 2;
/// 32-bit effective address, flat, no segment base.
pub(super) const FLAT32: u8 = 3;
/// As SEGMENT, with the masks of narrower address sizes.
pub(super) const GENERAL: u8 = 4;

/// In GENERAL, `scale` holds the shift in bits 0-1, log2 of the address width in bits 2-3, and wrap-to-32 in bit 4.
#[inline(always)]
fn address<G: Guest, const FORM: u8>(core: &Core, op: &Thread<G>) -> u64 {
    let base = get(core, op.a);
    if FORM == BASE {
        return base.wrapping_add(op.imm);
    }
    let sum = base.wrapping_add(get(core, op.b) << (op.scale & 3)).wrapping_add(op.imm);
    match FORM {
        INDEXED => sum,
        SEGMENT => get(core, op.c).wrapping_add(sum),
        FLAT32 => sum & 0xffff_ffff,
        _ => {
            let mask = u64::MAX >> (64 - (8u32 << (op.scale >> 2 & 3)));
            let linear = get(core, op.c).wrapping_add(sum & mask);
            if op.scale & 16 != 0 { linear & 0xffff_ffff } else { linear }
        }
    }
}

const fn size(bytes: usize) -> Size {
    match bytes {
        1 => Size::B,
        2 => Size::W,
        4 => Size::D,
        _ => Size::Q,
    }
}

pub(super) fn lea<G: Guest, const FORM: u8>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    let v = address::<G, FORM>(core, op);
    put::<8>(core, op.dst, v);
    next(g, bus, rest)
}

/// A load: zero-extended.
pub(super) const ZERO: u8 = 0;
/// A load: sign-extended to 32 bits.
pub(super) const SIGN32: u8 = 1;
/// A load: sign-extended to 64 bits.
pub(super) const SIGN64: u8 = 2;
/// A load that faults as a write would.
pub(super) const WRITE: u8 = 3;

#[inline(always)]
fn deliver<const KIND: u8, const S: usize>(core: &mut Core, dst: u8, v: u64) {
    match KIND {
        SIGN32 => put::<4>(core, dst, sext::<S>(v)),
        SIGN64 => put::<8>(core, dst, sext::<S>(v)),
        _ => put::<8>(core, dst, v),
    }
}

pub(super) fn load<G: Guest, const KIND: u8, const S: usize, const FORM: u8>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    let addr = address::<G, FORM>(core, op);
    let e = core.tlb.entry(core.mmu, addr);
    let tag = if KIND == WRITE { e.write } else { e.read };
    if tag != addr.wrapping_add(S as u64 - 1) & PAGE_MASK {
        return load_slow::<G, KIND, S, FORM>(g, bus, op, rest);
    }
    let v = read_host(e.host_at(addr), S);
    deliver::<KIND, S>(core, op.dst, v);
    next(g, bus, rest)
}

#[cold]
#[inline(never)]
fn load_slow<G: Guest, const KIND: u8, const S: usize, const FORM: u8>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    g.core_mut().insn = u32::from(op.insn);
    let addr = address::<G, FORM>(g.core(), op);
    let loaded = if KIND == WRITE {
        g.load_for_write_slow(bus, addr, size(S))
    } else {
        g.load_slow(bus, addr, size(S))
    };
    match loaded {
        Ok(v) => deliver::<KIND, S>(g.core_mut(), op.dst, v),
        Err(fault) => return faulted(g, op, fault),
    }
    next_unless_leaving(g, bus, rest)
}

pub(super) fn store<G: Guest, const S: usize, const FORM: u8, const IMM: bool>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    let addr = address::<G, FORM>(core, op);
    let e = core.tlb.entry(core.mmu, addr);
    if e.write != addr.wrapping_add(S as u64 - 1) & PAGE_MASK {
        return store_slow::<G, S, FORM, IMM>(g, bus, op, rest);
    }
    let v = if IMM { op.imm2 } else { get(core, op.dst) };
    write_host(e.host_at(addr), S, v);
    next(g, bus, rest)
}

#[cold]
#[inline(never)]
fn store_slow<G: Guest, const S: usize, const FORM: u8, const IMM: bool>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    g.core_mut().insn = u32::from(op.insn);
    let addr = address::<G, FORM>(g.core(), op);
    let v = if IMM { op.imm2 } else { get(g.core(), op.dst) };
    if let Err(fault) = g.store_slow(bus, addr, size(S), v) {
        return faulted(g, op, fault);
    }
    next_unless_leaving(g, bus, rest)
}

/// A vector instruction with a memory operand; its helper gets the operand's offset.
pub(super) fn vector<G: Guest, const FORM: u8>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    core.insn = u32::from(op.insn);
    let offset = address::<G, FORM>(core, op);
    if let Some(Err(fault)) = op.helper.map(|helper| helper(g, bus, op.imm2, offset)) {
        return faulted(g, op, fault);
    }
    next_unless_leaving(g, bus, rest)
}
