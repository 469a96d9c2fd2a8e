//! Shifts and rotates (SDM volume 2, SAL/SAR/SHL/SHR and RCL/RCR/ROL/ROR).
//!
//! OF is undefined for counts above one; ours is the change of the top bit in the last of the one-bit steps.

use super::{Thread, get, mask, next, put, sext};
use crate::{Bus, block::Exit, flags::Flags, guest::Guest, ir::Shift};

/// Shift of `a` (masked) by `n` (1 to 31, or 63 for 64-bit operands): result and new flags.
#[inline(always)]
pub(super) fn shift_op<const OP: u8, const S: usize>(a: u64, n: u32, old: Flags) -> (u64, Flags) {
    const ROL: u8 = Shift::Rol as u8;
    const ROR: u8 = Shift::Ror as u8;
    const RCL: u8 = Shift::Rcl as u8;
    const RCR: u8 = Shift::Rcr as u8;
    const SHL: u8 = Shift::Shl as u8;
    const SHR: u8 = Shift::Shr as u8;
    let bits = 8 * S as u32;
    let top = |v: u64| v >> (bits - 1) & 1 != 0;
    let mut f = old;
    match OP {
        ROL | ROR => {
            let k = n % bits;
            let k = if OP == ROL { k } else { (bits - k) % bits };
            let r = if k == 0 { a } else { (a << k | a >> (bits - k)) & mask(S) };
            let (cf, of) = if OP == ROL {
                (r & 1 != 0, top(r) != (r & 1 != 0))
            } else {
                (top(r), top(r) != top(r << 1 & mask(S)))
            };
            f.set_carry_overflow(cf, of);
            (r, f)
        }
        RCL | RCR => {
            let k = n % (bits + 1);
            if k == 0 {
                return (a, f);
            }
            // The operand with CF above its top bit, rotated in bits + 1.
            let wide = u128::from(a) | u128::from(old.cf()) << bits;
            let k = if OP == RCL { k } else { bits + 1 - k };
            let r = (wide << k | wide >> (bits + 1 - k)) & ((1u128 << (bits + 1)) - 1);
            let cf = r >> bits & 1 != 0;
            let r = r as u64 & mask(S);
            let of = if OP == RCL { top(r) != cf } else { top(r) != top(r << 1 & mask(S)) };
            f.set_carry_overflow(cf, of);
            (r, f)
        }
        _ => {
            let (before, r) = match OP {
                SHL => (a.unbounded_shl(n - 1) & mask(S), a.unbounded_shl(n) & mask(S)),
                SHR => (a >> (n - 1), a >> n),
                _ => {
                    let v = sext::<S>(a) as i64;
                    ((v >> (n - 1)) as u64, (v >> n) as u64 & mask(S))
                }
            };
            let cf = if OP == SHL { top(before) } else { before & 1 != 0 };
            let of = top(before) != top(r);
            f = Flags { z: r, s: sext::<S>(r), c: 0, a: 0 };
            f.set_carry_overflow(cf, of);
            (r, f)
        }
    }
}

pub(super) fn shift<G: Guest, const OP: u8, const S: usize, const IMM: bool>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    let a = get(core, op.a) & mask(S);
    let n = if IMM { op.imm } else { get(core, op.b) } as u32 & if S == 8 { 63 } else { 31 };
    if n == 0 {
        put::<S>(core, op.dst, a);
    } else {
        let (r, f) = shift_op::<OP, S>(a, n, core.flags);
        put::<S>(core, op.dst, r);
        core.flags = f;
    }
    next(g, bus, rest)
}

/// SHLD and SHRD; `c` holds the count register. A 16-bit count above 16 (undefined) continues into the same bits again.
pub(super) fn shift_double<G: Guest, const LEFT: bool, const S: usize, const IMM: bool>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    let bits = 8 * S as u32;
    let (a, b) = (get(core, op.a) & mask(S), get(core, op.b) & mask(S));
    let n = if IMM { op.imm } else { get(core, op.c) } as u32 & if S == 8 { 63 } else { 31 };
    if n == 0 {
        put::<S>(core, op.dst, a);
        return next(g, bus, rest);
    }
    let top = |v: u64| v >> (bits - 1) & 1 != 0;
    let (a, b) = (u128::from(a), u128::from(b));
    let step = |k: u32| -> u64 {
        let v = if LEFT {
            // a:b:a, the result is the top part after the shift.
            let wide = if S == 2 { a << 32 | b << 16 | a } else { a << bits | b };
            wide >> ((if S == 2 { 32 } else { bits }) - k)
        } else {
            let wide = if S == 2 { a << 32 | b << 16 | a } else { b << bits | a };
            wide >> k
        };
        v as u64 & mask(S)
    };
    let before = if n == 1 { a as u64 } else { step(n - 1) };
    let r = step(n);
    put::<S>(core, op.dst, r);
    let cf = if LEFT { top(before) } else { before & 1 != 0 };
    let mut f = Flags { z: r, s: sext::<S>(r), c: 0, a: 0 };
    f.set_carry_overflow(cf, top(before) != top(r));
    core.flags = f;
    next(g, bus, rest)
}
