//! Helpers, jumps, branches.

use super::{Thread, alu::holds, faulted, get, mask, next, next_unless_leaving, put};
use crate::{Bus, block::Exit, guest::Guest};

/// Calls a helper; `scale` bit 0: argument a is a constant, bit 1: b is.
#[inline(always)]
fn call_helper<G: Guest>(g: &mut G, bus: &mut dyn Bus, op: &Thread<G>) -> Result<u64, G::Fault> {
    let core = g.core_mut();
    core.insn = u32::from(op.insn);
    let a = if op.scale & 1 != 0 { op.imm } else { get(core, op.a) };
    let b = if op.scale & 2 != 0 { op.imm2 } else { get(core, op.b) };
    match op.helper {
        Some(helper) => helper(g, bus, a, b),
        None => Ok(0),
    }
}

pub(super) fn call<G: Guest>(g: &mut G, bus: &mut dyn Bus, op: &Thread<G>, rest: &[Thread<G>]) -> Exit {
    match call_helper(g, bus, op) {
        Ok(v) => put::<8>(g.core_mut(), op.dst, v),
        Err(fault) => return faulted(g, op, fault),
    }
    next_unless_leaving(g, bus, rest)
}

pub(super) fn set_pc<G: Guest>(g: &mut G, bus: &mut dyn Bus, op: &Thread<G>, rest: &[Thread<G>]) -> Exit {
    g.core_mut().pc = op.imm;
    next(g, bus, rest)
}

pub(super) fn call_leave<G: Guest>(g: &mut G, bus: &mut dyn Bus, op: &Thread<G>, _: &[Thread<G>]) -> Exit {
    match call_helper(g, bus, op) {
        Ok(_) => Exit::Leave,
        Err(fault) => faulted(g, op, fault),
    }
}

/// Goes on when `a` is its own low bits, those that `scale` leaves, sign-extended.
pub(super) fn check_target<G: Guest>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let target = get(g.core(), op.a);
    if (target as i64) << op.scale >> op.scale != target as i64 {
        g.core_mut().insn = u32::from(op.insn);
        let fault = g.bad_target(target);
        return faulted(g, op, fault);
    }
    next(g, bus, rest)
}

pub(super) fn jump<G: Guest>(g: &mut G, _: &mut dyn Bus, op: &Thread<G>, _: &[Thread<G>]) -> Exit {
    g.core_mut().pc = op.imm;
    Exit::Chain0
}

pub(super) fn branch<G: Guest, const C: u8>(
    g: &mut G,
    _: &mut dyn Bus,
    op: &Thread<G>,
    _: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    if holds::<C>(&core.flags) {
        core.pc = op.imm;
        Exit::Chain0
    } else {
        core.pc = op.imm2;
        Exit::Chain1
    }
}

/// Branch on a register being zero (or, with `scale`, not zero).
pub(super) fn branch_zero<G: Guest, const S: usize>(
    g: &mut G,
    _: &mut dyn Bus,
    op: &Thread<G>,
    _: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    if (get(core, op.a) & mask(S) == 0) != (op.scale != 0) {
        core.pc = op.imm;
        Exit::Chain0
    } else {
        core.pc = op.imm2;
        Exit::Chain1
    }
}

pub(super) fn jump_to<G: Guest, const S: usize>(
    g: &mut G,
    _: &mut dyn Bus,
    op: &Thread<G>,
    _: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    core.pc = get(core, op.a) & mask(S);
    Exit::Lookup
}
