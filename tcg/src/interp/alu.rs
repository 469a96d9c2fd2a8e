//! Arithmetic, logic, moves, bits.

use super::{Thread, get, mask, next, put, sext};
use crate::{
    Bus,
    block::Exit,
    core::Core,
    flags::Flags,
    guest::Guest,
    ir::{Alu, Bit, Unary},
};

/// Numbers for [`Alu`] usable as const parameters.
pub(super) const fn alu_code(op: Alu) -> u8 {
    op as u8
}

/// Flags of a result `r` (masked to `S` bytes) with carry vector `carry` (bit n: carry out of bit n) and `aux` (bit 4).
#[inline(always)]
fn result_flags<const S: usize>(r: u64, carry: u64, aux: u64) -> Flags {
    Flags { z: r, s: sext::<S>(r), c: carry << (64 - 8 * S as u32), a: aux }
}

/// One ALU operation on operands already masked to `S` bytes.
#[inline(always)]
pub(super) fn alu_op<const OP: u8, const S: usize>(a: u64, b: u64, cf: bool) -> (u64, Flags) {
    const ADD: u8 = Alu::Add as u8;
    const ADC: u8 = Alu::Adc as u8;
    const SUB: u8 = Alu::Sub as u8;
    const SBB: u8 = Alu::Sbb as u8;
    const AND: u8 = Alu::And as u8;
    const OR: u8 = Alu::Or as u8;
    let cin = u64::from(cf);
    match OP {
        ADD | ADC => {
            let r = a.wrapping_add(b).wrapping_add(if OP == ADC { cin } else { 0 }) & mask(S);
            (r, result_flags::<S>(r, a & b | (a | b) & !r, a ^ b ^ r))
        }
        SUB | SBB => {
            let r = a.wrapping_sub(b).wrapping_sub(if OP == SBB { cin } else { 0 }) & mask(S);
            (r, result_flags::<S>(r, !a & b | (!a | b) & r, a ^ b ^ r))
        }
        _ => {
            let r = match OP {
                AND => a & b,
                OR => a | b,
                _ => a ^ b,
            };
            (r, result_flags::<S>(r, 0, 0))
        }
    }
}

pub(super) fn alu<G: Guest, const OP: u8, const S: usize, const IMM: bool, const FLAGS: bool>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    let a = get(core, op.a) & mask(S);
    let b = if IMM { op.imm } else { get(core, op.b) } & mask(S);
    let (r, flags) = alu_op::<OP, S>(a, b, core.flags.cf());
    put::<S>(core, op.dst, r);
    if FLAGS {
        core.flags = flags;
    }
    next(g, bus, rest)
}

/// SUB or AND whose result nobody wants: CMP and TEST.
pub(super) fn compare<G: Guest, const OP: u8, const S: usize, const IMM: bool>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    let a = get(core, op.a) & mask(S);
    let b = if IMM { op.imm } else { get(core, op.b) } & mask(S);
    core.flags = alu_op::<OP, S>(a, b, false).1;
    next(g, bus, rest)
}

pub(super) fn unary<G: Guest, const OP: u8, const S: usize>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    const INC: u8 = Unary::Inc as u8;
    const DEC: u8 = Unary::Dec as u8;
    const NEG: u8 = Unary::Neg as u8;
    const ADD: u8 = Alu::Add as u8;
    const SUB: u8 = Alu::Sub as u8;
    let core = g.core_mut();
    let a = get(core, op.a) & mask(S);
    let r = match OP {
        INC | DEC => {
            let (r, mut f) =
                if OP == INC { alu_op::<ADD, S>(a, 1, false) } else { alu_op::<SUB, S>(a, 1, false) };
            let of = f.of();
            f.set_carry_overflow(core.flags.cf(), of);
            core.flags = f;
            r
        }
        NEG => {
            let (r, f) = alu_op::<SUB, S>(0, a, false);
            core.flags = f;
            r
        }
        _ => !a,
    };
    put::<S>(core, op.dst, r);
    next(g, bus, rest)
}

pub(super) fn mov<G: Guest, const S: usize, const IMM: bool>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    let v = if IMM { op.imm } else { get(core, op.a) };
    put::<S>(core, op.dst, v);
    next(g, bus, rest)
}

pub(super) fn extend<G: Guest, const SIGNED: bool, const FROM: usize, const TO: usize>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    let v = get(core, op.a);
    let v = if SIGNED { sext::<FROM>(v) } else { v & mask(FROM) };
    put::<TO>(core, op.dst, v);
    next(g, bus, rest)
}

pub(super) fn high8<G: Guest>(g: &mut G, bus: &mut dyn Bus, op: &Thread<G>, rest: &[Thread<G>]) -> Exit {
    let core = g.core_mut();
    let v = get(core, op.a) >> 8 & 0xff;
    put::<8>(core, op.dst, v);
    next(g, bus, rest)
}

pub(super) fn set_high8<G: Guest>(g: &mut G, bus: &mut dyn Bus, op: &Thread<G>, rest: &[Thread<G>]) -> Exit {
    let core = g.core_mut();
    let v = get(core, op.dst) & !0xff00 | (get(core, op.a) & 0xff) << 8;
    put::<8>(core, op.dst, v);
    next(g, bus, rest)
}

pub(super) fn bswap<G: Guest, const S: usize>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    let v = get(core, op.a);
    put::<S>(core, op.dst, v.swap_bytes() >> (64 - 8 * S as u32));
    next(g, bus, rest)
}

pub(super) fn imul<G: Guest, const S: usize, const IMM: bool>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    let a = sext::<S>(get(core, op.a)) as i64;
    let b = sext::<S>(if IMM { op.imm } else { get(core, op.b) }) as i64;
    let full = i128::from(a) * i128::from(b);
    let r = full as u64 & mask(S);
    put::<S>(core, op.dst, r);
    let over = i128::from(sext::<S>(r) as i64) != full;
    let mut f = result_flags::<S>(r, 0, 0);
    f.set_carry_overflow(over, over);
    core.flags = f;
    next(g, bus, rest)
}

/// Widening multiplication; dst is the low half, `c` the high half.
pub(super) fn mul_wide<G: Guest, const SIGNED: bool, const S: usize>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    let (a, b) = (get(core, op.a) & mask(S), get(core, op.b) & mask(S));
    let full = if SIGNED {
        (i128::from(sext::<S>(a) as i64) * i128::from(sext::<S>(b) as i64)) as u128
    } else {
        u128::from(a) * u128::from(b)
    };
    let lo = full as u64 & mask(S);
    let hi = (full >> (8 * S as u32)) as u64 & mask(S);
    let over = if SIGNED { hi != (sext::<S>(lo) as i64 >> 63) as u64 & mask(S) } else { hi != 0 };
    put::<S>(core, op.dst, lo);
    put::<S>(core, op.c, hi);
    let mut f = result_flags::<S>(lo, 0, 0);
    f.set_carry_overflow(over, over);
    core.flags = f;
    next(g, bus, rest)
}

pub(super) fn bit<G: Guest, const OP: u8, const S: usize, const IMM: bool>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    const SET: u8 = Bit::Set as u8;
    const RESET: u8 = Bit::Reset as u8;
    const COMPLEMENT: u8 = Bit::Complement as u8;
    let core = g.core_mut();
    let a = get(core, op.a) & mask(S);
    let index = if IMM { op.imm } else { get(core, op.b) } & (8 * S as u64 - 1);
    let m = 1 << index;
    core.flags.set_cf(a & m != 0);
    match OP {
        SET => put::<S>(core, op.dst, a | m),
        RESET => put::<S>(core, op.dst, a & !m),
        COMPLEMENT => put::<S>(core, op.dst, a ^ m),
        _ => {}
    }
    next(g, bus, rest)
}

pub(super) fn bit_scan<G: Guest, const REVERSE: bool, const S: usize>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    let v = get(core, op.a) & mask(S);
    core.flags.z = v;
    if v != 0 {
        let n = if REVERSE { 63 - v.leading_zeros() } else { v.trailing_zeros() };
        put::<S>(core, op.dst, u64::from(n));
    }
    next(g, bus, rest)
}

pub(super) fn popcnt<G: Guest, const S: usize>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    let v = get(core, op.a) & mask(S);
    put::<S>(core, op.dst, u64::from(v.count_ones()));
    // PF clear needs an odd byte; SF clear.
    core.flags = Flags { z: v, s: 1, c: 0, a: 0 };
    next(g, bus, rest)
}

/// Evaluates condition number `C` (see [`crate::ir::Cond`]).
#[inline(always)]
pub(super) fn holds<const C: u8>(f: &Flags) -> bool {
    let v = match C >> 1 {
        0 => f.of(),
        1 => f.cf(),
        2 => f.zf(),
        3 => f.cf() | f.zf(),
        4 => f.sf(),
        5 => f.pf(),
        6 => f.sf() != f.of(),
        _ => (f.sf() != f.of()) | f.zf(),
    };
    v != (C & 1 != 0)
}

pub(super) fn set_cond<G: Guest, const C: u8>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core = g.core_mut();
    let v = u64::from(holds::<C>(&core.flags));
    put::<1>(core, op.dst, v);
    next(g, bus, rest)
}

pub(super) fn cond_mov<G: Guest, const C: u8, const S: usize>(
    g: &mut G,
    bus: &mut dyn Bus,
    op: &Thread<G>,
    rest: &[Thread<G>],
) -> Exit {
    let core: &mut Core = g.core_mut();
    let v = if holds::<C>(&core.flags) { get(core, op.a) } else { get(core, op.dst) };
    put::<S>(core, op.dst, v);
    next(g, bus, rest)
}
